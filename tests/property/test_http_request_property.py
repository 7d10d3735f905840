"""The parser of requests: any bytes in any pieces give the same requests, or one refusal."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from exporter.web.request import BadRequestError, Request, RequestParser

GOOD = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from((GOOD, GOOD, GOOD[:-2], b"A: " + b"x" * 9000, b"A: b\r\n" * 101, b"x" * 70_000)),
    st.sampled_from(
        (b"GET", b"POST", b" ", b"/metrics", b"*", b"http://a/b", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0")
    ),
    st.sampled_from((b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\t", b"\x00", b":", b"Host: a", b"Connection: close")),
    st.sampled_from((b"Content-Length: 1", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked", b" folded\r\n")),
)
SENT = st.lists(PIECES, max_size=8).map(b"".join)


def outcome(pieces: Iterable[bytes]) -> tuple[list[Request], bool, bool]:
    """The requests in what is received; whether it is refused after them; whether it ends within a request."""
    parser, requests = RequestParser(), []
    try:
        for piece in pieces:
            parser.feed(piece)
            while (request := parser.next_request()) is not None:
                requests.append(request)
    except BadRequestError:
        return requests, True, False
    return requests, False, parser.unread != b""


@given(SENT, st.lists(st.integers(0, 200), max_size=6))
@example(GOOD + GOOD, [len(GOOD) - 1])
@example(b"GET /" + b"x" * 8178 + b" HTTP/1.1\r\n\r\n", [8193])
def test_requests_do_not_depend_on_how_they_are_split(sent: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    pieces = [sent[start:end] for start, end in pairwise(places)]

    requests, refused, incomplete = outcome([sent])
    same, refused_early, _ = outcome(pieces)
    assert same == requests
    assert refused_early == refused or (incomplete and refused_early)
