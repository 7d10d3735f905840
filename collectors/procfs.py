"""Facts about processes that the kernel shows in procfs.

Source: the kernel's `Documentation/filesystems/proc.rst`.
"""

import os
from typing import NamedTuple

from collectors.sysfs import Root

_KERNEL_THREADS = 2  # the parent of all kernel threads; only the PID namespace of the host has it
_KERNEL_THREADS_NAME = "kthreadd"
# Places in `stat` after the name.
_STATE, _PARENT, _SESSION, _START = 0, 1, 3, 19


def process_name(procfs: Root, pid: int) -> str | None:
    """The name of a process, which is its command of at most 15 characters; None if there is no such process.

    Args:
        procfs: The root of the host's `/proc`.
        pid: Its id in the PID namespace that this procfs shows.
    """
    return procfs.text(str(pid), "comm")


def host_processes_visible(procfs: Root) -> bool:
    """True if a procfs shows all processes of the machine, not only those of one container."""
    return process_name(procfs, _KERNEL_THREADS) == _KERNEL_THREADS_NAME


class ProcessStat(NamedTuple):
    """What the file `stat` of a process says.

    Attributes:
        state: The letter of its state, such as `Z` for a zombie.
        parent: The id of its parent.
        session: The id of its session.
        start_seconds: When it started, in seconds since the boot of the machine.
    """

    state: str
    parent: int
    session: int
    start_seconds: float


def process_stat(procfs: Root, pid: int | str) -> ProcessStat | None:
    """The file `stat` of a process; None if there is no such process or the file is not as expected.

    Source: `fs/proc/array.c`, `do_task_stat`. The name may contain spaces and parentheses.

    Args:
        procfs: The root of a `/proc`.
        pid: Its id in the PID namespace that this procfs shows, or `self`.
    """
    fields = (procfs.text(str(pid), "stat") or "").rpartition(")")[2].split()
    try:
        start_seconds = int(fields[_START]) / os.sysconf("SC_CLK_TCK")
        return ProcessStat(fields[_STATE], int(fields[_PARENT]), int(fields[_SESSION]), start_seconds)
    except (IndexError, ValueError):
        return None
