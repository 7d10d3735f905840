"""The processes on a device or MIG device: their number, and a record of each.

The listed processes and their ids depend on the PID namespace: some drivers translate the ids in the lists to the
namespace of the caller, but report utilization with the ids of the host. Both are the same only for a process in the
host's namespace.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from collectors import catalog
from collectors.contract import Process, SubjectKey, UnsupportedError
from collectors.nvidia.errors import InsufficientSizeError, InvalidValueError, NoDataError
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import RawValue
from collectors.units import ratio_from_percent

_COMPUTE = "nvmlDeviceGetComputeRunningProcesses"
# Unsupported by data centre cards (graphics) and old drivers (multi-process service).
_OTHERS = ("nvmlDeviceGetGraphicsRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses")
_NEW, _OLD = "_v3", "_v2"  # driver 515, driver 455

_LARGEST_PID = 1 << 22  # of Linux
_MAX_PROCESSES = 4096
_NO_INSTANCE, _LARGEST_INSTANCE = 0xFFFFFFFF, 64
_TRIES = 3
_FULL_PERCENT = 100
_MICROSECONDS = 1_000_000
_CLOCK_DIFFERENCE = 60 * _MICROSECONDS  # to be expected at most between the driver's clock and ours

_ROWS = (catalog.PROCESSES,)


class _RunningProcess(NamedTuple):
    """An entry of a list.

    Attributes:
        pid: The process id.
        used_bytes: Device memory that it uses; None if the driver does not report it.
        in_partition: Whether it runs on a MIG device.
    """

    pid: int
    used_bytes: int | None
    in_partition: bool


class Processes:
    """The processes on the devices of one session. They are collected while the queries of a poll run.

    Args:
        wall_clock: Unix time in seconds; the driver gives samples of utilization such times.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._running: dict[SubjectKey, list[_RunningProcess]] = {}
        self._utilizations: dict[SubjectKey, dict[int, float]] = {}
        self._last_seen: dict[str, int] = {}

    def of_device(self, uuid: str) -> tuple[Query, ...]:
        """The queries for a device."""
        subject = SubjectKey(uuid)
        return (*self._lists(subject), Query("process utilization", _ROWS, partial(self._utilization, subject)))

    def of_partition(self, subject: SubjectKey) -> tuple[Query, ...]:
        """The queries for a MIG device; NVML reports no utilization of its processes."""
        return self._lists(subject)

    def drain(self) -> tuple[Process, ...]:
        """Records of all processes found since the last call. A process on a MIG device has only one for that."""
        records = tuple(self._records())
        self._running.clear()
        self._utilizations.clear()
        return records

    def _records(self) -> Iterator[Process]:
        for subject, running in self._running.items():
            utilizations = self._utilizations.get(subject, {})
            for each in running:
                if subject.partition_uuid or not each.in_partition:
                    where = (subject.device_uuid, subject.partition_uuid)
                    yield Process(each.pid, *where, each.used_bytes, utilizations.get(each.pid))

    def _lists(self, subject: SubjectKey) -> tuple[Query, ...]:
        return (
            Query("processes", _ROWS, partial(self._count, subject, _NEW)),
            Query("processes, second version", _ROWS, partial(self._count, subject, _OLD), fallback_for="processes"),
        )

    def _count(self, subject: SubjectKey, version: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
        found = list(_distinct(nvml, handle, version).values())
        self._running[subject] = found
        yield RawValue(catalog.PROCESSES, len(found))

    def _utilization(self, subject: SubjectKey, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
        """Percent by process since the last call: nvmlDeviceGetProcessUtilization, unavailable while MIG is on."""
        call = "nvmlDeviceGetProcessUtilization"
        now = int(self._wall_clock() * _MICROSECONDS)
        since = min(self._last_seen.get(subject.device_uuid, 0), now)  # the clock may have been set back
        samples: Sequence[Any] = nvml.call(call, handle, since, read=list)
        latest: dict[int, tuple[int, int]] = {}
        for sample in samples[:_MAX_PROCESSES]:
            pid, at, percent = int(sample.pid), int(sample.timeStamp), int(sample.smUtil)
            if percent > _FULL_PERCENT or at > now + _CLOCK_DIFFERENCE:
                continue  # some drivers return garbage
            if at >= latest.get(pid, (0, 0))[0]:
                latest[pid] = (at, percent)
        self._last_seen[subject.device_uuid] = max([since, *(at for at, _ in latest.values())])
        self._utilizations[subject] = {pid: ratio_from_percent(percent) for pid, (_, percent) in latest.items()}
        yield from ()


def host_memory(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """What all processes use, for a device that uses the memory of its host, such as GB10.

    There NVML reports neither a memory nor an aperture to it (nvmlDeviceGetBAR1MemoryInfo), but what each process uses.
    While no process runs it is unknown: boards that never list processes are not distinguished.

    Raises:
        UnsupportedError: The device has memory of its own, or an aperture to it.
        NoDataError: No process is listed, or the memory of one is unknown.
    """
    if _has_own_memory(nvml, handle):
        raise UnsupportedError("the device has memory of its own")
    used_bytes = [each.used_bytes for each in _distinct(nvml, handle, _NEW).values()]
    known_bytes = [each for each in used_bytes if each is not None]
    if not used_bytes or len(known_bytes) < len(used_bytes):
        raise NoDataError("the memory of the processes is unknown")
    yield RawValue(catalog.HOST_MEMORY_USAGE, sum(known_bytes))


def _has_own_memory(nvml: Nvml, handle: Handle) -> bool:
    for read in (nvml.memory, nvml.memory_with_reserved_as_used):
        with suppress(UnsupportedError):
            return read(handle).total > 0
    with suppress(UnsupportedError):
        return nvml.call("nvmlDeviceGetBAR1MemoryInfo", handle, read=lambda memory: int(memory.bar1Total)) > 0
    return False


def _distinct(nvml: Nvml, handle: Handle, version: str) -> dict[int, _RunningProcess]:
    """The processes by id: one with a compute and a graphics context is in both lists."""
    found: dict[int, _RunningProcess] = {}
    entries = _list(nvml, handle, f"{_COMPUTE}{version}")
    for call in _OTHERS:
        with suppress(UnsupportedError):
            entries += _list(nvml, handle, f"{call}{version}")
    for each in entries:
        known = found.get(each.pid)
        if known is None or (each.used_bytes or 0) > (known.used_bytes or 0):
            found[each.pid] = each
    return found


def _list(nvml: Nvml, handle: Handle, call: str) -> list[_RunningProcess]:
    """One list of processes. The binding reads its size first, so it is retried if processes start in between."""
    tries = _TRIES
    while True:
        tries -= 1
        try:
            return nvml.call(call, handle, read=partial(_running, call))
        except NoDataError:
            return []
        except InsufficientSizeError:
            if tries == 0:
                raise


def _running(call: str, entries: Sequence[Any]) -> list[_RunningProcess]:
    """The entries as NVML reports them.

    Raises:
        InvalidValueError: They are impossible. Drivers 530 and 535.54 to 535.98 write larger entries than all other
            drivers, so that all entries but the first are read at wrong offsets.
    """
    if len(entries) > _MAX_PROCESSES:
        raise InvalidValueError(f"{call}: {len(entries)} processes")
    found = []
    for entry in entries:
        instance = int(entry.gpuInstanceId)
        in_partition = instance != _NO_INSTANCE
        if not 0 < entry.pid <= _LARGEST_PID or (in_partition and instance > _LARGEST_INSTANCE):
            raise InvalidValueError(
                f"{call}: process {entry.pid} in instance {instance} is impossible; some drivers 530 and 535 return "
                "such entries"
            )
        used = None if entry.usedGpuMemory is None else int(entry.usedGpuMemory)
        found.append(_RunningProcess(int(entry.pid), used, in_partition))
    return found
