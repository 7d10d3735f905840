"""`increase()` in a real Prometheus finds every critical event, at any usual scrape interval and through every gap."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from collectors import catalog
from collectors.contract import Reading, Sample
from collectors.metric import Cadence
from exporter.assembler import Assembler, Clocks
from exporter.poller import CallEnded
from exporter.scrape_bodies import ScrapeBodies
from exporter.text_format import Format
from tests.doubles.collectors import LIMITS, Clock, gpu, info
from tests.doubles.prometheus import Prometheus, backfilled

START = 1_750_000_000
RESTART, END = 2400, 3600
SCRAPE_SECONDS = (15, 60)
FROM_START = ("48", "79")
NAME = "accelerator_device_errors_total"
# The window of the shipped alert.
WINDOW = "10m"


class Case(NamedTuple):
    """A device, and what happens to it.

    Attributes:
        device: Its uuid.
        events: The second and the code of each event.
        lost: When it does not answer.
        unlisted: When the collector does not list it.
        uncounted: When its events are not counted, as while the driver's wait for events hangs.
    """

    device: str
    events: tuple[tuple[int, str], ...]
    lost: range = range(0)
    unlisted: range = range(0)
    uncounted: range = range(0)

    @property
    def unknown(self) -> range:
        """When it has no counters."""
        return self.unlisted or self.uncounted or range(END, END)


CASES = (
    Case("several-at-once", ((700, "94"), (700, "62"), (701, "95"), (2500, "94"))),
    Case("burst", ((700, "64"),) * 20 + tuple((700 + second, "64") for second in range(30))),
    Case("from-the-start", ((700, "48"), (703, "79"), (2500, "79"))),
    Case("before-the-first-reading", ((-1, "48"), (-1, "94"))),
    Case("lost", ((700, "79"), (700, "95"), (760, "62"), (760, "48")), lost=range(720, 1500)),
    Case("back-after-the-window", ((100, "94"), (800, "94"), (800, "48"), (800, "62")), unlisted=range(720, 1500)),
    Case("counted-again-after-the-window", ((100, "94"), (800, "94"), (800, "48")), uncounted=range(720, 1500)),
    Case("after-a-restart", ((2402, "94"), (2500, "48"), (2500, "62"))),
)


def counts(case: Case, since: int, second: int) -> dict[str, int]:
    """How many events of each code there were since the exporter started."""
    found = dict.fromkeys(FROM_START, 0)
    for at, code in case.events:
        if since <= at <= second or (since == 0 and at < 0):
            found[code] = found.get(code, 0) + 1
    return found


def reading(since: int, second: int) -> Reading:
    listed = [case for case in CASES if second not in case.unlisted]
    samples = [info(case.device) for case in listed]
    for case in listed:
        if second not in case.uncounted:
            samples += (
                Sample(catalog.ERRORS, case.device, float(number), labels=("xid", code, "hardware"))
                for code, number in counts(case, since, second).items()
            )
    devices = tuple(gpu(case.device, lost=second in case.lost) for case in listed)
    return Reading(devices, (), tuple(samples))


def scrapes() -> Iterator[tuple[int, str]]:
    """Each second and the exposition then."""
    for since, end in ((0, RESTART), (RESTART, END)):
        clock = Clock()
        assembler = Assembler(["acme"], (), LIMITS, Clocks(clock, lambda: START))
        bodies = ScrapeBodies(assembler.snapshot, lambda _: [])
        for second in range(since, end):
            clock.now = second
            due = frozenset(Cadence) if second % 60 == 0 else frozenset({Cadence.FAST})
            assembler.apply(CallEnded("acme", second, second, due, reading(since, second)))
            yield second, bodies.get(Format.TEXT, gzipped=False).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    lines = []
    for second, body in scrapes():
        intervals = [each for each in SCRAPE_SECONDS if second % each == each - 1]
        for line in body.splitlines() if intervals else ():
            if line.startswith(NAME):
                series, value = line.rsplit(" ", 1)
                lines += [f'{series[:-1]},scraped="{each}"}} {value} {START + second}\n' for each in intervals]
    text = f"# TYPE {NAME.removesuffix('_total')} counter\n{''.join(lines)}# EOF\n"
    with backfilled(tmp_path_factory.mktemp("prometheus"), text) as made:
        yield made


def by_code(server: Prometheus, expression: str, at: int) -> dict[str, float]:
    return {answer.labels["code"]: answer.value for answer in server.query(expression, START + at)}


@pytest.mark.parametrize("interval", SCRAPE_SECONDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.device)
def test_every_event_is_in_the_increase(server: Prometheus, case: Case, interval: int) -> None:
    selected = f'{NAME}{{uuid="{case.device}",scraped="{interval}"}}'
    expected = Counter(code for _, code in case.events)
    total = by_code(server, f"increase({selected}[1h])", END)
    assert {code: total[code] for code in expected} == pytest.approx(expected, rel=0.1)
    assert sum(total.values()) == pytest.approx(expected.total(), rel=0.1)


@pytest.mark.parametrize("interval", SCRAPE_SECONDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.device)
def test_the_window_of_the_shipped_alert_finds_every_code(server: Prometheus, case: Case, interval: int) -> None:
    selected = f'{NAME}{{uuid="{case.device}",scraped="{interval}"}}'
    known = [range(case.unknown.start), range(case.unknown.stop, END)]
    for part in filter(None, known):
        begin, end = part.start, part.stop
        within = by_code(server, f"max_over_time(increase({selected}[{WINDOW}])[{end - begin}s:15s])", end)
        codes = {code for at, code in case.events if (at < case.unknown.start) == (not begin)}
        assert {code for code, value in within.items() if value > 0.5} == codes
