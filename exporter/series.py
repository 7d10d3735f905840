"""Which series a snapshot has: their names, labels and order.

The values are apart: they change with every snapshot, and the series seldom do.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, itemgetter
from typing import NamedTuple, Protocol, TypeAlias

from collectors import catalog
from collectors.contract import Device, SubjectKey
from collectors.metric import ALL_SETS, Kind, Metric, MetricSet, Origin, Subject, Unit
from exporter import families
from exporter.snapshot import Container, Snapshot

ROWS = (*catalog.ROWS, *families.ROWS)

_ORDER = {family: position for position, family in enumerate((row, each) for row in ROWS for each in row.subjects)}
_VALUE = attrgetter("value")
_LEAST_TOGETHER = 2  # with fewer items, `itemgetter` returns no tuple
_OF_THE_EXPORTER = (Subject.EXPORTER, Subject.OWN_PROCESS)
# Computes values from all values of a snapshot, in the order of `values`.
Formula: TypeAlias = Callable[[Sequence[float]], Sequence[float]]


class OwnSample(NamedTuple):
    """One value about the exporter itself; labels in the order of its metric."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


class Series(NamedTuple):
    """One series of a family of the catalogue.

    Attributes:
        row: The catalogue row.
        subject: Which of the row's families it belongs to.
        labels: Name and value of each label that is not empty, those of the subject first.
    """

    row: Metric
    subject: Subject
    labels: Mapping[str, str]

    @property
    def family(self) -> tuple[Metric, Subject]:
        """What the series of one family have in common."""
        return self.row, self.subject

    @property
    def order(self) -> tuple[int, tuple[str, ...]]:
        """Sorts the families as the catalogue does, and the series of a family by the values of their labels."""
        return _ORDER[self.family], tuple(self.labels.values())

    @property
    def name(self) -> str:
        """The name of the family."""
        return self.row.name(self.subject)

    @property
    def written_labels(self) -> Sequence[tuple[str, str]]:
        """The labels in the order in which they are written."""
        return sorted(self.labels.items())


@dataclass(frozen=True, slots=True)
class ForeignFamily:
    """A family of a view: under a name that another project has chosen.

    Attributes:
        name: Its full name, with whatever suffix the other project gives it.
        kind: Gauge or counter.
        help: One or two sentences for people.
        unit: The unit at the end of its name; NONE if the name does not end with a unit of the catalogue.
    """

    name: str
    kind: Kind
    help: str
    unit: Unit = Unit.NONE


class ForeignSeries(NamedTuple):
    """One series of a view.

    Attributes:
        row: Its family.
        labels: Name and value of each label that is not empty, in the order in which they are written.
    """

    row: ForeignFamily
    labels: Mapping[str, str]

    @property
    def family(self) -> str:
        """What the series of one family have in common."""
        return self.row.name

    @property
    def name(self) -> str:
        """The name of the family."""
        return self.row.name

    @property
    def written_labels(self) -> Sequence[tuple[str, str]]:
        """The labels in the order in which they are written."""
        return tuple(self.labels.items())


AnySeries: TypeAlias = Series | ForeignSeries


class Arrangement(NamedTuple):
    """The exported series in their order, and where their values come from.

    Attributes:
        series: The series, each once.
        positions: For each, the position of its value: in `values` or, behind those, among the computed ones.
        formulas: How the computed values follow from the others: each formula computes those behind the one before.
    """

    series: list[AnySeries]
    positions: list[int]
    formulas: list[Formula]

    def values(self, every: Sequence[float]) -> Sequence[float]:
        """The values of the series in their order.

        Args:
            every: All values of a snapshot with these series, as `values` returns them.
        """
        if self.formulas:
            every = [*every, *(value for formula in self.formulas for value in formula(every))]
        if len(self.positions) < _LEAST_TOGETHER:
            return [every[position] for position in self.positions]
        found: Sequence[float] = itemgetter(*self.positions)(every)  # in half the time
        return found


class View(Protocol):
    """A naming of the same samples, see `exporter/views/__init__.py`."""

    def arrange(self, snapshot: Snapshot, first: int) -> Arrangement:
        """The series of a snapshot under the names of the view.

        Args:
            snapshot: The snapshot.
            first: The position of the first computed value.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What the user lets the exposition show, and how.

    Attributes:
        holder_labels: The names of the labels in `families.HOLDER_LABELS`, in this order.
        sets: The sets of metrics. The families of the exporter itself are shown in any case.
        native: Whether the families of the catalogue are shown. Those of the exporter itself are in any case.
        views: What is shown under other names, behind them.
    """

    holder_labels: tuple[str, ...] = families.HOLDER_LABELS
    sets: frozenset[MetricSet] = ALL_SETS
    native: bool = True
    views: tuple[View, ...] = ()

    def includes(self, series: Series) -> bool:
        """Whether a series of the catalogue is exported."""
        if not self.native:
            return series.subject in _OF_THE_EXPORTER
        if series.row.origin is Origin.EXPORTER or self.sets == ALL_SETS:
            return True
        return series.row.set_of(series.subject, series.labels) in self.sets


EVERYTHING = Shown()


class Valued(Protocol):
    """What has a value: a sample of any kind."""

    @property
    def value(self) -> float:
        """The value, in the base unit of its metric."""
        ...


def sample_groups(snapshot: Snapshot, own: Sequence[OwnSample]) -> tuple[Sequence[Valued], ...]:
    """All samples in the snapshot's own order, by what they are about.

    Returns:
        Those of devices and partitions, of processes, of containers and allocations, and of the exporter.
    """
    return snapshot.samples, snapshot.process_samples, snapshot.holder_samples, own


def values(snapshot: Snapshot, own: Sequence[OwnSample]) -> list[float]:
    """Return all values, in the snapshot's own order."""
    return list(map(_VALUE, chain(*sample_groups(snapshot, own))))


def arrange(snapshot: Snapshot, own: Sequence[OwnSample], shown: Shown = EVERYTHING) -> Arrangement:
    """Return the exported series in their order, those of views behind those of the catalogue.

    Args:
        snapshot: The snapshot.
        own: The samples of the exporter itself.
        shown: What is exported.
    """
    native = ordered(snapshot, own, shown)
    arranged = Arrangement([each for _, each in native], [position for position, _ in native], [])
    known = sum(map(len, sample_groups(snapshot, own)))
    for view in shown.views:
        foreign = view.arrange(snapshot, known)
        # Each computed value belongs to a series, so the last of them is the highest position.
        known = max([known, *(position + 1 for position in foreign.positions)])
        arranged.series.extend(foreign.series)
        arranged.positions.extend(foreign.positions)
        arranged.formulas.extend(foreign.formulas)
    return arranged


def ordered(snapshot: Snapshot, own: Iterable[OwnSample], shown: Shown = EVERYTHING) -> list[tuple[int, Series]]:
    """Return the exported series of the catalogue in their order, with the positions of their values in `values`.

    Each is there once.

    Args:
        snapshot: The snapshot.
        own: The samples of the exporter itself.
        shown: What is exported.
    """
    labels = _LabelSets(snapshot, shown.holder_labels)
    found: list[Series] = []
    for sample in snapshot.samples:
        subject = Subject.PARTITION if sample.partition_uuid else Subject.DEVICE
        found.append(_series(sample.metric, subject, labels.of_subject(sample.subject), sample.labels))
    found += (
        _series(sample.metric, Subject.PROCESS, labels.of_subject(sample.subject), sample.labels)
        for sample in snapshot.process_samples
    )
    for held in snapshot.holder_samples:
        of_edge = labels.of_subject(held.subject) | labels.of_holder(held.container)
        found.append(_series(held.metric, held.metric.subjects[0], of_edge, held.labels))
    found += (_series(each.metric, each.metric.subjects[0], {}, each.labels) for each in own)
    exported = ((position, each) for position, each in enumerate(found) if shown.includes(each))
    in_order = sorted(exported, key=lambda numbered: numbered[1].order)
    return [numbered for before, numbered in zip([None, *in_order], in_order, strict=False) if _new(before, numbered)]


def _new(before: tuple[int, Series] | None, numbered: tuple[int, Series]) -> bool:
    """Whether it is another series than the one before: one series twice would make the whole exposition invalid."""
    return before is None or before[1] != numbered[1]


def _series(row: Metric, subject: Subject, of_subject: Mapping[str, str], own: tuple[str, ...]) -> Series:
    """An empty label is omitted: Prometheus treats both the same way."""
    if not own:
        return Series(row, subject, of_subject)
    named = {label.name: clean(value) for label, value in zip(row.labels, own, strict=True) if value}
    return Series(row, subject, {**of_subject, **named})


def clean(text: str) -> str:
    """Text that UTF-8 can encode: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


class _LabelSets:
    """Label sets of subjects and holders, each made once."""

    def __init__(self, snapshot: Snapshot, holder_labels: Sequence[str]) -> None:
        self._holder_labels = holder_labels
        self._devices: Mapping[str, Device] = snapshot.devices
        self._partitions = snapshot.partitions
        self._subjects: dict[SubjectKey, dict[str, str]] = {}
        self._holders: dict[Container, dict[str, str]] = {}

    def of_subject(self, subject: SubjectKey) -> dict[str, str]:
        if subject not in self._subjects:
            device = self._devices[subject.device_uuid]
            labels = {"uuid": device.uuid, "device": device.device, "vendor": device.vendor, "model": device.model}
            if subject.partition_uuid:
                labels["partition_uuid"] = subject.partition_uuid
                labels["profile"] = self._partitions[subject.partition_uuid].profile
            self._subjects[subject] = {name: clean(value) for name, value in labels.items() if value}
        return self._subjects[subject]

    def of_holder(self, container: Container) -> dict[str, str]:
        if container not in self._holders:
            named = zip(self._holder_labels, container, strict=True)
            self._holders[container] = {name: clean(value) for name, value in named}
        return self._holders[container]
