"""Whatever a client sends: the server answers it or closes the connection, and answers the next client."""

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collectors.sysfs import Root
from exporter.assembler import Clocks, Latest
from exporter.own_process import OwnProcess
from exporter.selfmetrics import SelfMetrics
from exporter.text_format import Format
from exporter.web import handlers
from exporter.web.server import Server
from tests.doubles.expositions import parse
from tests.doubles.http_client import connect, read_to_end, request, serving, wait_until_closed
from tests.doubles.status_snapshot import NOW, rich
from tests.property.examples import examples

METRICS = "/metrics"
ANSWERS = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z -]+\r\nServer: accelerator-exporter\r\n")
EXPECTED = {200, 400, 404, 405, 414, 431, 501, 505}
GOOD = b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;version=0.0.4\r\n\r\n"

# Pieces of requests, which get further than random bytes.
METHODS = st.sampled_from((b"GET", b"HEAD", b"POST", b"get", b"PRI", b"CONNECT", b"", b"\xff"))
TARGETS = st.sampled_from(
    (b"/metrics", b"/", b"/-/healthy", b"/metrics?a=%zz", b"//[", b"http://a:b/metrics", b"*", b"/\x00", b"/../metrics")
)
VERSIONS = st.sampled_from((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1.1", b"HTTP/+1.1", b""))
NAMES = st.sampled_from(
    (b"Accept", b"Accept-Encoding", b"Connection", b"Content-Length", b"Transfer-Encoding", b"Expect", b"Host", b" a")
)
VALUES = st.lists(
    st.one_of(
        st.sampled_from(
            (b"application/openmetrics-text", b"text/plain", b"gzip", b"*/*", b"*", b"keep-alive", b"close")
        ),
        st.sampled_from(
            (b",", b";", b"q=", b"0", b"1.", b"-1", b"nan", b"version=", b"1.0.0", b'"', b"chunked", b"\t")
        ),
        st.sampled_from((b"100-continue", b"1e999", b"99999999999999999999", b"\r\n b", b"\xe9", b"\x00")),
        st.binary(max_size=4),
    ),
    max_size=5,
).map(b"".join)
ENDS = st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""))
FIELDS = st.builds(lambda name, value, end: name + b": " + value + end, NAMES, VALUES, ENDS)
LINES = st.builds(lambda *parts: b" ".join(parts[:3]) + parts[3], METHODS, TARGETS, VERSIONS, ENDS)
REQUESTS = st.builds(lambda line, fields, end: line + b"".join(fields) + end, LINES, st.lists(FIELDS, max_size=4), ENDS)
PIPELINED = st.lists(st.one_of(REQUESTS, st.just(GOOD)), min_size=1, max_size=3).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A correct request with other bytes, or only a part of it."""
    sent = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        sent[draw(st.integers(0, len(sent) - 1))] = draw(st.integers(0, 255))
    return bytes(sent[: draw(st.integers(0, len(sent)))]) if draw(st.booleans()) else bytes(sent)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    latest = Latest(rich(), made_at=0.0)
    own = SelfMetrics(OwnProcess(Root(Path("/proc"))).samples, lambda: True)
    clocks = Clocks(lambda: 0.0, lambda: NOW)
    pages = {
        METRICS: handlers.metrics(latest, own),
        "/": handlers.index(latest, METRICS, "worker-1", clocks),
        handlers.HEALTHY_PATH: handlers.healthy(latest, lambda: 0.0),
    }
    with closing(serving(pages)) as started:
        started.start()
        yield started


@pytest.mark.parametrize("form", Format)
def test_the_good_request_is_answered_with_a_valid_exposition(server: Server, form: Format) -> None:
    assert_serves(server, form)


@given(st.one_of(st.binary(max_size=200), PIPELINED, mutated()))
@example(GOOD)
@settings(
    deadline=None,
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the log is emptied here
)
def test_any_bytes_are_answered_or_refused_and_the_next_client_is_served(
    server: Server, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    caplog.clear()
    with connect(server) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        received = read_to_end(client)
    assert received == b"" or ANSWERS.match(received)
    assert {int(status) for status in ANSWERS.findall(received)} <= EXPECTED
    wait_until_closed(server)
    assert_serves(server, Format.TEXT)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def assert_serves(server: Server, form: Format) -> None:
    answer = request(server, METRICS, accept=form.value)
    assert (answer.status, answer.headers["content-type"]) == (200, form.value)
    assert parse(answer.body, form)
