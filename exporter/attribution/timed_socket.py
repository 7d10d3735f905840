"""A connected socket whose reads end at a deadline, in the form that `http.client` needs."""

import contextlib
import io
import socket
import time
from collections.abc import Callable


class TimedSocket:
    """A socket with a deadline for all of its reads together, and one for each.

    A timeout of the socket alone would not be enough: a peer that sends a byte now and then would never exceed it.
    As a socket of Python, it stays open until its readers are closed too: `http.client` closes it before it reads the
    body of a response with `Connection: close`.

    Args:
        connected: The socket; closed with this one.
        seconds: How long reads and writes may take together.
        clock: Monotonic seconds.
    """

    def __init__(self, connected: socket.socket, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._socket = connected
        self._clock = clock
        self._idle_seconds = seconds
        self._ends = clock() + seconds
        self._readers = 0
        self._closed = False

    def allow(self, seconds: float, idle_seconds: float) -> None:
        """Allow this long from now for all reads together, and for each of them."""
        self._ends = self._clock() + seconds
        self._idle_seconds = idle_seconds

    def makefile(self, _mode: str) -> io.BufferedReader:
        """A reader of what the peer sends."""
        self._readers += 1
        return io.BufferedReader(_Reader(self.receive_into, self._close_reader))

    def sendall(self, data: bytes) -> None:
        """Send everything.

        Raises:
            OSError: It is not possible, or not in time.
        """
        self._limit()
        self._socket.sendall(data)

    def receive_into(self, buffer: bytearray | memoryview) -> int:
        """Receive at least one byte; 0 at the end.

        Raises:
            OSError: It is not possible, or nothing came in time.
        """
        self._limit()
        return self._socket.recv_into(buffer)

    def interrupt(self) -> None:
        """End a read or write in progress. Called from another thread."""
        self._ends = self._clock()
        with contextlib.suppress(OSError):  # the peer has closed it already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, or have it closed with its last reader."""
        self._closed = True
        if not self._readers:
            self._socket.close()

    def _close_reader(self) -> None:
        self._readers -= 1
        if self._closed and not self._readers:
            self._socket.close()

    def _limit(self) -> None:
        left = min(self._ends - self._clock(), self._idle_seconds)
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)


class _Reader(io.RawIOBase):
    """Makes a file of a function that receives."""

    def __init__(
        self, receive_into: Callable[[bytearray | memoryview], int], close_reader: Callable[[], object]
    ) -> None:
        super().__init__()
        self._receive_into = receive_into
        self._close_reader = close_reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # what a BufferedReader gives
        return self._receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            self._close_reader()
        super().close()
