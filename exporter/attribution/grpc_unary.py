"""Unary gRPC calls over a unix socket: one long-lived HTTP/2 connection, one call at a time, a deadline for each."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from exporter.attribution.grpc_reply import MessageDecoder, Reply
from exporter.attribution.rpc_error import (
    ChannelClosedError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    RpcError,
    StatusError,
)

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_WINDOW_BYTES = 1024 * 1024  # of flow control; returned to the peer as data arrives
_HEADER_LIST_BYTES = 64 * 1024
_RECEIVE_BYTES = 64 * 1024
_CHECK_SECONDS = 0.1  # how long a waiting call may take to notice a close
_LONGEST_TIMEOUT_MILLISECONDS = 99_999_999  # eight digits, the most that the header allows

_Inode = tuple[int, int]

T = TypeVar("T")


class _Limit:
    """The time that one call has left: until its deadline, or until the channel is closed."""

    def __init__(self, timeout_seconds: float, clock: Callable[[], float], closed: threading.Event) -> None:
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._closed = closed
        self._ends = clock() + timeout_seconds

    def seconds_left(self) -> float:
        """Return the seconds that are left, more than 0.

        Raises:
            DeadlineError: No time is left.
            ChannelClosedError: The channel has been closed.
        """
        if self._closed.is_set():
            raise ChannelClosedError("the channel is closed")
        left = self._ends - self._clock()
        if left <= 0:
            raise DeadlineError(f"no complete answer within {self._timeout_seconds:g} s")
        return left

    def wait_seconds(self) -> float:
        """Return how long to block before the clock and the channel are checked again."""
        return min(self.seconds_left(), _CHECK_SECONDS)


class _Http(H2Connection):
    """The HTTP/2 state. It remembers few closed streams: only the last calls can still receive late frames."""

    MAX_CLOSED_STREAMS = 16  # h2 remembers 65,536, one for each call: 7.5 MB after four days


class _Connection:
    """One connection: the socket, and the HTTP/2 state that belongs to it."""

    def __init__(self, path: Path) -> None:
        # Read before connecting: a file that is replaced in between is then detected as replaced.
        self.inode = _inode(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_CHECK_SECONDS)
            self._socket.connect(str(path))
        except (OSError, ValueError) as error:
            self._socket.close()
            raise ConnectError(f"cannot connect to {path}: {error}", getattr(error, "errno", None)) from error
        self._http = _Http(H2Configuration(client_side=True))
        self._http.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: _HEADER_LIST_BYTES,
            },
        )
        self._http.initiate_connection()
        self._http.increment_flow_control_window(_WINDOW_BYTES)

    def request(self, method: str, message: bytes, limit: _Limit) -> int:
        """Send a complete call; return the number of its stream."""
        milliseconds = min(max(1, int(limit.seconds_left() * 1000)), _LONGEST_TIMEOUT_MILLISECONDS)
        headers = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "accelerator-exporter"),
            ("grpc-timeout", f"{milliseconds}m"),
        )
        stream = self._http.get_next_available_stream_id()
        self._http.send_headers(stream, headers)
        self._http.send_data(stream, b"\0" + len(message).to_bytes(4) + message, end_stream=True)
        self._send(limit)
        return stream

    def receive(self, limit: _Limit) -> list[Event]:
        """Wait for bytes and return their events; return their flow-control window to the peer."""
        data = self._received(limit)
        if not data:
            raise ConnectionLostError("the peer closed the connection")
        events = self._http.receive_data(data)
        for event in events:
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        # A peer that closed the connection may have answered before: its answer counts. The next receive sees the end.
        with contextlib.suppress(ConnectionError):
            self._send(limit)
        return events

    def close(self) -> None:
        """Close the socket without a GOAWAY frame: the peer is the kubelet, or one that is not trusted."""
        self._socket.close()

    def _received(self, limit: _Limit) -> bytes:
        while True:
            self._socket.settimeout(limit.wait_seconds())
            try:
                return self._socket.recv(_RECEIVE_BYTES)
            except TimeoutError:
                continue

    def _send(self, limit: _Limit) -> None:
        waiting = memoryview(self._http.data_to_send())
        while waiting:
            self._socket.settimeout(limit.wait_seconds())
            try:
                waiting = waiting[self._socket.send(waiting) :]
            except TimeoutError:
                continue


class UnaryChannel:
    """Makes unary calls to the server behind a unix socket; connects when the first call needs it.

    Calls from several threads wait for each other. `close` may be called from any thread, also during a call.

    Args:
        path: The socket file. If it has been replaced since the last call, the channel connects to the new one.
        max_message_bytes: Size of the largest answer accepted.
        clock: Monotonic seconds.

    Attributes:
        connections: Number of connections made so far. If it increased during a call, the call used a new connection.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connections = 0
        self._path = path
        self._max_message_bytes = max_message_bytes
        self._clock = clock
        self._closed = threading.Event()
        self._busy = threading.Lock()
        self._connection: _Connection | None = None

    def call(self, method: str, request: bytes, timeout_seconds: float, decoder: Callable[[], MessageDecoder[T]]) -> T:
        """Make one call. It must be safe to repeat: it is repeated if an old connection turns out to be dead.

        Args:
            method: Such as `/v1.PodResourcesLister/List`.
            request: The serialized message, less than 16 KiB.
            timeout_seconds: For connecting, sending, the complete answer and the second try together.
            decoder: Creates the decoder of an answer; each try needs its own.

        Returns:
            The decoded answer.

        Raises:
            ConnectError: No connection to the socket can be made.
            ConnectionLostError: The connection broke, or the peer does not use HTTP/2.
            DeadlineError: The answer was not complete in time.
            TooLargeError: The answer is larger than allowed, or the decoder refused its content.
            DecodeError: The decoder cannot decode the answer.
            StatusError: The server reports that the call failed.
            ChannelClosedError: `close` was called.
            RpcError: The answer is not valid gRPC.
        """
        limit = _Limit(timeout_seconds, self._clock, self._closed)
        with self._busy:
            self._drop_if_replaced()
            reused = self._connection is not None
            reply = Reply(decoder(), self._max_message_bytes)
            try:
                return self._exchange(method, request, limit, reply)
            except ConnectionLostError:
                if not reused or reply.begun:
                    raise
            return self._exchange(method, request, limit, Reply(decoder(), self._max_message_bytes))

    def close(self) -> None:
        """Close the connection. A call in progress fails, and so do later calls. Safe to call twice."""
        self._closed.set()
        with self._busy:
            self._drop()

    def _exchange(self, method: str, request: bytes, limit: _Limit, reply: Reply[T]) -> T:
        """Try the call once. After any error except a status the connection is closed: its state is unknown."""
        try:
            return self._converse(method, request, limit, reply)
        except StatusError:
            raise
        except RpcError:
            self._drop()
            raise
        except (OSError, H2Error) as error:
            self._drop()
            raise ConnectionLostError(f"the connection broke: {error or type(error).__name__}") from error

    def _converse(self, method: str, request: bytes, limit: _Limit, reply: Reply[T]) -> T:
        connection = self._connected(limit)
        stream = connection.request(method, request, limit)
        while not reply.ended:
            for event in connection.receive(limit):
                if isinstance(event, ConnectionTerminated) and not reply.ended:
                    raise ConnectionLostError("the peer is closing the connection")
                if getattr(event, "stream_id", None) == stream and not reply.ended:
                    reply.receive(event)
        return reply.message()

    def _connected(self, limit: _Limit) -> _Connection:
        limit.seconds_left()
        if self._connection is None:
            self._connection = _Connection(self._path)
            self.connections += 1
        return self._connection

    def _drop_if_replaced(self) -> None:
        """A restarted server renames its socket over the old file; an old server that still runs is not called."""
        if self._connection is not None and _inode(self._path) not in (None, self._connection.inode):
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _inode(path: Path) -> _Inode | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
