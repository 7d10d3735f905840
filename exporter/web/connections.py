"""Client connections: limits on time and bytes for each, and which one is closed when there are too many."""

import contextlib
import io
import socket
import threading
import time
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Phase(IntEnum):
    """What a connection is doing. When there are too many, one in the lowest phase is closed first."""

    RECEIVING = 0
    SENDING = 1
    WORKING = 2


class RequestTooLargeError(Exception):
    """The client sent more bytes than a request may have."""


class Connection(io.RawIOBase):
    """One client's socket, read and written with a deadline for the whole request or response.

    A timeout per call would let a client that sends one byte per second occupy a thread forever.

    Args:
        sock: The accepted socket; closed by `release` of its `Connections`.

    Attributes:
        phase: What it is doing.
        phase_began: Monotonic seconds at which the phase began.
        dropped: True once it has been shut down.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.sock = sock
        self.phase = Phase.RECEIVING
        self.phase_began = time.monotonic()
        self.dropped = False
        self._deadline = self.phase_began
        self._bytes_left: int | None = None

    def set_limits(self, seconds: float, size: int | None = None) -> None:
        """Limit the following reads or writes as a whole.

        Args:
            seconds: Time from now; after it they raise TimeoutError.
            size: Bytes to read; beyond them reads raise RequestTooLargeError. None for no limit.
        """
        self._deadline = time.monotonic() + seconds
        self._bytes_left = size

    def readable(self) -> bool:
        """True, as `io.BufferedReader` requires."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read what has arrived, or wait for data until the deadline. 0 means end of stream."""
        if self._bytes_left is not None and self._bytes_left <= 0:
            raise RequestTooLargeError
        self._set_timeout()
        count = self.sock.recv_into(buffer)
        if self._bytes_left is not None:
            self._bytes_left -= count
        return count

    def send(self, data: bytes) -> None:
        """Write all of the data before the deadline."""
        self._set_timeout()
        self.sock.sendall(data)

    def drain(self, seconds: float) -> None:
        """Shut down our side and discard what the client still sends, for a bounded time.

        Closing with unread bytes makes the kernel reset the connection, and the client may lose the response.
        """
        discarded = bytearray(8192)
        self.set_limits(seconds)
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            while self.readinto(discarded):
                pass

    def _set_timeout(self) -> None:
        seconds_left = self._deadline - time.monotonic()
        if seconds_left <= 0:
            raise TimeoutError("the client was too slow")
        self.sock.settimeout(seconds_left)


class Connections:
    """All open connections, up to a maximum number.

    At the maximum, a new connection replaces the one that has waited longest, so that idle and slow clients cannot lock
    out a scraper. A connection whose response is being computed is never replaced.

    Args:
        limit: Maximum number of open connections.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Connection] = set()
        self._changed = threading.Condition()

    def admit(self, sock: socket.socket) -> Connection | None:
        """Add an accepted socket, dropping another connection if necessary; None if none can be dropped."""
        with self._changed:
            remaining = [connection for connection in self._open if not connection.dropped]
            if len(remaining) >= self._limit:
                waiting = [connection for connection in remaining if connection.phase is not Phase.WORKING]
                if not waiting:
                    return None
                _drop(min(waiting, key=lambda connection: (connection.phase, connection.phase_began)))
            connection = Connection(sock)
            self._open.add(connection)
            return connection

    def set_phase(self, connection: Connection, phase: Phase) -> None:
        """Record that a connection begins a phase, even if it is the phase it was in before."""
        with self._changed:
            connection.phase = phase
            connection.phase_began = time.monotonic()

    def release(self, connection: Connection) -> None:
        """Close a connection and remove it."""
        with self._changed:
            self._open.discard(connection)
            connection.close()
            connection.sock.close()
            self._changed.notify_all()

    def drop(self, highest: Phase) -> None:
        """Shut down every connection in this phase or a lower one; its thread then releases it."""
        with self._changed:
            for connection in self._open:
                if connection.phase <= highest:
                    _drop(connection)

    def wait_until_closed(self, seconds: float) -> bool:
        """Wait until all connections are released; False if the time runs out first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)


def _drop(connection: Connection) -> None:
    connection.dropped = True
    with contextlib.suppress(OSError):  # the client has already closed it
        connection.sock.shutdown(socket.SHUT_RDWR)
