"""The form of a view: a table of rows, and what its series describe. See `exporter/views/__init__.py`. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from collectors.contract import SubjectKey
from collectors.metric import Metric, Subject
from exporter.series import ForeignFamily
from exporter.snapshot import Holder

# Whose samples they are: a device's or partition's, or those of a container's part of it.
Key: TypeAlias = SubjectKey | Holder

# A hundredth of the smallest step of any reading, in any foreign unit.
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Scale:
    """How a native value becomes a foreign one: times `multiplier`, divided by `divisor`.

    The result of a multiplication is rounded to nine decimal places: 0.29 is 29 percent, not 28.999999999999996.
    A division by a power of ten or two needs no rounding, so prefer it: hertz divided by 1e6, not times 1e-6.
    """

    multiplier: float = 1.0
    divisor: float = 1.0

    def foreign(self, native: float) -> float:
        """The foreign value of a native one."""
        return self.foreign_of((native,))[0]

    def foreign_of(self, natives: Iterable[float]) -> list[float]:
        """The foreign values of many."""
        multiplier, divisor = self.multiplier, self.divisor
        if multiplier == 1:
            return [native / divisor for native in natives]
        return [round(native * multiplier, _DIGITS) / divisor for native in natives]

    def native(self, foreign: float) -> float:
        """The native value of a foreign one."""
        return foreign * self.divisor / self.multiplier


AS_IS = Scale()


@dataclass(frozen=True, slots=True)
class NumberOfHighest:
    """The value is the number in a label of the sample with the highest value.

    Attributes:
        label: The name of one of the metric's own labels. Its values must be whole numbers.
    """

    label: str


@dataclass(frozen=True, slots=True)
class Quotient:
    """The value is the sample of the first term divided by that of the second; 0 if that is 0."""


@dataclass(frozen=True, slots=True)
class Term:
    """The sum of the native samples of one metric that belong to the described thing and match.

    Attributes:
        metric: The native metric, in its base unit.
        where: Its own labels with the value that a sample must have; empty for a label that must be absent. Name
            `link` in it for a metric that has series for each link too, or they are added to their own sum.
        negative: Whether it is subtracted.
        of_device: Whether the samples are those of the whole device, where a partition is described.
    """

    metric: Metric
    where: Mapping[str, str] = field(default_factory=dict)
    negative: bool = False
    of_device: bool = False


@dataclass(frozen=True, slots=True)
class OwnLabel:
    """A label of a series that is made from one of the native metric's own labels.

    Attributes:
        name: The name of the native label.
        values: The foreign value of each native one. A sample with another value is left out. Empty: they are the same.
    """

    name: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One source of one foreign family. Every term must have a sample, or there is no series.

    Attributes:
        family: The family.
        subjects: What it describes: devices, partitions, containers or allocations.
        terms: What is added up. The first one determines the series: one for each combination of its own labels in
            `labels`.
        value: How the value follows from the sum, or from the samples.
        fixed: Labels with a fixed value.
        labels: Labels from own labels of the first term's metric.
        of_holder: Whether its series have the labels of the container that holds the described thing alone.
        vendors: The vendors of the devices that have it; empty for every vendor.
        note: What users must know, for the documentation: where meaning or presence differ from the original.
    """

    family: ForeignFamily
    subjects: tuple[Subject, ...]
    terms: tuple[Term, ...]
    value: Scale | NumberOfHighest | Quotient = AS_IS
    fixed: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, OwnLabel] = field(default_factory=dict)
    of_holder: bool = False
    vendors: tuple[str, ...] = ()
    note: str = ""


class Entity(NamedTuple):
    """One thing that the view describes.

    Attributes:
        subject: What it is; only rows for this subject are used.
        key: Whose samples its rows take.
        vendor: The vendor of its device.
        labels: The labels of each of its series, in the order in which they are written. Empty ones are left out.
        holder: The labels of the only container that holds it, for rows with `of_holder`.
    """

    subject: Subject
    key: Key
    vendor: str
    labels: Mapping[str, str]
    holder: Mapping[str, str] = MappingProxyType({})
