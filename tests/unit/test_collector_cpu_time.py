"""The CPU time of a collector: of the thread that calls it, and of its own threads."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from collectors.contract import Reading, UnavailableError
from collectors.metric import Cadence
from exporter.poller import CallEnded, Poller, PollerEvent
from tests.doubles.collectors import BOUND_SECONDS, ScriptedCollector, gpu
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvidia_collector import h100_bench

OFTEN = dict.fromkeys(Cadence, 0.001)


def reported(collector: ScriptedCollector, calls: int) -> list[float | None]:
    """The CPU time after each of the first calls, if the calling thread has used 2 s."""
    reports: list[PollerEvent] = []
    poller = Poller("acme", collector, OFTEN, time.monotonic, reports.append, lambda: 2.0)
    poller.start()
    wait_until(lambda: sum(isinstance(report, CallEnded) for report in reports) >= calls, BOUND_SECONDS)
    poller.stop()
    assert poller.join(BOUND_SECONDS)
    return [report.cpu_seconds for report in reports if isinstance(report, CallEnded)][:calls]


def test_it_is_that_of_all_threads_and_never_falls() -> None:
    broken: Any = "no time"
    others = [3.0, 4.0, UnavailableError("no answer"), 1.0, math.nan, broken, -1.0]
    of_a = Reading((gpu("gpu-a"),))
    steps = [each if isinstance(each, Exception) else replace(of_a, cpu_seconds=each) for each in others]
    assert reported(ScriptedCollector(*steps), len(steps)) == [5.0, *[6.0] * (len(steps) - 1)]


def test_that_of_the_calls_of_the_library_and_of_the_events_is_included(tmp_path: Path, nvml_library: Path) -> None:
    with h100_bench(tmp_path, nvml_library) as bench:
        bench.tree.add_pci(bench.card.pci_address)
        first, second = (bench.read().cpu_seconds for _ in range(2))
        assert 0 < first < second
        wait_until(lambda: bench.calls.cpu_seconds > second)  # of the thread that takes the events, once a second
        bench.collector.close()
