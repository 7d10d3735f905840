"""Reading one GPU hangs: this GPU is stuck, the others are read."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.collector import AmdCollector
from collectors.amd.gpu_metrics.model import Metrics
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import CollectorError, Node, Reading, UnsupportedError
from collectors.device_calls import DeviceCalls
from tests.doubles.amd_cards import MI210, MI300X
from tests.doubles.amd_node import ALL, FAST, MACHINE, NOW, NOWHERE, value
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.collectors import BOUND_SECONDS
from tests.doubles.exporter_process import wait_until
from tests.doubles.open_files import open_below


@dataclass
class Bench:
    """A GPU that can hang and is partitioned, and one that is not.

    Attributes:
        tree: Their files.
        hanging: Set while reading the first one hangs.
        met: Set when it hangs.
        released: Set to let the hung call return.
    """

    tree: AmdTree
    hanging: threading.Event = field(default_factory=threading.Event)
    met: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    closed: int = 0

    def __post_init__(self) -> None:
        self.tree.add(MI300X, "0000:05:00.0").set_partition_mode("CPX", "NPS4")
        self.tree.add(MI210, "0000:63:00.0")
        self.calls = DeviceCalls("test", wait=self._wait)
        node = Node(self.tree.root, NOWHERE, MACHINE)
        self.collector = AmdCollector(node, lambda: NOW, self._parse, lambda: 0.0, self.calls, self)

    @property
    def hung(self) -> Gpu:
        return self.tree.gpus[0]

    @property
    def other(self) -> Gpu:
        return self.tree.gpus[1]

    def hang(self) -> Reading:
        """The first reading during a hang."""
        self.hanging.set()
        return self.collector.read(ALL)

    def release(self) -> None:
        """Let the hung call return, and wait until it has."""
        self.hanging.clear()
        self.met.clear()
        self.released.set()
        wait_until(lambda: not self.calls.stuck)

    def read(self, address: str, names: Sequence[str]) -> Sequence[float | CollectorError]:
        """The library: it supports nothing."""
        return [UnsupportedError(f"{address}: {name}") for name in names]

    def close(self) -> None:
        """Count that the library was closed."""
        self.closed += 1

    def _parse(self, table: bytes) -> Metrics:
        metrics = parse(table)
        if metrics.partitions and self.hanging.is_set():
            self.met.set()
            assert self.released.wait(BOUND_SECONDS), "never released"
        return metrics

    def _wait(self, condition: threading.Condition, is_over: Callable[[], bool], _: float) -> None:
        while not (is_over() or self.met.is_set()):
            condition.wait(0.002)
        self.met.clear()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(AmdTree(tmp_path / "sys"))
    yield made
    made.release()


def with_values(reading: Reading) -> set[str]:
    """The GPUs that have a value of their own."""
    return {sample.device_uuid for sample in reading.samples if not sample.metric.persistent}


def test_the_other_gpu_is_read_while_one_is_stuck(bench: Bench) -> None:
    before = bench.collector.read(ALL)
    reading = bench.hang()

    for due in (FAST, ALL):
        assert (set(reading.stuck), with_values(reading)) == ({bench.hung.uuid}, {bench.other.uuid})
        assert (reading.devices, reading.partitions, reading.faults) == (before.devices, before.partitions, ())
        reading = bench.collector.read(due)
    assert {s.metric for s in reading.samples if s.device_uuid == bench.hung.uuid} == {catalog.INFO, catalog.ERRORS}
    assert {gap for gap in reading.unsupported if gap.device_uuid == bench.hung.uuid} == {
        gap for gap in before.unsupported if gap.device_uuid == bench.hung.uuid
    }


def test_the_gpu_is_read_again_after_its_call_has_returned(bench: Bench) -> None:
    before = bench.collector.read(ALL)
    bench.hang()
    bench.release()

    after = bench.collector.read(ALL)

    assert (set(after.stuck), after.faults, after.sessions) == (set(), (), before.sessions)
    keys = [{(s.metric, s.subject, s.labels) for s in reading.samples} for reading in (before, after)]
    assert keys[0] == keys[1]


def test_a_gpu_can_be_stuck_from_the_start(bench: Bench) -> None:
    reading = bench.hang()

    assert (set(reading.stuck), with_values(reading)) == ({bench.hung.uuid}, {bench.other.uuid})
    assert len(reading.devices) == 2
    bench.release()
    assert with_values(bench.collector.read(ALL)) == {bench.hung.uuid, bench.other.uuid}


def test_a_stuck_gpu_that_the_driver_drops_is_lost_and_then_has_a_new_session(bench: Bench) -> None:
    before = bench.collector.read(ALL)
    bench.hang()
    bench.hung.unbind()

    lost = bench.collector.read(ALL)
    assert value(lost, catalog.STATUS_STATE, bench.hung.uuid, "failed") == 1
    assert (set(lost.stuck), [device.lost for device in lost.devices]) == (set(), [True, False])
    bench.hung.bind()
    assert bench.collector.read(ALL).stuck == {bench.hung.uuid}
    bench.release()

    after = bench.collector.read(ALL)
    assert with_values(after) == {bench.hung.uuid, bench.other.uuid}
    assert after.sessions[bench.hung.uuid] != before.sessions[bench.hung.uuid]


def test_a_gpu_that_is_repartitioned_during_its_hang_has_its_new_partitions_after_it(bench: Bench) -> None:
    bench.collector.read(ALL)
    bench.hang()
    bench.hung.set_partition_mode("SPX")
    assert len(bench.collector.read(ALL).partitions) == 8
    bench.release()

    assert bench.collector.read(ALL).partitions == ()


def test_the_library_is_closed_when_no_call_is_out(bench: Bench) -> None:
    bench.collector.read(ALL)
    bench.hang()

    bench.collector.close()
    assert bench.closed == 0
    bench.release()
    wait_until(lambda: bench.closed == 1)


def test_the_files_of_a_stuck_gpu_are_closed_by_its_call_and_the_others_at_once(bench: Bench) -> None:
    bench.collector.read(FAST)
    assert open_below(bench.other.folder) != []
    bench.hang()

    bench.collector.close()
    assert open_below(bench.tree.path) == open_below(bench.hung.folder) != []
    assert not bench.collector.closed
    bench.release()
    wait_until(lambda: bench.collector.closed)
    assert open_below(bench.tree.path) == []
    assert with_values(bench.collector.read(FAST)) == {bench.hung.uuid, bench.other.uuid}


def test_the_files_of_a_gpu_that_the_driver_drops_during_its_hang_are_closed_after_it(bench: Bench) -> None:
    bench.collector.read(FAST)
    bench.hang()
    bench.hung.unbind()
    bench.collector.read(FAST)
    assert open_below(bench.hung.folder) != []
    bench.release()

    bench.collector.read(FAST)
    wait_until(lambda: open_below(bench.hung.folder) == [])
