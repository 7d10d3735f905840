"""The tables of the running processes: their costs, compared with the budget of the design."""

from collections.abc import Sequence
from pathlib import Path

from bench import running
from bench.figures import Table, against, count, kilobytes, megabytes, milliseconds, paragraph, with_scrapes
from bench.nodes import SIMULATED
from bench.running import Beside, Cost
from bench.series import course
from collectors.simulated.parse import parse_scenario

_SCRAPE_INTERVAL_SECONDS = 15
_SHORT_SECONDS = 20
_RESIDENT_BYTES = (60e6, 80e6)
_SERIES = {running.PLAIN: 700, running.SLICED: 1400}

_COST = """\
All of them ran at the same time as real processes: the exporter at its default cadences (readings every 1 s, 10 s and
60 s, the kubelet every 5 s) and nvitop-exporter at its default interval of 1 s. The cards are those of the NVML double,
whose calls return at once, and the kubelet is a gRPC server on a unix socket. On the simulated node the exporter
computes the readings itself, and this is included. CPU seconds per hour are scaled up from the median of {windows}
windows of {seconds} s without a scrape; the next column adds a scrape every {interval} s. A real driver adds the time
that it spends in each NVML call."""

_MEMORY = """\
Resident memory of the same processes: when ready, after {windows} minutes of polling, and after {scrapes} more scrapes.
The scrapes are as Prometheus requests them (OpenMetrics and gzip if the server supports them), in rounds in which the
processes take turns. The CPU of a scrape is the median of the rounds; what the process spends without scrapes is
subtracted."""

_BESIDE = """\
Installed for this run: {versions}. It reads the same double, joins no pods and adds series about the host. Its families
differ from ours, so series, bytes and CPU compare two products and not two ways to do one thing. It also calls
`nvmlDeviceGetPcieThroughput`, which returns at once on the double; according to NVML's documentation the real call
measures over 20 ms. Its warnings and errors in the log, each once:"""

_BUDGET = """\
The budget of the design and the measured values: memory after the scrapes above, series of the NVIDIA collector on the
double and of the simulated cards. If the budget is a range, its upper end is the limit. "Over" means that the node
needs more than the design planned; nothing fails or is dropped because of it."""


def tables(costs: Sequence[Cost]) -> list[Table]:
    """CPU and calls, memory and scrapes, and the budget."""
    return [_running(costs), _memory(costs), _budget({cost.name: cost for cost in costs})]


def beside_text(beside: Beside) -> str:
    """The text about nvitop-exporter."""
    if beside.problem:
        return f"## nvitop-exporter\n\nIt could not be measured:\n\n```\n{beside.problem.strip()}\n```\n"
    logged = "\n".join(beside.complaints) or "none"
    about = paragraph(_BESIDE.format(versions=beside.versions))
    return f"## nvitop-exporter\n\n{about}\n\n```\n{logged}\n```\n"


def _running(costs: Sequence[Cost]) -> Table:
    rows = [
        (
            cost.name,
            count(cost.series),
            f"{cost.cpu_per_hour:.0f} s",
            f"{with_scrapes(cost.cpu_per_hour, cost.scrape.cpu_seconds, _SCRAPE_INTERVAL_SECONDS):.0f} s",
            "" if cost.calls_per_second is None else f"{cost.calls_per_second:.1f}",
        )
        for cost in costs
    ]
    about = _COST.format(windows=running.WINDOWS, seconds=running.WINDOW_SECONDS, interval=_SCRAPE_INTERVAL_SECONDS)
    header = ("Node", "Series", "CPU per hour", "with scrapes", "NVML calls per second")
    return Table("Running", about, header, rows)


def _memory(costs: Sequence[Cost]) -> Table:
    rows = [
        (
            cost.name,
            megabytes(cost.ready_bytes),
            megabytes(cost.polled_bytes),
            megabytes(cost.scraped_bytes),
            milliseconds(cost.scrape.cpu_seconds),
            kilobytes(cost.scrape.size),
        )
        for cost in costs
    ]
    about = _MEMORY.format(windows=running.WINDOWS, scrapes=running.ROUNDS * running.SCRAPES)
    header = ("Node", "Ready", "After polling", "After scrapes", "CPU of a scrape", "Bytes of a scrape")
    return Table("Memory", about, header, rows)


def _budget(costs: dict[str, Cost]) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, most in _SERIES.items():
        simulated = max(course(parse_scenario(SIMULATED[name], "bench", Path()), _SHORT_SECONDS))
        for what, found in ((name, costs[name].series), (f"{name}, simulated", simulated)):
            rows.append((f"Series, {what}", f"about {count(most)}", count(found), against(found, most)))
    low, high = _RESIDENT_BYTES
    for name in (running.PLAIN, running.SLICED, running.SIMULATED):
        resident = costs[name].scraped_bytes
        budget = f"{megabytes(low)} to {megabytes(high)}"
        rows.append((f"Resident, {name}", budget, megabytes(resident), against(resident, high)))
    return Table("Budget", _BUDGET, ("What", "Budget", "Found", "Verdict"), rows)
