"""Parses HTTP/1.1 requests strictly (RFC 9112): what two parsers could understand differently is refused.

This is own code because h11, the smallest kept library, was measured (0.16, Python 3.11): it adds 0.8 MiB of resident
memory and takes 44 microseconds of CPU for a request and the head of its response; this and `head` of
`exporter/web/response.py` take 10. It also accepts a bare LF, obs-fold and two equal Content-Lengths, which would have
to be refused in addition to it. http.server adds 7 MiB.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

_LONGEST_LINE = 8 * 1024
_LARGEST_HEAD = 64 * 1024
_MOST_FIELDS = 100
_LONGEST_KEPT = 2 * 1024
_MOST_KEPT = 8  # from all clients together

_END = b"\r\n\r\n"
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELD_NAME = re.compile(_NAME)
_REQUEST_LINE = re.compile(rf"({_NAME}) (/[!-\"$-~]*|\*|[A-Za-z]+://[!-\"$-~]+) HTTP/([0-9])\.([0-9])")
_ABSOLUTE = re.compile(r"https?://(?:\[[^\[\]/?@]+\](?::[0-9]*)?|[^\[\]/?@]+)(?P<path>/[^?]*)?(?:\?.*)?", re.IGNORECASE)
# With a line feed and a carriage return these are all bytes that a head may have.
_TEXT = bytes([*b"\t", *range(0x20, 0x7F), *range(0x80, 0x100)])
_BROKEN_LINE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ONLY_ONCE = frozenset({"content-length", "host"})


class BadRequestError(Exception):
    """The bytes are no request that can be answered; the connection cannot be used further.

    Attributes:
        status: 400, 414, 431 or 505.
    """

    def __init__(self, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(NamedTuple):
    """A request without its body.

    Attributes:
        line: The request line, for the log.
        method: As sent: methods are case-sensitive.
        path: The path of the target, without the query; empty if the target has none.
        headers: Names in lower case; the values of a repeated header are joined by commas.
        keeps_connection: False if the connection ends with the response.
        has_body: True if a body follows. It is never read, so nothing after it can be either.
    """

    line: str
    method: str
    path: str
    headers: Mapping[str, str]
    keeps_connection: bool
    has_body: bool


class RequestParser:
    """Bytes in, requests out. Keeps at most one head of 64 KiB and what was fed last.

    It also keeps the last request if its head is short: a client that scrapes sends the same head each time.

    Attributes:
        unread: What has arrived of further requests.
    """

    def __init__(self) -> None:
        self.unread = b""
        self._searched = 0
        self._last: tuple[bytes, Request] | None = None

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        self.unread = self.unread + data if self.unread else data

    def next_request(self) -> Request | None:
        """Return the next request, or None until all of its head has arrived.

        Raises:
            BadRequestError: It is malformed or too large. All later calls are meaningless.
        """
        if self._last is not None and self.unread.startswith(self._last[0]):
            self._remove(len(self._last[0]))
            return self._last[1]
        end = self.unread.find(_END, max(0, self._searched - len(_END) + 1))
        if end < 0:
            self._check_incomplete()
            self._searched = len(self.unread)
            return None
        taken = self._remove(end + len(_END))
        request = parse_head(taken[:end])
        self._last = (taken, request) if end <= _LONGEST_KEPT else None
        return request

    def _remove(self, count: int) -> bytes:
        taken, self.unread = self.unread[:count], self.unread[count:]
        self._searched = 0
        return taken

    def _check_incomplete(self) -> None:
        """Refuse at once what no further byte can make a request, so that it is not waited for."""
        buffer = self.unread
        if buffer.startswith((b"\r", b"\n")):
            raise BadRequestError
        last_line = buffer.rfind(b"\n") + 1
        if len(buffer) - last_line > _LONGEST_LINE + len(b"\r"):
            raise BadRequestError(_too_large(first_line=not last_line))
        if len(buffer) >= _LARGEST_HEAD + len(_END):
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if _BROKEN_LINE_END.search(buffer, max(0, self._searched - 1)):
            raise BadRequestError


def parse_head(head: bytes) -> Request:
    """Parse a request line and headers, without the empty line that ends them.

    A short head is kept, for clients that connect anew for each scrape, unless it may hold a secret.

    Raises:
        BadRequestError: They are malformed or too large.
    """
    lower = head.lower()
    has_secret = b"authorization" in lower or b"cookie" in lower
    return _parse(head) if has_secret or len(head) > _LONGEST_KEPT else _parse_once(head)


@lru_cache(_MOST_KEPT)
def _parse_once(head: bytes) -> Request:
    return _parse(head)


def _parse(head: bytes) -> Request:
    line, *fields = head.decode("latin-1").split("\r\n")
    if len(line) > _LONGEST_LINE:
        raise BadRequestError(HTTPStatus.REQUEST_URI_TOO_LONG)
    if len(head) > _LARGEST_HEAD or len(fields) > _MOST_FIELDS:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    if head.translate(None, _TEXT) != b"\r\n" * len(fields):  # a control character, or half of a line's end
        raise BadRequestError
    matched = _REQUEST_LINE.fullmatch(line)
    if matched is None:
        raise BadRequestError
    method, target, major, minor = matched.groups()
    if major != "1":
        raise BadRequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    headers = _headers(fields)
    options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
    keeps = "close" not in options and (minor != "0" or "keep-alive" in options)
    return Request(line, method, _path(target), headers, keeps, _has_body(headers))


def _headers(fields: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for field in fields:
        if len(field) > _LONGEST_LINE:
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        name, colon, value = field.partition(":")
        if not colon or _FIELD_NAME.fullmatch(name) is None:  # also a space before the colon, and a folded line
            raise BadRequestError
        key, value = name.lower(), value.strip(" \t")
        if key not in headers:
            headers[key] = value
        elif key in _ONLY_ONCE:
            raise BadRequestError
        else:
            headers[key] = f"{headers[key]}, {value}"
    return headers


def _has_body(headers: Mapping[str, str]) -> bool:
    """Whether a body follows (RFC 9112, section 6.3).

    Raises:
        BadRequestError: It is unclear where the body ends.
    """
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None or coding.rpartition(",")[2].strip().lower() != "chunked":
            raise BadRequestError
        return True
    if length is None:
        return False
    if not (length.isascii() and length.isdigit()):
        raise BadRequestError
    return bool(length.strip("0"))


def _path(target: str) -> str:
    if not target.startswith("/"):
        matched = _ABSOLUTE.fullmatch(target)
        return "" if matched is None else matched["path"] or "/"
    path = target.partition("?")[0]
    return "/" + path.lstrip("/") if path.startswith("//") else path


def _too_large(*, first_line: bool) -> HTTPStatus:
    return HTTPStatus.REQUEST_URI_TOO_LONG if first_line else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
