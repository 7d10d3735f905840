"""HTTP server. A slow, hostile or broken client does not affect the responses to other clients."""

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
_POLL_SECONDS = 0.1  # how often the accepting thread checks whether to stop
_CLOSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Response:
    """What a handler returns.

    Attributes:
        status: The HTTP status.
        content_type: The media type with its charset.
        body: The bytes; a HEAD request gets only their length.
        headers: Additional headers, names and values.
    """

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


# Its argument is the request's headers: names in lower case, repeated headers joined by commas.
Handler = Callable[[Mapping[str, str]], Response]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on what clients may use.

    Attributes:
        connections: Maximum number of open connections; `Connections` says which one is closed when more arrive.
        request_bytes: Maximum size of the request line and headers together.
        request_seconds: From a request's first byte to the end of its headers; also from connecting to the first byte.
        idle_seconds: From one request to the next. Longer than usual scrape intervals.
        send_seconds: For sending the whole response.
        shutdown_seconds: For responses in progress when the server is closed.
    """

    connections: int = 64
    request_bytes: int = 64 * 1024
    request_seconds: float = 10.0
    idle_seconds: float = 150.0
    send_seconds: float = 30.0
    shutdown_seconds: float = 0.5


_DEFAULT_LIMITS = ConnectionLimits()


class Server:
    """Listens as soon as it is constructed, answers requests between `start` and `close`.

    Args:
        listen_address: `:9410`, `host:port` or `[IPv6 address]:port`; port 0 lets the kernel choose.
        handlers: Path to handler. A handler is called in the client's thread; several can run at once.
        limits: Limits on what clients may use.

    Raises:
        ListenError: The address is invalid or not available.
    """

    def __init__(
        self, listen_address: str, handlers: Mapping[str, Handler], limits: ConnectionLimits = _DEFAULT_LIMITS
    ) -> None:
        self._listener = _Listener(listen(listen_address), handlers, limits)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on, including one that the kernel chose."""
        return int(self._listener.server_address[1])

    @property
    def address(self) -> str:
        """The address it listens on, as host:port or [IPv6 address]:port."""
        host = str(self._listener.server_address[0])
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def start(self) -> None:
        """Start answering requests, in a separate thread."""
        thread = threading.Thread(target=self._listener.serve_forever, args=(_POLL_SECONDS,), name="http", daemon=True)
        thread.start()
        self._thread = thread  # not one that failed to start: closing would wait for it for ever

    def close(self) -> None:
        """Stop within a second, `shutdown_seconds` of it for responses in progress. Safe to call twice."""
        if self._thread is not None:
            self._listener.shutdown()
            self._thread.join()
            self._thread = None
        self._listener.close_all()


class _Listener(socketserver.TCPServer):
    """Accepts connections and starts a thread for each."""

    def __init__(self, listening: socket.socket, handlers: Mapping[str, Handler], limits: ConnectionLimits) -> None:
        # TCPServer.__init__ would open a second socket.
        socketserver.BaseServer.__init__(self, listening.getsockname(), _RequestHandler)
        self.socket = listening
        self.handlers = handlers
        self.limits = limits
        self.connections = Connections(limits.connections)
        self.closing = threading.Event()
        self._failed_paths: set[str] = set()

    def process_request(self, request: object, client_address: object) -> None:
        """Serve an accepted socket in a thread, or reject it."""
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
        """Accept a connection; after a failure, pause so that the thread does not spin."""
        try:
            return super().get_request()
        except OSError:
            self.closing.wait(_POLL_SECONDS)
            raise

    def log_failure(self, path: str, error: Exception) -> None:
        """Log that a handler raised: with a traceback the first time for its path, one line after that."""
        first = path not in self._failed_paths
        self._failed_paths.add(path)
        text = "request for %s failed: %s: %s; this is a bug in the exporter, please report it"
        _log.error(text, path, type(error).__name__, error, exc_info=error if first else None)

    def close_all(self) -> None:
        """Stop listening, wait a bounded time for responses in progress, close every connection."""
        self.closing.set()
        self.server_close()
        self.connections.drop(Phase.RECEIVING)
        if not self.connections.wait_until_closed(self.limits.shutdown_seconds):
            self.connections.drop(Phase.WORKING)
            self.connections.wait_until_closed(_CLOSE_SECONDS)

    def _serve(self, connection: Connection, client_address: object) -> None:
        try:
            _RequestHandler(connection, client_address, self)
        except Exception:  # noqa: BLE001  a bug must be logged and the connection released
            _log.exception("connection from %s failed; this is a bug in the exporter, please report it", client_address)
        finally:
            self.connections.release(connection)


class _RequestHandler(BaseHTTPRequestHandler):
    """One client's requests, one after the other. Only the parsing of the base class is used."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def __init__(self, connection: Connection, client_address: object, server: _Listener) -> None:
        self._client = connection
        super().__init__(connection.sock, client_address, server)

    def setup(self) -> None:
        """Read through a buffer that keeps pipelined requests."""
        self.rfile = self._reader = io.BufferedReader(self._client)
        self._receive_seconds = self.server.limits.request_seconds
        self._unread = False

    def finish(self) -> None:
        """Drain a client that may still be sending, so that it can read the response."""
        if self._unread:
            self.server.connections.set_phase(self._client, Phase.RECEIVING)
            self._client.drain(_DRAIN_SECONDS)

    def handle_one_request(self) -> None:
        """Answer one request; sets `close_connection` unless another request may follow."""
        self.command, self.requestline, self.close_connection = "", "", True
        try:
            if self._receive():
                self._send(self._respond())
                self._receive_seconds = self.server.limits.idle_seconds
        except OSError as error:  # the client disconnected, was too slow, or was dropped for another
            self.close_connection = True
            _log.debug("%s: connection ended: %s", self.client_address, error)

    def handle_expect_100(self) -> bool:
        """Send no 100 Continue: request bodies are never read."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Reject a request that cannot be parsed, and close the connection.

        Args:
            code: The status.
            message: The base class's reason; only for the log, because it contains bytes from the client.
            explain: More details, also only for the log.
        """
        _log.debug("%s: bad request: %s %s", self.client_address, message, explain)
        self.close_connection = True
        self._unread = True
        self._send(_plain_text(HTTPStatus(code), HTTPStatus(code).phrase))

    def _receive(self) -> bool:
        """Wait for a request and read it; False if there is no request to answer."""
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
        except Exception as error:  # noqa: BLE001  an error in a handler must fail one response, not the server
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
    """The path of a request's target, without its query; empty if it has none."""
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
    """Send 503 to a client, without waiting for it."""
    busy = _plain_text(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", (("Retry-After", "1"),))
    with contextlib.suppress(OSError):
        sock.settimeout(0)
        sock.send(_head(busy, close=True) + busy.body)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(_LONGEST_REQUEST_LINE)  # closing with unread bytes would reset the connection
    sock.close()
