"""What is accepted of a collector's reading: samples that meet the contract and are possible, and counters by the rule.

Every collector's readings pass here, also those of collectors from other packages.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from collectors import catalog
from collectors.condition import Condition, CriticalEvent
from collectors.contract import (
    Device,
    Fault,
    Partition,
    Process,
    Reading,
    Sample,
    SubjectKey,
    Unsupported,
    subjects_of,
)
from collectors.counters import Counter, CounterReading, Verdict
from collectors.metric import Kind, Metric
from collectors.plausibility import DeviceLimits, ImplausibleError, require_possible
from exporter.conformity import Conformity, SampleKey, refused, sample_key, typed
from exporter.energy_source import EnergySources, Source
from exporter.series_order import SeriesOrder

# How long the state of a device or partition that is not listed is kept, and that of a series that is not read.
_UNLISTED_SECONDS = 3600.0
_UNREAD_SECONDS = 86_400.0
# How often those that are not read are looked for.
_SEARCH_SECONDS = 600.0
# Of readings: one for each set of due cadences, and for a reading without some of its values.
_MOST_ORDERS = 8
_PROCESS_ROWS: Mapping[str, Metric] = {
    "memory_usage_bytes": catalog.PROCESS_MEMORY_USAGE,
    "utilization_ratio": catalog.PROCESS_UTILIZATION,
    "occupancy_ratio": catalog.PROCESS_OCCUPANCY,
    "copy_seconds": catalog.PROCESS_COPY_SECONDS,
}


class Increase(NamedTuple):
    """How much a counter has risen.

    Attributes:
        amount: In the counter's unit.
        seconds: The time in which it has risen; 0 if nothing was accepted.
        gap_seconds: The longest part of that time without a reading, accepted or refused.
    """

    amount: float
    seconds: float
    gap_seconds: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """The accepted part of a reading.

    Attributes:
        devices: All that are known.
        partitions: All that are known.
        samples: To export, and to integrate.
        processes: With possible values only.
        faults: What the collector reports, and what was refused.
        energy: By device, the joules that its counter has risen by since its last accepted reading.
        integrated_power: Devices whose power is integrated, because they have no energy counter.
        stuck: Devices of which nothing new is known, because a call about them has not returned.
        conditions: By the uuid of each device that is not ok: why.
        events: The critical events since the last reading.
        order: The order of the series at the beginning of `samples`: the same object as in other readings with this
            order. None if a sample of the reading was not accepted.
    """

    devices: tuple[Device, ...] = ()
    partitions: tuple[Partition, ...] = ()
    samples: tuple[Sample, ...] = ()
    processes: tuple[Process, ...] = ()
    faults: tuple[Fault, ...] = ()
    energy: Mapping[str, Increase] = field(default_factory=dict)
    integrated_power: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()
    conditions: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    events: tuple[CriticalEvent, ...] = ()
    order: SeriesOrder | None = None


class _EnergyReads(NamedTuple):
    """The readings of a device's energy counter since the last accepted one.

    Attributes:
        at: Monotonic seconds of the last one.
        gap_seconds: The longest time between two of them.
    """

    at: float
    gap_seconds: float


class _Sessions:
    """Since when each device and partition has been available without interruption."""

    def __init__(self) -> None:
        self._interruptions: dict[str, int] = {}
        self._available: frozenset[str] = frozenset()

    def update(self, reading: Reading) -> None:
        """Add the devices and partitions of a reading."""
        devices = frozenset(device.uuid for device in reading.devices if not device.lost)
        now = devices | {part.uuid for part in reading.partitions if part.device_uuid in devices}
        for uuid in now - self._available:
            self._interruptions[uuid] = self._interruptions.get(uuid, -1) + 1
        self._available = now

    def interrupt(self) -> None:
        """All devices and partitions are unavailable now."""
        self._available = frozenset()

    def of(self, reading: Reading, subject: SubjectKey) -> Hashable:
        """The session of a device or partition: a change means that its counters may have been reset."""
        known = self._interruptions
        own = reading.sessions.get(subject.device_uuid)
        return own, known.get(subject.device_uuid), known.get(subject.partition_uuid)

    def forget(self, uuids: Iterable[str]) -> None:
        """Drop devices and partitions."""
        for uuid in uuids:
            self._interruptions.pop(uuid, None)


class Validator:
    """Validates the readings of one collector. Used by one thread."""

    def __init__(self) -> None:
        self._conformity = Conformity()
        self._limits: dict[str, DeviceLimits] = {}
        self._counters: dict[SampleKey, Counter] = {}
        self._counters_in: dict[SeriesOrder, list[Counter | None]] = {}  # for each series
        self._without_counter: tuple[tuple[Unsupported, ...], frozenset[str]] = ((), frozenset())
        self._process_counters: dict[SampleKey, Counter] = {}  # of the processes that were listed last
        self._sessions = _Sessions()
        self._energy_sources = EnergySources()
        self._listed_at: dict[SubjectKey, float] = {}
        self._energy_reads: dict[str, _EnergyReads] = {}
        self._validated_at = -math.inf
        self._searched_at = -math.inf

    def interrupt(self) -> None:
        """The driver may have been unloaded: a lower counter is a reset, and the sources of energy are chosen again."""
        self._sessions.interrupt()

    def validate(self, given: Reading, at: float) -> Accepted:
        """The accepted part of a reading.

        Args:
            given: What the collector returned.
            at: Monotonic seconds.
        """
        faults: list[Fault] = []
        reading = self._conformity.conforming(given, faults)
        order = self._conformity.order_of(reading.samples)
        faults += reading.faults
        self._sessions.update(reading)
        self._forget_old(subjects_of(reading.devices, reading.partitions), at)
        for place in order.limits:
            self._learn(reading.samples[place])
        samples: list[Sample] = []
        energy: dict[str, Increase] = {}
        self._validate_samples(reading, order, at, samples, energy, faults)
        return Accepted(
            reading.devices,
            reading.partitions,
            tuple(samples),
            tuple(self._possible_processes(reading, at, faults)),
            tuple(faults),
            energy,
            self._energy_sources.integrated(),
            frozenset(reading.stuck),
            reading.conditions,
            reading.events,
            order if len(samples) == len(reading.samples) else None,
        )

    def _validate_samples(
        self,
        reading: Reading,
        order: SeriesOrder,
        at: float,
        samples: list[Sample],
        energy: dict[str, Increase],
        faults: list[Fault],
    ) -> None:
        sources = self._choose_energy_sources(reading, order)
        watts = self._watts(reading.samples[place] for place in order.power)
        sessions = {subject: self._sessions.of(reading, subject) for subject in dict.fromkeys(order.subjects)}
        series = zip(reading.samples, order.bounds, self._counters_of(order), order.subjects, strict=True)
        for sample, bounds, counter, subject in series:
            if (bounds is not None and bounds[0] <= sample.value <= bounds[1]) or (
                counter is not None and _only_counts(sample) and counter.repeats(at, sample.value, sessions[subject])
            ):
                samples.append(sample)
                continue
            if counter is None:
                samples += self._possible(sample, faults)
                continue
            if sample.metric is catalog.ENERGY and not self._is_source(sample, sources, faults):
                continue
            verdict = self._read_counter(counter, sample, at, sessions[subject])
            if sample.metric is catalog.ENERGY:
                if self._is_frozen(sample, at, verdict, watts, faults):
                    continue
                energy[sample.device_uuid] = self._increase(sample.device_uuid, at, verdict)
            if verdict.value is not None:
                samples.append(sample if verdict.value == sample.value else replace(sample, value=verdict.value))
            if verdict.refused:
                faults += _counter_faults(sample, verdict)

    def _counters_of(self, order: SeriesOrder) -> list[Counter | None]:
        """The counter of each series, if it is one."""
        found = self._counters_in.get(order)
        if found is None:
            if len(self._counters_in) > _MOST_ORDERS:
                self._counters_in.clear()
            found = self._counters_in[order] = [
                self._counters.setdefault(sample_key(sample), Counter()) if sample.metric.kind is Kind.COUNTER else None
                for sample in order.samples
            ]
        return found

    def _watts(self, powers: Iterable[Sample]) -> Mapping[str, float]:
        """The power of each device, as far as it is possible."""
        return {power.device_uuid: power.value for sample in powers for power in self._possible(sample, [])}

    def _learn(self, sample: Sample) -> None:
        try:
            require_possible(sample.metric, sample.value)
        except ImplausibleError:
            return
        self._limits.setdefault(sample.device_uuid, DeviceLimits()).learn(sample)

    def _limits_of(self, device_uuid: str) -> DeviceLimits:
        return self._limits.get(device_uuid) or DeviceLimits()

    def _possible(self, sample: Sample, faults: list[Fault]) -> Iterator[Sample]:
        try:
            self._limits_of(sample.device_uuid).require_possible(sample)
        except ImplausibleError as error:
            faults.append(refused(sample, str(error)))
        else:
            yield sample

    def _possible_processes(self, reading: Reading, at: float, faults: list[Fault]) -> Iterator[Process]:
        if not reading.processes:  # perhaps they were not due
            return
        before, self._process_counters = self._process_counters, {}
        for process in reading.processes:
            yield self._possible_process(process, reading, at, before, faults)

    def _possible_process(
        self,
        process: Process,
        reading: Reading,
        at: float,
        before: Mapping[SampleKey, Counter],
        faults: list[Fault],
    ) -> Process:
        """A process without its impossible values. Its memory may exceed that of an integrated GPU."""
        possible: dict[str, float | None] = {}
        for name, row in _PROCESS_ROWS.items():
            value = getattr(process, name)
            if value is None:
                continue
            labels = (str(process.pid),)
            sample = typed(Sample(row, process.device_uuid, value, process.partition_uuid, labels), faults)
            if sample is None:
                possible[name] = None
            elif row.kind is Kind.COUNTER:
                session = (self._sessions.of(reading, process.subject), process.started)
                counter = self._process_counters[sample_key(sample)] = before.get(sample_key(sample)) or Counter()
                verdict = self._read_counter(counter, sample, at, session)
                faults += _counter_faults(sample, verdict)
                possible[name] = verdict.value
            elif not any(self._possible(sample, faults)):
                possible[name] = None
        changed: Callable[..., Process] = replace
        return changed(process, **possible) if possible else process

    def _choose_energy_sources(self, reading: Reading, order: SeriesOrder) -> Mapping[str, Source]:
        known, unsupported = self._without_counter
        if known is not reading.unsupported:
            unsupported = frozenset(gap.device_uuid for gap in reading.unsupported if gap.metric is catalog.ENERGY)
            self._without_counter = (reading.unsupported, unsupported)
        return {
            device.uuid: self._energy_sources.update(
                device.uuid,
                self._sessions.of(reading, device.subject),
                counted=device.uuid in order.counted,
                unsupported=device.uuid in unsupported,
            )
            for device in reading.devices
            if not device.lost
        }

    def _is_source(self, sample: Sample, sources: Mapping[str, Source], faults: list[Fault]) -> bool:
        """Whether the energy of a device comes from this counter."""
        source = sources.get(sample.device_uuid)
        if source is Source.NONE:
            faults.append(refused(sample, "the counter was not usable before in this session"))
        return source is Source.COUNTER

    def _is_frozen(
        self, sample: Sample, at: float, verdict: Verdict, watts: Mapping[str, float], faults: list[Fault]
    ) -> bool:
        """Whether the energy counter of a device stands still, from its accepted values."""
        uuid = sample.device_uuid
        if not verdict.seconds:  # nothing was accepted
            return False
        if not self._energy_sources.withdraw_if_frozen(uuid, at, sample.value, watts.get(uuid)):
            return False
        faults.append(refused(sample, f"the counter stands still at {sample.value:g}"))
        return True

    def _read_counter(self, counter: Counter, sample: Sample, at: float, session: Hashable) -> Verdict:
        try:
            require_possible(sample.metric, sample.value)
        except ImplausibleError:
            return counter.refuse(at)
        most = self._limits_of(sample.device_uuid).most_per_second(sample.metric)
        return counter.read(CounterReading(at, sample.value, most, session, sample.width))

    def _increase(self, uuid: str, at: float, verdict: Verdict) -> Increase:
        """What a reading of a device's energy counter adds."""
        last = self._energy_reads.get(uuid, _EnergyReads(at, 0.0))
        gap_seconds = max(last.gap_seconds, at - last.at)
        self._energy_reads[uuid] = _EnergyReads(at, 0.0 if verdict.seconds else gap_seconds)
        return Increase(verdict.rise, verdict.seconds, min(gap_seconds, verdict.seconds))

    def _forget_old(self, listed: frozenset[SubjectKey], at: float) -> None:
        """Drop what was not listed for an hour, or not read for a day, before the last reading.

        The time of a call that hangs does not count.
        """
        last_read, self._validated_at = self._validated_at, at
        self._listed_at |= dict.fromkeys(listed, at)
        old = {subject for subject, last in self._listed_at.items() if last < last_read - _UNLISTED_SECONDS}
        if old or at - self._searched_at >= _SEARCH_SECONDS:
            self._searched_at = at
            self._forget_counters(old, last_read - _UNREAD_SECONDS)
        for subject in old:
            del self._listed_at[subject]
        devices = frozenset(subject.device_uuid for subject in old if not subject.partition_uuid)
        self._sessions.forget(subject.partition_uuid or subject.device_uuid for subject in old)
        self._energy_sources.forget(devices)
        for uuid in devices:
            self._limits.pop(uuid, None)
            self._energy_reads.pop(uuid, None)
        for limits in self._limits.values():
            limits.forget_partitions(subject.partition_uuid for subject in old)

    def _forget_counters(self, subjects: AbstractSet[SubjectKey], unread_since: float) -> None:
        self._counters_in.clear()
        self._counters = {
            key: counter
            for key, counter in self._counters.items()
            if counter.read_at >= unread_since and SubjectKey(key[1], key[2]) not in subjects
        }


def _only_counts(sample: Sample) -> bool:
    """Whether a counter has neither a rate nor a width. The energy has a rate, which depends on its device."""
    return sample.metric.most_per_second is None and sample.metric is not catalog.ENERGY and not sample.width


def _counter_faults(sample: Sample, verdict: Verdict) -> list[Fault]:
    if not verdict.refused:
        return []
    return [refused(sample, f"the counter reads {sample.value:g}, see docs/troubleshooting.md")] * verdict.refused
