"""The head of a response."""

from email.utils import formatdate
from http import HTTPStatus

import pytest

from exporter.web.response import Response, head, plain_text

PAGE = Response(200, "text/plain; charset=utf-8", b"hello\n", (("Vary", "Accept"), ("X-Other", "100%b")))


def test_a_head_has_the_status_and_all_headers() -> None:
    assert head(PAGE, 0.9, close=False).split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"Server: accelerator-exporter",
        b"Content-Type: text/plain; charset=utf-8",
        b"X-Content-Type-Options: nosniff",
        b"Connection: keep-alive",
        b"Vary: Accept",
        b"X-Other: 100%b",
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
        b"Content-Length: 6",
        b"",
        b"",
    ]


@pytest.mark.parametrize("unix_seconds", [0, 951_868_799, 951_868_800, 1_709_210_096, 1_735_689_599, 1_735_689_600])
def test_the_date_is_that_of_the_response(unix_seconds: int) -> None:
    assert f"\r\nDate: {formatdate(unix_seconds, usegmt=True)}\r\n".encode() in head(PAGE, unix_seconds, close=True)


def test_each_response_has_its_own_length_status_and_end() -> None:
    longer = PAGE._replace(body=b"hello again\n")
    missing = plain_text(HTTPStatus.NOT_FOUND, "page not found")

    assert b"\r\nContent-Length: 12\r\n" in head(longer, 0, close=False)
    assert b"\r\nConnection: close\r\n" in head(PAGE, 0, close=True)
    assert head(missing, 0, close=True).startswith(b"HTTP/1.1 404 Not Found\r\n")
