"""HTTP server. A slow, hostile or broken client does not affect the responses to other clients."""

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus

from exporter.web.connections import ConnectionLimits
from exporter.web.event_loop import EventLoop
from exporter.web.listen import listen
from exporter.web.request import Request
from exporter.web.response import Handler, Response, plain_text

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 0.2
_DEFAULT_LIMITS = ConnectionLimits()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address to listen on, and what is served there.

    Attributes:
        listen_address: `:9410`, `host:port` or `[IPv6 address]:port`; port 0 lets the kernel choose.
        handlers: Path to handler. They are called one after the other in the server's thread, so they must not wait.
    """

    listen_address: str
    handlers: Mapping[str, Handler]


class Server:
    """Listens as soon as it is constructed, answers requests between `start` and `close`.

    Args:
        endpoints: Where it listens, at least one.
        limits: Limits on what clients may use, of all endpoints together.

    Raises:
        ListenError: An address is invalid or not available.
    """

    def __init__(self, endpoints: Sequence[Endpoint], limits: ConnectionLimits = _DEFAULT_LIMITS) -> None:
        with ExitStack() as on_error:
            sockets = [on_error.enter_context(listen(endpoint.listen_address)) for endpoint in endpoints]
            self._names = [sock.getsockname() for sock in sockets]
            served = [(sock, endpoint.handlers) for sock, endpoint in zip(sockets, endpoints, strict=True)]
            self._loop = EventLoop(served, Responder().respond, limits)
            on_error.pop_all()
        self._limits = limits
        self._thread: threading.Thread | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses it listens on, as host:port or [IPv6 address]:port, with ports that the kernel chose."""
        return tuple(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port, *_ in self._names)

    @property
    def open_connections(self) -> int:
        """Number of open connections."""
        return len(self._loop.connections)

    def start(self) -> None:
        """Start answering requests, in a separate thread."""
        thread = threading.Thread(target=self._loop.run, name="http", daemon=True)
        thread.start()
        self._thread = thread  # not one that failed to start: closing would wait for it for ever

    def close(self) -> None:
        """Stop within a second, `shutdown_seconds` of it for responses in progress. Safe to call twice."""
        if self._thread is None:
            self._loop.close()
        elif self._thread.is_alive():
            self._loop.stop()
            self._thread.join(self._limits.shutdown_seconds + _CLOSE_SECONDS)
            if self._thread.is_alive():
                self._loop.cut_off()


class Responder:
    """Finds the handler for a request and calls it. Only GET and HEAD are answered, and only for known paths."""

    def __init__(self) -> None:
        self._failed_paths: set[str] = set()

    def respond(self, request: Request, handlers: Mapping[str, Handler]) -> Response:
        """Answer a request; with status 500 if its handler raises.

        Args:
            request: The request.
            handlers: Path to handler.
        """
        handler = handlers.get(request.path)
        if handler is None:
            return plain_text(HTTPStatus.NOT_FOUND, "page not found")
        if request.method not in ("GET", "HEAD"):
            allow = (("Allow", "GET, HEAD"),)
            return plain_text(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed, use GET or HEAD", allow)
        try:
            return handler(request.headers)
        except Exception as error:  # noqa: BLE001  an error in a handler must fail one response, not the server
            self._log_failure(request.path, error)
            return plain_text(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error, see the exporter's log")

    def _log_failure(self, path: str, error: Exception) -> None:
        """Log that a handler raised: with a traceback the first time for its path, one line after that."""
        first = path not in self._failed_paths
        self._failed_paths.add(path)
        text = "request for %s failed: %s: %s; this is a bug in the exporter, please report it"
        _log.error(text, path, type(error).__name__, error, exc_info=error if first else None)
