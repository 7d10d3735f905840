"""How many NVML calls polling NVIDIA GPUs needs at the default cadences, and how long it takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.cadences import ROUNDS, SLOW, measured, per_second
from bench.figures import Table, milliseconds
from bench.nodes import doubled
from collectors.metric import Cadence
from tests.contract.hosted import HostedCollector
from tests.doubles.nvml import NvmlState
from tests.native.nvml_calls import CALLS

_APART_SECONDS = 0.15  # two samples of the activity counters must be at least 0.1 s apart
_WARM_UP_POLLS = 3

_ABOUT = f"""\
The NVIDIA collector alone, with the NVML double. The columns are library calls and wall time of three kinds of poll;
medians of {ROUNDS}. "Fast" reads what is due every second, "with medium" also what is due every 10 s, and "with slow"
everything. The cost of an average second at these cadences is computed from them. The double returns at once, so the
time is that of this exporter and of nvidia-ml-py; a real driver adds its time in each call."""


def polling(library: Path) -> Table:
    """The table.

    Args:
        library: The folder of the NVML double.
    """
    header = ("Node", "Fast", "with medium", "with slow", "NVML calls per second", "Polling per second")
    rows = [_row("8 x H100", library, partitioned=False), _row("8 x 7 MIG", library, partitioned=True)]
    return Table("Polling", _ABOUT, header, rows)


def _row(name: str, library: Path, *, partitioned: bool) -> tuple[str, ...]:
    with _collector(library, partitioned=partitioned) as (collector, nvml):
        for _ in range(_WARM_UP_POLLS):
            _poll(collector, nvml, SLOW)
        polls = measured(partial(_poll, collector, nvml))
    calls, seconds = per_second(polls)
    kinds = (f"{calls:,.0f} calls, {milliseconds(poll_seconds)}" for calls, poll_seconds in polls.values())
    return (name, *kinds, f"{calls:,.1f}", milliseconds(seconds))


@contextmanager
def _collector(library: Path, *, partitioned: bool) -> Iterator[tuple[HostedCollector, NvmlState]]:
    with doubled(library, 8, partitioned=partitioned) as node:
        environment = dict(node.environment)
        with HostedCollector("nvidia", node.sysfs.path, environment=environment) as collector:
            yield collector, node.nvml


def _poll(collector: HostedCollector, nvml: NvmlState, due: frozenset[Cadence]) -> tuple[int, float]:
    time.sleep(_APART_SECONDS)
    before = sum(nvml.calls(call) for call in CALLS)
    started = time.perf_counter()
    collector.read_often(due, 1)
    seconds = time.perf_counter() - started
    return sum(nvml.calls(call) for call in CALLS) - before, seconds
