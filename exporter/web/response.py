"""Responses, what handlers are, and the head of a response on the wire."""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

SERVER_NAME = "accelerator-exporter"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY_SECONDS = 24 * 3600
_KEPT = 16  # more than there are pages, and kinds of each
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Response(NamedTuple):
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
    days, seconds = divmod(int(unix_seconds), _DAY_SECONDS)
    connection = "close" if close else "keep-alive"
    start = _until_the_time(response.status, response.content_type, response.headers, connection, days)
    time_of_day = (seconds // 3600, seconds // 60 % 60, seconds % 60)
    return b"%b %02d:%02d:%02d GMT\r\nContent-Length: %d\r\n\r\n" % (start, *time_of_day, len(response.body))


@lru_cache(_KEPT)
def _until_the_time(
    status: int, content_type: str, headers: tuple[tuple[str, str], ...], connection: str, unix_days: int
) -> bytes:
    """The part of a head that stays the same for a day. It ends with the day in the `Date` header.

    The date has the form of RFC 9110, section 5.6.7; its names are English in every locale.
    """
    more = "".join(f"{name}: {value}\r\n" for name, value in headers)
    t = time.gmtime(unix_days * _DAY_SECONDS)
    return (
        f"HTTP/1.1 {status:d} {_PHRASES[status]}\r\n"
        f"Server: {SERVER_NAME}\r\n"
        f"Content-Type: {content_type}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"Connection: {connection}\r\n"
        f"{more}"
        f"Date: {_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year}"
    ).encode("latin-1")
