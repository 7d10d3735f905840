"""Answers requests: whether a client may get an answer, the handler for the path, what is logged if it fails."""

import logging
from collections.abc import Callable, Mapping
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


class Responder:
    """Finds the handler for a request and calls it. Only GET and HEAD are answered, and only for known paths."""

    def __init__(self) -> None:
        self._failed_paths: set[str] = set()

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
        """Log that a handler raised: with a traceback the first time for its path, one line after that."""
        first = path not in self._failed_paths
        self._failed_paths.add(path)
        text = "request for %s failed: %s: %s; this is a bug in the exporter, please report it"
        _log.error(text, path, type(error).__name__, error, exc_info=error if first else None)
