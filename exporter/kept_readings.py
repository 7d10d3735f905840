"""The last readings of one collector's devices: what is exported of them now, by their age.

Each device has readings of its own age: those of a device that is stuck stay, while those of the others are replaced.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from collectors import catalog
from collectors.contract import Process, Sample, SubjectKey
from collectors.metric import Cadence
from exporter.changing_limit import ChangingLimit
from exporter.conformity import sample_key
from exporter.validation import Accepted

MaxAges = Mapping[Cadence, ChangingLimit]


@dataclass(frozen=True, slots=True)
class _Last:
    """The last samples of one device at one cadence.

    Attributes:
        read_at: Monotonic seconds.
        identity: Identity and past events: exported at any age.
        state: The state of the device: unknown when it is too old, also of a device that is lost.
        readings: All others; not exported of a lost device.
    """

    read_at: float
    identity: tuple[Sample, ...] = ()
    state: tuple[Sample, ...] = ()
    readings: tuple[Sample, ...] = ()

    def with_identity(self, samples: tuple[Sample, ...]) -> "_Last":
        """The same with newer identity and events, of a device that could not be read."""
        newer = {sample_key(sample): sample for sample in (*self.identity, *samples)}
        return replace(self, identity=tuple(newer.values()))


class KeptReadings:
    """The last samples and processes of all devices of a collector. Used by one thread."""

    def __init__(self) -> None:
        self._last: dict[Cadence, dict[str, _Last]] = {}
        self._processes: dict[str, tuple[float, tuple[Process, ...]]] = {}

    def replace(self, accepted: Accepted, due: frozenset[Cadence], at: float) -> None:
        """Replace what was read; of stuck devices only what is known without a reading.

        Args:
            accepted: The reading.
            due: Its cadences.
            at: Monotonic seconds.
        """
        given: defaultdict[tuple[Cadence, str], list[Sample]] = defaultdict(list)
        for sample in accepted.samples:
            given[sample.metric.cadence, sample.device_uuid].append(sample)
        for cadence in due:
            before, now = self._last.get(cadence, {}), {}
            for device in accepted.devices:
                last = _last(at, given[cadence, device.uuid])
                if device.uuid in accepted.stuck and device.uuid in before:
                    last = before[device.uuid].with_identity(last.identity)
                now[device.uuid] = last
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
                uuid: replace(last, state=(), readings=()) if uuid in ended else last for uuid, last in devices.items()
            }
            for cadence, devices in self._last.items()
        }

    def clear(self) -> None:
        """There are no devices any more."""
        self._processes.clear()
        self._last.clear()

    def samples(self, now: float, max_ages: MaxAges, lost: frozenset[str]) -> Iterator[Sample]:
        """The samples that are not too old.

        Args:
            now: Monotonic seconds.
            max_ages: How old they may be, by cadence.
            lost: The devices that no longer answer.
        """
        for cadence in Cadence:
            for uuid, last in self._last.get(cadence, {}).items():
                yield from last.identity
                if now - last.read_at <= max_ages[cadence].of(last.read_at):
                    yield from last.state
                    yield from () if uuid in lost else last.readings

    def compute_ratios(self) -> dict[SubjectKey, float]:
        """The sizes of the partitions, as last read."""
        kept = (sample for last in self._last.get(Cadence.SLOW, {}).values() for sample in last.identity)
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


def _last(at: float, samples: list[Sample]) -> _Last:
    identity = tuple(s for s in samples if s.metric.persistent and s.metric is not catalog.STATUS_STATE)
    state = tuple(s for s in samples if s.metric is catalog.STATUS_STATE)
    return _Last(at, identity, state, tuple(s for s in samples if not s.metric.persistent))
