"""CPU, memory and file descriptors of the exporter's own process: the standard `process_*` families.

Sources: the kernel's `Documentation/filesystems/proc.rst`, getrusage(2) and getrlimit(2).
"""

import os
import resource
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from collectors.procfs import process_stat
from collectors.sysfs import Root, close_all
from exporter import families
from exporter.series import OwnSample

_MEMORY, _DESCRIPTORS = "statm", "fd"
_MEMORY_BYTES = 256  # seven numbers of at most 20 digits

Answer = TypeVar("Answer")


class OwnProcess:
    """The process that this runs in. Used by one thread at a time, and not by a process that is forked from this one.

    A value that cannot be read is absent: /proc may be masked, or no file descriptor may be left to open it.

    Args:
        procfs: The container's own `/proc`.
    """

    def __init__(self, procfs: Root) -> None:
        self._procfs = procfs
        self._kept = _KeptOpen(procfs)
        self._page_bytes = os.sysconf("SC_PAGESIZE")
        self._boot_seconds = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._started: float | None = None
        self._size_is_count = False

    def samples(self) -> list[OwnSample]:
        """The samples now."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        virtual, resident = self._kept.ask(_MEMORY, self._memory) or (None, None)
        values = (
            (families.PROCESS_CPU, used.ru_utime + used.ru_stime),
            (families.PROCESS_VIRTUAL_MEMORY, virtual),
            (families.PROCESS_RESIDENT_MEMORY, resident),
            (families.PROCESS_START_TIME, self._start()),
            (families.PROCESS_OPEN_FDS, self._open_descriptors()),
            (families.PROCESS_MAX_FDS, resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        )
        return [OwnSample(row, value) for row, value in values if value is not None]

    def _memory(self, statm: int) -> tuple[int, int]:
        """Bytes of virtual and of resident memory."""
        virtual, resident = os.pread(statm, _MEMORY_BYTES, 0).split(maxsplit=2)[:2]
        return int(virtual) * self._page_bytes, int(resident) * self._page_bytes

    def _start(self) -> float | None:
        """Read once: it does not change, and a change of the clock must not change it."""
        if self._started is None and (stat := process_stat(self._procfs, "self")) is not None:
            self._started = self._boot_seconds + stat.start_seconds
        return self._started

    def _open_descriptors(self) -> int | None:
        """Their number, with those that are kept open here.

        Since Linux 6.2 the size of their folder is their number: `fs/proc/fd.c` (proc_fd_getattr). It is 0 before, and
        something else in another file system, so they are listed until the size was once the number of those listed.
        """
        size = self._kept.ask(_DESCRIPTORS, _size)
        if size and self._size_is_count:
            return size
        listed = len(self._procfs.names("self", _DESCRIPTORS)) - 1  # without that of the listing itself
        self._size_is_count = size == listed
        if not self._size_is_count:
            self._kept.close(_DESCRIPTORS)
        return listed if listed > 0 else None


def _size(descriptor: int) -> int:
    return os.fstat(descriptor).st_size


class _KeptOpen:
    """What was opened in `/proc/self`. It stays open: to find and open a file takes longer than to read it.

    It is that of this process as long as it is open: `fs/proc/base.c` (proc_single_show) looks up the process, and
    `fs/proc/array.c` (proc_pid_statm) its memory, in each read.
    """

    def __init__(self, procfs: Root) -> None:
        self._procfs = procfs
        self._descriptors: dict[str, int] = {}
        weakref.finalize(self, close_all, self._descriptors).atexit = False

    def ask(self, name: str, question: Callable[[int], Answer]) -> Answer | None:
        """What a question about an open file or folder returns; None if it cannot be opened, read or understood."""
        try:
            return question(self._descriptor(name))
        except (OSError, ValueError):
            self.close(name)  # it is opened again the next time
            return None

    def close(self, name: str) -> None:
        """Close a file or folder if it is open."""
        if name in self._descriptors:
            with suppress(OSError):
                os.close(self._descriptors.pop(name))

    def _descriptor(self, name: str) -> int:
        found = self._descriptors.get(name)
        if found is None:
            found = self._descriptors[name] = self._procfs.open("self", name)
        return found
