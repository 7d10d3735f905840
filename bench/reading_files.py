"""How many of the kernel's files polling AMD GPUs opens at the default cadences, and how long it takes."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.cadences import ROUNDS, SLOW, measured, per_second
from bench.figures import Table, milliseconds
from collectors import registry
from collectors.contract import Collector, Node
from collectors.metric import Cadence
from tests.doubles.amd_cards import GIB, MI300X
from tests.doubles.amd_processes import AmdProcesses
from tests.doubles.amd_tree import AmdTree, eight_of

_WARM_UP_POLLS = 3

_ABOUT = f"""\
The AMD collector alone, with the kernel files of eight MI300X in a plain directory. The columns are opened files and
folders, without those that stay open from an earlier poll, and wall time, of three kinds of poll; medians of {ROUNDS}.
"Fast" reads what is due every second, "with medium" also what is due every 10 s, and "with slow" everything. The cost
of an average second at these cadences is computed from them. A plain file is read at once, so the time is that of this
exporter; amdgpu adds the time in which it queries the card's firmware. A process computes on each GPU or partition."""


class _Opened:
    """Counts the files and folders that this process opens under a folder."""

    def __init__(self) -> None:
        self.count = 0
        self.folder: str | None = None
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if (
            self.folder is not None
            and event in ("open", "os.listdir", "os.scandir")
            and str(arguments[0]).startswith(self.folder)
        ):
            self.count += 1


def reading_files() -> Table:
    """The table."""
    header = ("Node", "Fast", "with medium", "with slow", "Files per second", "Polling per second")
    opened = _Opened()
    rows = [_row("8 x MI300X", opened, "SPX"), _row("8 x 8 partitions", opened, "CPX")]
    return Table("Polling AMD GPUs", _ABOUT, header, rows)


def _row(name: str, opened: _Opened, mode: str) -> tuple[str, ...]:
    with _collector(mode, opened) as collector:
        for _ in range(_WARM_UP_POLLS):
            collector.read(SLOW)
        polls = measured(partial(_poll, collector, opened))
    files, seconds = per_second(polls)
    kinds = (
        f"{opened_files:,.0f} files, {milliseconds(poll_seconds)}" for opened_files, poll_seconds in polls.values()
    )
    return (name, *kinds, f"{files:,.1f}", milliseconds(seconds))


@contextmanager
def _collector(mode: str, opened: _Opened) -> Iterator[Collector]:
    spec = next(spec for spec in registry.load() if spec.name == "amd")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tree = AmdTree(Path(folder) / "sys")
        processes = AmdProcesses(tree, Path(folder) / "proc")
        for gpu in eight_of(tree, MI300X):
            gpu.set_partition_mode(mode)
            for partition in range(gpu.partitions):
                processes.compute(1000 + 8 * gpu.number + partition, gpu, partition, memory=GIB, queues=1)
        opened.folder = folder
        yield spec.create(Node(tree.root, processes.root, "bench"))
        opened.folder = None


def _poll(collector: Collector, opened: _Opened, due: frozenset[Cadence]) -> tuple[int, float]:
    before = opened.count
    started = time.perf_counter()
    collector.read(due)
    seconds = time.perf_counter() - started
    return opened.count - before, seconds
