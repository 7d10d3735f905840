"""The last readings of one collector's devices: what is exported of them now, by their age.

Each device has readings of its own age: those of a device that is stuck stay, while those of the others are replaced.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from collectors import catalog
from collectors.contract import Process, Sample, SubjectKey, subjects_of
from collectors.metric import Cadence
from exporter.changing_limit import ChangingLimit
from exporter.conformity import sample_key
from exporter.precedence import Listing
from exporter.sample_group import SampleGroup, SeriesColumns, samples_of
from exporter.validation import Accepted

# One for each set of due cadences, and for a reading without some of its values.
_MOST_DIVISIONS = 8
_NONE: SampleGroup[Sample] = SampleGroup.of(())


class _Samples(NamedTuple):
    """The samples of one device at one cadence, by what becomes of them.

    Attributes:
        identity: Identity and past events: exported at any age.
        state: The state of the device: unknown when it is too old, also of a device that is lost.
        readings: All others; not exported of a lost device.
    """

    identity: SampleGroup[Sample] = _NONE
    state: SampleGroup[Sample] = _NONE
    readings: SampleGroup[Sample] = _NONE

    def with_identity(self, newer: SampleGroup[Sample]) -> "_Samples":
        """The same with newer identity and events, of a device that could not be read."""
        known = {sample_key(sample): sample for sample in (*self.identity.samples, *newer.samples)}
        return self._replace(identity=SampleGroup.of(known.values()))


class _Division:
    """How the samples of readings with the same series are divided.

    Args:
        accepted: Such a reading.
        last: What was kept before, by cadence and device: equal series are shared with it.
    """

    def __init__(self, accepted: Accepted, last: Mapping[Cadence, Mapping[str, "_Last"]]) -> None:
        samples = accepted.samples
        self._order = accepted.order
        self._ordered = 0 if self._order is None else len(self._order.samples)
        self._others = SeriesColumns.of(samples[self._ordered :])
        places: defaultdict[tuple[Cadence, str], tuple[list[int], ...]] = defaultdict(lambda: ([], [], []))
        for place, sample in enumerate(samples):
            places[sample.metric.cadence, sample.device_uuid][_becomes(sample)].append(place)
        self._places: dict[tuple[Cadence, str], list[tuple[list[int], SeriesColumns]]] = {}
        for (cadence, uuid), divided in places.items():
            before = last.get(cadence, {}).get(uuid)
            known = _Samples() if before is None else before.samples
            found = (SeriesColumns.of([samples[place] for place in each]) for each in divided)
            shared = [old.series if old.series == new else new for old, new in zip(known, found, strict=True)]
            self._places[cadence, uuid] = list(zip(divided, shared, strict=True))

    def fits(self, accepted: Accepted) -> bool:
        """Whether the same number of samples of another reading is divided in the same way."""
        return accepted.order is self._order and self._others.are_those_of(accepted.samples[self._ordered :])

    def of(self, samples: Sequence[Sample], cadence: Cadence, device_uuid: str) -> _Samples:
        """Those of one device at one cadence."""
        divided = self._places.get((cadence, device_uuid), ())
        return _Samples(
            *(
                SampleGroup.of(map(samples.__getitem__, places), series) if places else _NONE
                for places, series in divided
            )
        )


def _becomes(sample: Sample) -> int:
    """The place in `_Samples` to which a sample belongs."""
    if not sample.metric.persistent:
        return 2
    return 1 if sample.metric is catalog.STATUS_STATE else 0


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
        self._divisions: dict[int, _Division] = {}  # by number of samples
        self._processes: dict[str, tuple[float, tuple[Process, ...]]] = {}

    def replace(self, accepted: Accepted, due: frozenset[Cadence], at: float, listing: Listing) -> None:
        """Replace what was read; of stuck devices only what is known without a reading.

        Args:
            accepted: The reading.
            due: Its cadences.
            at: Monotonic seconds.
            listing: The devices and partitions in it.
        """
        samples = accepted.samples
        division = self._divided(accepted)
        for cadence in due:
            before, now = self._last.get(cadence, {}), {}
            for device in accepted.devices:
                found = division.of(samples, cadence, device.uuid)
                last = before.get(device.uuid)
                if device.uuid in accepted.stuck and last is not None:
                    now[device.uuid] = replace(last, samples=last.samples.with_identity(found.identity))
                else:
                    now[device.uuid] = _Last(at, listing, found)
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

    def groups(
        self, now: float, cadence: Cadence, max_age: ChangingLimit, exported: Listing
    ) -> Iterator[SampleGroup[Sample]]:
        """The samples of one cadence that are not too old.

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
            groups = [samples.identity]
            if now - last.read_at <= max_age.of(last.read_at):
                groups += (samples.state,) if uuid in lost else (samples.state, samples.readings)
            if last.listing is exported:
                yield from groups
            else:
                known = known or subjects_of(exported.devices, exported.partitions)
                yield from (SampleGroup.of(each for each in group.samples if each.subject in known) for group in groups)

    def states(self, now: float, max_age: ChangingLimit) -> Iterator[tuple[str, str]]:
        """The uuid of each device with a known state, and the state; `max_age` is that of its cadence."""
        for uuid, last in self._last.get(catalog.STATUS_STATE.cadence, {}).items():
            if now - last.read_at <= max_age.of(last.read_at):
                yield from ((uuid, each.labels[0]) for each in last.samples.state.samples if each.value)

    def ages(self, now: float) -> Iterator[tuple[str, float]]:
        """The uuid of each device, and for how many seconds it has not been read."""
        for uuid, last in self._last.get(Cadence.FAST, {}).items():
            yield uuid, now - last.read_at

    def compute_ratios(self) -> dict[SubjectKey, float]:
        """The sizes of the partitions, as last read."""
        kept = samples_of(last.samples.identity for last in self._last.get(Cadence.SLOW, {}).values())
        return {sample.subject: sample.value for sample in kept if sample.metric is catalog.COMPUTE_RATIO}

    def processes(self, now: float, max_age: ChangingLimit, lost: frozenset[str]) -> Iterator[Process]:
        """The processes that are not too old, on devices that are not lost."""
        for uuid, (read_at, processes) in self._processes.items():
            if now - read_at <= max_age.of(read_at) and uuid not in lost:
                yield from processes

    def _divided(self, accepted: Accepted) -> _Division:
        """How the samples are divided: known, if a reading before had the same series."""
        number = len(accepted.samples)
        known = self._divisions.get(number)
        if known is not None and known.fits(accepted):
            return known
        if len(self._divisions) > _MOST_DIVISIONS:
            self._divisions.clear()
        division = self._divisions[number] = _Division(accepted, self._last)
        return division

    def _replace_processes(self, accepted: Accepted, at: float) -> None:
        by_device: defaultdict[str, list[Process]] = defaultdict(list)
        for process in accepted.processes:
            by_device[process.device_uuid].append(process)
        stuck = {uuid: kept for uuid, kept in self._processes.items() if uuid in accepted.stuck}
        self._processes = {uuid: (at, tuple(processes)) for uuid, processes in by_device.items()} | stuck
