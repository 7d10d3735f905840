"""The last readings of one collector's devices: what is exported of them now, by their age.

Each device has readings of its own age: those of a device that is stuck stay, while those of the others are replaced.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import is_

from collectors import catalog
from collectors.contract import Process, Sample, SubjectKey, subjects_of
from collectors.metric import Cadence
from exporter.changing_limit import ChangingLimit
from exporter.conformity import sample_key
from exporter.precedence import Listing
from exporter.validation import Accepted


@dataclass(frozen=True, slots=True)
class _Samples:
    """The samples of one device at one cadence, by what becomes of them.

    Attributes:
        given: All of them.
        identity: Identity and past events: exported at any age.
        state: The state of the device: unknown when it is too old, also of a device that is lost.
        readings: All others; not exported of a lost device.
    """

    given: tuple[Sample, ...] = ()
    identity: tuple[Sample, ...] = ()
    state: tuple[Sample, ...] = ()
    readings: tuple[Sample, ...] = ()

    def with_identity(self, samples: tuple[Sample, ...]) -> "_Samples":
        """The same with newer identity and events, of a device that could not be read."""
        newer = {sample_key(sample): sample for sample in (*self.identity, *samples)}
        return replace(self, given=(), identity=tuple(newer.values()))

    def updated(self, given: tuple[Sample, ...]) -> "_Samples":
        """These samples instead; what is the same as before stays the same object."""
        if len(given) == len(self.given) and all(map(is_, given, self.given)):
            return self
        now = _samples(given)
        return replace(
            now,
            identity=self.identity if now.identity == self.identity else now.identity,
            state=self.state if now.state == self.state else now.state,
        )


@dataclass(frozen=True, slots=True)
class _Last:
    """The last samples of one device at one cadence.

    Attributes:
        read_at: Monotonic seconds.
        listing: The devices and partitions that were listed then.
        samples: The samples.
    """

    read_at: float
    listing: Listing
    samples: _Samples


class KeptReadings:
    """The last samples and processes of all devices of a collector. Used by one thread."""

    def __init__(self) -> None:
        self._last: dict[Cadence, dict[str, _Last]] = {}
        self._processes: dict[str, tuple[float, tuple[Process, ...]]] = {}

    def replace(self, accepted: Accepted, due: frozenset[Cadence], at: float, listing: Listing) -> None:
        """Replace what was read; of stuck devices only what is known without a reading.

        Args:
            accepted: The reading.
            due: Its cadences.
            at: Monotonic seconds.
            listing: The devices and partitions in it.
        """
        grouped: defaultdict[tuple[Cadence, str], list[Sample]] = defaultdict(list)
        for sample in accepted.samples:
            grouped[sample.metric.cadence, sample.device_uuid].append(sample)
        for cadence in due:
            before, now = self._last.get(cadence, {}), {}
            for device in accepted.devices:
                given = tuple(grouped.get((cadence, device.uuid), ()))
                last = before.get(device.uuid)
                if device.uuid in accepted.stuck and last is not None:
                    now[device.uuid] = replace(last, samples=last.samples.with_identity(_samples(given).identity))
                else:
                    kept = _samples(given) if last is None else last.samples.updated(given)
                    now[device.uuid] = _Last(at, listing, kept)
            self._last[cadence] = now
        if Cadence.MEDIUM in due:
            self._replace_processes(accepted, at)

    def end(self, device: str | None = None) -> None:
        """The hardware is not read any more: only identity and past events remain.

        Args:
            device: The uuid of the only device that is meant; None for all.
        """
        ended = {uuid for devices in self._last.values() for uuid in devices} if device is None else {device}
        self._processes = {uuid: kept for uuid, kept in self._processes.items() if uuid not in ended}
        self._last = {
            cadence: {
                uuid: replace(last, samples=_Samples(identity=last.samples.identity)) if uuid in ended else last
                for uuid, last in devices.items()
            }
            for cadence, devices in self._last.items()
        }

    def clear(self) -> None:
        """There are no devices any more."""
        self._processes.clear()
        self._last.clear()

    def samples(
        self, now: float, cadence: Cadence, max_age: ChangingLimit, exported: Listing
    ) -> Iterator[tuple[Sample, ...]]:
        """The samples of one cadence that are not too old, in parts.

        Args:
            now: Monotonic seconds.
            cadence: Their cadence.
            max_age: How old they may be.
            exported: The devices and partitions that are exported.
        """
        lost = {device.uuid for device in exported.devices if device.lost}
        known: frozenset[SubjectKey] | None = None
        for uuid, last in self._last.get(cadence, {}).items():
            samples = last.samples
            parts = [samples.identity]
            if now - last.read_at <= max_age.of(last.read_at):
                parts += (samples.state,) if uuid in lost else (samples.state, samples.readings)
            if last.listing is exported:
                yield from parts
            else:
                known = known or subjects_of(exported.devices, exported.partitions)
                yield from (tuple(each for each in part if each.subject in known) for part in parts)

    def states(self, now: float, max_age: ChangingLimit) -> Iterator[tuple[str, str]]:
        """The uuid of each device with a known state, and the state; `max_age` is that of its cadence."""
        for uuid, last in self._last.get(catalog.STATUS_STATE.cadence, {}).items():
            if now - last.read_at <= max_age.of(last.read_at):
                yield from ((uuid, each.labels[0]) for each in last.samples.state if each.value)

    def ages(self, now: float) -> Iterator[tuple[str, float]]:
        """The uuid of each device, and for how many seconds it has not been read."""
        for uuid, last in self._last.get(Cadence.FAST, {}).items():
            yield uuid, now - last.read_at

    def compute_ratios(self) -> dict[SubjectKey, float]:
        """The sizes of the partitions, as last read."""
        kept = (sample for last in self._last.get(Cadence.SLOW, {}).values() for sample in last.samples.identity)
        return {sample.subject: sample.value for sample in kept if sample.metric is catalog.COMPUTE_RATIO}

    def processes(self, now: float, max_age: ChangingLimit, lost: frozenset[str]) -> Iterator[Process]:
        """The processes that are not too old, on devices that are not lost."""
        for uuid, (read_at, processes) in self._processes.items():
            if now - read_at <= max_age.of(read_at) and uuid not in lost:
                yield from processes

    def _replace_processes(self, accepted: Accepted, at: float) -> None:
        by_device: defaultdict[str, list[Process]] = defaultdict(list)
        for process in accepted.processes:
            by_device[process.device_uuid].append(process)
        stuck = {uuid: kept for uuid, kept in self._processes.items() if uuid in accepted.stuck}
        self._processes = {uuid: (at, tuple(processes)) for uuid, processes in by_device.items()} | stuck


def _samples(given: tuple[Sample, ...]) -> _Samples:
    identity: list[Sample] = []
    state: list[Sample] = []
    readings: list[Sample] = []
    for sample in given:
        if not sample.metric.persistent:
            readings.append(sample)
        elif sample.metric is catalog.STATUS_STATE:
            state.append(sample)
        else:
            identity.append(sample)
    return _Samples(given, tuple(identity), tuple(state), tuple(readings))
