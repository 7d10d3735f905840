"""Facts about processes that the kernel shows in procfs.

Source: the kernel's `Documentation/filesystems/proc.rst`.
"""

from collectors.sysfs import Root

_KERNEL_THREADS = 2  # the parent of all kernel threads; only the PID namespace of the host has it
_KERNEL_THREADS_NAME = "kthreadd"


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
