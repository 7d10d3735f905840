"""The state of one collector: what it exports, its health, and what is counted and logged about it."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from collectors import catalog
from collectors.condition import Condition
from collectors.contract import Device, Fault, Partition, Process, Reading, Reason, Sample, subjects_of
from collectors.metric import Cadence
from exporter.advice import FOR_HANGING, OF_REASONS
from exporter.changing_limit import ChangingLimit
from exporter.first_counts import FirstCounts
from exporter.kept_readings import KeptReadings
from exporter.partition_sum import device_utilization
from exporter.poller import CallEnded, CallStarted
from exporter.precedence import Listing, without_duplicates
from exporter.sample_group import SampleGroup, samples_of
from exporter.snapshot import CollectorHealth, Failure
from exporter.validation import Accepted, Validator

_log = logging.getLogger(__name__)

_ALL = frozenset(Cadence)
# After such a failure the driver may have been loaded again, which restarts its counters.
_DRIVER_GONE = frozenset({Reason.DRIVER_NOT_LOADED, Reason.LIBRARY_MISSING, Reason.VERSION_MISMATCH})
# A call takes milliseconds. What was read before one that takes longer than this is shown with its age.
_HANGING_SECONDS = 3.0


class Limits(NamedTuple):
    """When a collector is late, and when its readings are too old.

    Attributes:
        deadline_seconds: A call that takes longer than this is late.
        max_age_seconds: How old a reading may be and still be exported, by cadence. It includes the interval.
    """

    deadline_seconds: float
    max_age_seconds: Mapping[Cadence, float]


class CollectorState:
    """The last result of one collector, and its health. Used by one thread.

    Args:
        name: The collector's name.
        limits: Deadline and ages.
        wall_clock: Unix seconds, for the time of the last success.

    Attributes:
        listed: The devices and partitions of the last successful reading; none while the vendor is absent.
        read_at: Monotonic seconds at which the last successful reading of all cadences began.
        read_until: Monotonic seconds at which that one ended, or a later one that lists others.
    """

    def __init__(self, name: str, limits: Limits, wall_clock: Callable[[], float]) -> None:
        self.name = name
        self._deadline_seconds = limits.deadline_seconds
        self._max_ages = {cadence: ChangingLimit(seconds) for cadence, seconds in limits.max_age_seconds.items()}
        self._wall_clock = wall_clock
        self._validator = Validator()
        self._first_counts = FirstCounts()
        self._kept = KeptReadings()
        self._call_started_at: float | None = None
        self._late = False
        self._call_ended = False
        self._present = False
        self._up = False
        self._released = False
        self._released_devices: frozenset[str] = frozenset()  # by address; also devices of other collectors
        self._failure: Failure | None = None
        self._duration_seconds: float | None = None
        self._cpu_seconds: float | None = None
        self._last_success: float | None = None
        self._errors = dict.fromkeys(Reason, 0)
        self._failing: dict[tuple[str, Reason], float] = {}
        self._stuck: dict[str, float] = {}  # since when, by device
        self._losses: dict[str, str] = {}
        self._conditions: dict[str, tuple[Condition, ...]] = {}
        self.listed = Listing()
        self.read_at, self.read_until = -math.inf, math.inf
        self._exported = Listing()
        self._duplicates: frozenset[str] = frozenset()

    def set_limits(self, at: float, limits: Limits) -> None:
        """Use other limits.

        Args:
            at: Monotonic seconds.
            limits: Deadline and ages.
        """
        self._deadline_seconds = limits.deadline_seconds
        for cadence, seconds in limits.max_age_seconds.items():
            self._max_ages[cadence].change(at, seconds)

    @property
    def listing(self) -> Listing:
        """The devices and partitions that it exports. The same object until they change."""
        return self._exported

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices that it exports."""
        return self._exported.devices

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions that it exports."""
        return self._exported.partitions

    @property
    def healthy(self) -> bool:
        """Whether its last call has succeeded in time, and it still answers."""
        return self._up and not (self._late or self._all_stuck)

    @property
    def unread(self) -> frozenset[str]:
        """The uuids of the devices that it lists without reading them now: lost and stuck ones."""
        return frozenset(device.uuid for device in self.listed.devices if device.lost) | self._stuck.keys()

    def export(self, listing: Listing) -> None:
        """Export these of the listed devices and partitions; another collector exports the others."""
        self._exported = self.listed if listing == self.listed else listing
        uuids = {device.uuid for device in listing.devices}
        duplicates = frozenset(device.uuid for device in self.listed.devices if device.uuid not in uuids)
        for uuid in sorted(duplicates - self._duplicates):
            _log.warning(
                "device not exported: a collector with precedence lists it too (option collectors)",
                extra={"fields": {"collector": self.name, "uuid": uuid}},
            )
        self._duplicates = duplicates

    def exported(self, samples: Iterable[Sample]) -> tuple[Sample, ...]:
        """Those of the samples of its last reading that are of devices and partitions that it exports."""
        if self._exported is self.listed:
            return tuple(samples)
        known = subjects_of(self.devices, self.partitions)
        return tuple(sample for sample in samples if sample.subject in known)

    @property
    def settled(self) -> bool:
        """True once the collector has answered, failed, been late or been released for the first time."""
        return self._call_ended or self._late or self._released

    def started(self, event: CallStarted) -> None:
        """Record that a call has started."""
        self._call_started_at = event.at

    def ended(self, event: CallEnded) -> Accepted:
        """Record the result of a call; return what is accepted of its reading."""
        self.check_deadline(event.ended)
        self._call_started_at = None
        self._call_ended = True
        self._released = False
        self._duration_seconds = event.ended - event.started
        self._cpu_seconds = event.cpu_seconds
        accepted = Accepted()
        if event.reading is not None:
            accepted = self._accept_or_set_down(event, event.reading)
        elif event.failure is not None:
            self._set_down(Failure(event.failure, event.text, event.ended))
        else:
            self._set_absent(event.text)
        self._late = False
        return accepted

    def released(self, *, closed: bool = True) -> None:
        """Record that the collector is closed: its readings are dropped, identity and past events stay.

        Args:
            closed: False if it only is not read any more, because a call has not returned and keeps it open.
        """
        fields = {"collector": self.name}
        if not closed:
            _log.warning("collector not released yet: a driver call has not returned", extra={"fields": fields})
        elif self._present:
            _log.info("collector released: closed until SIGUSR2", extra={"fields": fields})
        self._released = closed
        self._validator.interrupt()
        self._up = False
        self._failure = None
        self._kept.end()
        self._stuck.clear()
        self._conditions.clear()

    def released_only(self, addresses: frozenset[str]) -> None:
        """Record which devices are closed: their readings are dropped, their identity and past events stay."""
        before, self._released_devices = self._released_devices, addresses
        for device in self.listed.devices:
            fields = {"collector": self.name, "uuid": device.uuid, "device": device.device}
            if device.device in addresses - before:
                _log.info("device released: closed until SIGUSR2", extra={"fields": fields})
                self._kept.end(device.uuid)
                self._conditions.pop(device.uuid, None)
            elif device.device in before - addresses:
                _log.info("device resumed", extra={"fields": fields})

    def check_deadline(self, now: float) -> None:
        """Count the collector as late, once, when its call takes longer than the deadline."""
        if self._call_started_at is None or self._late:
            return
        if now - self._call_started_at > self._deadline_seconds:
            self._late = True
            self._present = True
            self._errors[Reason.LATE] += 1
            fields = {"collector": self.name, "deadline_seconds": self._deadline_seconds, "do": FOR_HANGING}
            _log.error(
                "collector late: a driver call has not returned; its readings expire, other collectors continue",
                extra={"fields": fields},
            )

    def samples(self, now: float, *cadences: Cadence) -> tuple[Sample, ...]:
        """The samples of these cadences to export now, or of all: fresh ones, and identity of any age."""
        return samples_of(chain.from_iterable(self.groups(now, each) for each in cadences or Cadence))

    def groups(self, now: float, cadence: Cadence) -> Iterator[SampleGroup[Sample]]:
        """The samples of one cadence to export now: fresh ones, and identity of any age."""
        return self._kept.groups(now, cadence, self._max_ages[cadence], self._exported)

    def processes(self, now: float) -> tuple[Process, ...]:
        """The processes to export now: fresh, and on devices and partitions that are present."""
        known = subjects_of(self.devices, self.partitions)
        kept = self._kept.processes(now, self._max_ages[Cadence.MEDIUM], self._lost())
        return tuple(process for process in kept if process.subject in known)

    def known_states(self, now: float) -> Iterator[tuple[str, str]]:
        """The uuid of each device that it exports and whose state is known now, and the state."""
        max_age = self._max_ages[catalog.STATUS_STATE.cadence]
        return (known for known in self._kept.states(now, max_age) if known[0] not in self._duplicates)

    def conditions(self) -> Iterator[tuple[str, tuple[Condition, ...]]]:
        """The uuid of each device that it exports and that was not ok when last read, and why."""
        return ((uuid, why) for uuid, why in self._conditions.items() if uuid not in self._duplicates)

    def health(self, now: float) -> CollectorHealth:
        """The health of the collector now."""
        late_seconds = now - self._call_started_at if self._late and self._call_started_at is not None else None
        return CollectorHealth(
            name=self.name,
            present=self._present,
            up=self.healthy,
            late=self._late or self._all_stuck,
            devices=len(self.devices),
            duplicate_devices=len(self._duplicates),
            duration_seconds=late_seconds or self._duration_seconds,
            last_success_timestamp_seconds=self._last_success,
            errors=dict(self._errors),
            failure=self._failure,
            released=self._released,
            stuck={uuid: now - since for uuid, since in self._stuck.items()},
            cpu_seconds=self._cpu_seconds,
            released_devices=frozenset(
                device.uuid for device in self.devices if device.device in self._released_devices
            ),
            unread=self._unread(now),
            losses=dict(self._losses),
        )

    @property
    def _all_stuck(self) -> bool:
        """Whether nothing is read any more, though the calls of the collector itself return."""
        return bool(self._stuck) and all(device.lost or device.uuid in self._stuck for device in self.listed.devices)

    def _unread(self, now: float) -> dict[str, float]:
        """For how many seconds devices have not been read: all while calls hang or fail, else those that are stuck."""
        if self._released:
            return {}
        hangs = self._call_started_at is not None and now - self._call_started_at > _HANGING_SECONDS
        all_of_them = hangs or self._late or not self._up
        return {uuid: age for uuid, age in self._kept.ages(now) if all_of_them or uuid in self._stuck}

    def _lost(self) -> frozenset[str]:
        return frozenset(device.uuid for device in self.devices if device.lost)

    def _accept_or_set_down(self, event: CallEnded, reading: Reading) -> Accepted:
        try:
            return self._accept(event, reading)
        except Exception as error:  # noqa: BLE001 - what a third-party collector returns must fail one reading only
            if self._failure is None or self._failure.reason is not Reason.BROKEN:
                _log.exception(
                    "reading not understood: this is a bug in the collector or the exporter, please report it",
                    extra={"fields": {"collector": self.name}},
                )
            self._set_down(Failure(Reason.BROKEN, f"{type(error).__name__}: {error}", event.ended))
            return Accepted()

    def _accept(self, event: CallEnded, reading: Reading) -> Accepted:
        """Take over a reading. Everything that a reading can break comes before the collector counts as up."""
        accepted = self._with_sums(self._validator.validate(reading, event.ended))
        samples = self._first_counts.held_first(accepted.samples, event.due, event.ended)
        accepted = replace(accepted, samples=samples)
        starting = self._count_faults(accepted.faults, event.ended)
        before = self.listed
        self._list(Listing(accepted.devices, accepted.partitions))
        if self._late:
            _log.info("collector recovered: its late call has returned", extra={"fields": {"collector": self.name}})
        elif not self._up:
            fields = {"collector": self.name, "devices": len(accepted.devices)}
            _log.info("collector up", extra={"fields": fields})
        self._present = self._up = True
        self._failure = None
        if event.due == _ALL:
            self.read_at = event.started
        if event.due == _ALL or self.listed != before:
            self.read_until = event.ended
        self._kept.replace(accepted, event.due, event.ended, self.listed)
        self._follow_stuck(accepted, event.started)
        lost = _lost_by_name(accepted.devices)
        self._explain(accepted, lost)
        if not self._all_stuck:
            self._last_success = self._wall_clock()
        for fault in starting:
            if fault.reason is Reason.DEVICE_LOST and fault.where in lost:
                continue  # the line about the loss has its detail
            fields = {"collector": self.name, "where": fault.where, "detail": fault.detail}
            _log.warning("reading failed: %s", fault.reason, extra={"fields": fields})
        return accepted

    def _with_sums(self, accepted: Accepted) -> Accepted:
        """Also with the utilization of devices whose driver reports it for their partitions only."""
        if not accepted.partitions:
            return accepted
        now = {each.subject: each.value for each in accepted.samples if each.metric is catalog.COMPUTE_RATIO}
        sizes = self._kept.compute_ratios() | now
        sums = tuple(device_utilization(accepted.partitions, accepted.samples, sizes))
        return replace(accepted, samples=(*accepted.samples, *sums)) if sums else accepted

    def _follow_stuck(self, accepted: Accepted, at: float) -> None:
        """Count a device once when a call about it does not return; `at` is the start of the reading."""
        before, self._stuck = self._stuck, {uuid: self._stuck.get(uuid, at) for uuid in accepted.stuck}
        self._errors[Reason.LATE] += len(self._stuck.keys() - before.keys())

    def _explain(self, accepted: Accepted, lost: Mapping[str, str]) -> None:
        """Remember why devices are not ok; of a stuck one, what was known before."""
        earlier = {uuid: why for uuid, why in self._conditions.items() if uuid in self._stuck}
        self._conditions = {**earlier, **accepted.conditions}
        faults = (fault for fault in accepted.faults if fault.reason is Reason.DEVICE_LOST and fault.where in lost)
        found = {lost[fault.where]: fault.detail for fault in faults}
        self._losses = {uuid: why for uuid, why in self._losses.items() if uuid in lost.values()} | found

    def _list(self, listing: Listing) -> None:
        if listing != self.listed:
            self.listed = listing
            (exported,) = without_duplicates([listing])
            self._exported = listing if exported == listing else exported

    def _count_faults(self, faults: Iterable[Fault], at: float) -> list[Fault]:
        """Count them; return those to log: a reading starts to fail, or after the slow maximum age without failure."""
        starting: list[Fault] = []
        recent = at - self._max_ages[Cadence.SLOW].of(at)
        self._failing = {what: last for what, last in self._failing.items() if last >= recent}
        for fault in faults:
            self._errors[fault.reason] += 1
            already_failing = (fault.where, fault.reason) in self._failing
            self._failing[fault.where, fault.reason] = at
            if not already_failing:
                starting.append(fault)
        return starting

    def _set_down(self, failure: Failure) -> None:
        self._errors[failure.reason] += 1
        if failure.reason in _DRIVER_GONE:
            self._validator.interrupt()
        before = self._failure
        if before is not None and before.reason is failure.reason:
            failure = replace(failure, since=before.since)
        else:
            why = {"reason": failure.reason.value, "detail": failure.text, "do": OF_REASONS[failure.reason]}
            _log.error("collector down", extra={"fields": {"collector": self.name, **why}})
        self._failure = failure
        self._present = True
        self._up = False

    def _set_absent(self, text: str) -> None:
        if self._present:
            _log.warning(
                "collector absent: the vendor is no longer on this node", extra={"fields": {"collector": self.name}}
            )
        else:
            _log.debug("collector absent", extra={"fields": {"collector": self.name, "detail": text}})
        self._present = self._up = False
        self._validator.interrupt()
        self._failure = None
        self._list(Listing())
        self._kept.clear()
        self._first_counts.end()
        self._stuck.clear()
        self._conditions.clear()
        self._losses.clear()


def _lost_by_name(devices: Iterable[Device]) -> dict[str, str]:
    """The uuids of the devices that do not answer, by each name that a fault has for them."""
    return {name: device.uuid for device in devices if device.lost for name in (device.uuid, device.device)}
