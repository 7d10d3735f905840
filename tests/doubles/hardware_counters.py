"""Every counter of hardware that the vendors' collectors read, as the doubles of their cards have it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import Fault, Reading, Reason, Sample
from collectors.metric import Cadence, Metric
from exporter.validation import Accepted, Validator
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import Gpu
from tests.doubles.collectors import Clock
from tests.doubles.nvidia_collector import CollectorBench
from tests.doubles.nvml import GPM_METRICS, Device, ValueType, h100, h100_mig

POLL_SECONDS = 10.0
CYCLES = (248, 249, 250, 257, 258, 259, 260)
_ALL_LINKS = 0xFFFFFFFF
_WIDE = ValueType.UNSIGNED_LONG_LONG
_LARGEST_32, _LARGEST_64 = 2**32 - 1, 2**64 - 1


@dataclass(frozen=True)
class HardwareCounter:
    """One counter of a double.

    Attributes:
        row: Its row.
        labels: Those of its series.
        base: A raw value far above what it can rise by in a minute.
        step: A possible rise between two readings.
        mark: The raw value for an unknown count.
        of_partition: Whether it is a counter of a partition.
        of_one_link: Whether the raw value is the count of one link, and the counter is the sum over all links.
    """

    row: Metric
    labels: tuple[str, ...]
    base: int
    step: int
    mark: int = _LARGEST_64
    of_partition: bool = False
    of_one_link: bool = False

    @property
    def due(self) -> frozenset[Cadence]:
        """The cadences to read: its own, that of the power, and if they are the same that of the power's limit."""
        own = self.row.cadence
        return frozenset({Cadence.FAST, Cadence.MEDIUM if own is Cadence.FAST else own})


def cycles(number: int, count: int) -> dict[int, float]:
    """All activity metrics of a device, of which one counts."""
    return {**dict.fromkeys((*GPM_METRICS, *CYCLES), 0.0), number: float(count)}


NVIDIA: dict[HardwareCounter, Callable[[Device, int], None]] = {
    HardwareCounter(catalog.ENERGY, (), 5_000_000_000, 700_000): lambda c, n: setattr(c, "energy_millijoules", n),
    HardwareCounter(catalog.PCIE_BYTES, ("transmit",), 2**50, 10**10): lambda c, n: c.set_field(197, n, _WIDE),
    HardwareCounter(catalog.PCIE_BYTES, ("receive",), 2**50, 10**10): lambda c, n: c.set_field(198, n, _WIDE),
    HardwareCounter(catalog.INTERCONNECT_BYTES, ("nvlink", "transmit", ""), 2**45, 10**8): lambda c, n: c.set_field(
        138, n, _WIDE, scope=_ALL_LINKS
    ),
    HardwareCounter(catalog.INTERCONNECT_ERRORS, ("nvlink", "replay", ""), 90, 2, of_one_link=True): lambda c, n: (
        c.set_field(161, n, _WIDE, scope=0)
    ),
    HardwareCounter(catalog.PCIE_REPLAYS, (), 90, 2, _LARGEST_32): lambda c, n: setattr(c, "pcie_replays", n),
    HardwareCounter(catalog.MEMORY_ERRORS, ("corrected",), 90, 2): lambda c, n: setattr(c, "ecc_volatile_corrected", n),
    HardwareCounter(catalog.MEMORY_LIFETIME_ERRORS, ("uncorrected",), 90, 2): lambda c, n: setattr(
        c, "ecc_lifetime_uncorrected", n
    ),
    HardwareCounter(catalog.PIPE_ELAPSED_CYCLES, (), 10**15, 10**12): lambda c, n: c.set_gpm(cycles(248, n)),
    HardwareCounter(catalog.PIPE_ACTIVE_CYCLES, ("sm",), 10**15, 10**12): lambda c, n: c.set_gpm(cycles(249, n)),
    HardwareCounter(catalog.PIPE_ELAPSED_CYCLES, (), 10**15, 10**12, of_partition=True): lambda c, n: c.mig[0].set_gpm(
        cycles(248, n)
    ),
    HardwareCounter(catalog.PIPE_ACTIVE_CYCLES, ("sm",), 10**15, 10**12, of_partition=True): lambda c, n: c.mig[
        0
    ].set_gpm(cycles(249, n)),
}
AMD: dict[HardwareCounter, Callable[[Gpu, int], None]] = {
    HardwareCounter(catalog.ENERGY, (), 5_000_000 << 16, 700 << 16): lambda g, n: g.write_table(energy=n),
    HardwareCounter(catalog.INTERCONNECT_BYTES, ("xgmi", "receive", ""), 2**45, 10**8): lambda g, n: g.write_table(
        xgmi_read=(n, *[0] * 7)
    ),
    HardwareCounter(catalog.PCIE_REPLAYS, (), 90, 2): lambda g, n: g.write_table(replays=n),
    HardwareCounter(catalog.MEMORY_ERRORS, ("corrected",), 90, 2): lambda g, n: g.write(
        "ras/umc_err_count", f"ue: 0\nce: {n}"
    ),
    HardwareCounter(catalog.MEMORY_ERRORS, ("uncorrected",), 90, 2): lambda g, n: g.write(
        "ras/umc_err_count", f"ue: {n}\nce: 0"
    ),
}


@dataclass(frozen=True)
class Card:
    """The double of a card with one of its counters.

    Attributes:
        write: Sets the raw value of the counter.
        read: Lets the time of one poll pass and reads all that is due.
        reload: Loads the driver again, with the readings of the exporter meanwhile.
    """

    write: Callable[[int], None]
    read: Callable[[], Reading]
    reload: Callable[[Callable[[Reading], object]], None]


class Bench:
    """One counter of one card, whose readings pass through the exporter's validation.

    Args:
        counter: The counter.
        card: Its card.

    Attributes:
        refused: How many readings of the counter were counted as invalid so far.
        accepted: The last one that was validated.
        unit: One raw unit in that of the row.
        width: Where the collector says that the counter wraps, in raw units; 0 if it is not narrow.
    """

    def __init__(self, counter: HardwareCounter, card: Card) -> None:
        self.counter = counter
        self.card = card
        self.validator = Validator()
        self.now = 0.0
        self.refused = 0
        self.accepted = Accepted()
        self.width = 0.0
        self.unit = 1.0

    def value(self, raw: int) -> float | None:
        """Read a raw value; return what is exported, in raw units."""
        self.card.write(raw)
        reading = self.card.read()
        for sample in reading.samples:
            if raw not in (0, self.counter.mark) and self._is_own(sample):
                self.unit = sample.value / raw
                self.width = sample.width / self.unit
        self._validate(reading)
        found = [sample.value for sample in self.accepted.samples if self._is_own(sample)]
        return found[0] / self.unit if found else None

    def exported(self, *values: int | None) -> list[float | None]:
        """What is exported for some steps above the base; None: a reading of 0."""
        base, step = self.counter.base, self.counter.step
        return [self.value(0 if value is None else base + value * step) for value in values]

    def exported_again(self, *values: int) -> list[float | None]:
        """What is exported for some steps above 0."""
        return [self.value(value * self.counter.step) for value in values]

    def steps(self, *values: int | None) -> list[object]:
        """The values of some steps above the base; None: absent."""
        base, step = self.counter.base, self.counter.step
        return [None if value is None else pytest.approx(base + value * step, rel=1e-12) for value in values]

    def steps_again(self, *values: int) -> list[object]:
        """The values of some steps above 0."""
        return [pytest.approx(value * self.counter.step, rel=1e-12) for value in values]

    def reload(self, raw: int) -> None:
        """Load the driver again, after which the counter has this raw value."""
        self.card.write(raw)
        self.card.reload(self._validate)

    def _validate(self, reading: Reading) -> None:
        self.now += POLL_SECONDS
        self.accepted = self.validator.validate(reading, self.now)
        self.refused += sum(map(self._refuses, self.accepted.faults))

    def _refuses(self, fault: Fault) -> bool:
        return fault.reason is Reason.INVALID_VALUE and fault.where.startswith(f"{self.counter.row.stem} of ")

    def _is_own(self, sample: Sample) -> bool:
        own = self.counter
        return (sample.metric, sample.labels, bool(sample.partition_uuid)) == (own.row, own.labels, own.of_partition)


def ids(vendor: str, counters: Sequence[HardwareCounter]) -> list[str]:
    """Names of counters for the reports of tests."""
    kinds = [("partition",) if counter.of_partition else () for counter in counters]
    return [" ".join((vendor, *kind, each.row.stem, *each.labels)) for kind, each in zip(kinds, counters, strict=True)]


def nvidia_card(opened: CollectorBench, counter: HardwareCounter) -> Card:
    """The H100 as new, with this counter, in a new session; cut into one partition if that has the counter.

    Args:
        opened: Its collector.
        counter: One of `NVIDIA`.
    """
    device = opened.card
    opened.collector.close()
    device.copy_from(h100(0))
    device.ecc_volatile_corrected = device.ecc_lifetime_uncorrected = device.pcie_replays = 0
    device.set_gpm(dict.fromkeys((*GPM_METRICS, *CYCLES), 0.0))
    if counter.of_partition:
        device.partition([h100_mig(0, 0, "7g.80gb")])
    opened.read()  # the first of two samples

    def read(due: frozenset[Cadence]) -> Reading:
        opened.pass_time(POLL_SECONDS)
        return opened.read(due)

    def reload(validate: Callable[[Reading], object]) -> None:
        opened.collector.close()
        validate(read(ALL))

    return Card(lambda raw: NVIDIA[counter](device, raw), lambda: read(counter.due), reload)


def amd_card(gpu: Gpu, counter: HardwareCounter) -> Card:
    """An MI300X with this counter, and a new collector.

    Args:
        gpu: The only card of its tree.
        counter: One of `AMD`.
    """
    clock = Clock()
    collector = collector_of(gpu.tree, parse=parse, clock=clock)
    collector.read(ALL)  # a fallback is read from the second reading on

    def read(due: frozenset[Cadence]) -> Reading:
        clock.now += POLL_SECONDS
        return collector.read(due)

    def reload(validate: Callable[[Reading], object]) -> None:
        gpu.unbind()
        validate(read(ALL))
        gpu.bind()
        validate(read(ALL))

    return Card(lambda raw: AMD[counter](gpu, raw), lambda: read(counter.due), reload)
