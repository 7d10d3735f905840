"""Whatever a peer sends instead of an answer: the call returns bytes or raises RpcError in time; a later one works."""

import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.attribution.grpc_unary import UnaryChannel
from exporter.attribution.rpc_error import RpcError
from tests.doubles.http2_peer import OK, RESPONSE, Conversation, Peer, Script, answering, framed
from tests.doubles.whole_message import WholeMessage
from tests.property.examples import examples

METHOD = "/v1.PodResourcesLister/List"
GOOD = b"an answer"
LIMIT = 1000
CUT_SECONDS, GENEROUS_SECONDS = 0.1, 30.0
# Of the calls after the bad one: the first may still be answered by the bad peer.
LATER_SECONDS = (CUT_SECONDS, GENEROUS_SECONDS, GENEROUS_SECONDS)
MOST_MEMORY = 4 << 20

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION, ALTSVC = range(11)
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def block(*headers: tuple[str, str]) -> bytes:
    """Headers of one answer, without indices of a table."""
    return Encoder().encode(headers, huffman=False)


# A correct answer, frame by frame.
ANSWER = (
    frame(SETTINGS, 0, 0, b""),
    frame(SETTINGS, ACK, 0, b""),
    frame(HEADERS, END_HEADERS, 1, block(*RESPONSE)),
    frame(DATA, 0, 1, framed(GOOD)),
    frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*OK)),
)
TEXTS = st.text(st.characters(max_codepoint=127), max_size=8)
NAMES = st.one_of(st.sampled_from((":status", "grpc-status", "grpc-message", "content-length", ":path", "te")), TEXTS)
BLOCKS = st.lists(
    st.tuples(NAMES, st.one_of(st.sampled_from(("200", "100", "0", "14", "-1", "%zz")), TEXTS)), max_size=4
)
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    BLOCKS.map(lambda headers: block(*headers)),
    st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=20)).map(
        lambda drawn: bytes([drawn[0] % 3]) + drawn[1].to_bytes(4) + drawn[2]
    ),
    st.tuples(st.integers(0, 10), st.integers(0, 2**32 - 1)).map(
        lambda drawn: drawn[0].to_bytes(2) + drawn[1].to_bytes(4)
    ),
    st.just(bytes(LIMIT * 2)),
)
STREAMS = st.one_of(st.sampled_from((0, 1, 1, 1, 2, 3)), st.integers(0, 2**32 - 1))
FLAGS = st.one_of(st.sampled_from((0, END_STREAM, END_HEADERS, END_STREAM | END_HEADERS)), st.integers(0, 255))
FRAMES = st.builds(frame, st.integers(0, 12), FLAGS, STREAMS, PAYLOADS)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A correct answer with frames that are missing, added, repeated or in another order, and with other bytes."""
    frames = list(ANSWER)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(frames)))
        change = draw(st.sampled_from(("add", "repeat", "remove", "swap")))
        if change == "add":
            frames.insert(place, draw(FRAMES))
        elif change == "repeat":
            frames[place:place] = frames[place : place + 1]
        elif change == "remove":
            del frames[place : place + 1]
        else:
            frames[place:] = reversed(frames[place:])
    sent = bytearray(b"".join(frames))
    for _ in range(draw(st.integers(0, 3)) if sent else 0):
        sent[draw(st.integers(0, len(sent) - 1))] = draw(st.integers(0, 255))
    return bytes(sent)


def sending(content: bytes, *, stays_open: bool) -> Script:
    """Send bytes at once, whatever the client sends."""

    def script(peer: Conversation) -> None:
        peer.socket.sendall(content)
        if stays_open:
            peer.until_closed()

    return script


def repeating(content: bytes) -> Script:
    """Send the same bytes until the client disconnects."""

    def script(peer: Conversation) -> None:
        peer.socket.sendall(ANSWER[0])
        while True:
            peer.socket.sendall(content)

    return script


def call_until_good(bad: Script, checked: Callable[[UnaryChannel], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="grpc-") as folder:
        path = Path(folder) / "peer.sock"
        channel = UnaryChannel(path, max_message_bytes=LIMIT)
        with Peer(path, bad, *[answering(*[GOOD] * len(LATER_SECONDS))] * len(LATER_SECONDS)):
            checked(channel)
            assert GOOD in [answer_of(channel, seconds) for seconds in LATER_SECONDS]
            channel.close()


def answer_of(channel: UnaryChannel, seconds: float) -> bytes | None:
    try:
        return channel.call(METHOD, b"", seconds, WholeMessage)
    except RpcError:
        return None


def check_call(channel: UnaryChannel) -> None:
    assert len(answer_of(channel, CUT_SECONDS) or b"") <= LIMIT


@given(st.one_of(st.binary(max_size=100), st.lists(FRAMES, max_size=6).map(b"".join), mutated()), st.booleans())
@settings(deadline=None, max_examples=examples(40))
def test_any_bytes_of_a_peer_are_an_answer_or_an_error(content: bytes, stays_open: bool) -> None:  # noqa: FBT001 - drawn
    call_until_good(sending(content, stays_open=stays_open), check_call)


def test_the_answer_that_is_mutated_is_correct() -> None:
    def check(channel: UnaryChannel) -> None:
        assert channel.call(METHOD, b"", GENEROUS_SECONDS, WholeMessage) == GOOD

    call_until_good(sending(b"".join(ANSWER), stays_open=True), check)  # else the request may find it closed


@pytest.mark.parametrize(
    "content",
    [
        frame(PING, 0, 0, bytes(8)),
        frame(SETTINGS, 0, 0, b""),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(DATA, 0, 1, b""),
        frame(HEADERS, END_HEADERS, 1, block((":status", "103"), ("link", "a" * 50))),
        frame(HEADERS, 0, 1, block(*RESPONSE)) + frame(CONTINUATION, 0, 1, b""),
        frame(WINDOW, 0, 0, (1).to_bytes(4)),
        frame(ALTSVC, 0, 1, bytes(2) + b"a" * 50),
        frame(200, 0, 1, bytes(50)),
    ],
    ids=["ping", "settings", "priority", "data", "informational", "continuation", "window", "altsvc", "unknown"],
)
def test_an_endless_answer_needs_no_memory(content: bytes) -> None:
    def check(channel: UnaryChannel) -> None:
        tracemalloc.start()
        try:
            check_call(channel)
            assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
        finally:
            tracemalloc.stop()

    call_until_good(repeating(content * 100), check)
