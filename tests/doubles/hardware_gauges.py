"""A gauge of hardware on the double of its card, whose readings pass through the exporter's validation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from collectors import catalog
from collectors.contract import Reading, Reason
from collectors.metric import Kind, Metric
from exporter.validation import Validator

POLL_SECONDS = 10.0
Series: TypeAlias = tuple[Metric, tuple[str, ...]]


@dataclass(frozen=True)
class HardwareGauge:
    """One gauge of a double.

    Attributes:
        row: Its row.
        labels: Those of its series.
        good: A raw value.
        value: What is exported for it, in the unit of the row.
        wrong: Raw values that are impossible, or mean that the value is unknown.
        card: The name of the card that has it, if it is not the usual one.
        together: Other series that the same raw value decides.
        of_partition: Whether it is a gauge of a partition; then it is that of the first one.
    """

    row: Metric
    labels: tuple[str, ...]
    good: int
    value: float
    wrong: tuple[int, ...]
    card: str = ""
    together: tuple[Series, ...] = ()
    of_partition: bool = False

    @property
    def name(self) -> str:
        """A name for the reports of tests."""
        return " ".join(("partition" if self.of_partition else "device", self.row.stem, *self.labels, self.card))


@dataclass(frozen=True)
class Outcome:
    """What is exported of one reading.

    Attributes:
        value: Of the gauge; None if it is absent.
        others: All other gauges but those that its raw value decides too.
        invalid: Number of values that were counted as invalid, without the energy, which stands still here.
    """

    value: float | None
    others: Mapping[tuple[str, tuple[str, ...], str], float]
    invalid: int


def others_of(row: Metric, *labels: str) -> tuple[Series, ...]:
    """The series of a row that differ from one in the last label, whose values are a closed list."""
    *before, own = labels
    return tuple((row, (*before, each)) for each in row.labels[-1].values if each != own)


class GaugeBench:
    """One gauge of one card.

    Args:
        gauge: The gauge.
        write: Sets its raw value.
        read: Lets the time of one poll pass and reads all that is due.
    """

    def __init__(self, gauge: HardwareGauge, write: Callable[[int], None], read: Callable[[], Reading]) -> None:
        self.gauge = gauge
        self._write = write
        self._read = read
        self._validator = Validator()
        self._now = 0.0

    def exported(self, raw: int) -> Outcome:
        """Read a raw value."""
        self._write(raw)
        self._now += POLL_SECONDS
        reading = self._read()
        accepted = self._validator.validate(reading, self._now)
        gauge = self.gauge
        own = (gauge.row.stem, gauge.labels, reading.partitions[0].uuid if gauge.of_partition else "")
        together = [(row.stem, labels) for row, labels in gauge.together]
        values = {
            (sample.metric.stem, sample.labels, sample.partition_uuid): sample.value
            for sample in accepted.samples
            if sample.metric.kind is Kind.GAUGE
        }
        value = values.pop(own, None)
        others = {key: other for key, other in values.items() if key[:2] not in together}
        invalid = sum(
            fault.reason is Reason.INVALID_VALUE and not fault.where.startswith(catalog.ENERGY.stem)
            for fault in accepted.faults
        )
        return Outcome(value, others, invalid)
