"""Integrates instantaneous readings over time: busy, observed and allocated time, and energy.

Every counter here is an integral over the elapsed monotonic time. A gap longer than the maximum adds nothing to any of
them. While the input of a counter is unknown the counter is not exported; afterwards it resumes at its last value.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors import catalog
from collectors.contract import Sample, SubjectKey
from exporter.changing_limit import ChangingLimit
from exporter.snapshot import Allocation, Holder
from exporter.validation import Accepted, Increase

_FORGET_AFTER_SECONDS = 3600.0
# More changes of one holding between two readings are not remembered.
_MOST_CHANGES = 30
# By identity, because a row is hashed slowly.
_INTEGRATED = frozenset(map(id, (catalog.UTILIZATION, catalog.ENERGY, catalog.POWER)))


@dataclass(slots=True)
class Integral:
    """The integral of a value over time, and the time it covers."""

    total: float = 0.0
    covered_seconds: float = 0.0
    last_at: float | None = None
    last_value: float = 0.0
    interrupted: bool = False

    def interrupt(self) -> None:
        """Add nothing for the time from the last value to the next one."""
        self.interrupted = True

    def add(self, at: float, value: float, max_gap_seconds: float) -> tuple[float, float]:
        """Add the trapezoid since the last value; return the increase of the total and of the covered time."""
        elapsed = 0.0 if self.last_at is None or self.interrupted else at - self.last_at
        area = elapsed * (self.last_value + value) / 2
        self.last_at, self.last_value, self.interrupted = at, value, False
        if not 0 < elapsed <= max_gap_seconds:
            return 0.0, 0.0
        self.total += area
        self.covered_seconds += elapsed
        return area, elapsed


@dataclass(slots=True)
class UsageCounters:
    """The use of one device or partition by one container since it was allocated.

    Attributes:
        busy_seconds: Time during which the container was executing.
        observed_seconds: Time during which its utilization was known.
        energy_joules: Energy of the device while the container was the sole holder.
        device_seconds: The container's share of the device, integrated over time.
        allocated_energy_joules: The container's share of the device's energy, used by it or not.
        last_active: Unix time of the last reading in which the container was executing.
    """

    busy_seconds: float = 0.0
    observed_seconds: float = 0.0
    energy_joules: float = 0.0
    device_seconds: float = 0.0
    allocated_energy_joules: float = 0.0
    last_active: float | None = None


class _Hold(NamedTuple):
    """How a container holds its subject until the next change.

    Attributes:
        since: Monotonic seconds.
        share_ratio: Its share of the device; 0 while it is unknown, or allocations are.
        sole: Whether it is the sole holder.
    """

    since: float
    share_ratio: float
    sole: bool


@dataclass(slots=True)
class _Holding:
    """What one container holds.

    Attributes:
        usage: Its counters.
        listed: Whether it was in the last allocations, which were known.
        changes: How it held the subject in the time that a reading may credit, oldest first.
    """

    usage: UsageCounters
    listed: bool = False
    changes: list[_Hold] = field(default_factory=list)

    @property
    def sole(self) -> bool:
        """Whether the container is the sole holder now."""
        return bool(self.changes) and self.changes[-1].sole

    def change(self, hold: _Hold) -> None:
        """Hold it so from now on."""
        if not self.changes or self.changes[-1][1:] != hold[1:]:
            self.changes = [*self.changes[-_MOST_CHANGES:], hold]

    def sole_seconds(self, start: float, end: float) -> float:
        """The time between two moments in which the container was the sole holder."""
        return sum(seconds for seconds, hold in self._between(start, end) if hold.sole)

    def share_seconds(self, start: float, end: float) -> float:
        """The container's share of the device, integrated between two moments."""
        return sum(seconds * hold.share_ratio for seconds, hold in self._between(start, end))

    def _between(self, start: float, end: float) -> Iterator[tuple[float, _Hold]]:
        until = end
        for hold in reversed(self.changes):
            yield max(0.0, until - max(hold.since, start)), hold
            until = min(until, hold.since)


class Accounting:
    """The exporter's own counters. Used by one thread.

    Args:
        max_gap_seconds: The longest time between two readings that is integrated.
        wall_clock: Unix seconds, for the time a container was last active.
    """

    def __init__(self, max_gap_seconds: float, wall_clock: Callable[[], float]) -> None:
        self._max_gap = ChangingLimit(max_gap_seconds)
        self._wall_clock = wall_clock
        self._busy: dict[SubjectKey, Integral] = {}
        self._power: dict[str, Integral] = {}
        self._without_energy: set[str] = set()
        self._credited_until: dict[str, float] = {}
        self._holdings: dict[Holder, _Holding] = {}
        self._allocations_at: float | None = None
        self._allocations: Sequence[Allocation] | None = None
        self._credited: list[tuple[float | None, _Holding]] = []  # the share of each allocation, and its holding
        self._by_device: Mapping[str, Sequence[_Holding]] = {}
        self._by_subject: Mapping[SubjectKey, Sequence[_Holding]] = {}

    def set_max_gap(self, at: float, max_gap_seconds: float) -> None:
        """Use another limit."""
        self._max_gap.change(at, max_gap_seconds)

    def add_readings(self, at: float, accepted: Accepted) -> None:
        """Integrate one poll of one collector and credit it to the holders, as the allocations say that were added.

        A holder is credited with the part of the time since the last poll in which it was the sole holder.
        The energy of a device is also credited to each of its allocations, by the shares that they had in this time.
        The energy of one time is credited once, also when its source changes between the counter and the power.

        Args:
            at: Monotonic seconds of the readings.
            accepted: What was accepted of this poll.
        """
        by_device, by_subject = self._by_device, self._by_subject
        for sample in accepted.samples:
            if id(sample.metric) not in _INTEGRATED:
                continue
            own = by_subject.get(sample.subject, ())
            if sample.metric is catalog.UTILIZATION:
                self._credit_busy(at, sample, own)
                continue
            risen = self._energy_risen(at, sample, accepted)
            if risen is not None:
                self._credit_energy(at, sample.device_uuid, risen, own, by_device.get(sample.device_uuid, ()))

    def add_allocations(self, at: float, allocations: Sequence[Allocation] | None) -> None:
        """Integrate the allocated shares, and drop the counters of allocations that have ended.

        A new allocation is credited from this time on. So this is also called when the allocations change.

        Args:
            at: Monotonic seconds.
            allocations: Every allocation; None while unknown: nothing is integrated and nothing is dropped.
        """
        if allocations is None:
            self._allocations_at = self._allocations = None
            for holding in self._holdings.values():
                holding.listed = False
                holding.change(_Hold(at, 0.0, sole=False))
            return
        elapsed = 0.0 if self._allocations_at is None else at - self._allocations_at
        self._allocations_at = at
        if allocations is self._allocations:
            self._integrate_shares(self._integrable(at, elapsed))
            return
        self._allocations = allocations
        listed = {allocation.holder: allocation for allocation in allocations}
        self._holdings = {holder: self._holdings.get(holder) or _Holding(UsageCounters()) for holder in listed}
        for holder, allocation in listed.items():
            holding = self._holdings[holder]
            if allocation.share_ratio is not None and holding.listed:
                holding.usage.device_seconds += allocation.share_ratio * self._integrable(at, elapsed)
            holding.listed = True
            holding.change(_Hold(at, allocation.share_ratio or 0.0, allocation.sole))
        self._index([(listed[holder].share_ratio, holder, holding) for holder, holding in self._holdings.items()])

    def forget(self, now: float, known: Collection[SubjectKey]) -> None:
        """Drop what was read of subjects that no collector knows, an hour after their last reading.

        Partitions are deleted and devices removed; a driver that is reloaded has them again.

        Args:
            now: Monotonic seconds.
            known: Every device and partition that exists, also without readings: their counters may resume.
        """
        for key, integral in list(self._busy.items()):
            if key not in known and _is_old(integral.last_at, now):
                del self._busy[key]
        for uuid, integral in list(self._power.items()):
            if SubjectKey(uuid) not in known and _is_old(integral.last_at, now):
                del self._power[uuid]
                self._without_energy.discard(uuid)
        for uuid, until in list(self._credited_until.items()):
            if SubjectKey(uuid) not in known and _is_old(until, now):
                del self._credited_until[uuid]

    def usage(self, holder: Holder) -> UsageCounters:
        """What the holder has used so far."""
        holding = self._holdings.get(holder)
        return UsageCounters() if holding is None else holding.usage

    def samples(self, live: Iterable[Sample]) -> list[Sample]:
        """The counters of every device and partition whose input is among the live samples.

        Args:
            live: The samples that are exported now.
        """
        counters: list[Sample] = []
        integrated: dict[str, float] = {}
        counted: set[str] = set()
        for sample in live:
            if sample.metric is catalog.UTILIZATION:
                integral = self._busy.get(sample.subject) or Integral()
                where = (sample.device_uuid, sample.partition_uuid)
                counters += (
                    Sample(catalog.BUSY_SECONDS, where[0], integral.total, where[1]),
                    Sample(catalog.OBSERVED_SECONDS, where[0], integral.covered_seconds, where[1]),
                )
            elif sample.metric is catalog.POWER and sample.device_uuid in self._without_energy:
                integrated[sample.device_uuid] = self._power[sample.device_uuid].total
            elif sample.metric is catalog.ENERGY:  # of another collector, which lists the device now
                counted.add(sample.device_uuid)
        counters += (Sample(catalog.ENERGY, uuid, joules) for uuid, joules in integrated.items() if uuid not in counted)
        return counters

    def _index(self, held: Iterable[tuple[float | None, Holder, _Holding]]) -> None:
        """Arrange what is held for the readings and for the time until the allocations change."""
        by_device: defaultdict[str, list[_Holding]] = defaultdict(list)
        by_subject: defaultdict[SubjectKey, list[_Holding]] = defaultdict(list)
        self._credited.clear()
        for share_ratio, holder, holding in held:
            by_device[holder.subject.device_uuid].append(holding)
            by_subject[holder.subject].append(holding)
            self._credited.append((share_ratio, holding))
        self._by_device, self._by_subject = dict(by_device), dict(by_subject)

    def _integrate_shares(self, seconds: float) -> None:
        for share_ratio, holding in self._credited:
            if share_ratio is not None:
                holding.usage.device_seconds += share_ratio * seconds

    def _integrable(self, at: float, elapsed_seconds: float) -> float:
        """The elapsed time; 0 if it is longer than the maximum."""
        return elapsed_seconds if 0 < elapsed_seconds <= self._max_gap.of(at - elapsed_seconds) else 0.0

    def _add(self, integral: Integral, at: float, value: float) -> tuple[float, float]:
        last_at = at if integral.last_at is None else integral.last_at
        return integral.add(at, value, self._max_gap.of(last_at))

    def _energy_risen(self, at: float, sample: Sample, accepted: Accepted) -> Increase | None:
        """The energy that an accepted sample adds; None for power that is not integrated."""
        uuid = sample.device_uuid
        if sample.metric is catalog.POWER and uuid in accepted.integrated_power:
            self._without_energy.add(uuid)
            joules, seconds = self._add(self._power.setdefault(uuid, Integral()), at, sample.value)
            return Increase(joules, seconds, seconds)
        self._without_energy.discard(uuid)
        if uuid in self._power:
            self._power[uuid].interrupt()
        return accepted.energy[uuid] if sample.metric is catalog.ENERGY else None

    def _credit_busy(self, at: float, sample: Sample, holdings: Iterable[_Holding]) -> None:
        integral = self._busy.setdefault(sample.subject, Integral())
        busy_seconds, observed_seconds = self._add(integral, at, sample.value)
        for holding in holdings:
            usage, seconds = holding.usage, holding.sole_seconds(at - observed_seconds, at)
            if seconds:
                usage.busy_seconds += busy_seconds * seconds / observed_seconds
                usage.observed_seconds += seconds
            if holding.sole and sample.value > 0:
                usage.last_active = self._wall_clock()

    def _credit_energy(
        self, at: float, uuid: str, risen: Increase, own: Iterable[_Holding], all_parts: Iterable[_Holding]
    ) -> None:
        """Credit the energy of a device for the time that is not credited yet; nothing over a gap, as in integrals.

        Args:
            at: Monotonic seconds of the reading.
            uuid: The device.
            risen: Joules, and the time in which they were used.
            own: The holdings of the device itself.
            all_parts: Those of the device and its partitions. Each is credited with the share that it had at each
                moment, so that together they never get more than the device used.
        """
        if risen.seconds <= 0 or risen.gap_seconds > self._max_gap.of(at - risen.gap_seconds):
            return
        credited = self._credited_until.get(uuid, -math.inf)
        self._credited_until[uuid] = max(credited, at)
        start, watts = max(credited, at - risen.seconds), risen.amount / risen.seconds
        for holding in own:
            holding.usage.energy_joules += watts * holding.sole_seconds(start, at)
        for holding in all_parts:
            holding.usage.allocated_energy_joules += watts * holding.share_seconds(start, at)


def _is_old(last_at: float | None, now: float) -> bool:
    return last_at is not None and now - last_at > _FORGET_AFTER_SECONDS
