"""One AMD GPU is released: none of its files is opened, and the others are read."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.collector import AmdCollector
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import CollectorError, Node, Reading
from collectors.device_calls import DeviceCalls
from tests.doubles.amd_cards import MI210, MI300X
from tests.doubles.amd_node import ALL, FAST, MACHINE, NO_DEADLINE, NOW, NOWHERE, collector_of, value
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.open_files import open_below

FIRST, SECOND = "0000:05:00.0", "0000:63:00.0"


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    made = AmdTree(tmp_path / "sys")
    made.add(MI300X, FIRST).set_partition_mode("CPX", "NPS4")
    made.add(MI210, SECOND)
    return made


def rows(reading: Reading, gpu: Gpu) -> set[str]:
    return {sample.metric.stem for sample in reading.samples if sample.device_uuid == gpu.uuid}


class Library:
    """Returns a value that no file has."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = 0

    def read(self, address: str, names: Sequence[str]) -> Sequence[float | CollectorError]:
        self.asked.append(address)
        return [3.0] * len(names)

    def close(self) -> None:
        self.closed += 1


def test_a_released_gpu_is_listed_with_its_partitions_and_not_read(tree: AmdTree) -> None:
    collector = collector_of(tree)
    before = collector.read(ALL)
    collector.release_devices(frozenset({FIRST}))
    for due in (FAST, ALL):
        reading = collector.read(due)
        assert {device.device: device.lost for device in reading.devices} == {FIRST: False, SECOND: False}
        assert rows(reading, tree.gpus[0]) <= {"info", "errors_total"}
        assert catalog.UTILIZATION.stem in rows(reading, tree.gpus[1])
        assert reading.partitions == before.partitions
        assert reading.faults == ()
        assert open_below(tree.gpus[0].folder) == []
    assert open_below(tree.gpus[1].folder) != []
    collector.release_devices(frozenset())
    assert catalog.UTILIZATION.stem in rows(collector.read(FAST), tree.gpus[1])
    assert rows(collector.read(ALL), tree.gpus[0]) == rows(before, tree.gpus[0])


def test_the_files_of_a_gpu_are_closed_when_it_is_released(tree: AmdTree) -> None:
    collector = collector_of(tree)
    collector.read(FAST)
    both = open_below(tree.path)
    assert open_below(tree.gpus[0].folder) != []
    for _ in range(100):
        collector.release_devices(frozenset({FIRST}))
        assert open_below(tree.path) == open_below(tree.gpus[1].folder) != []
        collector.release_devices(frozenset())
        collector.read(FAST)
        assert open_below(tree.path) == both
    collector.release_devices(frozenset({FIRST, SECOND}))
    assert open_below(tree.path) == []


def test_all_files_are_closed_with_the_collector_and_opened_by_the_next_reading(tree: AmdTree) -> None:
    collector = collector_of(tree)
    for _ in range(100):
        assert catalog.UTILIZATION.stem in rows(collector.read(FAST), tree.gpus[1])
        assert open_below(tree.path) != []
        collector.close()
        assert collector.closed
        assert open_below(tree.path) == []


def test_the_files_of_a_gpu_that_the_driver_drops_are_closed(tree: AmdTree) -> None:
    collector = collector_of(tree)
    collector.read(FAST)
    tree.gpus[1].unbind()
    collector.read(FAST)
    assert open_below(tree.path) == open_below(tree.gpus[0].folder) != []


def test_the_files_of_a_gpu_that_was_removed_and_put_back_are_read_anew(tree: AmdTree) -> None:
    collector = collector_of(tree)
    other = tree.gpus[1]
    assert value(collector.read(FAST), catalog.UTILIZATION, other.uuid) not in {None, 0.41}
    old = other.folder.rename(tree.path / "removed")
    shutil.copytree(old, other.folder, symlinks=True)
    shutil.rmtree(old)
    other.write("gpu_busy_percent", "41")
    assert value(collector.read(FAST), catalog.UTILIZATION, other.uuid) == 0.41
    collector.read(ALL)  # finds the new folder of its sensors
    assert all(not path.endswith("(deleted)") for path in open_below(tree.path))


def test_all_gpus_can_be_released(tree: AmdTree) -> None:
    collector = collector_of(tree)
    collector.read(ALL)
    collector.release_devices(frozenset({FIRST, SECOND}))
    reading = collector.read(ALL)
    assert len(reading.devices) == 2
    assert reading.faults == ()


@pytest.mark.parametrize("driver", [None, "vfio-pci"])
def test_a_released_gpu_is_unbound_without_a_failure(tree: AmdTree, driver: str | None) -> None:
    collector = collector_of(tree)
    collector.read(ALL)
    collector.release_devices(frozenset({FIRST}))
    tree.gpus[0].unbind(driver)
    reading = collector.read(ALL)
    assert [device.device for device in reading.devices].count(FIRST) == 1
    assert not any(device.lost for device in reading.devices)
    assert reading.faults == ()


def test_the_library_which_opens_every_gpu_is_closed_while_one_is_released(tree: AmdTree) -> None:
    library, other = Library(), tree.gpus[1]
    node = Node(tree.root, NOWHERE, MACHINE)
    collector = AmdCollector(node, lambda: NOW, parse, lambda: 0.0, DeviceCalls("test", NO_DEADLINE), library)
    assert value(collector.read(ALL), catalog.UTILIZATION, other.uuid) == 0.03
    collector.release_devices(frozenset({"0000:ff:00.0"}))
    assert library.closed == 0
    collector.release_devices(frozenset({FIRST}))
    assert library.closed == 1
    library.asked.clear()
    assert value(collector.read(ALL), catalog.UTILIZATION, other.uuid) not in {None, 0.03}
    assert library.asked == []
    collector.release_devices(frozenset())
    assert value(collector.read(ALL), catalog.UTILIZATION, other.uuid) == 0.03
