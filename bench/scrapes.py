"""What a scrape of the real process costs, by size of the node, format and coding."""

from pathlib import Path

from bench.figures import Table, count, kilobytes, milliseconds
from bench.nodes import SIMULATED
from bench.process import PROMETHEUS, exporter

_TEXT = {"Accept": "text/plain;version=0.0.4"}
_OPENMETRICS = {"Accept": PROMETHEUS["Accept"]}
_ASKED = {"text": _TEXT, "OpenMetrics": _OPENMETRICS, "OpenMetrics, gzip": PROMETHEUS}
# Polls so seldom that none falls into a round: they have a table of their own.
_SELDOM = ("--poll.fast-interval=1m", "--poll.medium-interval=10m", "--poll.slow-interval=1h")
_IDLE_SECONDS = 3.0
_ROUNDS = 7
_SCRAPES = 10

_ABOUT = """\
The real process plays a simulated node and is scraped over one kept connection on the loopback interface: {rounds}
rounds of {scrapes} scrapes. CPU is the process's own CPU time for one scrape, the median of the rounds, less what it
spends in the same time unasked. Latency is wall time from request to last byte, the median of all scrapes, on a machine
that others use too. "OpenMetrics, gzip" is what Prometheus asks for."""


def scrapes(folder: Path) -> Table:
    """The table.

    Args:
        folder: For scenarios and logs.
    """
    rows = []
    for name, scenario in SIMULATED.items():
        file = folder / "scrapes.yaml"
        file.write_text(scenario, encoding="utf-8")
        with exporter((f"--simulate={file}", *_SELDOM), {}, folder / "scrapes.log") as process:
            number = count(process.series())
            idle_rate = process.idle_rate(_IDLE_SECONDS)
            for asked, headers in _ASKED.items():
                cost = process.scrape_cost(headers, idle_rate, _ROUNDS, _SCRAPES)
                figures = milliseconds(cost.cpu_seconds), milliseconds(cost.latency_seconds), kilobytes(cost.size)
                rows.append((name, number, asked, *figures))
    header = ("Node", "Series", "Asked for", "CPU", "Latency", "Bytes")
    return Table("A scrape", _ABOUT.format(rounds=_ROUNDS, scrapes=_SCRAPES), header, rows)
