"""Valid and invalid answers to a unary call, from a scripted peer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from exporter.attribution.grpc_unary import MAX_MESSAGE_BYTES, UnaryChannel
from exporter.attribution.rpc_error import RpcError, StatusError, TooLargeError
from tests.doubles.http2_peer import OK, RESPONSE, Conversation, Peer, answering, framed, replying
from tests.doubles.whole_message import WholeMessage

METHOD = "/v1.PodResourcesLister/List"
PATIENT_SECONDS = 15.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peer.sock"


@pytest.fixture
def channel(path: Path) -> Iterator[UnaryChannel]:
    channel = UnaryChannel(path)
    yield channel
    channel.close()


def call(channel: UnaryChannel) -> bytes:
    return channel.call(METHOD, b"", PATIENT_SECONDS, WholeMessage)


class TestAnswers:
    def test_a_request_is_grpc_and_carries_its_message_and_deadline(self, path: Path, channel: UnaryChannel) -> None:
        seen: dict[str, str] = {}

        def script(peer: Conversation) -> None:
            peer.answer(b"pods")
            seen.update(peer.headers)
            peer.until_closed()

        with Peer(path, script):
            assert call(channel) == b"pods"
            channel.close()
        assert seen[":method"] == "POST"
        assert seen[":path"] == METHOD
        assert seen["content-type"] == "application/grpc"
        assert seen["te"] == "trailers"
        assert 0 < int(seen["grpc-timeout"].removesuffix("m")) <= PATIENT_SECONDS * 1000

    def test_a_message_split_over_many_frames_is_complete(self, path: Path, channel: UnaryChannel) -> None:
        message = bytes(range(256)) * 8
        with Peer(path, lambda peer: peer.answer(message, frame_bytes=1)):
            assert call(channel) == message

    def test_an_empty_message_is_an_answer(self, path: Path, channel: UnaryChannel) -> None:
        with Peer(path, answering(b"")):
            assert call(channel) == b""
            channel.close()

    def test_an_answer_larger_than_every_window_arrives(self, path: Path, channel: UnaryChannel) -> None:
        message = b"".join(k.to_bytes(4) for k in range(1_250_000))
        with Peer(path, answering(message)):
            assert call(channel) == message
            channel.close()

    def test_many_answers_over_one_connection_do_not_use_up_its_window(self, path: Path, channel: UnaryChannel) -> None:
        message = bytes(200_000)
        with Peer(path, answering(*[message] * 30)):
            assert all(call(channel) == message for _ in range(30))
            assert channel.connections == 1
            channel.close()

    def test_padding_is_counted_against_the_window_and_dropped(self, path: Path, channel: UnaryChannel) -> None:
        message = bytes(20_000)

        def script(peer: Conversation) -> None:
            stream = peer.request()
            peer.respond(stream)
            peer.data(stream, framed(message), frame_bytes=10, padding=255)
            peer.trailers(stream, OK)
            peer.answer(b"next")
            peer.until_closed()

        with Peer(path, script):
            assert call(channel) == message
            assert call(channel) == b"next"
            channel.close()

    def test_frames_that_are_not_part_of_the_answer_are_ignored(self, path: Path, channel: UnaryChannel) -> None:
        def script(peer: Conversation) -> None:
            stream = peer.request()
            peer.http.ping(b"8 bytes!")
            peer.http.update_settings({})
            peer.respond(stream, ((":status", "103"),))
            peer.respond(stream)
            peer.data(stream, framed(b"pods"))
            peer.http.ping(b"8 bytes.")
            peer.trailers(stream, OK)
            peer.until_closed()

        with Peer(path, script):
            assert call(channel) == b"pods"
            channel.close()


class TestFailedCalls:
    def test_a_status_without_an_answer_is_reported_and_keeps_the_connection(
        self, path: Path, channel: UnaryChannel
    ) -> None:
        def script(peer: Conversation) -> None:
            stream = peer.request()
            peer.respond(stream, (*RESPONSE, ("grpc-status", "8"), ("grpc-message", "slow%20down%E2%82%AC")), end=True)
            peer.answer(b"pods")
            peer.until_closed()

        with Peer(path, script):
            with pytest.raises(StatusError) as caught:
                call(channel)
            assert caught.value.status == 8
            assert caught.value.text == "RESOURCE_EXHAUSTED: slow down€"
            assert call(channel) == b"pods"
            assert channel.connections == 1
            channel.close()

    def test_an_error_status_after_a_message_is_an_error(self, path: Path, channel: UnaryChannel) -> None:
        trailers = (("grpc-status", "2"), ("grpc-message", "half%of it"))
        with Peer(path, replying(*trailers, body=framed(b"pods"))):
            with pytest.raises(StatusError, match="UNKNOWN: half%of it") as caught:
                call(channel)
            channel.close()
        assert caught.value.status == 2

    def test_text_from_the_peer_stays_one_short_line(self, path: Path, channel: UnaryChannel) -> None:
        trailers = (("grpc-status", "77"), ("grpc-message", "a%0Ab%1B[31m" + "c" * 5000))
        with Peer(path, replying(*trailers)):
            with pytest.raises(StatusError) as caught:
                call(channel)
            channel.close()
        assert caught.value.status == 77
        assert caught.value.text.startswith("status 77: a b [31mc")
        assert caught.value.text.isprintable()
        assert len(caught.value.text) <= 300

    @pytest.mark.parametrize(
        ("script", "text"),
        [
            (replying(("x", "y"), body=framed(b"pods")), "the answer has no gRPC status (HTTP status 200)"),
            (replying(("grpc-status", "zero")), "status is not a number: 'zero'"),
            (replying(("grpc-status", "9" * 40)), "status is not a number"),
            (replying(*OK), "before its message was complete"),
            (replying(*OK, body=framed(b"pods")[:-1]), "before its message was complete"),
            (replying(*OK, body=framed(b"pods")[:3]), "before its message was complete"),
            (replying(*OK, body=framed(b"pods") + framed(b"more")), "more than one message"),
            (replying(*OK, body=framed(b"pods", flag=1)), "compressed"),
        ],
    )
    def test_an_answer_that_is_not_one_plain_message_is_refused(
        self, path: Path, channel: UnaryChannel, script: Callable[[Conversation], None], text: str
    ) -> None:
        with Peer(path, script, answering(b"pods")):
            with pytest.raises(RpcError) as caught:
                call(channel)
            assert text in caught.value.text
            assert caught.value.status is None
            assert call(channel) == b"pods"
            channel.close()

    def test_an_http_error_is_reported(self, path: Path, channel: UnaryChannel) -> None:
        def script(peer: Conversation) -> None:
            peer.respond(peer.request(), ((":status", "404"),), end=True)

        with Peer(path, script), pytest.raises(RpcError, match="HTTP status 404"):
            call(channel)

    def test_a_reset_call_fails_and_the_next_call_succeeds(self, path: Path, channel: UnaryChannel) -> None:
        def script(peer: Conversation) -> None:
            stream = peer.request()
            peer.respond(stream)
            peer.http.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
            peer.flush()
            peer.until_closed()

        with Peer(path, script, answering(b"pods")):
            with pytest.raises(RpcError, match=r"reset \(HTTP/2 error 2\)"):
                call(channel)
            assert call(channel) == b"pods"
            channel.close()

    def test_a_message_of_the_largest_size_arrives_and_one_byte_more_is_refused_unread(self, path: Path) -> None:
        def script(peer: Conversation) -> None:
            peer.answer(bytes(1000))
            stream = peer.request()
            peer.respond(stream)
            peer.data(stream, framed(bytes(1001))[:5])
            peer.until_closed()

        channel = UnaryChannel(path, max_message_bytes=1000)
        with Peer(path, script):
            assert call(channel) == bytes(1000)
            with pytest.raises(TooLargeError, match="1001 bytes, more than the 1000 allowed"):
                call(channel)
            channel.close()

    def test_sixteen_mebibytes_are_allowed_by_default(self) -> None:
        assert MAX_MESSAGE_BYTES == 16 * 1024 * 1024
