"""Serves pages over HTTP. A slow, hostile or broken client costs nobody else an answer."""

import contextlib
import io
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from exporter.web.connections import Connection, Connections, Phase, RequestTooLargeError
from exporter.web.listen import listen

_log = logging.getLogger(__name__)

_LONGEST_REQUEST_LINE = 8192
_DRAIN_SECONDS = 1.0
_POLL_SECONDS = 0.1  # how late the accepting thread may notice that it shall end
_CLOSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Response:
    """What a page answers.

    Attributes:
        status: The HTTP status.
        content_type: The media type, with its charset.
        body: The bytes; left out for HEAD, their length is still told.
        headers: Further headers, names and values.
    """

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


# Gets the request's headers, names in lower case, repeated ones joined by commas.
Handler = Callable[[Mapping[str, str]], Response]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What clients may take.

    Attributes:
        connections: Open at once; see `Connections` for who goes when more come.
        request_bytes: Size of a request's line and headers together.
        request_seconds: From a request's first byte to the end of its headers; also from connecting to the first byte.
        idle_seconds: From one request to the next. Longer than usual scrape intervals.
        send_seconds: For the client to take the whole answer.
        shutdown_seconds: For answers under way when the server is closed.
    """

    connections: int = 64
    request_bytes: int = 64 * 1024
    request_seconds: float = 10.0
    idle_seconds: float = 150.0
    send_seconds: float = 30.0
    shutdown_seconds: float = 0.5


_DEFAULT_LIMITS = ConnectionLimits()


class Server:
    """Listens from the moment it is made, answers from `start` to `close`.

    Args:
        listen_address: `:9410`, `host:port` or `[IPv6 address]:port`; port 0 lets the kernel choose.
        handlers: Path to handler. A handler is called by the client's thread; several can run at once.
        limits: What clients may take.

    Raises:
        ListenError: The address is malformed or cannot be had.
    """

    def __init__(
        self, listen_address: str, handlers: Mapping[str, Handler], limits: ConnectionLimits = _DEFAULT_LIMITS
    ) -> None:
        self._listener = _Listener(listen(listen_address), handlers, limits)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on, also when the kernel chose it."""
        return int(self._listener.server_address[1])

    @property
    def address(self) -> str:
        """The address it listens on, as host:port or [IPv6 address]:port."""
        host = str(self._listener.server_address[0])
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def start(self) -> None:
        """Begin to answer, in a thread of its own."""
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(_POLL_SECONDS,), name="http", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop within a second: answers under way get `shutdown_seconds` of it. Safe to call twice."""
        if self._thread is not None:
            self._listener.shutdown()
            self._thread.join()
            self._thread = None
        self._listener.close_all()


class _Listener(socketserver.TCPServer):
    """Accepts connections and gives each a thread."""

    def __init__(self, listening: socket.socket, handlers: Mapping[str, Handler], limits: ConnectionLimits) -> None:
        # TCPServer's own __init__ would open a second socket.
        socketserver.BaseServer.__init__(self, listening.getsockname(), _RequestHandler)
        self.socket = listening
        self.handlers = handlers
        self.limits = limits
        self.connections = Connections(limits.connections)
        self.closing = threading.Event()
        self._failed_paths: set[str] = set()

    def process_request(self, request: object, client_address: object) -> None:
        """Serve an accepted socket in a thread, or turn it away."""
        if not isinstance(request, socket.socket):
            raise TypeError(f"expected a socket, got {request!r}")
        connection = self.connections.admit(request)
        if connection is None:
            _reject(request)
            return
        try:
            threading.Thread(
                target=self._serve, args=(connection, client_address), name="http-client", daemon=True
            ).start()
        except RuntimeError as error:
            _log.error("cannot start a thread for an HTTP client: %s; raise the process limit", error)
            self.connections.release(connection)

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection; where that fails, wait a little so as not to fail again at once."""
        try:
            return super().get_request()
        except OSError:
            self.closing.wait(_POLL_SECONDS)
            raise

    def log_failure(self, path: str, error: Exception) -> None:
        """Log that a page raised: a traceback the first time, one line each time after."""
        first = path not in self._failed_paths
        self._failed_paths.add(path)
        text = "request for %s failed: %s: %s; this is a bug in the exporter, please report it"
        _log.error(text, path, type(error).__name__, error, exc_info=error if first else None)

    def close_all(self) -> None:
        """Stop listening, let answers under way finish for a bounded time, end every connection."""
        self.closing.set()
        self.server_close()
        self.connections.drop(Phase.RECEIVING)
        if not self.connections.wait_until_closed(self.limits.shutdown_seconds):
            self.connections.drop(Phase.WORKING)
            self.connections.wait_until_closed(_CLOSE_SECONDS)

    def _serve(self, connection: Connection, client_address: object) -> None:
        try:
            _RequestHandler(connection, client_address, self)
        except Exception:  # noqa: BLE001  a bug in serving one client must not end its thread unlogged and unreleased
            _log.exception("connection from %s failed; this is a bug in the exporter, please report it", client_address)
        finally:
            self.connections.release(connection)


class _RequestHandler(BaseHTTPRequestHandler):
    """One client's requests, one after the other. The base class parses them; the rest of it is not used."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def __init__(self, connection: Connection, client_address: object, server: _Listener) -> None:
        self._client = connection
        super().__init__(connection.sock, client_address, server)

    def setup(self) -> None:
        """Read through a buffer, so that requests sent ahead of their answers are kept."""
        self.rfile = self._reader = io.BufferedReader(self._client)
        self._receive_seconds = self.server.limits.request_seconds
        self._unread = False

    def finish(self) -> None:
        """Leave a client that may still be sending in a way that lets it read the answer."""
        if self._unread:
            self.server.connections.set_phase(self._client, Phase.RECEIVING)
            self._client.drain(_DRAIN_SECONDS)

    def handle_one_request(self) -> None:
        """Answer one request; sets `close_connection` unless another may follow."""
        self.command, self.requestline, self.close_connection = "", "", True
        try:
            if self._receive():
                self._send(self._respond())
                self._receive_seconds = self.server.limits.idle_seconds
        except OSError as error:  # the client left, was too slow, or was dropped for another
            self.close_connection = True
            _log.debug("%s: connection ended: %s", self.client_address, error)

    def handle_expect_100(self) -> bool:
        """Send no 100: no body is ever read."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request that cannot be read, and end the connection.

        Args:
            code: The status.
            message: What the base class found; for the log, as it repeats the client's bytes.
            explain: More of the same.
        """
        _log.debug("%s: bad request: %s %s", self.client_address, message, explain)
        self.close_connection = True
        self._unread = True
        self._send(_plain_text(HTTPStatus(code), HTTPStatus(code).phrase))

    def _receive(self) -> bool:
        """Wait for a request and read it; False if there is none to answer."""
        limits = self.server.limits
        self.server.connections.set_phase(self._client, Phase.RECEIVING)
        self._client.set_limits(self._receive_seconds)
        if not self._reader.peek(1):
            return False
        self.server.connections.set_phase(self._client, Phase.RECEIVING)
        self._client.set_limits(limits.request_seconds, limits.request_bytes)
        try:
            self.raw_requestline = self._reader.readline(_LONGEST_REQUEST_LINE + 1)
            if len(self.raw_requestline) <= _LONGEST_REQUEST_LINE:
                return self.parse_request()
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        except RequestTooLargeError:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except TimeoutError:
            self.send_error(HTTPStatus.REQUEST_TIMEOUT)
        return False

    def _respond(self) -> Response:
        self.server.connections.set_phase(self._client, Phase.WORKING)
        if "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0":
            self.close_connection = self._unread = True
        path = _request_path(self.path)
        handler = self.server.handlers.get(path)
        if handler is None:
            return _plain_text(HTTPStatus.NOT_FOUND, "page not found")
        if self.command not in {"GET", "HEAD"}:
            allow = (("Allow", "GET, HEAD"),)
            return _plain_text(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed, use GET or HEAD", allow)
        try:
            return handler(_lower_case(self.headers.items()))
        except Exception as error:  # noqa: BLE001  whatever a page raises is one answer's failure, not the server's
            self.server.log_failure(path, error)
            return _plain_text(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error, see the exporter's log")

    def _send(self, response: Response) -> None:
        self.server.connections.set_phase(self._client, Phase.SENDING)
        self.close_connection = self.close_connection or self.server.closing.is_set()
        head = _head(response, close=self.close_connection)
        self._client.set_limits(self.server.limits.send_seconds)
        self._client.send(head if self.command == "HEAD" else head + response.body)
        _log.debug("%s: %r %d", self.client_address, self.requestline, response.status)


def _request_path(target: str) -> str:
    """The path of a request's target, without its query; empty where it has none."""
    try:
        return urlsplit(target).path
    except ValueError:
        return ""


def _lower_case(headers: list[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        merged[key] = f"{merged[key]}, {value}" if key in merged else value
    return merged


def _plain_text(status: HTTPStatus, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(status, "text/plain; charset=utf-8", f"{status.value} {text}\n".encode(), headers)


def _head(response: Response, *, close: bool) -> bytes:
    fields = (
        ("Server", "accelerator-exporter"),
        ("Date", formatdate(usegmt=True)),
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close" if close else "keep-alive"),
        *response.headers,
    )
    lines = (f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}", *(f"{n}: {v}" for n, v in fields))
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _reject(sock: socket.socket) -> None:
    """Tell a client that there are too many, without waiting for it."""
    busy = _plain_text(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", (("Retry-After", "1"),))
    with contextlib.suppress(OSError):
        sock.settimeout(0)
        sock.send(_head(busy, close=True) + busy.body)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(_LONGEST_REQUEST_LINE)  # closing with unread bytes would reset the connection
    sock.close()
