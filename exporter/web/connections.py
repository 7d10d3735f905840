"""The clients that are connected: what each may take of time and bytes, and who goes when too many come."""

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
    """What a connection is doing. When there are too many, the lowest phase goes first."""

    RECEIVING = 0
    SENDING = 1
    WORKING = 2


class RequestTooLargeError(Exception):
    """The client has sent more bytes than a request may have."""


class Connection(io.RawIOBase):
    """One client's socket, read and written against a deadline and not merely a timeout per call.

    A timeout per call lets a client that sends one byte a second hold a thread for ever.

    Args:
        sock: The accepted socket; closed by `release` of its `Connections`.

    Attributes:
        phase: What it is doing.
        phase_began: Monotonic seconds at which the phase began.
        dropped: True once it was told to end.
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
        """Set what the following reads or writes may take together.

        Args:
            seconds: Time from now; past it they raise TimeoutError.
            size: Bytes to read; past them reading raises RequestTooLargeError. None for any number.
        """
        self._deadline = time.monotonic() + seconds
        self._bytes_left = size

    def readable(self) -> bool:
        """Say that it can be read, as `io.BufferedReader` asks."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read what has arrived, or wait for something until the deadline. 0 is the end."""
        if self._bytes_left is not None and self._bytes_left <= 0:
            raise RequestTooLargeError
        self._set_timeout()
        count = self.sock.recv_into(buffer)
        if self._bytes_left is not None:
            self._bytes_left -= count
        return count

    def send(self, data: bytes) -> None:
        """Write all of it until the deadline."""
        self._set_timeout()
        self.sock.sendall(data)

    def drain(self, seconds: float) -> None:
        """End our side and discard what the client still sends, for a bounded time.

        Closing with unread bytes makes the kernel reset the connection, which can take the answer with it.
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
    """Every open connection, at most a fixed number of them.

    When they are too many, the one that has kept us waiting longest makes room: idle and slow clients do not keep a
    scraper out. A client whose page is being made is never dropped for another.

    Args:
        limit: How many may be open.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Connection] = set()
        self._changed = threading.Condition()

    def admit(self, sock: socket.socket) -> Connection | None:
        """Take in an accepted socket, dropping another if need be; None when none can be dropped."""
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
        """Note that a connection begins a phase, also when it is the same one again."""
        with self._changed:
            connection.phase = phase
            connection.phase_began = time.monotonic()

    def release(self, connection: Connection) -> None:
        """Close a connection and forget it."""
        with self._changed:
            self._open.discard(connection)
            connection.close()
            connection.sock.close()
            self._changed.notify_all()

    def drop(self, highest: Phase) -> None:
        """Tell every connection in this phase or a lower one to end; its thread releases it."""
        with self._changed:
            for connection in self._open:
                if connection.phase <= highest:
                    _drop(connection)

    def wait_until_closed(self, seconds: float) -> bool:
        """Wait until all are released; False if some are not after that time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)


def _drop(connection: Connection) -> None:
    connection.dropped = True
    with contextlib.suppress(OSError):  # the client has ended it already
        connection.sock.shutdown(socket.SHUT_RDWR)
