"""The cost of each piece of the exporter's work, and the cost of the same families with plain prometheus_client."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from prometheus_client import generate_latest

from bench.figures import Table, count, kilobytes, milliseconds
from bench.nodes import sliced
from bench.plain import Direct, custom_registry
from bench.played import FAST, Played
from bench.process import series_of
from collectors.metric import DEFAULT_SETS
from collectors.simulated.parse import parse_scenario
from collectors.sysfs import Root
from exporter import exposition
from exporter.gzip_member import GzipMember
from exporter.own_process import OwnProcess
from exporter.scrape_bodies import ScrapeBodies
from exporter.selfmetrics import SelfMetrics
from exporter.series import Shown
from exporter.text_format import Format

_ROUNDS = 25
_DEVICES = 16
_WARM_UP_SECONDS = 3
_USUAL = Shown(sets=DEFAULT_SETS)

_ABOUT = """\
CPU time of one thread in the bench's own process, for {devices} x 7 partitions with a pod on each: {series} series.
Medians of {rounds} rounds in which the rows take turns. The rows that begin with `prometheus_client` are the cost of an
exporter that uses only this library and has the same families. A custom collector creates them at each scrape. Direct
instrumentation sets a gauge for each series at each poll, and writes all of them at a scrape. Here neither of them
reads hardware, joins pods or removes old readings."""


def inside() -> Table:
    """The table."""
    played = Played(parse_scenario(sliced(_DEVICES), "bench", Path()))
    for second in range(_WARM_UP_SECONDS):
        snapshot = played.at(second)
    newest = [snapshot]
    health = SelfMetrics(OwnProcess(Root(Path("/proc"))).samples, lambda: True)
    own, served = health.samples(snapshot), ScrapeBodies(lambda: newest[-1], health.samples, _USUAL)
    bodies = {form: exposition.render(snapshot, own, form, _USUAL) for form in Format}
    text = bodies[Format.TEXT].decode()
    registry, direct = custom_registry(text), Direct(text)
    allocations = played.allocations(_WARM_UP_SECONDS)
    calls = [played.call(_WARM_UP_SECONDS + round_, FAST) for round_ in range(_ROUNDS)]
    direct.poll()
    work: tuple[tuple[str, Callable[[int], object], bytes], ...] = (
        ("Pods: add the allocations, make the snapshot", lambda _: played.apply(allocations), b""),
        ("Poll: add the readings, make the snapshot", lambda n: newest.append(played.apply(calls[n])), b""),
        (
            "Scrape of a new snapshot, OpenMetrics, gzip",
            lambda _: served.get(Format.OPENMETRICS, gzipped=True),
            served.get(Format.OPENMETRICS, gzipped=True),
        ),
        ("`--once`, text", lambda _: exposition.render(snapshot, own, Format.TEXT, _USUAL), bodies[Format.TEXT]),
        (
            "The same, OpenMetrics",
            lambda _: exposition.render(snapshot, own, Format.OPENMETRICS, _USUAL),
            bodies[Format.OPENMETRICS],
        ),
        ("Gzip of it", lambda _: GzipMember(1).of([bodies[Format.OPENMETRICS]]), b""),
        ("`prometheus_client` custom collector: scrape, text", lambda _: generate_latest(registry), b""),
        ("`prometheus_client` direct: poll", lambda _: direct.poll(), b""),
        ("`prometheus_client` direct: scrape, text", lambda _: generate_latest(direct.registry), b""),
    )
    costs = _cpu([what for _, what, _ in work])
    rows = [
        (name, milliseconds(cost), kilobytes(len(body)) if body else "")
        for (name, _, body), cost in zip(work, costs, strict=True)
    ]
    about = _ABOUT.format(devices=_DEVICES, series=count(series_of(bodies[Format.TEXT])), rounds=_ROUNDS)
    return Table("One piece of work", about, ("Work", "CPU", "Bytes"), rows)


def _cpu(work: Sequence[Callable[[int], object]]) -> list[float]:
    """CPU seconds of this thread for each piece of work, medians; they take turns, so that noise affects all."""
    return [median(spent) for spent in zip(*([_spent(what, n) for what in work] for n in range(_ROUNDS)), strict=True)]


def _spent(what: Callable[[int], object], round_: int) -> float:
    before = time.thread_time()
    what(round_)
    return time.thread_time() - before
