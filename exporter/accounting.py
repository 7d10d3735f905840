"""Integrates what instantaneous readings miss: busy, observed and handed-out time, and energy.

Every counter here is an integral over true elapsed monotonic time. A gap longer than the maximum adds nothing to any of
them; while the input of a counter is unknown the counter is not served, and then resumes where it stood.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from collectors import catalog
from collectors.contract import Sample, SubjectKey
from exporter.snapshot import Allocation, Container

_FORGET_AFTER_SECONDS = 3600.0
_INTEGRATED = frozenset({catalog.UTILIZATION, catalog.ENERGY, catalog.POWER})


@dataclass(slots=True)
class Integral:
    """The area under a value over time, and the time it covers."""

    total: float = 0.0
    covered_seconds: float = 0.0
    last_at: float | None = None
    last_value: float = 0.0

    def add(self, at: float, value: float, max_gap_seconds: float) -> tuple[float, float]:
        """Add the trapezoid since the last value; return what it added to the total and to the time."""
        elapsed = 0.0 if self.last_at is None else at - self.last_at
        area = elapsed * (self.last_value + value) / 2
        self.last_at, self.last_value = at, value
        if not 0 < elapsed <= max_gap_seconds:
            return 0.0, 0.0
        self.total += area
        self.covered_seconds += elapsed
        return area, elapsed


@dataclass(slots=True)
class UsageCounters:
    """What one container has used of one device or partition since it got it.

    Attributes:
        busy_seconds: Time it was executing.
        observed_seconds: Time over which that was known.
        energy_joules: Energy of the device, while it was the sole holder.
        device_seconds: Its share of the device, integrated.
        last_active: Unix time of the last reading in which it was executing.
    """

    busy_seconds: float = 0.0
    observed_seconds: float = 0.0
    energy_joules: float = 0.0
    device_seconds: float = 0.0
    last_active: float | None = None


class Accounting:
    """All counters of ours. Used by one thread.

    Args:
        max_gap_seconds: The longest time between two readings that still counts.
        wall_clock: Unix seconds, for the time a container was last active.
    """

    def __init__(self, max_gap_seconds: float, wall_clock: Callable[[], float]) -> None:
        self.max_gap_seconds = max_gap_seconds
        self._wall_clock = wall_clock
        self._busy: dict[SubjectKey, Integral] = {}
        self._power: dict[str, Integral] = {}
        self._without_energy: set[str] = set()
        self._counter: dict[str, tuple[float, float]] = {}
        self._usage: dict[tuple[Container, SubjectKey], UsageCounters] = {}
        self._allocations_at: float | None = None

    def add_readings(
        self,
        at: float,
        samples: Iterable[Sample],
        without_energy: frozenset[str],
        allocations: Sequence[Allocation] | None,
    ) -> None:
        """Integrate one poll of one collector and credit it to whoever holds the subject now.

        Args:
            at: Monotonic seconds of the readings.
            samples: The poll's own samples.
            without_energy: Devices that have no energy counter: their power is integrated.
            allocations: Who holds what; None while unknown, then nobody is credited.
        """
        holders = {allocation.subject: allocation.container for allocation in allocations or () if allocation.sole}
        for sample in samples:
            if sample.metric not in _INTEGRATED:
                continue
            key = SubjectKey(sample.device_uuid, sample.partition_uuid)
            usage = self._usage.setdefault((holders[key], key), UsageCounters()) if key in holders else None
            if sample.metric is catalog.UTILIZATION:
                self._credit_busy(at, key, sample.value, usage)
            elif sample.metric is catalog.ENERGY:
                joules = self._risen(at, sample)
                if usage is not None:
                    usage.energy_joules += joules
            elif sample.metric is catalog.POWER and sample.device_uuid in without_energy:
                self._without_energy.add(sample.device_uuid)
                integral = self._power.setdefault(sample.device_uuid, Integral())
                joules, _ = integral.add(at, sample.value, self.max_gap_seconds)
                if usage is not None:
                    usage.energy_joules += joules
            elif sample.metric is catalog.POWER:
                self._without_energy.discard(sample.device_uuid)

    def add_allocations(self, at: float, allocations: Sequence[Allocation] | None) -> None:
        """Integrate the shares handed out, and forget what containers that hold nothing any more have used.

        Args:
            at: Monotonic seconds.
            allocations: Who holds what; None while unknown: time stands still and nothing is forgotten.
        """
        if allocations is None:
            self._allocations_at = None
            return
        elapsed = 0.0 if self._allocations_at is None else at - self._allocations_at
        self._allocations_at = at
        for gone in self._usage.keys() - {(edge.container, edge.subject) for edge in allocations}:
            del self._usage[gone]
        for edge in allocations:
            usage = self._usage.setdefault((edge.container, edge.subject), UsageCounters())
            if edge.share_ratio is not None and 0 < elapsed <= self.max_gap_seconds:
                usage.device_seconds += edge.share_ratio * elapsed

    def forget(self, now: float, known: Collection[SubjectKey]) -> None:
        """Let go of what no collector knows any more, an hour after its last reading: partitions taken apart.

        Args:
            now: Monotonic seconds.
            known: Every device and partition that exists, silent ones included: their counters resume one day.
        """
        for key, integral in list(self._busy.items()):
            if key not in known and integral.last_at is not None and now - integral.last_at > _FORGET_AFTER_SECONDS:
                del self._busy[key]

    def usage(self, container: Container, subject: SubjectKey) -> UsageCounters:
        """What the container has used of the subject so far."""
        return self._usage.get((container, subject)) or UsageCounters()

    def samples(self, live: Iterable[Sample]) -> list[Sample]:
        """The counters of every device and partition whose input is among the live samples."""
        counters: list[Sample] = []
        for sample in live:
            if sample.metric is catalog.UTILIZATION:
                integral = self._busy.get(SubjectKey(sample.device_uuid, sample.partition_uuid)) or Integral()
                where = (sample.device_uuid, sample.partition_uuid)
                counters += (
                    Sample(catalog.BUSY_SECONDS, where[0], integral.total, where[1]),
                    Sample(catalog.OBSERVED_SECONDS, where[0], integral.covered_seconds, where[1]),
                )
            elif sample.metric is catalog.POWER and sample.device_uuid in self._without_energy:
                counters.append(Sample(catalog.ENERGY, sample.device_uuid, self._power[sample.device_uuid].total))
        return counters

    def _credit_busy(self, at: float, key: SubjectKey, utilization_ratio: float, usage: UsageCounters | None) -> None:
        integral = self._busy.setdefault(key, Integral())
        busy_seconds, observed_seconds = integral.add(at, utilization_ratio, self.max_gap_seconds)
        if usage is None:
            return
        usage.busy_seconds += busy_seconds
        usage.observed_seconds += observed_seconds
        if utilization_ratio > 0:
            usage.last_active = self._wall_clock()

    def _risen(self, at: float, sample: Sample) -> float:
        """Joules since the last reading of a hardware counter; after its reset, all it has counted since."""
        last_at, last_value = self._counter.get(sample.device_uuid, (at, sample.value))
        self._counter[sample.device_uuid] = (at, sample.value)
        if not 0 < at - last_at <= self.max_gap_seconds:
            return 0.0
        return sample.value - last_value if sample.value >= last_value else sample.value
