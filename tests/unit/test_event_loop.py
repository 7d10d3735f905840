import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, Thread

import pytest

from exporter.web.connections import ConnectionLimits
from exporter.web.endpoint import Endpoint
from exporter.web.event_loop import EventLoop, Respond
from exporter.web.listen import listen
from exporter.web.request import Request
from exporter.web.response import Response
from tests.doubles.exporter_process import wait_until
from tests.doubles.http_client import BOUND_SECONDS, read_to_end

GET = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
KEPT = b"GET / HTTP/1.1\r\n\r\n"


def respond(request: Request, _endpoint: Endpoint, _peer: bytes, _later: object) -> Response:
    assert request.path != "/bug"
    return Response(200, "text/plain", b"ok")


class Running:
    """An event loop in its thread.

    Args:
        listening: What it listens on.
        respond: Answers a request.
        limits: Limits on what clients may use.
    """

    def __init__(
        self, listening: socket.socket, respond: Respond = respond, limits: ConnectionLimits | None = None
    ) -> None:
        self.loop = EventLoop([(listening, Endpoint("", {}))], respond, limits or ConnectionLimits())
        self.thread = Thread(target=self.loop.run)
        self.thread.start()
        self._address = listening.getsockname()

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=BOUND_SECONDS)

    def waits(self) -> int:
        """How often the thread has waited for something, so far."""
        text = Path(f"/proc/self/task/{self.thread.native_id}/status").read_text()
        return int(text.partition("voluntary_ctxt_switches:")[2].split()[0])

    def close(self) -> None:
        self.loop.stop()
        self.thread.join(BOUND_SECONDS)
        assert not self.thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    with closing(Running(listen("127.0.0.1:0"))) as started:
        yield started


def test_the_thread_does_not_wake_up_while_nothing_happens(running: Running) -> None:
    with running.connect() as client:
        client.sendall(KEPT)
        assert client.recv(1024)
        before = wait_until(running.waits)
        running.thread.join(0.5)

        assert running.waits() - before <= 1  # it may have begun the last wait after the first count


def test_a_bug_ends_one_connection_and_is_logged(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with running.connect() as broken:
        broken.sendall(b"GET /bug HTTP/1.1\r\n\r\n")
        assert read_to_end(broken) == b""
    with running.connect() as client:
        client.sendall(GET)
        assert read_to_end(client).endswith(b"ok")

    assert ["this is a bug in the exporter" in record.getMessage() for record in caplog.records] == [True]


def test_part_of_a_further_request_is_not_waited_for_as_long_as_an_idle_client() -> None:
    limits = ConnectionLimits(request_seconds=0.2)
    with closing(Running(listen("127.0.0.1:0"), limits=limits)) as running, running.connect() as client:
        client.sendall(KEPT)
        wait_until(lambda: client.recv(1024, socket.MSG_PEEK).endswith(b"ok"))
        client.sendall(KEPT[:5])

        assert b"HTTP/1.1 408 Request Timeout\r\n" in read_to_end(client)


def test_a_connection_that_was_closed_for_another_is_not_served_in_the_same_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    began, release = Event(), Event()

    def slow(request: Request, *_: object) -> Response:
        if request.path == "/slow":
            began.set()
            release.wait(BOUND_SECONDS)
        return Response(200, "text/plain", b"ok")

    listening = listen("127.0.0.1:0")
    with closing(Running(listening, slow, ConnectionLimits(connections=2))) as running, ExitStack() as stack:
        first, second = (stack.enter_context(running.connect()) for _ in range(2))
        second.sendall(KEPT)
        assert second.recv(1024)
        first.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
        assert began.wait(BOUND_SECONDS)
        others = [stack.enter_context(running.connect()) for _ in range(8)]
        second.sendall(KEPT)  # after the others have connected
        for client in others:
            client.sendall(GET)
        release.set()

        assert [read_to_end(client)[-2:] for client in others] == [b"ok"] * 8
    assert [record for record in caplog.records if "bug" in record.getMessage()] == []


class WithoutDescriptors(socket.socket):
    """A listening socket for which there is no file descriptor at first."""

    failures = 0
    is_repaired = False

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if not self.is_repaired:
            self.failures += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


def test_without_a_file_descriptor_it_tries_again_after_pauses() -> None:
    listening = WithoutDescriptors(fileno=listen("127.0.0.1:0").detach())
    with closing(Running(listening)) as running, running.connect() as client:
        client.sendall(GET)
        wait_until(lambda: listening.failures > 1)
        before = listening.failures
        running.thread.join(0.5)
        assert listening.failures - before <= 5
        listening.is_repaired = True

        assert read_to_end(client).endswith(b"ok")


def test_a_failure_of_the_loop_itself_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(WithoutDescriptors):
        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            if not self.is_repaired:
                self.is_repaired = True
                raise MemoryError
            return super().accept()

    listening = Failing(fileno=listen("127.0.0.1:0").detach())
    with closing(Running(listening)) as running, running.connect() as client:
        client.sendall(GET)

        assert read_to_end(client).endswith(b"ok")
    assert "serving HTTP failed" in caplog.text
