"""The thread that serves all clients: it accepts, reads, answers and sends whatever can be done without waiting."""

import contextlib
import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from threading import Event, Lock

from exporter.web.connections import Connection, ConnectionLimits, Connections, Phase, peer_of
from exporter.web.endpoint import Endpoint
from exporter.web.request import BadRequestError, Request
from exporter.web.response import Response, head, plain_text
from exporter.web.transport import Transport

_log = logging.getLogger(__name__)

_KERNEL_BYTES = 128 * 1024  # of each response; the kernel doubles it, and it counts as memory of the container
_ACCEPTED_AT_ONCE = 16  # then those already there get their turn
_DRAIN_SECONDS = 1.0
_DRAIN_BYTES = 256 * 1024  # more than a head: whoever sends endlessly must not keep the thread busy
_ACCEPT_AGAIN_SECONDS = 0.1
_AFTER_BUG_SECONDS = 0.1

# Makes a response; it is called in the thread of the loop.
Make = Callable[[], Response]
# Answers a request. Its arguments are the request, what the listener serves, the peer, and a function that takes the
# answer from another thread if the result is None.
Respond = Callable[[Request, Endpoint, bytes, Callable[[Make], None]], Response | None]


class EventLoop:
    """Serves the clients of some listening sockets. All methods but `stop` and `cut_off` belong to one thread.

    Each client has one response at a time. While part of it is unsent nothing more is read from the client, and the
    turn of a client ends with each response, so that neither its memory nor the time it takes from others depends on
    how much it sends.

    Args:
        listeners: Listening sockets, each with what it serves. Closed by `run`.
        respond: Answers a request. It is called in this thread, so it must not wait for anything.
        limits: Limits on what clients may use.

    Attributes:
        stopping: Set once the end has been requested.
        connections: All open connections.
    """

    def __init__(
        self,
        listeners: Sequence[tuple[socket.socket, Endpoint]],
        respond: Respond,
        limits: ConnectionLimits,
    ) -> None:
        self.stopping = Event()
        self.connections = Connections(limits)
        self._respond = respond
        self._limits = limits
        self._listeners = dict(listeners)
        self._waiting: deque[Connection] = deque()
        self._nearest = float("inf")  # no deadline is earlier
        self._accept_again: float | None = None
        self._posted: deque[tuple[Connection, Request, Make]] = deque()
        self._waking = Lock()
        self._wake_up = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_closed = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_up, selectors.EVENT_READ)
        for listening in self._listeners:
            _configure(listening)
            self._selector.register(listening, selectors.EVENT_READ, listening)

    def run(self) -> None:
        """Serve until `stop`, and for `shutdown_seconds` longer if responses are unsent; then close everything."""
        try:
            while not self.stopping.is_set():
                self._turn_guarded(float("inf"))
            self._selector.unregister(self._wake_up)  # it stays readable
            self._stop_listening()
            end = time.monotonic() + self._limits.shutdown_seconds
            for connection in self.connections:
                if connection.phase is not Phase.SENDING:
                    self._close(connection)
            while self.connections and time.monotonic() < end:
                self._turn_guarded(end)
        finally:
            self.close()

    def stop(self) -> None:
        """Request the end. Safe to call from any thread, at any time."""
        self.stopping.set()
        with self._waking:
            if not self._is_closed:
                os.eventfd_write(self._wake_up, 1)

    def cut_off(self) -> None:
        """End all connections from another thread, while a handler keeps this one from doing it."""
        for sock in [connection.sock for connection in self.connections] + list(self._listeners):
            with contextlib.suppress(OSError):  # already disconnected, or closed
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not that of a TLS socket, which belongs to this thread

    def close(self) -> None:
        """Close all sockets. Safe to call twice."""
        self._stop_listening()
        for connection in self.connections:
            self._close(connection)
        with self._waking:
            if not self._is_closed:
                self._is_closed = True
                self._selector.close()
                os.close(self._wake_up)

    def _stop_listening(self) -> None:
        self._pause_accepting()
        for listening in self._listeners:
            listening.close()
        self._listeners = {}

    def _turn_guarded(self, end: float) -> None:
        try:
            self._turn(end)
        except Exception:  # noqa: BLE001  without this thread nobody is served
            _log.exception("serving HTTP failed; this is a bug in the exporter, please report it")
            time.sleep(_AFTER_BUG_SECONDS)

    def _turn(self, end: float) -> None:
        """Wait for something to do, but not beyond a time by the monotonic clock; then do it."""
        for key, events in self._selector.select(self._timeout(end)):
            if isinstance(key.data, Connection):
                self._guarded(self._continue_sending if events & selectors.EVENT_WRITE else self._receive, key.data)
            elif key.data is not None:
                self._accept(key.data)
            else:
                self._take_posted()
        for _ in range(len(self._waiting)):
            connection = self._waiting.popleft()
            connection.is_waiting = False
            self._guarded(self._answer_next, connection)
        now = time.monotonic()
        if now >= self._nearest:
            self._end_late(now)
        if self._accept_again is not None and now >= self._accept_again:
            self._resume_accepting()

    def _timeout(self, end: float) -> float | None:
        if self._waiting:
            return 0
        nearest = min(self._nearest, end, float("inf") if self._accept_again is None else self._accept_again)
        return None if nearest == float("inf") else max(0, nearest - time.monotonic())

    def _guarded(self, step: Callable[[Connection], None], connection: Connection) -> None:
        """Do something for a connection, unless it has been closed; whatever fails ends only this connection."""
        try:
            if connection.is_open:
                step(connection)
        except OSError as error:  # the client has disconnected
            _log.debug("%s: connection ended: %s", connection.address, error)
            self._close(connection)
        except Exception:  # noqa: BLE001  a bug must not end the thread
            text = "connection from %s failed; this is a bug in the exporter, please report it"
            _log.exception(text, connection.address)
            self._close(connection)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, ConnectionError, InterruptedError):
                return
            except OSError:  # out of file descriptors or memory: trying again at once would not end
                self._pause_accepting()
                self._accept_again = time.monotonic() + _ACCEPT_AGAIN_SECONDS
                return
            sock.settimeout(0)
            try:
                transport = self._listeners[listening].transport(sock)
            except OSError:  # the client has disconnected before TLS began
                sock.close()
                continue
            connection = self._admit(transport, address, self._listeners[listening])
            self._guarded(self._receive, connection)  # before another one can take its place

    def _admit(self, transport: Transport, address: tuple[str, int], endpoint: Endpoint) -> Connection:
        now = time.monotonic()
        peer = peer_of(address[0])
        replaced = self.connections.to_close_for(peer, now)
        if replaced is not None:
            _log.debug("%s: connection closed for that of %s", replaced.address, address)
            self._close(replaced)
        connection = Connection(transport, address, peer, endpoint)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        self.connections.add(connection)
        self._begin(connection, Phase.RECEIVING, self._limits.request_seconds)
        return connection

    def _pause_accepting(self) -> None:
        for listening in self._listeners:
            with contextlib.suppress(KeyError):  # paused already
                self._selector.unregister(listening)
        self._accept_again = None

    def _resume_accepting(self) -> None:
        self._accept_again = None
        for listening in self._listeners:
            self._selector.register(listening, selectors.EVENT_READ, listening)

    def _receive(self, connection: Connection) -> None:
        if connection.is_waiting:  # for its turn, with requests that have arrived before
            return
        received = connection.receive()
        if received is None:
            return
        if not received:
            self._close(connection)
        elif connection.phase is Phase.DRAINING:
            connection.discarded += len(received)
            if connection.discarded > _DRAIN_BYTES:  # the client still has time to read its response
                self._selector.unregister(connection.sock)
        else:
            if connection.parser.is_empty:
                self._begin(connection, Phase.RECEIVING, self._limits.request_seconds)
            connection.parser.feed(received)
            self._answer_next(connection)

    def _answer_next(self, connection: Connection) -> None:
        """Answer a request, if one has arrived completely."""
        try:
            request = connection.parser.next_request()
        except BadRequestError as error:
            self._refuse(connection, error.status)
            return
        if request is None:
            return
        response = self._respond(
            request, connection.endpoint, connection.peer, partial(self._post, connection, request)
        )
        if response is None:
            self._selector.unregister(connection.sock)  # nothing more is read meanwhile
            self._begin(connection, Phase.CHECKING, self._limits.check_seconds)
        else:
            self._finish(connection, request, response)

    def _post(self, connection: Connection, request: Request, make: Make) -> None:
        """Take an answer from another thread."""
        with self._waking:
            if not self._is_closed:
                self._posted.append((connection, request, make))
                os.eventfd_write(self._wake_up, 1)

    def _take_posted(self) -> None:
        os.eventfd_read(self._wake_up)
        while self._posted:
            connection, request, make = self._posted.popleft()
            self._guarded(partial(self._resume, request=request, make=make), connection)

    def _resume(self, connection: Connection, request: Request, make: Make) -> None:
        """Continue with a request that has waited for its answer."""
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        self._finish(connection, request, make())

    def _finish(self, connection: Connection, request: Request, response: Response) -> None:
        connection.discards = request.has_body
        connection.ends = request.has_body or not request.keeps_connection or self.stopping.is_set()
        self._send(connection, response, with_body=request.method != "HEAD")
        _log.debug("%s: %r %d", connection.address, request.line, response.status)

    def _refuse(self, connection: Connection, status: HTTPStatus) -> None:
        _log.debug("%s: bad request: %d", connection.address, status)
        connection.ends = connection.discards = True
        self._send(connection, plain_text(status, status.phrase))

    def _send(self, connection: Connection, response: Response, *, with_body: bool = True) -> None:
        start = head(response, time.time(), close=connection.ends)
        connection.set_response(start, response.body if with_body else b"")
        connection.send()
        if connection.is_sent:
            self._after_response(connection)
            return
        self._begin(connection, Phase.SENDING, self._limits.send_seconds)
        self._selector.modify(connection.sock, selectors.EVENT_WRITE, connection)
        while (stalled := self.connections.to_close_for_memory(connection)) is not None:
            _log.debug("%s: connection closed: it does not read its response", stalled.address)
            self._close(stalled)

    def _continue_sending(self, connection: Connection) -> None:
        if connection.send():
            connection.since = time.monotonic()
        if connection.is_sent:
            self._selector.modify(connection.sock, selectors.EVENT_READ, connection)
            self._after_response(connection)

    def _after_response(self, connection: Connection) -> None:
        if connection.discards:
            # Closing with unread bytes makes the kernel reset the connection, and the client may lose the response.
            socket.socket.shutdown(connection.sock, socket.SHUT_WR)  # without an end of TLS, which the client may send
            self._begin(connection, Phase.DRAINING, _DRAIN_SECONDS)
        elif connection.ends or self.stopping.is_set():
            self._close(connection)
        elif connection.parser.is_empty:
            self._begin(connection, Phase.IDLE, self._limits.idle_seconds)
        else:
            self._begin(connection, Phase.RECEIVING, self._limits.request_seconds)
            connection.is_waiting = True
            self._waiting.append(connection)

    def _begin(self, connection: Connection, phase: Phase, seconds: float) -> None:
        connection.begin(phase, time.monotonic(), seconds)
        self._nearest = min(self._nearest, connection.deadline)

    def _end_late(self, now: float) -> None:
        """End the connections whose deadline has passed."""
        for connection in self.connections:
            if connection.deadline <= now:
                self._guarded(self._end, connection)
        self._nearest = min((connection.deadline for connection in self.connections), default=float("inf"))

    def _end(self, connection: Connection) -> None:
        if connection.phase is Phase.RECEIVING and not connection.parser.is_empty:
            self._refuse(connection, HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection.is_open:
            connection.is_open = False
            self.connections.remove(connection)
            with contextlib.suppress(KeyError):  # nothing is read from it at the moment
                self._selector.unregister(connection.sock)
            connection.sock.close()
            if self._accept_again is not None:
                self._accept_again = 0.0  # a file descriptor is free


def _configure(listening: socket.socket) -> None:
    """Set what accepted sockets inherit."""
    listening.settimeout(0)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
