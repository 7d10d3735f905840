"""Clients that are slow, greedy or broken. After each of them a normal scrape succeeds."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporter.web.connections import ConnectionLimits
from exporter.web.response import Response
from exporter.web.server import Server
from tests.doubles.exporter_process import wait_until
from tests.doubles.http_client import BOUND_SECONDS, connect, many, read_to_end, request, serving, wait_until_closed

BIG = 10 * 1024 * 1024
ENDLESS = 64 * 1024 * 1024  # more than the kernel keeps
BLOCKED_SECONDS = 1.1  # without reading anything
PATIENT = ConnectionLimits()

Start = Callable[[ConnectionLimits], Server]


def page(_headers: Mapping[str, str]) -> Response:
    return Response(200, "text/plain", b"ok")


def big_page(_headers: Mapping[str, str]) -> Response:
    return Response(200, "text/plain", bytes(BIG))


@pytest.fixture
def start() -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def start_with(limits: ConnectionLimits) -> Server:
            server = serving({"/metrics": page, "/big": big_page}, limits)
            stack.callback(server.close)
            server.start()
            return server

        yield start_with


def assert_answers(server: Server) -> None:
    assert request(server, "/metrics").body == b"ok"


def test_client_that_sends_byte_by_byte_is_closed(start: Start) -> None:
    server = start(ConnectionLimits(request_seconds=0.5))

    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX-Long: ")
        readable: list[socket.socket] = []
        for _ in range(600):  # with one byte every 50 ms a timeout per read would never expire
            client.sendall(b"x")
            readable, _, _ = select.select([client], [], [], 0.05)
            if readable:
                break

        assert readable
        assert read_to_end(client).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert_answers(server)


def test_client_that_sends_nothing_is_closed(start: Start) -> None:
    server = start(ConnectionLimits(request_seconds=0.2))

    with connect(server) as client:
        assert read_to_end(client) == b""
    assert_answers(server)


def test_a_connection_idle_after_its_response_is_closed(start: Start) -> None:
    server = start(ConnectionLimits(idle_seconds=0.2))

    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert read_to_end(client).endswith(b"\r\n\r\nok")
    assert_answers(server)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /" + b"x" * 1_000_000, b"414"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n", b"431"),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", b"431"),
        (b"GET /metrics HTTP/1.1\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 90 + b"\r\n", b"431"),
    ],
    ids=["long line", "endless line", "long header", "many headers", "large headers"],
)
def test_a_request_that_is_too_large_is_refused(start: Start, sent: bytes, status: bytes) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(sent)

        assert read_to_end(client).startswith(b"HTTP/1.1 " + status)
    assert_answers(server)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\x00\xff\xfe\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / / / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"GET / HTTP/\xb2.\xb2\r\n\r\n",
        b"POST /metrics\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_garbage_is_refused_without_echoing_it(start: Start, sent: bytes) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(sent)
        received = read_to_end(client)

    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 Bad Request\r\n", b"HTTP/1.1 505 HTTP Version Not Supported\r\n"))
    assert body in {b"400 Bad Request\n", b"505 HTTP Version Not Supported\n"}
    assert_answers(server)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHo"])
def test_client_that_disconnects_during_a_request_does_not_affect_others(start: Start, sent: bytes) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(sent)

    wait_until_closed(server)
    assert_answers(server)


def test_client_that_resets_the_connection_does_not_affect_others(start: Start) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        assert client.recv(1) == b"H"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset

    wait_until_closed(server)
    assert_answers(server)


def test_half_closed_connection_still_gets_its_response(start: Start) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        client.shutdown(socket.SHUT_WR)

        assert read_to_end(client).endswith(b"\r\n\r\nok")


def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        get, head = b"GET /metrics HTTP/1.1\r\n\r\n", b"HEAD /metrics HTTP/1.1\r\n\r\n"
        client.sendall(get + head + b"GET /none HTTP/1.1\r\nConnection: close\r\n\r\n")
        received = read_to_end(client)

    assert [line.split()[1] for line in received.split(b"\n") if line.startswith((b"HTTP/", b"okHTTP/"))] == [
        b"200",
        b"200",
        b"404",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 0\r\nContent-Length: 0\r\n",
        b"Content-Length: none\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"no colon\r\n",
        b"Folded: a\r\n b\r\n",
    ],
)
def test_a_request_that_another_parser_could_understand_differently_ends_the_connection(
    start: Start, fields: bytes
) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n" + fields + b"\r\nGET /metrics HTTP/1.1\r\n\r\n")
        received = read_to_end(client)

    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert received.endswith(b"\r\n\r\n400 Bad Request\n")
    assert_answers(server)


@pytest.mark.parametrize("body", [b"Content-Length: 21\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_body_is_never_parsed_as_a_request(start: Start, body: bytes) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n" + body + b"GET /none HTTP/1.1\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        received = read_to_end(client)

    assert received.count(b"HTTP/1.1") == 1
    assert b"\r\nConnection: close\r\n" in received
    assert received.endswith(b"\r\n\r\nok")


def test_an_endless_body_is_not_read(start: Start) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(b"POST /metrics HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        sent = 0
        with contextlib.suppress(OSError):  # the server closes the connection
            while sent < ENDLESS:
                sent += client.send(bytes(65536))
        assert sent < ENDLESS
        assert_answers(server)


def test_client_that_expects_100_continue_gets_a_response_at_once(start: Start) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(b"POST /metrics HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")

        assert client.recv(4096).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")


def test_client_that_does_not_read_its_response_is_closed(start: Start) -> None:
    server = start(ConnectionLimits(send_seconds=0.3))

    with connect(server) as client:
        client.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        assert client.recv(1) == b"H"
        assert_answers(server)

        wait_until_closed(server)
        assert len(read_to_end(client)) < BIG


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /metrics HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"],
    ids=["silent", "half a request", "idle"],
)
def test_200_open_connections_do_not_block_others(start: Start, sent: bytes) -> None:
    server = start(PATIENT)

    with many(server, 200, sent):
        assert_answers(server)
        assert_answers(server)
        assert server.open_connections <= PATIENT.connections


def test_clients_that_do_not_read_do_not_block_others(start: Start) -> None:
    server = start(ConnectionLimits(connections=4))

    with many(server, 12, b"GET /big HTTP/1.1\r\n\r\n"):
        assert_answers(server)


def test_a_client_that_has_not_sent_yet_is_not_closed_for_others(start: Start) -> None:
    server = start(ConnectionLimits(connections=2))

    with connect(server) as blocked:
        blocked.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        assert blocked.recv(1) == b"H"
        time.sleep(BLOCKED_SECONDS)
        with connect(server) as new:
            assert_answers(server)
            new.sendall(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")

            assert read_to_end(new).endswith(b"\r\n\r\nok")
        assert len(read_to_end(blocked)) < BIG


def test_a_client_that_reads_is_not_closed_for_many_that_only_connect(start: Start) -> None:
    server = start(PATIENT)

    with connect(server) as reading, contextlib.ExitStack() as idle:
        reading.sendall(b"GET /big HTTP/1.1\r\nConnection: close\r\n\r\n")
        read = 0
        for number in range(400):
            idle.enter_context(connect(server, f"127.0.{2 + number // 200}.{1 + number % 200}"))
            read += len(reading.recv(16384))

        assert read + len(read_to_end(reading)) > BIG


def test_a_client_that_reads_nothing_is_closed_before_one_that_reads(start: Start) -> None:
    server = start(ConnectionLimits(connections=2, unsent_bytes=3 * BIG))

    with connect(server) as blocked, connect(server) as reading:
        for client in (reading, blocked):
            client.sendall(b"GET /big HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert client.recv(1) == b"H"
        read = 1
        while read < BIG // 2:
            read += len(reading.recv(65536))
        assert_answers(server)

        assert read + len(read_to_end(reading)) > BIG
        assert len(read_to_end(blocked)) < BIG


def test_clients_that_connect_while_a_page_is_made_are_served_afterwards() -> None:
    began, release = threading.Event(), threading.Event()

    def slow(_headers: Mapping[str, str]) -> Response:
        began.set()
        release.wait(BOUND_SECONDS)
        return page({})

    with contextlib.closing(serving({"/slow": slow}, ConnectionLimits(connections=2))) as server:
        server.start()
        sent = b"GET /slow HTTP/1.1\r\nConnection: close\r\n\r\n"
        with many(server, 1, sent) as first:
            assert began.wait(BOUND_SECONDS)
            with many(server, 12, sent) as waiting:
                release.set()

                assert [read_to_end(client)[-2:] for client in (*first, *waiting)] == [b"ok"] * 13


def test_nothing_more_is_read_from_a_client_that_does_not_read(start: Start) -> None:
    server = start(PATIENT)

    with connect(server) as client:
        client.sendall(b"GET /big HTTP/1.1\r\n\r\n" + b"GET /metrics HTTP/1.1\r\n\r\n" * 4000)
        assert client.recv(1) == b"H"
        assert_answers(server)
        assert_answers(server)

        (connection,) = [each for each in server._loop.connections if len(each.body) == BIG]
        assert 0 < len(connection.parser.unread) <= 16 * 1024


def test_the_bodies_that_clients_do_not_read_are_limited(start: Start) -> None:
    server = start(ConnectionLimits(unsent_bytes=3 * BIG))

    with many(server, 12, b"GET /big HTTP/1.1\r\nConnection: close\r\n\r\n") as clients:
        assert [client.recv(1) for client in clients] == [b"H"] * 12
        assert_answers(server)
        wait_until(lambda: server.open_connections == 3)

        assert sum(len(read_to_end(client)) > BIG for client in clients) == 3


@pytest.mark.parametrize(("seconds", "complete"), [(BOUND_SECONDS, True), (0.0, False)])
def test_closing_the_server_waits_a_bounded_time_for_unsent_responses(
    start: Start, seconds: float, *, complete: bool
) -> None:
    server = start(ConnectionLimits(shutdown_seconds=seconds))

    with connect(server) as client, ThreadPoolExecutor(1) as threads:
        client.sendall(b"GET /big HTTP/1.1\r\n\r\n")
        assert client.recv(1) == b"H"
        closed = threads.submit(server.close)
        assert server._loop.stopping.wait(BOUND_SECONDS)
        if not complete:
            closed.result(BOUND_SECONDS)

        assert (len(read_to_end(client)) > BIG) is complete
        closed.result(BOUND_SECONDS)


def test_an_address_cannot_take_the_connections_of_another(start: Start) -> None:
    server = start(ConnectionLimits(connections=20, connections_per_peer=10))

    with many(server, 5, b"GET /metrics HTTP/1.1\r\n\r\n") as kept:
        assert [client.recv(1024)[-2:] for client in kept] == [b"ok"] * 5
        with many(server, 60, b"GET /big HTTP/1.1\r\n\r\n", "127.0.0.2"):
            assert request(server, "/metrics", host="127.0.0.1").body == b"ok"
            for client in kept:
                client.sendall(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
                assert read_to_end(client).endswith(b"\r\n\r\nok")
            assert server.open_connections <= 10


def test_no_connection_is_leaked(start: Start) -> None:
    server = start(PATIENT)
    with many(server, 100, b"GET /metrics HTTP/1.1\r\n"):
        assert_answers(server)

    wait_until_closed(server)
