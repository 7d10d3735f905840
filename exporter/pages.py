"""The pages of the HTTP server: metrics, the entry page, liveness and readiness. All of them only read the snapshot."""

import html
from collections.abc import Callable, Mapping

from exporter import exposition
from exporter.assembler import Latest
from exporter.http import Page, Response
from exporter.selfmetrics import SelfMetrics, exporter_version

HEALTHY_PATH = "/-/healthy"
READY_PATH = "/-/ready"

_STUCK_AFTER_SECONDS = 30.0
_PLAIN = "text/plain; charset=utf-8"

_ENTRY = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>accelerator-exporter</title></head>
<body>
<h1>accelerator-exporter</h1>
<p>Version {version}. {devices} devices, {partitions} partitions, {allocations} allocations.</p>
<ul>
<li><a href="{metrics}">Metrics</a></li>
<li><a href="{healthy}">Liveness</a></li>
<li><a href="{ready}">Readiness</a></li>
</ul>
</body>
</html>
"""


def metrics(latest: Latest, own: SelfMetrics) -> Page:
    """`/metrics`: the newest snapshot in the format and coding the client asks for."""

    def answer(headers: Mapping[str, str]) -> Response:
        snapshot = latest.snapshot
        wanted = exposition.negotiate(headers.get("accept", ""))
        body = exposition.render(snapshot, own.samples(snapshot), wanted)
        varies = ("Vary", "Accept, Accept-Encoding")
        if exposition.accepts_gzip(headers.get("accept-encoding", "")):
            return Response(200, wanted.value, exposition.compress(body), (("Content-Encoding", "gzip"), varies))
        return Response(200, wanted.value, body, (varies,))

    return answer


def entry(latest: Latest, metrics_path: str) -> Page:
    """`/`: what this is and where its metrics are."""

    def answer(_headers: Mapping[str, str]) -> Response:
        snapshot = latest.snapshot
        body = _ENTRY.format(
            version=html.escape(exporter_version()),
            devices=len(snapshot.devices),
            partitions=len(snapshot.partitions),
            allocations="unknown" if snapshot.allocations is None else len(snapshot.allocations),
            metrics=html.escape(metrics_path),
            healthy=HEALTHY_PATH,
            ready=READY_PATH,
        )
        return Response(200, "text/html; charset=utf-8", body.encode())

    return answer


def healthy(latest: Latest, clock: Callable[[], float]) -> Page:
    """`/-/healthy`: 200 while snapshots are made. Neither a dead driver nor a dead kubelet changes that."""

    def answer(_headers: Mapping[str, str]) -> Response:
        age_seconds = clock() - latest.made_at
        if age_seconds > _STUCK_AFTER_SECONDS:
            return Response(503, _PLAIN, f"no snapshot for {age_seconds:.0f} s\n".encode())
        return Response(200, _PLAIN, b"healthy\n")

    return answer


def ready(latest: Latest) -> Page:
    """`/-/ready`: 200 once every collector has answered, failed or been late for the first time."""

    def answer(_headers: Mapping[str, str]) -> Response:
        if latest.snapshot.ready:
            return Response(200, _PLAIN, b"ready\n")
        return Response(503, _PLAIN, b"waiting for the first readings\n")

    return answer
