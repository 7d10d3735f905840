"""What the kernel shows of processes, whatever program they run.

Source: the kernel's `Documentation/filesystems/proc.rst`.
"""

from collectors.sysfs import Root

_KERNEL_THREADS = 2  # the parent of all kernel threads: of the machine, never of a container
_KERNEL_THREADS_NAME = "kthreadd"


def process_name(procfs: Root, pid: int) -> str | None:
    """The name of a process, its command of at most 15 characters; None where there is no such process.

    Args:
        procfs: The root of the host's `/proc`.
        pid: Its number in the namespace that this procfs shows.
    """
    return procfs.text(str(pid), "comm")


def host_processes_visible(procfs: Root) -> bool:
    """True where a procfs shows all processes of the machine, not those of one container."""
    return process_name(procfs, _KERNEL_THREADS) == _KERNEL_THREADS_NAME
