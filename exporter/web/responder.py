"""Answers requests: whether a client may get an answer, the handler for the path, what is logged if it fails."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from exporter.web.access import Access, refusal
from exporter.web.endpoint import Endpoint
from exporter.web.request import Request
from exporter.web.response import Handler, Response, plain_text

if TYPE_CHECKING:
    from exporter.web.protection import Protection

_log = logging.getLogger(__name__)

_LOG_AGAIN_SECONDS = 60.0


@dataclass(slots=True)
class _Failures:
    """The failures of one page.

    Attributes:
        logged_at: Monotonic seconds of the last one that was logged.
        unlogged: Number of those since.
    """

    logged_at: float
    unlogged: int = 0


class Responder:
    """Finds the handler for a request and calls it. Only GET and HEAD are answered, and only for known paths.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, _Failures] = {}

    def respond(
        self, request: Request, endpoint: Endpoint, peer: bytes, later: Callable[[Callable[[], Response]], None]
    ) -> Response | None:
        """Answer a request; with status 500 if its handler raises.

        Args:
            request: The request.
            endpoint: Where it was received.
            peer: The client.
            later: Called by another thread if the result is None, with a function that makes the response.
        """
        if endpoint.protection is None:
            return self._answer(request, endpoint.handlers)
        protection = endpoint.protection()
        answer = partial(self._answer_allowed, request, endpoint.handlers, protection)
        authorization = request.headers.get("authorization", "")
        access = protection.check(request.path, authorization, peer, lambda access: later(partial(answer, access)))
        return None if access is None else answer(access)

    def _answer_allowed(
        self, request: Request, handlers: Mapping[str, Handler], protection: "Protection", access: Access
    ) -> Response:
        """Answer a request if it may be answered."""
        return protection.with_headers(refusal(access) or self._answer(request, handlers))

    def _answer(self, request: Request, handlers: Mapping[str, Handler]) -> Response:
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
        """Log that a handler raised, once a minute for its path: repeated requests must not fill the disk.

        The first line has a traceback.
        """
        now, before = self._clock(), self._failures.get(path)
        if before is not None and now - before.logged_at < _LOG_AGAIN_SECONDS:
            before.unlogged += 1
            return
        self._failures[path] = _Failures(now)
        unlogged = f" ({before.unlogged} more requests have failed since the last such line)" if before else ""
        text = "request for %s failed%s: %s: %s; this is a bug in the exporter, please report it"
        _log.error(text, path, unlogged, type(error).__name__, error, exc_info=None if before else error)
