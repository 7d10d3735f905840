"""The thread that serves all clients: it accepts, reads, answers and sends whatever can be done without waiting."""

import contextlib
import logging
import os
import select
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
_NEVER = float("inf")

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
        self._due = _NEVER  # nothing is due earlier
        self._accept_again_at = _NEVER
        self._end_at = _NEVER
        self._posted: deque[tuple[Connection, Request, Make]] = deque()
        self._waking = Lock()
        self._wake_up = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_closed = False
        # Not `selectors`, whose Python code takes longer than the system calls that it makes.
        self._epoll = select.epoll()
        self._epoll.register(self._wake_up, select.EPOLLIN)
        self._watched: dict[int, Connection | socket.socket] = {}
        for listening in self._listeners:
            _configure(listening)
            self._watch(listening, listening)

    def run(self) -> None:
        """Serve until `stop`, and for `shutdown_seconds` longer if responses are unsent; then close everything."""
        try:
            while not self.stopping.is_set():
                self._turn_guarded()
            self._epoll.unregister(self._wake_up)  # it stays readable
            self._stop_listening()
            self._end_at = self._due = time.monotonic() + self._limits.shutdown_seconds
            for connection in self.connections:
                if connection.phase is not Phase.SENDING:
                    self._close(connection)
            while self.connections and time.monotonic() < self._end_at:
                self._turn_guarded()
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
                self._epoll.close()
                os.close(self._wake_up)

    def _stop_listening(self) -> None:
        self._pause_accepting()
        for listening in self._listeners:
            listening.close()
        self._listeners = {}

    def _turn_guarded(self) -> None:
        try:
            self._turn()
        except Exception:  # noqa: BLE001  without this thread nobody is served
            _log.exception("serving HTTP failed; this is a bug in the exporter, please report it")
            time.sleep(_AFTER_BUG_SECONDS)

    def _turn(self) -> None:
        """Wait for something to do, then do it."""
        wait = self._due - time.monotonic()
        if wait <= 0:
            self._do_what_is_due()
        if wait <= 0 or self._waiting:
            wait = 0  # the next turn will
        ready = self._epoll.poll(None if wait == _NEVER else wait, len(self._watched) + 1)
        for fd, _ in ready:
            watched = self._watched.get(fd)  # nothing if it has been closed in this turn
            if isinstance(watched, Connection):
                self._guarded(self._continue_sending if watched.phase is Phase.SENDING else self._receive, watched)
            elif watched is not None:
                self._accept(watched, _ACCEPTED_AT_ONCE if len(ready) > 1 else 1)
            elif fd == self._wake_up:
                self._take_posted()
        for _ in range(len(self._waiting)):
            connection = self._waiting.popleft()
            connection.is_waiting = False
            self._guarded(self._answer_next, connection)

    def _watch(self, sock: socket.socket, watched: Connection | socket.socket) -> None:
        """Wait for a socket to become readable, as that of a connection or as a listening one."""
        fd = sock.fileno()
        self._epoll.register(fd, select.EPOLLIN)
        self._watched[fd] = watched

    def _unwatch(self, sock: socket.socket) -> None:
        """Do not wait for a socket any more; it may be that it is not waited for already."""
        fd = sock.fileno()
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _guarded(self, step: Callable[[Connection], object], connection: Connection) -> None:
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

    def _accept(self, listening: socket.socket, most: int) -> None:
        """Accept clients. If nothing else is ready, one is enough: the next turn comes at once if there are more.

        Most connect alone, and to find that nobody else is there takes 0.04 ms when the caches are cold.
        """
        endpoint = self._listeners[listening]
        for _ in range(most):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, ConnectionError, InterruptedError):
                return
            except OSError:  # out of file descriptors or memory: trying again at once would not end
                self._pause_accepting()
                self._accept_again_at = time.monotonic() + _ACCEPT_AGAIN_SECONDS
                self._due = min(self._due, self._accept_again_at)
                return
            try:
                transport = endpoint.transport(sock)
            except OSError:  # the client has disconnected before TLS began
                sock.close()
                continue
            connection = self._admit(transport, address, endpoint)
            self._guarded(self._receive, connection)  # before another one can take its place

    def _admit(self, transport: Transport, address: tuple[str, int], endpoint: Endpoint) -> Connection:
        now = time.monotonic()
        peer = peer_of(address[0])
        replaced = self.connections.to_close_for(peer, now)
        if replaced is not None:
            _log.debug("%s: connection closed for that of %s", replaced.address, address)
            self._close(replaced)
        connection = Connection(transport, address, peer, endpoint)
        self._watch(connection.sock, connection)
        self.connections.add(connection)
        self._begin(connection, Phase.RECEIVING, self._limits.request_seconds)
        return connection

    def _pause_accepting(self) -> None:
        for listening in self._listeners:
            self._unwatch(listening)
        self._accept_again_at = _NEVER

    def _resume_accepting(self) -> None:
        self._accept_again_at = _NEVER
        for listening in self._listeners:
            self._watch(listening, listening)

    def _receive(self, connection: Connection) -> None:
        if connection.is_waiting:  # for its turn, with requests that have arrived before
            return
        received = connection.transport.receive()
        if received is None:
            return
        if not received:
            self._close(connection)
        elif connection.phase is Phase.DRAINING:
            connection.discarded += len(received)
            if connection.discarded > _DRAIN_BYTES:  # the client still has time to read its response
                self._unwatch(connection.sock)
        else:
            begins = not connection.parser.unread
            connection.parser.feed(received)
            if not self._answer_next(connection) and begins:
                self._begin(connection, Phase.RECEIVING, self._limits.request_seconds)

    def _answer_next(self, connection: Connection) -> bool:
        """Answer a request; False if none has arrived completely."""
        try:
            request = connection.parser.next_request()
        except BadRequestError as error:
            self._refuse(connection, error.status)
            return True
        if request is None:
            return False
        response = self._respond(
            request, connection.endpoint, connection.peer, partial(self._post, connection, request)
        )
        if response is None:
            self._unwatch(connection.sock)  # nothing more is read meanwhile
            self._begin(connection, Phase.CHECKING, self._limits.check_seconds)
        else:
            self._finish(connection, request, response)
        return True

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
        self._watch(connection.sock, connection)
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
        if not connection.unsent:
            self._after_response(connection)
            return
        self._begin(connection, Phase.SENDING, self._limits.send_seconds)
        self._epoll.modify(connection.sock, select.EPOLLOUT)
        while (stalled := self.connections.to_close_for_memory(connection)) is not None:
            _log.debug("%s: connection closed: it does not read its response", stalled.address)
            self._close(stalled)

    def _continue_sending(self, connection: Connection) -> None:
        if connection.send():
            connection.since = time.monotonic()
        if not connection.unsent:
            self._epoll.modify(connection.sock, select.EPOLLIN)
            self._after_response(connection)

    def _after_response(self, connection: Connection) -> None:
        if connection.discards:
            # Closing with unread bytes makes the kernel reset the connection, and the client may lose the response.
            socket.socket.shutdown(connection.sock, socket.SHUT_WR)  # without an end of TLS, which the client may send
            self._begin(connection, Phase.DRAINING, _DRAIN_SECONDS)
        elif connection.ends or self.stopping.is_set():
            self._close(connection)
        elif not connection.parser.unread:
            self._begin(connection, Phase.IDLE, self._limits.idle_seconds)
        else:
            self._begin(connection, Phase.RECEIVING, self._limits.request_seconds)
            connection.is_waiting = True
            self._waiting.append(connection)

    def _begin(self, connection: Connection, phase: Phase, seconds: float) -> None:
        connection.begin(phase, time.monotonic(), seconds)
        self._due = min(self._due, connection.deadline)

    def _do_what_is_due(self) -> None:
        """End the connections whose deadline has passed, and accept again after a pause."""
        now = time.monotonic()
        if now >= self._accept_again_at:
            self._resume_accepting()
        for connection in self.connections:
            if connection.deadline <= now:
                self._guarded(self._end, connection)
        deadlines = [connection.deadline for connection in self.connections]
        self._due = min(*deadlines, self._accept_again_at, self._end_at)

    def _end(self, connection: Connection) -> None:
        if connection.phase is Phase.RECEIVING and connection.parser.unread:
            self._refuse(connection, HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection.is_open:
            connection.is_open = False
            self.connections.remove(connection)
            self._unwatch(connection.sock)
            connection.sock.close()
            if self._accept_again_at < _NEVER:
                self._accept_again_at = self._due = 0.0  # a file descriptor is free


def _configure(listening: socket.socket) -> None:
    """Set what accepted sockets inherit."""
    listening.settimeout(0)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
