"""What the compute driver (KFD) reports about the processes that have opened it.

Source: the kernel's `drivers/gpu/drm/amd/amdkfd/kfd_process.c`. As soon as a process opens the driver it has files for
every GPU it may use, whether it uses them or not. So it is counted for a GPU if it has memory or a queue there.

What is listed and what a GPU is asked are two steps, so that each GPU is asked by itself.

`cu_occupancy` is the waves in flight at this moment, as a number of compute units, and not a fraction of time. To count
them the driver reads registers of the GPU, and for `sdma_*` it reads counters from the memory of the process. So both
are read only on request.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collectors.amd.files import inode, read_number
from collectors.contract import CollectorError
from collectors.sysfs import Root
from collectors.units import seconds_from_microseconds

LARGEST_PID = 1 << 22  # of Linux
# More than any card has: the driver counts up and down, and prints a negative count as a number just below 2^64.
LARGEST_MEMORY_BYTES = 1 << 50
_LARGEST_COUNT = 1 << 53

_FOLDER = ("class", "kfd", "kfd", "proc")
_NUMBER = re.compile(r"[0-9]{1,10}")
_MEMORY = re.compile(r"vram_([0-9]{1,10})")
# Newer kernels: folders within the folder of a process that opens the driver more than once.
_CONTEXT = re.compile(r"context_[0-9]{1,5}")
_MAX_PROCESSES, _MAX_CONTEXTS, _MAX_QUEUES = 4096, 64, 1024


def pids(names: Collection[str]) -> list[int]:
    """The names in a folder that are process ids, in order."""
    numbers = (int(name) for name in names if _NUMBER.fullmatch(name))
    return sorted(number for number in numbers if 0 < number <= LARGEST_PID)


@dataclass(frozen=True, slots=True)
class KfdUsage:
    """What one process uses of one GPU; None for values that are unknown or were not requested.

    Attributes:
        memory_bytes: Device memory it has allocated.
        compute_units: Number of compute units on which it has work now.
        copy_seconds: For how long copy engines have worked for it.
        started: The inode number of the process's folder, which is made when it opens the driver.
    """

    memory_bytes: int | None = None
    compute_units: int | None = None
    copy_seconds: float | None = None
    started: int | None = None


@dataclass(frozen=True, slots=True)
class KfdContext:
    """What the compute driver lists of one opening of the driver by a process.

    Attributes:
        folder: Its folder.
        memory: The GPUs for which it has a file about memory, by gpu_id.
        queued: The GPUs on which it has queues, by gpu_id.
    """

    folder: Path
    memory: frozenset[int]
    queued: frozenset[int]


@dataclass(frozen=True, slots=True)
class KfdProcess:
    """What the compute driver lists of a process.

    Attributes:
        pid: Its id on the host.
        contexts: How it has opened the driver.
        started: The inode number of its folder, which is made when it opens the driver.
    """

    pid: int
    contexts: tuple[KfdContext, ...]
    started: int | None


def listed(sysfs: Root) -> tuple[KfdProcess, ...] | None:
    """The processes that have opened the driver; None if it does not report them.

    It reads what the driver keeps in memory: which files there are, and of which GPU a queue is
    (kfd_procfs_queue_show).

    Args:
        sysfs: The root of the host's `/sys`.
    """
    if _FOLDER[-1] not in sysfs.names(*_FOLDER[:-1]):
        return None
    folders = ((pid, sysfs.path.joinpath(*_FOLDER, str(pid))) for pid in pids(sysfs.names(*_FOLDER))[:_MAX_PROCESSES])
    return tuple(KfdProcess(pid, tuple(_contexts(Root(folder))), inode(folder)) for pid, folder in folders)


def read(
    processes: Collection[KfdProcess], gpu_ids: Collection[int], *, detailed: bool
) -> Mapping[int, Mapping[int, KfdUsage]]:
    """What the processes use of GPUs. A process that ends in the meantime is left out.

    Args:
        processes: The processes.
        gpu_ids: The ids of the nodes to read.
        detailed: Also read the values that are expensive for the driver.

    Returns:
        The usage by process id of the host and gpu_id.
    """
    used = {process.pid: _used(process, gpu_ids, detailed=detailed) for process in processes}
    return {pid: nodes for pid, nodes in used.items() if nodes}


def _used(process: KfdProcess, gpu_ids: Collection[int], *, detailed: bool) -> Mapping[int, KfdUsage]:
    memory: dict[int, int] = {}
    queued: set[int] = set()
    for context in process.contexts:
        for gpu_id in context.memory.intersection(gpu_ids):
            used = _number(context.folder / f"vram_{gpu_id}")
            if used is not None and 0 <= used <= LARGEST_MEMORY_BYTES:
                memory[gpu_id] = memory.get(gpu_id, 0) + used
        queued.update(context.queued.intersection(gpu_ids))
    started = process.started if detailed else None
    in_use = {gpu_id for gpu_id, used in memory.items() if used} | queued
    folders = [context.folder for context in process.contexts] if detailed else []
    return {gpu_id: _usage(folders, gpu_id, memory.get(gpu_id), started) for gpu_id in in_use}


def _usage(folders: Collection[Path], gpu_id: int, memory_bytes: int | None, started: int | None) -> KfdUsage:
    units = _sum(folder / f"stats_{gpu_id}" / "cu_occupancy" for folder in folders)
    microseconds = _sum(folder / f"sdma_{gpu_id}" for folder in folders)
    copying = None if microseconds is None else seconds_from_microseconds(microseconds)
    return KfdUsage(memory_bytes, units, copying, started)


def _sum(files: Iterator[Path]) -> int | None:
    """The sum of the files with a plausible count; None if there is none."""
    counts = [number for number in map(_number, files) if number is not None and 0 <= number <= _LARGEST_COUNT]
    return sum(counts) if counts else None


def _contexts(process: Root) -> Iterator[KfdContext]:
    yield _context(process)
    for name in [name for name in process.names() if _CONTEXT.fullmatch(name)][:_MAX_CONTEXTS]:
        yield _context(Root(process.path / name))


def _context(root: Root) -> KfdContext:
    found = (_MEMORY.fullmatch(name) for name in root.names())
    return KfdContext(root.path, frozenset(int(match[1]) for match in found if match), frozenset(_queued(root)))


def _queued(context: Root) -> Iterator[int]:
    """The GPUs on which it has queues. On an APU, which uses the host's memory, a queue may be the only sign of use."""
    for name in context.names("queues")[:_MAX_QUEUES]:
        gpu_id = _number(context.path / "queues" / name / "gpuid")
        if gpu_id is not None:
            yield gpu_id


def _number(path: Path) -> int | None:
    """The number in a file; None if it can't be read, for example because the process has just ended."""
    try:
        return read_number(path)
    except CollectorError:
        return None
