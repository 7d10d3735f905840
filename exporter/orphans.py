"""Ends the zombies of process 1: processes whose parent has ended, such as those of a command that was run by hand.

The kernel gives them to process 1 of the container. If that does not wait for them, they stay in the process table.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from collectors.procfs import process_stat
from collectors.sysfs import Root

_ZOMBIE = "Z"


def reap_orphans(procfs: Root) -> None:
    """Wait for the children that have ended and that this process has not started itself. Does nothing as another one.

    Its own children are in its session, and the code that has started them waits for them. A command that is run in the
    container from outside has a session of its own.

    Args:
        procfs: The container's own `/proc`.
    """
    if os.getpid() != 1:
        return
    with suppress(OSError):  # also if it has no children
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return  # none has ended, so the process table need not be read
        for pid in _orphans(procfs, os.getsid(0)):
            with suppress(OSError):
                os.waitpid(pid, os.WNOHANG)


def _orphans(procfs: Root, session: int) -> Iterator[int]:
    for pid in (int(name) for name in procfs.names() if name.isdecimal()):
        stat = process_stat(procfs, pid)
        if stat is not None and (stat.state, stat.parent) == (_ZOMBIE, 1) and stat.session != session:
            yield pid
