"""HTTP server. A slow, hostile or broken client does not affect the responses to other clients."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack

from exporter.web.connections import ConnectionLimits
from exporter.web.endpoint import Endpoint
from exporter.web.event_loop import EventLoop
from exporter.web.listen import listen
from exporter.web.responder import Responder

_CLOSE_SECONDS = 0.2
_DEFAULT_LIMITS = ConnectionLimits()


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
            self._loop = EventLoop(list(zip(sockets, endpoints, strict=True)), Responder().respond, limits)
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
