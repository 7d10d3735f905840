"""HTTP handlers for metrics, the status page, liveness and readiness. They only read the newest snapshot."""

from collections.abc import Callable, Mapping
from functools import cache

from exporter.assembler import Clocks, Latest
from exporter.scrape_bodies import ScrapeBodies
from exporter.selfmetrics import SelfMetrics, exporter_version
from exporter.series import EVERYTHING, Shown
from exporter.snapshot import Snapshot
from exporter.web.negotiation import accepts_gzip, negotiate
from exporter.web.response import Handler, Response

HEALTHY_PATH = "/-/healthy"
READY_PATH = "/-/ready"
CHECK_COMMAND = "accelerator-exporter check"

_STUCK_AFTER_SECONDS = 30.0
_PAGE_SECONDS = 1.0
_PLAIN = "text/plain; charset=utf-8"


def metrics(latest: Latest, own: SelfMetrics, shown: Shown = EVERYTHING) -> Handler:
    """`/metrics`: the newest snapshot in the format and encoding that the client accepts.

    Args:
        latest: Holds the newest snapshot.
        own: The samples of the exporter itself.
        shown: What is exported.
    """
    bodies = ScrapeBodies(lambda: latest.snapshot, own.samples, shown)

    def respond(headers: Mapping[str, str]) -> Response:
        chosen = negotiate(headers.get("accept", ""))
        gzipped = accepts_gzip(headers.get("accept-encoding", ""))
        body = bodies.get(chosen.text_format, gzipped=gzipped)
        own.count_scrape()
        encoding = (("Content-Encoding", "gzip"),) if gzipped else ()
        return Response(200, chosen.content_type, body, (*encoding, ("Vary", "Accept, Accept-Encoding")))

    return respond


def index(
    latest: Latest, metrics_path: str, node: str, clocks: Clocks, *, simulated: str = "", check: str = CHECK_COMMAND
) -> Handler:
    """`/`: the status page, for people.

    Args:
        latest: Holds the newest snapshot.
        metrics_path: Path of the metrics.
        node: The node's name; empty if unknown.
        clocks: Used for the ages of the snapshot and the readings.
        simulated: What of the snapshot comes from a scenario, as in "devices and values"; empty for nothing.
        check: The command that checks this node.
    """
    links = (("Metrics", metrics_path), ("Liveness", HEALTHY_PATH), ("Readiness", READY_PATH))

    @cache
    def loaded() -> Handler:
        from exporter.web import status_page, status_view  # noqa: PLC0415 - not needed until a person looks at it

        about = status_page.About(node, exporter_version(), links, check, simulated)
        return status_page.handler(
            about,
            lambda: status_view.build_view(latest.snapshot, clocks.wall(), clocks.monotonic() - latest.made_at),
        )

    def page(headers: Mapping[str, str]) -> Response:
        return loaded()(headers)

    return _RecentPage(page, latest, clocks.monotonic).respond


class _RecentPage:
    """A page of the newest snapshot, made at most once a second, so that nobody keeps the server busy by requesting it.

    Args:
        page: Makes it.
        latest: Holds the newest snapshot.
        clock: Monotonic seconds.
    """

    def __init__(self, page: Handler, latest: Latest, clock: Callable[[], float]) -> None:
        self._page = page
        self._latest = latest
        self._clock = clock
        self._made: tuple[Snapshot, float, Response] | None = None

    def respond(self, headers: Mapping[str, str]) -> Response:
        """The page, at most a second old."""
        snapshot, now = self._latest.snapshot, self._clock()
        if self._made is not None and self._made[0] is snapshot and now - self._made[1] < _PAGE_SECONDS:
            return self._made[2]
        response = self._page(headers)
        self._made = snapshot, now, response
        return response


def healthy(latest: Latest, clock: Callable[[], float]) -> Handler:
    """`/-/healthy`: 200 while new snapshots are made. A failed driver or kubelet does not affect it."""

    def respond(_headers: Mapping[str, str]) -> Response:
        age_seconds = clock() - latest.made_at
        if age_seconds > _STUCK_AFTER_SECONDS:
            return Response(503, _PLAIN, f"no snapshot for {age_seconds:.0f} s\n".encode())
        return Response(200, _PLAIN, b"healthy\n")

    return respond


def ready(latest: Latest, *, requires_devices: bool = False) -> Handler:
    """`/-/ready`: 200 once every collector has reported readings, failed or timed out for the first time.

    Args:
        latest: Holds the newest snapshot.
        requires_devices: Also wait for the first device. A device that is lost later does not revoke it.
    """

    def respond(_headers: Mapping[str, str]) -> Response:
        if not latest.snapshot.ready:
            return Response(503, _PLAIN, b"waiting for the first readings\n")
        if requires_devices and not latest.device_seen:
            return Response(503, _PLAIN, b"waiting for the first device\n")
        return Response(200, _PLAIN, b"ready\n")

    return respond
