"""Processes that run at the same time at the default cadences, and their costs: CPU, NVML calls, memory, scrapes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import nvitop
from bench.figures import per_hour
from bench.nodes import doubled, sliced
from bench.process import PROMETHEUS, BenchError, Process, ScrapeCost, ScrapeTarget, exporter, scrape_costs
from tests.doubles.nvml import NvmlState
from tests.native.nvml_calls import CALLS

PLAIN = "8 x H100, 8 pods"
SLICED = "8 x 7 MIG, 56 pods"
SIMULATED = "16 x 7 MIG, 112 pods, simulated"
NVITOP = "nvitop-exporter"
NVITOP_PLAIN, NVITOP_SLICED = f"{NVITOP}, 8 x H100", f"{NVITOP}, 8 x 7 MIG"
OF_DEVICES = {1: "1 x H100, 1 pod", 4: "4 x H100, 4 pods", 8: PLAIN, 16: "16 x H100, 16 pods"}
"""The processes that differ in their number of devices."""
OF_PODS = {number: f"8 x H100, {number} pods" for number in (10, 60, 120, 250)}
"""Those that differ in their number of pods."""
WINDOWS = 3
WINDOW_SECONDS = 60  # the slow cadence, so each window has one slow reading
ROUNDS = 5
SCRAPES = 20

_SETTLE_SECONDS = 5.0
_IDLE_SECONDS = 10.0


@dataclass(slots=True)
class Running:
    """A process and the node that it reads.

    Attributes:
        name: Its name in the report.
        process: The process.
        nvml: The library's state; None without a library.
        cpu_per_hour: CPU seconds per hour in each window.
        calls_per_second: NVML calls per second in each window.
    """

    name: str
    process: Process
    nvml: NvmlState | None = None
    cpu_per_hour: list[float] = field(default_factory=list)
    calls_per_second: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one process.

    Attributes:
        name: Its name in the report.
        series: Number of series of a scrape.
        cpu_per_hour: CPU seconds, without scrapes; the median of the windows.
        calls_per_second: NVML calls, the median of the windows; None without a library.
        ready_bytes: Resident memory when it is ready.
        polled_bytes: Resident memory after all windows.
        scraped_bytes: Resident memory after the scrapes that follow.
        scrape: The cost of one of these scrapes.
    """

    name: str
    series: int
    cpu_per_hour: float
    calls_per_second: float | None
    ready_bytes: int
    polled_bytes: int
    scraped_bytes: int
    scrape: ScrapeCost


@dataclass(frozen=True, slots=True)
class Beside:
    """The results about nvitop-exporter, besides its cost.

    Attributes:
        versions: The installed versions.
        problem: Why it could not be measured; empty if it was measured.
        complaints: The errors in its log.
    """

    versions: str = ""
    problem: str = ""
    complaints: Sequence[str] = ()


def run(folder: Path, library: Path) -> tuple[list[Cost], Beside]:
    """Run all processes at the same time, so that noise affects all of them.

    Args:
        folder: For scenarios, logs and the environment of nvitop-exporter.
        library: The folder of the NVML double.
    """
    with _ours(folder, library) as ours, ExitStack() as stack:
        other, beside = _theirs(stack, folder / "nvitop", library)
        every = [*ours, *other, *_others(stack, folder, library)]
        time.sleep(_SETTLE_SECONDS)
        for _ in range(WINDOWS):
            _window(every)
        costs = _costs(every)
        complaints = [line for each in other for line in nvitop.complaints(each.process.log)]
    return costs, Beside(beside.versions, beside.problem, list(dict.fromkeys(complaints)))


@contextmanager
def _ours(folder: Path, library: Path) -> Iterator[list[Running]]:
    scenario = folder / "running.yaml"
    scenario.write_text(sliced(16), encoding="utf-8")
    with (
        doubled(library, 8, partitioned=False) as plain,
        doubled(library, 8, partitioned=True) as sliced_node,
        exporter(plain.flags, plain.environment, folder / "plain.log") as first,
        exporter(sliced_node.flags, sliced_node.environment, folder / "sliced.log") as second,
        exporter((f"--simulate={scenario}",), {}, folder / "simulated.log") as third,
    ):
        yield [Running(PLAIN, first, plain.nvml), Running(SLICED, second, sliced_node.nvml), Running(SIMULATED, third)]


def _others(stack: ExitStack, folder: Path, library: Path) -> Iterator[Running]:
    """The nodes that differ in one number only."""
    sizes = {name: (number, 0) for number, name in OF_DEVICES.items() if name != PLAIN}
    sizes |= {name: (8, number) for number, name in OF_PODS.items()}
    for name, (devices, pods) in sizes.items():
        node = stack.enter_context(doubled(library, devices, partitioned=False, pods=pods))
        log = folder / f"{name}.log"
        process = stack.enter_context(exporter(node.flags, node.environment, log))
        yield Running(name, process, node.nvml)


def _theirs(stack: ExitStack, folder: Path, library: Path) -> tuple[list[Running], Beside]:
    running = []
    try:
        programs = nvitop.install(folder)
        for name, partitioned in ((NVITOP_PLAIN, False), (NVITOP_SLICED, True)):
            node = stack.enter_context(doubled(library, 8, partitioned=partitioned))
            log = folder / f"{name}.log"
            process = stack.enter_context(nvitop.start(programs, node.environment, log))
            running.append(Running(name, process, node.nvml))
    except BenchError as error:
        return running, Beside(problem=str(error))
    return running, Beside(versions=nvitop.versions(programs))


def _window(every: Sequence[Running]) -> None:
    before = [(each.process.cpu_seconds(), _calls(each.nvml), time.monotonic()) for each in every]
    time.sleep(WINDOW_SECONDS)
    for each, (cpu, calls, started) in zip(every, before, strict=True):
        elapsed = time.monotonic() - started
        each.cpu_per_hour.append(per_hour(each.process.cpu_seconds() - cpu, elapsed))
        each.calls_per_second.append((_calls(each.nvml) - calls) / elapsed)


def _calls(nvml: NvmlState | None) -> int:
    return 0 if nvml is None else sum(nvml.calls(call) for call in CALLS)


def _costs(every: Sequence[Running]) -> list[Cost]:
    polled_bytes = [each.process.resident_bytes() for each in every]
    ways = [ScrapeTarget(each.process, PROMETHEUS, each.process.idle_rate(_IDLE_SECONDS)) for each in every]
    scrapes = scrape_costs(ways, ROUNDS, SCRAPES)
    return [_cost(*each) for each in zip(every, polled_bytes, scrapes, strict=True)]


def _cost(running: Running, polled_bytes: int, scrape: ScrapeCost) -> Cost:
    process = running.process
    return Cost(
        name=running.name,
        series=process.series(),
        cpu_per_hour=median(running.cpu_per_hour),
        calls_per_second=None if running.nvml is None else median(running.calls_per_second),
        ready_bytes=process.ready_resident_bytes,
        polled_bytes=polled_bytes,
        scraped_bytes=process.resident_bytes(),
        scrape=scrape,
    )
