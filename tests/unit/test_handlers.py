import gzip
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import pytest

from collectors.contract import Reason
from exporter.assembler import Clocks, Latest
from exporter.selfmetrics import SelfMetrics, exporter_version
from exporter.snapshot import CollectorHealth, Snapshot
from exporter.web import handlers
from exporter.web.response import Response
from tests.doubles.collectors import Clock, gpu, part, power
from tests.doubles.http_client import request, serving

CLOCKS = Clocks(Clock(0), Clock(0))

READY = Snapshot({"gpu-a": gpu("gpu-a")}, {"s0": part("gpu-a", "s0")}, (power("gpu-a", 100),), ready=True)
SERIES = b'accelerator_device_power_watts{device="dev-gpu-a",model="A1",uuid="gpu-a",vendor="acme"} 100.0\n'
OPENMETRICS = {"accept": "application/openmetrics-text;version=1.0.0"}


@pytest.fixture
def latest() -> Latest:
    return Latest(READY, made_at=100.0)


@pytest.fixture
def own() -> SelfMetrics:
    return SelfMetrics(list, lambda: True)


def metrics(latest: Latest, own: SelfMetrics, headers: Mapping[str, str]) -> Response:
    return handlers.metrics(latest, own)(headers)


def test_metrics_are_text_unless_asked_otherwise(latest: Latest, own: SelfMetrics) -> None:
    answer = metrics(latest, own, {})

    assert (answer.status, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert answer.headers == (("Vary", "Accept, Accept-Encoding"),)
    assert SERIES in answer.body


def test_metrics_are_openmetrics_if_accepted(latest: Latest, own: SelfMetrics) -> None:
    answer = metrics(latest, own, OPENMETRICS)

    assert answer.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.body.endswith(b"# EOF\n")
    assert SERIES in answer.body


def test_metrics_are_compressed_if_accepted(latest: Latest, own: SelfMetrics) -> None:
    answer = metrics(latest, own, {**OPENMETRICS, "accept-encoding": "gzip"})

    assert dict(answer.headers) == {"Content-Encoding": "gzip", "Vary": "Accept, Accept-Encoding"}
    assert gzip.decompress(answer.body).endswith(b"# EOF\n")


def test_each_scrape_serves_the_newest_snapshot_and_the_scrapes_before_it(latest: Latest, own: SelfMetrics) -> None:
    page = handlers.metrics(latest, own)

    first = page({}).body
    assert b"\naccelerator_exporter_scrapes_total 0.0\n" in first
    assert page({}).body is first
    latest.snapshot = replace(READY, samples=())
    second = page({}).body
    assert b"\naccelerator_exporter_scrapes_total 2.0\n" in second
    assert SERIES not in second


def test_metrics_are_served_before_anything_is_known_and_while_a_collector_is_down(own: SelfMetrics) -> None:
    down = CollectorHealth("acme", True, False, True, 0, None, None, dict.fromkeys(Reason, 0))  # noqa: FBT003 - present, up, late
    for snapshot in (Snapshot(), Snapshot(collectors=(down,))):
        assert metrics(Latest(snapshot), own, {}).status == 200


def test_the_status_page_has_the_version_and_links(latest: Latest) -> None:
    answer = handlers.index(latest, "/metrics", "node-1", CLOCKS)({})

    text = answer.body.decode()
    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")
    assert exporter_version() in text
    for path in ("/metrics", "/-/healthy", "/-/ready"):
        assert f'<a href=".{path}">' in text


def test_the_status_page_escapes_the_path(latest: Latest) -> None:
    body = handlers.index(latest, '/"><script>', "node-1", CLOCKS)({}).body

    assert b"<script>" not in body
    assert b'href="./&quot;&gt;&lt;script&gt;"' in body


@pytest.mark.parametrize(("age", "status"), [(0.0, 200), (30.0, 200), (30.5, 503), (3600.0, 503)])
def test_liveness_is_that_snapshots_are_made(latest: Latest, age: float, status: int) -> None:
    answer = handlers.healthy(latest, Clock(latest.made_at + age))({})

    assert answer.status == status
    assert answer.body == (b"healthy\n" if status == 200 else f"no snapshot for {age:.0f} s\n".encode())


def test_liveness_recovers(latest: Latest) -> None:
    clock = Clock(latest.made_at + 60)
    page = handlers.healthy(latest, clock)

    assert page({}).status == 503
    latest.made_at = clock.now
    assert page({}).status == 200


def test_readiness_waits_for_the_first_readings(latest: Latest) -> None:
    page = handlers.ready(latest)

    assert page({}) == Response(200, "text/plain; charset=utf-8", b"ready\n")
    latest.snapshot = Snapshot()
    assert (page({}).status, page({}).body) == (503, b"waiting for the first readings\n")


@pytest.mark.parametrize(
    ("all_answered", "seen", "body"),
    [
        (False, False, b"waiting for the first readings\n"),
        (False, True, b"waiting for the first readings\n"),
        (True, False, b"waiting for the first device\n"),
        (True, True, b"ready\n"),
    ],
)
def test_readiness_that_requires_devices(all_answered: bool, seen: bool, body: bytes) -> None:  # noqa: FBT001 - a table
    latest = Latest(Snapshot(ready=all_answered), device_seen=seen)

    answer = handlers.ready(latest, requires_devices=True)({})

    assert (answer.status, answer.body) == (200 if body == b"ready\n" else 503, body)


def test_the_pages_are_served_over_http(latest: Latest, own: SelfMetrics) -> None:
    routes = {"/metrics": handlers.metrics(latest, own), "/": handlers.index(latest, "/metrics", "node-1", CLOCKS)}
    with closing(serving(routes)) as server:
        server.start()
        plain = request(server, "/metrics")
        packed = request(server, "/metrics", Accept="application/openmetrics-text", Accept_Encoding="gzip")

    assert SERIES in plain.body
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert packed.headers["content-encoding"] == "gzip"
    assert SERIES in gzip.decompress(packed.body)


def test_a_snapshot_that_cannot_be_written_fails_its_scrapes_only_and_says_nothing_about_it(
    latest: Latest, own: SelfMetrics
) -> None:
    with closing(serving({"/metrics": handlers.metrics(latest, own)})) as server:
        server.start()
        assert SERIES in request(server, "/metrics").body
        latest.snapshot = replace(READY, samples=(power("unlisted", 1),))
        for _ in range(2):
            failed = request(server, "/metrics")
            assert (failed.status, failed.body) == (500, b"500 internal error, see the exporter's log\n")
            assert "unlisted" not in str(failed.headers)
        latest.snapshot = replace(READY)
        answer = request(server, "/metrics")

    assert answer.status == 200
    assert SERIES in answer.body
