"""Writes to standard output and standard error, without a buffer that could fail or block when the process ends."""

import logging
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

_log = logging.getLogger(__name__)

_STDOUT, _STDERR = 1, 2
_MOST_LINES = 1000


class OutputError(Exception):
    """Standard output cannot be written. The text says why."""


class ReaderGoneError(Exception):
    """The reader of standard output has closed it; it wants nothing more."""


def write_output(text: str) -> None:
    """Write to standard output.

    Raises:
        ReaderGoneError: The reader has closed the pipe.
        OutputError: It cannot be written for another reason: it is closed, or the disk is full.
    """
    try:
        _write(_STDOUT, text)
    except BrokenPipeError:
        raise ReaderGoneError from None
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror}") from None


def write_error(text: str) -> None:
    """Write to standard error; if it cannot be written, there is no other place for it."""
    with suppress(OSError):
        _write(_STDERR, text)


def _write(descriptor: int, text: str) -> None:
    left = memoryview(text.encode("utf-8", "backslashreplace"))
    while left:
        left = left[os.write(descriptor, left) :]


class LineWriter:
    """Writes lines in a thread of its own: if nobody reads them, only this thread waits, and further lines are lost.

    Args:
        write: Writes a text; may block.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_LINES)
        self._lost = 0
        # A daemon thread: a write that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Start to write."""
        self._thread.start()

    def write(self, text: str) -> None:
        """Queue a line; never blocks. Called from any thread."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._lost += 1

    def stop(self, timeout_seconds: float) -> None:
        """Write what is queued, as far as that is possible in this time."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (text := self._lines.get()) is not None:
            self._write(text)
            if self._lost:
                lost, self._lost = self._lost, 0
                _log.warning("log lines lost: standard error was not read", extra={"fields": {"lines": lost}})
