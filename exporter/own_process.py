"""CPU, memory and file descriptors of the exporter's own process: the standard `process_*` families.

Sources: the kernel's `Documentation/filesystems/proc.rst`, getrusage(2) and getrlimit(2).
"""

import os
import resource
import time
from contextlib import suppress

from collectors.procfs import process_stat
from collectors.sysfs import Root
from exporter import families
from exporter.series import OwnSample


class OwnProcess:
    """The process that this runs in.

    A value that cannot be read is absent: /proc may be masked, or no file descriptor may be left to open it.

    Args:
        procfs: The container's own `/proc`.
    """

    def __init__(self, procfs: Root) -> None:
        self._procfs = procfs
        self._page_bytes = os.sysconf("SC_PAGESIZE")
        self._boot_seconds = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._started: float | None = None

    def samples(self) -> list[OwnSample]:
        """The samples now."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        values = (
            (families.PROCESS_CPU, used.ru_utime + used.ru_stime),
            *zip((families.PROCESS_VIRTUAL_MEMORY, families.PROCESS_RESIDENT_MEMORY), self._memory(), strict=False),
            (families.PROCESS_START_TIME, self._start()),
            (families.PROCESS_OPEN_FDS, self._descriptors()),
            (families.PROCESS_MAX_FDS, resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        )
        return [OwnSample(row, value) for row, value in values if value is not None]

    def _memory(self) -> tuple[int, ...]:
        """Bytes of virtual and of resident memory; empty if they cannot be read."""
        with suppress(ValueError):
            pages = [int(field) for field in (self._procfs.text("self", "statm") or "").split()[:2]]
            return tuple(count * self._page_bytes for count in pages)
        return ()

    def _start(self) -> float | None:
        """Read once: it does not change, and a change of the clock must not change it."""
        if self._started is None and (stat := process_stat(self._procfs, "self")) is not None:
            self._started = self._boot_seconds + stat.start_seconds
        return self._started

    def _descriptors(self) -> int | None:
        return len(self._procfs.names("self", "fd")) or None
