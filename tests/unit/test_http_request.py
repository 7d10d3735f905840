from http import HTTPStatus

import pytest

from exporter.web.request import BadRequestError, Request, RequestParser, parse_head

GET = b"GET /metrics HTTP/1.1\r\n"
LINE_BYTES, HEAD_BYTES, FIELDS = 8 * 1024, 64 * 1024, 100


def parsed(sent: bytes) -> Request | None:
    parser = RequestParser()
    parser.feed(sent)
    return parser.next_request()


def complete(sent: bytes) -> Request:
    request = parsed(sent)
    assert request is not None
    return request


def refused(sent: bytes) -> HTTPStatus:
    with pytest.raises(BadRequestError) as caught:
        parsed(sent)
    return caught.value.status


def test_a_request_of_prometheus() -> None:
    request = complete(
        b"GET /metrics?x=1 HTTP/1.1\r\nHost: node-1:9410\r\nUser-Agent: Prometheus/2.53.0\r\n"
        b"Accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1\r\nAccept-Encoding:gzip\t\r\n\r\n"
    )

    assert request == Request(
        line="GET /metrics?x=1 HTTP/1.1",
        method="GET",
        path="/metrics",
        headers={
            "host": "node-1:9410",
            "user-agent": "Prometheus/2.53.0",
            "accept": "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
            "accept-encoding": "gzip",
        },
        keeps_connection=True,
        has_body=False,
    )


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        GET + b"Content-Length: 1, 1\r\n\r\n",
        GET + b"Content-Length: none\r\n\r\n",
        GET + b"Content-Length: -1\r\n\r\n",
        GET + b"Content-Length: +1\r\n\r\n",
        GET + b"Content-Length:\r\n\r\n",
        GET + b"Content-Length: \xb2\r\n\r\n",
        GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        GET + b"Transfer-Encoding : chunked\r\n\r\n",
        GET + b"Transfer-Encoding\t: chunked\r\n\r\n",
        GET + b"Transfer-Encoding: gzip\r\n\r\n",
        GET + b"Transfer-Encoding: chunked, identity\r\n\r\n",
        GET + b"Host: a\r\nHost: b\r\n\r\n",
        GET + b"no colon\r\n\r\n",
        GET + b": no name\r\n\r\n",
        GET + b"na me: value\r\n\r\n",
        GET + b"n\xe4me: value\r\n\r\n",
        GET + b" Leading: space\r\n\r\n",
        GET + b"Folded: value\r\n more\r\n\r\n",
        GET + b"Folded: value\r\n\tmore\r\n\r\n",
        GET + b"Value: a\rb\r\n\r\n",
        GET + b"Value: a\nb\r\n\r\n",
        GET + b"Value: a\x00b\r\n\r\n",
        GET + b"Value: a\x7fb\r\n\r\n",
        GET + b"Value: a\r\r\n\r\n",
        b"GET /metrics HTTP/1.1\n\n",
        b"GET /metrics HTTP/1.1\n\r\n\r\n",
        b"\r\n" + GET + b"\r\n",
        b"\n" + GET + b"\r\n",
        b"\r\n\r\n",
        b" " + GET + b"\r\n",
        b"GET  /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics  HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1 \r\n\r\n",
        b"GET\t/metrics\tHTTP/1.1\r\n\r\n",
        b"GET /me trics HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /#fragment HTTP/1.1\r\n\r\n",
        b"GET metrics HTTP/1.1\r\n\r\n",
        b"GET a:443 HTTP/1.1\r\n\r\n",
        b"G(T /metrics HTTP/1.1\r\n\r\n",
        b"/metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics http/1.1\r\n\r\n",
        b"GET /metrics HTTP/1\r\n\r\n",
        b"GET /metrics HTTP/1.10\r\n\r\n",
        b"GET /metrics HTTP/+1.1\r\n\r\n",
        b"GET /metrics HTTP/\xb2.\xb2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=repr,
)
def test_a_malformed_request_is_400(sent: bytes) -> None:
    assert refused(sent) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"3.1"])
def test_another_version_is_505(version: bytes) -> None:
    assert refused(b"GET /metrics HTTP/" + version + b"\r\n\r\n") == HTTPStatus.HTTP_VERSION_NOT_SUPPORTED


@pytest.mark.parametrize("sent", [b"\r", b"\n", b"\x16\x03\x01", GET[:-2] + b"\n", GET + b"A: b\rc", GET + b"A: \x00"])
def test_what_no_further_byte_can_repair_is_refused_before_the_head_is_complete(sent: bytes) -> None:
    assert refused(sent) == HTTPStatus.BAD_REQUEST


def longest_line() -> bytes:
    return b"GET /" + b"x" * (LINE_BYTES - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"


def largest_head() -> bytes:
    field = b"X: " + b"y" * 4000
    head = GET[:-2] + (b"\r\n" + field) * 16
    return head + b"\r\nX: " + b"y" * (HEAD_BYTES - len(head) - len(b"\r\nX: "))


@pytest.mark.parametrize(
    ("fits", "too_large", "status"),
    [
        (longest_line(), longest_line().replace(b" HTTP", b"x HTTP"), HTTPStatus.REQUEST_URI_TOO_LONG),
        (
            GET + b"X:" + b"y" * (LINE_BYTES - 2),
            GET + b"X:" + b"y" * (LINE_BYTES - 1),
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        (
            GET[:-2] + b"\r\nX: y" * FIELDS,
            GET[:-2] + b"\r\nX: y" * (FIELDS + 1),
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        (largest_head(), largest_head() + b"y", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
    ids=["request line", "header", "number of headers", "head"],
)
def test_sizes_are_limited(fits: bytes, too_large: bytes, status: HTTPStatus) -> None:
    assert complete(fits + b"\r\n\r\n").path
    assert refused(too_large + b"\r\n\r\n") == status


@pytest.mark.parametrize(
    ("fits", "too_large", "status"),
    [
        (b"x" * LINE_BYTES, b"x" * (LINE_BYTES + 2), HTTPStatus.REQUEST_URI_TOO_LONG),
        (GET + b"x" * LINE_BYTES, GET + b"x" * (LINE_BYTES + 2), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (largest_head(), largest_head() + b"\r\nX: y", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
    ids=["request line", "header", "head"],
)
def test_sizes_are_limited_before_the_head_is_complete(fits: bytes, too_large: bytes, status: HTTPStatus) -> None:
    assert parsed(fits) is None
    assert refused(too_large) == status


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/metrics", "/metrics"),
        ("/metrics?a=b?c", "/metrics"),
        ("//metrics", "/metrics"),
        ("/%6detrics", "/%6detrics"),
        ("/[", "/["),
        ("http://node:9410/metrics", "/metrics"),
        ("HTTPS://[2001:db8::1]:9410/metrics?a", "/metrics"),
        ("http://node", "/"),
        ("http://node?a", "/"),
        ("http://[/metrics", ""),
        ("http:///metrics", ""),
        ("http://user@node/metrics", ""),
        ("ftp://node/metrics", ""),
        ("*", ""),
    ],
)
def test_the_path_of_a_target(target: str, path: str) -> None:
    assert complete(f"GET {target} HTTP/1.1\r\n\r\n".encode()).path == path


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: keep-alive\r\n", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "Connection: Upgrade, CLOSE\r\n", False),
        ("1.1", "Connection: TE\r\nConnection: close\r\n", False),
        ("1.2", "", True),
        ("1.0", "", False),
        ("1.0", "Connection: Keep-Alive\r\n", True),
        ("1.0", "Connection: keep-alive, close\r\n", False),
    ],
)
def test_whether_the_connection_is_kept(version: str, connection: str, *, kept: bool) -> None:
    assert complete(f"GET / HTTP/{version}\r\n{connection}\r\n".encode()).keeps_connection is kept


@pytest.mark.parametrize(
    ("fields", "has_body"),
    [
        ("", False),
        ("Content-Length: 0\r\n", False),
        ("Content-Length: 000\r\n", False),
        ("Content-Length: 10\r\n", True),
        ("Content-Length: 99999999999999999999\r\n", True),
        ("Transfer-Encoding: Chunked\r\n", True),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", True),
        ("Expect: 100-continue\r\n", False),
    ],
)
def test_whether_a_body_follows(fields: str, *, has_body: bool) -> None:
    assert complete(f"POST / HTTP/1.1\r\n{fields}\r\n".encode()).has_body is has_body


def test_repeated_headers_are_joined_and_names_are_in_lower_case() -> None:
    headers = complete(GET + b"ACCEPT: a\r\nAccept:b;q=0.5\r\nX-Empty:\r\nX-Tab: a\tb\r\nX-High: \xe9\r\n\r\n").headers

    assert headers == {"accept": "a, b;q=0.5", "x-empty": "", "x-tab": "a\tb", "x-high": "\xe9"}


def test_requests_come_one_after_the_other_however_they_are_split() -> None:
    parser = RequestParser()
    parser.feed(GET + b"\r\nHEAD / HTTP/1.1\r\n\r")

    first = parser.next_request()
    assert first is not None
    assert first.method == "GET"
    assert parser.unread
    assert parser.next_request() is None
    parser.feed(b"\n")
    second = parser.next_request()
    assert second is not None
    assert second.method == "HEAD"
    assert not parser.unread


def test_a_short_head_is_parsed_once_for_all_clients_that_send_it() -> None:
    head = GET + b"Host: once\r\n\r\n"

    assert complete(head) is complete(head)


@pytest.mark.parametrize(
    "field",
    [b"Authorization: Basic dTpw", b"PROXY-AUTHORIZATION: Basic dTpw", b"Cookie: a=b", b"X-Long: " + b"x" * 2048],
)
def test_a_head_that_is_long_or_may_hold_a_secret_is_kept_only_for_its_connection(field: bytes) -> None:
    head = GET + field + b"\r\n\r\n"
    parser = RequestParser()
    parser.feed(head + head)

    assert parser.next_request() == parser.next_request() == complete(head)
    assert complete(head) is not complete(head)


def test_an_error_has_nothing_of_what_was_sent() -> None:
    with pytest.raises(BadRequestError, match=r"^Bad Request$"):
        parse_head(b"secret")
