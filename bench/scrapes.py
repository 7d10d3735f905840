"""The cost of a scrape of the real process, by size of the node, format and coding."""

from contextlib import ExitStack
from itertools import product
from pathlib import Path

from bench.figures import Table, count, kilobytes, milliseconds
from bench.nodes import SIMULATED
from bench.process import PROMETHEUS, Process, ScrapeTarget, exporter, scrape_costs

_TEXT = {"Accept": "text/plain;version=0.0.4"}
_OPENMETRICS = {"Accept": PROMETHEUS["Accept"]}
_REQUESTED = {"text": _TEXT, "OpenMetrics": _OPENMETRICS, "OpenMetrics, gzip": PROMETHEUS}
# Polls are so rare that there is none in a round; they have their own table.
_SELDOM = ("--poll.fast-interval=1m", "--poll.medium-interval=10m", "--poll.slow-interval=1h")
_IDLE_SECONDS = 3.0
_ROUNDS = 7
_SCRAPES = 10

_ABOUT = """\
Real processes, each with a simulated node, are scraped over persistent connections on the loopback interface: {rounds}
rounds of {scrapes} scrapes for each row; the rows take turns in every round. CPU is the process's own CPU time for one
scrape, minus what it spends in the same time without scrapes. Latency is the wall time from the request to the last
byte, on a machine that others use too. Both are medians of the rounds. Prometheus requests "OpenMetrics, gzip"."""


def scrapes(folder: Path) -> Table:
    """The table.

    Args:
        folder: For scenarios and logs.
    """
    with ExitStack() as stack:
        nodes = [_node(stack, folder, number) for number in range(len(SIMULATED))]
        ways = [ScrapeTarget(node, headers, idle_rate) for node, idle_rate in nodes for headers in _REQUESTED.values()]
        costs = scrape_costs(ways, _ROUNDS, _SCRAPES)
        names = [(name, count(node.series())) for name, (node, _) in zip(SIMULATED, nodes, strict=True)]
    rows = [
        (*node, requested, milliseconds(cost.cpu_seconds), milliseconds(cost.latency_seconds), kilobytes(cost.size))
        for (node, requested), cost in zip(product(names, _REQUESTED), costs, strict=True)
    ]
    header = ("Node", "Series", "Requested", "CPU", "Latency", "Bytes")
    return Table("A scrape", _ABOUT.format(rounds=_ROUNDS, scrapes=_SCRAPES), header, rows)


def _node(stack: ExitStack, folder: Path, number: int) -> tuple[Process, float]:
    """A node that runs until the stack ends, and what it spends without scrapes."""
    file = folder / f"scrapes-{number}.yaml"
    file.write_text(list(SIMULATED.values())[number], encoding="utf-8")
    process = stack.enter_context(exporter((f"--simulate={file}", *_SELDOM), {}, file.with_suffix(".log")))
    return process, process.idle_rate(_IDLE_SECONDS)
