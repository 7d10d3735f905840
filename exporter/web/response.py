"""Responses, what handlers are, and the head of a response on the wire."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

SERVER_NAME = "accelerator-exporter"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Response:
    """What a handler returns.

    Attributes:
        status: The HTTP status.
        content_type: The media type with its charset.
        body: The bytes; a HEAD request gets only their length. They are sent without a copy, so that all clients that
            get the same object share it.
        headers: Additional headers, names and values.
    """

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


# Its argument is the request's headers: names in lower case, repeated headers joined by commas.
Handler = Callable[[Mapping[str, str]], Response]


def plain_text(status: HTTPStatus, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A response with a line of text that begins with the status."""
    return Response(status, "text/plain; charset=utf-8", f"{status.value} {text}\n".encode(), headers)


def head(response: Response, unix_seconds: float, *, close: bool) -> bytes:
    """The status line and headers, with the empty line that ends them.

    Args:
        response: The response.
        unix_seconds: When it is made, for the `Date` header.
        close: Whether the connection is closed after it.
    """
    more = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
    return (
        f"HTTP/1.1 {response.status:d} {_PHRASES[response.status]}\r\n"
        f"Server: {SERVER_NAME}\r\n"
        f"Date: {_http_date(int(unix_seconds))}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"Connection: {'close' if close else 'keep-alive'}\r\n"
        f"{more}\r\n"
    ).encode("latin-1")


@lru_cache(1)
def _http_date(unix_seconds: int) -> str:
    """IMF-fixdate of RFC 9110, section 5.6.7; its names are English in every locale."""
    t = time.gmtime(unix_seconds)
    day = f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year}"
    return f"{day} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
