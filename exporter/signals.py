"""What signals request. Their handlers only set flags, because they may interrupt a thread that holds a lock."""

import os
import select
import signal
from collections.abc import Callable

_DRAIN_BYTES = 4096


class Signals:
    """The requests. Everything but the flags is used by the main thread only.

    Args:
        end: Ends the process at once, because of this signal.

    Attributes:
        serving: While True, SIGTERM and SIGINT request an orderly stop; otherwise, and the second time, they end the
            process at once.
        stop: True from the first SIGTERM or SIGINT on.
        reloads: How often SIGHUP has requested to read the configuration again.
        release: True from SIGUSR1, which requests to release the hardware, until SIGUSR2.
        release_requests: How often SIGUSR1 or SIGUSR2 has been received: SIGUSR1 may now mean other devices.
    """

    def __init__(self, end: Callable[[int], None]) -> None:
        self._end = end
        self._wake_up = -1
        self.serving = False
        self.stop = False
        self.reloads = 0
        self.release = False
        self.release_requests = 0

    def install(self) -> None:
        """Handle the signals. Must be called in the main thread, before anything that takes long."""
        self._wake_up, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self.handle)

    def handle(self, number: int, _frame: object) -> None:
        """Set the flag of a signal."""
        if number == signal.SIGHUP:
            self.reloads += 1
        elif number in (signal.SIGUSR1, signal.SIGUSR2):
            self.release = number == signal.SIGUSR1
            self.release_requests += 1
        elif self.serving and not self.stop:
            self.stop = True
        else:
            self._end(number)

    def wait(self, seconds: float) -> None:
        """Wait for a signal, but no longer than this."""
        ready, _, _ = select.select([self._wake_up], [], [], seconds)
        if ready:
            os.read(self._wake_up, _DRAIN_BYTES)
