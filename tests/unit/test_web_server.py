import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import pytest

from exporter.web.connections import ConnectionLimits
from exporter.web.endpoint import Endpoint
from exporter.web.listen import ListenError, listen
from exporter.web.request import Request
from exporter.web.responder import Responder
from exporter.web.response import Response
from exporter.web.server import Server
from tests.doubles.http_client import (
    BOUND_SECONDS,
    connect,
    port_of,
    read_to_end,
    request,
    serving,
    wait_until_closed,
)
from tests.doubles.simulated_node import ManualTime


def hello(_headers: Mapping[str, str]) -> Response:
    return Response(200, "text/plain; charset=utf-8", b"hello\n", (("Vary", "Accept"),))


def echo_accept(headers: Mapping[str, str]) -> Response:
    return Response(200, "text/plain; charset=utf-8", headers["accept"].encode())


def broken(_headers: Mapping[str, str]) -> Response:
    raise ValueError("a number was not a number")


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(serving({"/metrics": hello, "/accept": echo_accept, "/broken": broken})) as running:
        running.start()
        yield running


def test_a_page_is_answered_with_its_type_length_and_headers(server: Server) -> None:
    answer = request(server, "/metrics")

    assert (answer.status, answer.body) == (200, b"hello\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == "6"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["server"] == "accelerator-exporter"
    assert answer.headers["date"].endswith(" GMT")


@pytest.mark.parametrize("target", ["/metrics?name=value", "//metrics", "http://node:9410/metrics"])
def test_query_and_authority_do_not_matter_for_the_page(server: Server, target: str) -> None:
    assert request(server, target).status == 200


@pytest.mark.parametrize("target", ["/", "/metrics/", "/metric", "/%6detrics", "*"])
def test_an_unknown_path_is_404(server: Server, target: str) -> None:
    answer = request(server, target)

    assert (answer.status, answer.body) == (404, b"404 page not found\n")


def test_a_target_that_is_no_address_is_404(server: Server) -> None:
    with connect(server) as client:
        client.sendall(b"GET http://[/metrics HTTP/1.1\r\nConnection: close\r\n\r\n")

        assert read_to_end(client).startswith(b"HTTP/1.1 404 Not Found\r\n")


def test_head_has_the_headers_of_get_and_no_body(server: Server) -> None:
    got, head = request(server, "/metrics"), request(server, "/metrics", "HEAD")

    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "date": ""} == {**got.headers, "date": ""}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_another_method_is_405(server: Server, method: str) -> None:
    answer = request(server, "/metrics", method)

    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.body == b"405 method not allowed, use GET or HEAD\n"


def test_pages_get_header_names_in_lower_case_and_repeated_headers_joined(server: Server) -> None:
    with connect(server) as client:
        client.sendall(b"GET /accept HTTP/1.1\r\nACCEPT: a\r\nAccept: b;q=0.5\r\nConnection: close\r\n\r\n")

        assert read_to_end(client).endswith(b"\r\n\r\na, b;q=0.5")


def test_a_page_that_raises_is_a_500_and_the_server_goes_on(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    answers = [request(server, "/broken") for _ in range(2)]

    assert [answer.status for answer in answers] == [500, 500]
    assert answers[0].body == b"500 internal error, see the exporter's log\n"
    assert request(server, "/metrics").status == 200
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [bool(record.exc_info) for record in errors] == [True]
    assert "request for /broken failed: ValueError: a number was not a number" in errors[0].getMessage()


def test_failures_of_a_page_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualTime()
    responder = Responder(clock)
    endpoint = Endpoint(":0", {"/broken": broken, "/other": broken})
    for second in range(125):
        clock.now = float(second)
        for path in ("/broken", "/other"):
            asked = Request("", "GET", path, {}, keeps_connection=True, has_body=False)
            answer = responder.respond(asked, endpoint, b"", lambda _: None)
            assert answer is not None
            assert answer.status == 500

    lines = [record for record in caplog.records if "/broken" in record.getMessage()]
    assert [bool(record.exc_info) for record in lines] == [True, False, False]
    assert "/broken failed (59 more requests have failed since the last such line): ValueError" in lines[2].getMessage()
    assert len(caplog.records) == 6


def test_a_connection_serves_several_requests(server: Server) -> None:
    with closing(HTTPConnection("127.0.0.1", port_of(server), timeout=BOUND_SECONDS)) as connection:
        sources = set()
        for _ in range(3):
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"hello\n")
            sources.add(connection.sock.getsockname())

    assert len(sources) == 1


def test_an_http_1_0_client_gets_its_answer_and_the_end(server: Server) -> None:
    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        received = read_to_end(client)

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in received


def test_requests_are_logged_at_debug_and_not_above(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "exporter.web"):
        request(server, "/metrics")
        server.close()

    seen = {(record.levelno, "GET /metrics HTTP/1.1' 200" in record.getMessage()) for record in caplog.records}
    assert (logging.DEBUG, True) in seen
    assert {level for level, _ in seen} == {logging.DEBUG}


def test_closing_ends_idle_connections_and_can_be_repeated(server: Server) -> None:
    with connect(server) as client:
        client.sendall(b"HEAD /metrics HTTP/1.1\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 200 OK\r\n")

        server.close()
        server.close()

        assert read_to_end(client) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(server)


def test_a_server_listens_on_several_addresses_each_with_its_own_pages() -> None:
    endpoints = (Endpoint("127.0.0.1:0", {"/metrics": hello}), Endpoint("127.0.0.2:0", {"/accept": echo_accept}))
    with closing(Server(endpoints)) as server:
        server.start()
        answers = {}
        for host, _, port in (address.partition(":") for address in server.addresses):
            for path in ("/metrics", "/accept"):
                with closing(HTTPConnection(host, int(port), timeout=BOUND_SECONDS)) as connection:
                    connection.request("GET", path, headers={"Accept": "a"})
                    answers[host, path] = connection.getresponse().status

    assert answers == {
        ("127.0.0.1", "/metrics"): 200,
        ("127.0.0.1", "/accept"): 404,
        ("127.0.0.2", "/metrics"): 404,
        ("127.0.0.2", "/accept"): 200,
    }


def test_if_one_of_several_addresses_is_taken_it_listens_on_none() -> None:
    with closing(serving({})) as taken:
        with listen("127.0.0.1:0") as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ListenError):
            Server((Endpoint(address, {}), Endpoint(taken.addresses[0], {})))
        listen(address).close()


def test_a_server_that_was_never_started_can_be_closed() -> None:
    server = serving({})

    server.close()

    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_an_answer_under_way_is_finished_when_the_server_closes() -> None:
    asked, closing_began = threading.Event(), threading.Event()

    def slow(_headers: Mapping[str, str]) -> Response:
        asked.set()
        assert closing_began.wait(BOUND_SECONDS)
        return Response(200, "text/plain", b"done")

    server = serving({"/slow": slow}, ConnectionLimits(shutdown_seconds=BOUND_SECONDS))
    server.start()
    with ThreadPoolExecutor(2) as threads:
        answer = threads.submit(request, server, "/slow")
        assert asked.wait(BOUND_SECONDS)
        closed = threads.submit(server.close)
        assert server._loop.stopping.wait(BOUND_SECONDS)
        closing_began.set()

        assert answer.result(BOUND_SECONDS).body == b"done"
        assert answer.result().headers["connection"] == "close"
        closed.result(BOUND_SECONDS)


def test_closing_does_not_wait_for_a_page_that_hangs() -> None:
    asked, release = threading.Event(), threading.Event()

    def hung(_headers: Mapping[str, str]) -> Response:
        asked.set()
        release.wait(BOUND_SECONDS)
        return hello({})

    server = serving({"/hung": hung})
    server.start()
    with connect(server) as client:
        client.sendall(b"GET /hung HTTP/1.1\r\n\r\n")
        assert asked.wait(BOUND_SECONDS)

        server.close()

        assert not release.is_set()
        assert read_to_end(client) == b""
        release.set()
        wait_until_closed(server)
