"""Unary calls over a unix socket and their connection, to a scripted peer."""

import errno
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.attribution.grpc_unary import UnaryChannel
from exporter.attribution.rpc_error import (
    ChannelClosedError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    RpcError,
)
from tests.doubles.http2_peer import OK, RESPONSE, Conversation, Peer, answering, framed
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


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class TestRepeatedCalls:
    def test_repeated_calls_use_no_more_resources(self, path: Path, channel: UnaryChannel) -> None:
        with Peer(path, answering(*[b"pods"] * 500)):
            call(channel)
            descriptors = open_descriptors()
            for _ in range(499):
                call(channel)
            assert open_descriptors() == descriptors
            assert channel._connection is not None
            assert len(channel._connection._http.streams) <= 2
            assert len(channel._connection._http._closed_streams) <= 16
            channel.close()


def hang_up(_peer: Conversation) -> None:
    """Close the connection without sending anything."""


def hang_up_at_request(peer: Conversation) -> None:
    peer.request()


def go_away(peer: Conversation) -> None:
    peer.request()
    peer.http.close_connection()
    peer.flush()
    peer.until_closed()


def not_http2(peer: Conversation) -> None:
    peer.socket.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


BREAKS = [hang_up, hang_up_at_request, go_away, not_http2]


class TestBrokenConnections:
    @pytest.mark.parametrize("broken", BREAKS)
    def test_a_call_on_a_dead_old_connection_is_retried(
        self, path: Path, channel: UnaryChannel, broken: Callable[[Conversation], None]
    ) -> None:
        def script(peer: Conversation) -> None:
            peer.answer(b"before")
            broken(peer)

        with Peer(path, script, answering(b"after")):
            assert call(channel) == b"before"
            assert call(channel) == b"after"
            assert channel.connections == 2
            channel.close()

    @pytest.mark.parametrize("broken", BREAKS)
    def test_a_call_on_a_new_connection_that_breaks_is_not_retried(
        self, path: Path, channel: UnaryChannel, broken: Callable[[Conversation], None]
    ) -> None:
        with Peer(path, broken, answering(b"pods")):
            with pytest.raises(ConnectionLostError):
                call(channel)
            assert channel.connections == 1
            assert call(channel) == b"pods"
            channel.close()

    @pytest.mark.parametrize("end", ["close", "goaway"])
    def test_a_connection_that_breaks_within_an_answer_is_an_error(
        self, path: Path, channel: UnaryChannel, end: str
    ) -> None:
        def script(peer: Conversation) -> None:
            peer.answer(b"before")
            stream = peer.request()
            peer.respond(stream)
            peer.data(stream, framed(b"after")[:-1])
            if end == "goaway":
                peer.http.close_connection()
                peer.flush()
                peer.until_closed()

        with Peer(path, script, answering(b"recovered")):
            assert call(channel) == b"before"
            with pytest.raises(ConnectionLostError):
                call(channel)
            assert call(channel) == b"recovered"
            channel.close()

    def test_an_answer_that_is_complete_before_the_goaway_is_used(self, path: Path, channel: UnaryChannel) -> None:
        def script(peer: Conversation) -> None:
            stream = peer.request()
            peer.http.send_headers(stream, RESPONSE)
            peer.http.send_data(stream, framed(b"pods"))
            peer.http.send_headers(stream, OK, end_stream=True)
            peer.http.close_connection()
            peer.flush()
            peer.until_closed()

        with Peer(path, script, answering(b"next")):
            assert call(channel) == b"pods"
            assert call(channel) == b"next"
            channel.close()

    def test_an_answer_of_a_peer_that_no_longer_reads_is_used(self, path: Path, channel: UnaryChannel) -> None:
        def script(peer: Conversation) -> None:
            stream = peer.request()
            peer.socket.shutdown(socket.SHUT_RD)
            peer.http.ping(b"8 bytes!")  # the client can't acknowledge it
            peer.respond(stream)
            peer.data(stream, framed(b"pods"))
            peer.trailers(stream, OK)

        with Peer(path, script, answering(b"next")):
            assert call(channel) == b"pods"
            assert call(channel) == b"next"
            channel.close()

    def test_any_garbage_is_an_rpc_error(self, path: Path) -> None:
        generator = random.Random(7)  # noqa: S311 - the same garbage in every run
        settings = bytes.fromhex("000000040000000000")  # an empty SETTINGS frame: what follows is read as frames

        def garbage(size: int, start: bytes) -> Callable[[Conversation], None]:
            def script(peer: Conversation) -> None:
                peer.socket.sendall(start + generator.randbytes(size))

            return script

        rounds = 300
        with Peer(path, *(garbage(9 + k, settings if k % 2 else b"") for k in range(rounds))):
            for _ in range(rounds):
                channel = UnaryChannel(path)
                with pytest.raises(RpcError):
                    channel.call(METHOD, b"", PATIENT_SECONDS, WholeMessage)
                channel.close()


class TestConnecting:
    def test_a_missing_socket_is_reported_with_its_errno(self, channel: UnaryChannel) -> None:
        with pytest.raises(ConnectError) as caught:
            call(channel)
        assert caught.value.errno == errno.ENOENT
        assert channel.connections == 0

    def test_a_socket_file_without_a_listener_is_reported_with_its_errno(
        self, path: Path, channel: UnaryChannel
    ) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with pytest.raises(ConnectError) as caught:
            call(channel)
        assert caught.value.errno == errno.ECONNREFUSED

    @pytest.mark.parametrize("name", ["x" * 200, "nul\0byte"])
    def test_a_path_that_no_socket_can_have_is_an_error(self, tmp_path: Path, name: str) -> None:
        channel = UnaryChannel(tmp_path / name)
        with pytest.raises(ConnectError, match="cannot connect to"):
            call(channel)
        channel.close()

    def test_a_socket_renamed_over_the_path_is_connected_to_while_the_old_server_runs(
        self, tmp_path: Path, path: Path, channel: UnaryChannel
    ) -> None:
        new = tmp_path / "new.sock"
        with Peer(path, answering(b"old", b"old")), Peer(new, answering(b"new", b"new")):
            assert call(channel) == b"old"
            new.rename(path)
            assert call(channel) == b"new"
            assert call(channel) == b"new"
            assert channel.connections == 2
            channel.close()

    def test_a_removed_path_does_not_close_a_working_connection(self, path: Path, channel: UnaryChannel) -> None:
        with Peer(path, answering(b"one", b"two")):
            assert call(channel) == b"one"
            path.unlink()
            assert call(channel) == b"two"
            assert channel.connections == 1
            channel.close()


class TestDeadline:
    def silent(self, peer: Conversation) -> None:
        peer.until_closed()

    def dripping(self, peer: Conversation) -> None:
        stream = peer.request()
        peer.respond(stream)
        peer.data(stream, (10_000_000).to_bytes(5))
        while True:  # until the client closes the connection
            peer.data(stream, b"x")
            threading.Event().wait(0.01)

    def speaking_http1(self, peer: Conversation) -> None:
        peer.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")  # reads as the start of a frame of 4 MiB
        peer.until_closed()

    def pinging(self, peer: Conversation) -> None:
        peer.request()
        while True:
            peer.http.ping(b"8 bytes!")
            peer.flush()
            threading.Event().wait(0.01)

    @pytest.mark.parametrize("manner", ["silent", "dripping", "pinging", "speaking_http1"])
    def test_no_peer_can_extend_a_call_beyond_its_deadline(
        self, path: Path, channel: UnaryChannel, manner: str
    ) -> None:
        with Peer(path, getattr(self, manner), answering(b"pods")):
            with pytest.raises(DeadlineError, match=r"no complete answer within 0\.3 s"):
                channel.call(METHOD, b"", 0.3, WholeMessage)
            assert call(channel) == b"pods"
            channel.close()

    def test_the_second_try_has_only_the_time_that_is_left(self, path: Path) -> None:
        now = [1000.0]
        timeouts: list[str] = []

        def first(peer: Conversation) -> None:
            peer.answer(b"before")
            peer.request()
            now[0] += 50

        def second(peer: Conversation) -> None:
            peer.answer(b"after")
            timeouts.append(peer.headers["grpc-timeout"])
            peer.until_closed()

        channel = UnaryChannel(path, clock=lambda: now[0])
        with Peer(path, first, second):
            assert channel.call(METHOD, b"", 60, WholeMessage) == b"before"
            assert channel.call(METHOD, b"", 60, WholeMessage) == b"after"
            channel.close()
        assert timeouts == ["10000m"]

    def test_the_deadline_uses_the_given_clock(self, path: Path) -> None:
        times = iter([0.0, 0.0, 100.0])
        channel = UnaryChannel(path, clock=lambda: next(times, 100.0))
        with Peer(path, self.silent):
            with pytest.raises(DeadlineError):
                channel.call(METHOD, b"", 60.0, WholeMessage)
            channel.close()


class TestClose:
    def test_twice_is_safe_and_later_calls_fail(self, path: Path, channel: UnaryChannel) -> None:
        with Peer(path, answering(b"pods")):
            call(channel)
            channel.close()
            channel.close()
            with pytest.raises(ChannelClosedError):
                call(channel)

    def test_during_a_call_ends_it(self, path: Path, channel: UnaryChannel) -> None:
        requested = threading.Event()
        caught: list[Exception] = []

        def script(peer: Conversation) -> None:
            peer.request()
            requested.set()
            peer.until_closed()

        def caller() -> None:
            try:
                channel.call(METHOD, b"", 3600.0, WholeMessage)
            except RpcError as error:
                caught.append(error)

        with Peer(path, script):
            thread = threading.Thread(target=caller)
            thread.start()
            assert requested.wait(PATIENT_SECONDS)
            channel.close()
            thread.join(PATIENT_SECONDS)
        assert not thread.is_alive()
        assert [type(error) for error in caught] == [ChannelClosedError]
