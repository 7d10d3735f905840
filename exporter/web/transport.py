"""How the bytes of one connection are received and sent, without waiting."""

import socket
from collections.abc import Sequence
from typing import Protocol

_RECEIVED_BYTES = 16 * 1024  # at once, and the most that pipelined requests keep beyond one head
_SEND_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class Transport(Protocol):
    """The bytes of one connection."""

    @property
    def sock(self) -> socket.socket:
        """The socket, for waiting and for closing."""

    def receive(self) -> bytes | None:
        """Return what has arrived, at most 16 KiB; None if there is nothing, empty bytes at the end.

        Raises:
            OSError: The connection has failed.
        """

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        """Send as much as the kernel accepts.

        Returns:
            The number of bytes; 0 if the kernel accepts nothing now. The next call must begin with the same bytes.

        Raises:
            OSError: The connection has failed.
        """


class PlainTransport:
    """The bytes of a TCP connection as they are.

    Args:
        sock: The accepted socket. It need not be non-blocking, which would be a further system call.

    Attributes:
        sock: The same.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def receive(self) -> bytes | None:
        """See `Transport`."""
        try:
            return self.sock.recv(_RECEIVED_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        """See `Transport`."""
        try:
            return self.sock.sendmsg(buffers, (), _SEND_FLAGS)
        except BlockingIOError:
            return 0
