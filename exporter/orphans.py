"""Ends the zombies of process 1: processes whose parent has ended, such as those of a command that was run by hand.

The kernel gives them to process 1 of the container. If that does not wait for them, they stay in the process table.
"""

import os
from contextlib import suppress

import psutil


def reap_orphans() -> None:
    """Wait for the children that have ended and that this process has not started itself. Does nothing as another one.

    Its own children are in its session, and the code that has started them waits for them. A command that is run in the
    container from outside has a session of its own.
    """
    if os.getpid() != 1:
        return
    session = os.getsid(0)
    with suppress(psutil.Error, OSError):  # also if it has no children
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return  # none has ended, so the process table need not be read
        for child in psutil.Process().children():
            with suppress(psutil.Error, OSError):
                if child.status() == psutil.STATUS_ZOMBIE and os.getsid(child.pid) != session:
                    os.waitpid(child.pid, os.WNOHANG)
