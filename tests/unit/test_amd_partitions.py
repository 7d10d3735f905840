import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import Reading
from tests.doubles.amd_cards import GIB, MI210, MI300X
from tests.doubles.amd_node import ALL, FAST, collector_of, meaning, no_table, reasons, value, values
from tests.doubles.amd_tree import AmdTree, Gpu, eight_of
from tests.doubles.collectors import Clock

_ADDRESS = "0000:05:00.0"
_UUID = "GPU-9246000000005000"


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    return tree.add(MI300X, _ADDRESS)


def profiles(reading: Reading) -> set[str]:
    return {partition.profile for partition in reading.partitions}


def test_a_whole_gpu_has_no_partitions(tree: AmdTree, gpu: Gpu) -> None:
    reading = collector_of(tree).read(ALL)
    assert reading.partitions == ()
    assert value(reading, catalog.PARTITIONS, gpu.uuid) == 0
    assert value(reading, catalog.MODE_STATE, gpu.uuid, "partitioning") == 0
    assert meaning(reading, _ADDRESS) == {gpu.uuid}


def test_a_gpu_that_cannot_be_partitioned_has_no_partitions_and_no_mode(tree: AmdTree) -> None:
    whole = tree.add(MI210, "0000:63:00.0")
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.PARTITIONS, whole.uuid) == 0
    assert values(reading, catalog.MODE_STATE, whole.uuid) == {("ecc",): 1}


@pytest.mark.parametrize(("mode", "memory", "count"), [("DPX", "NPS1", 2), ("QPX", "NPS1", 4), ("CPX", "NPS4", 8)])
def test_a_partitioned_gpu_has_the_partitions_of_its_mode(
    tree: AmdTree, gpu: Gpu, mode: str, memory: str, count: int
) -> None:
    gpu.set_partition_mode(mode, memory)
    reading = collector_of(tree).read(ALL)
    profile = f"{mode}_{memory}".lower()
    assert [each.uuid for each in reading.partitions] == [f"{_UUID}-{profile}-{number}" for number in range(count)]
    assert profiles(reading) == {profile}
    assert value(reading, catalog.PARTITIONS, gpu.uuid) == count
    assert value(reading, catalog.MODE_STATE, gpu.uuid, "partitioning") == 1
    for partition in reading.partitions:
        assert value(reading, catalog.COMPUTE_RATIO, gpu.uuid, partition=partition.uuid) == 1 / count
    assert reading.faults == ()


def test_the_first_partition_gets_the_names_of_the_gpu(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("CPX", "NPS4")
    reading = collector_of(tree).read(ALL)
    first = f"{_UUID}-cpx_nps4-0"
    assert meaning(reading, _ADDRESS) == {first}
    assert meaning(reading, f"gpu-{gpu.number}-{gpu.render}", "gpu.amd.com") == {first}
    assert meaning(reading, gpu.uuid) == {gpu.uuid}


@pytest.mark.parametrize("mark", ["_", "."])
@pytest.mark.parametrize("in_function", [True, False])
def test_the_other_partitions_are_found_by_their_render_nodes(tmp_path: Path, mark: str, *, in_function: bool) -> None:
    tree = AmdTree(tmp_path / "sys", xcp_mark=mark, partition_in_function=in_function)
    gpus = eight_of(tree, MI300X)
    for gpu in gpus:
        gpu.set_partition_mode("CPX", "NPS4")
    reading = collector_of(tree).read(ALL)
    assert len(reading.partitions) == 64
    for gpu in gpus:
        for partition, (number, card, render) in enumerate(gpu.xcp, start=1):
            expected = {f"{gpu.uuid}-cpx_nps4-{partition}"}
            assert meaning(reading, f"amdgpu_xcp_{number}") == expected
            assert meaning(reading, f"amdgpu_xcp.{number}") == expected
            assert meaning(reading, f"gpu-{card}-{render}", "gpu.amd.com") == expected
    assert reading.faults == ()


def test_unused_platform_devices_are_ignored(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("DPX")
    reading = collector_of(tree).read(ALL)
    assert meaning(reading, f"amdgpu_xcp_{gpu.xcp[0][0]}") == {f"{_UUID}-dpx_nps1-1"}
    assert meaning(reading, f"amdgpu_xcp_{gpu.xcp[1][0]}") == set()


def test_partitions_have_their_own_memory_and_no_values_of_the_gpu(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("CPX", "NPS4")
    reading = collector_of(tree).read(ALL)
    third = f"{_UUID}-cpx_nps4-3"
    assert value(reading, catalog.MEMORY_LIMIT, gpu.uuid, partition=third) == 24 * GIB
    assert value(reading, catalog.MEMORY_USAGE, gpu.uuid, partition=third) == 2_907_979_779
    assert value(reading, catalog.MEMORY_LIMIT, gpu.uuid) == 192 * GIB
    rows = {sample.metric for sample in reading.samples if sample.partition_uuid}
    assert rows == {catalog.INFO, catalog.COMPUTE_RATIO, catalog.MEMORY_LIMIT, catalog.MEMORY_USAGE}


def test_a_driver_without_memory_usage_is_not_a_fault(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("DPX")
    (tree.node(gpu, 1) / "mem_banks" / "0" / "used_memory").unlink()
    collector = collector_of(tree)
    reading = collector.read(ALL)
    second = f"{_UUID}-dpx_nps1-1"
    assert value(reading, catalog.MEMORY_USAGE, gpu.uuid, partition=second) is None
    missing = [each for each in reading.unsupported if each.metric is catalog.MEMORY_USAGE]
    assert [each.partition_uuid for each in missing] == [second]
    assert reading.faults == ()
    gpu.set_partition_mode("SPX")
    assert [each for each in collector.read(ALL).unsupported if each.partition_uuid] == []


def test_repartitioning_changes_every_name_at_once(tree: AmdTree, gpu: Gpu) -> None:
    collector = collector_of(tree)
    gpu.set_partition_mode("CPX", "NPS4")
    collector.read(ALL)
    gpu.set_partition_mode("DPX", "NPS1")
    reading = collector.read(FAST)
    assert profiles(reading) == {"dpx_nps1"}
    assert meaning(reading, _ADDRESS) == {f"{_UUID}-dpx_nps1-0"}
    gpu.set_partition_mode("SPX", "NPS1")
    reading = collector.read(FAST)
    assert reading.partitions == ()
    assert meaning(reading, _ADDRESS) == {gpu.uuid}


def test_nodes_are_renumbered_when_another_gpu_is_partitioned(tree: AmdTree) -> None:
    first, second = eight_of(tree, MI300X)[:2]
    second.set_partition_mode("DPX")
    collector = collector_of(tree)
    collector.read(ALL)
    first.set_partition_mode("CPX", "NPS4")
    (tree.node(second, 1) / "mem_banks" / "0" / "used_memory").write_text("77\n")
    reading = collector.read(FAST)
    partition = f"{second.uuid}-dpx_nps1-1"
    assert value(reading, catalog.MEMORY_USAGE, second.uuid, partition=partition) == 77


def test_repartitioning_during_a_poll_resolves_no_wrong_name(tree: AmdTree) -> None:
    gpu, whole, cut = eight_of(tree, MI300X)[:3]
    cut.set_partition_mode("DPX")
    changes = [lambda: gpu.set_partition_mode("CPX", "NPS4")]

    def meanwhile() -> float:
        """The clock is read between the first and the last read of the nodes."""
        if changes:
            changes.pop()()
        return 0.0

    collector = collector_of(tree, wall_clock=meanwhile)
    reading = collector.read(ALL)
    assert changes == []
    assert reading.partitions == ()
    assert [sample for sample in reading.samples if sample.partition_uuid] == []
    assert meaning(reading, gpu.address) == set()
    assert meaning(reading, cut.address) == set()
    assert meaning(reading, whole.address) == {whole.uuid}
    assert value(reading, catalog.PARTITIONS, gpu.uuid) is None
    assert value(reading, catalog.UTILIZATION, gpu.uuid) == 0.88
    reading = collector.read(ALL)
    assert meaning(reading, gpu.address) == {f"{gpu.uuid}-cpx_nps4-0"}
    assert meaning(reading, cut.address) == {f"{cut.uuid}-dpx_nps1-0"}


Rows = dict[tuple[str, str, str, tuple[str, ...]], float]


def rows_of(reading: Reading, gpu: Gpu) -> Rows:
    """Every value of a GPU and its partitions."""
    return {
        (sample.metric.stem, sample.device_uuid, sample.partition_uuid, sample.labels): sample.value
        for sample in reading.samples
        if sample.device_uuid == gpu.uuid
    }


class Neighbour:
    """Repartitions a GPU in the middle of each poll: the collector reads this clock between its reads of the nodes.

    Args:
        gpu: The GPU.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.modes: list[tuple[str, str]] = []

    def __call__(self) -> float:
        if self.modes:
            self._gpu.set_partition_mode(*self.modes.pop())
        return 0.0


@pytest.mark.parametrize("mode", [("CPX", "NPS4"), ("DPX", "NPS1"), ("SPX", "NPS1")])
@pytest.mark.parametrize("torn", [True, False])
def test_repartitioning_another_gpu_removes_nothing_of_a_gpu(
    tree: AmdTree, gpu: Gpu, mode: tuple[str, str], *, torn: bool
) -> None:
    """The other GPU's change is seen in the middle of a poll, or the nodes are absent during the poll."""
    other = tree.add(MI300X, "0000:26:00.0")
    neighbour = Neighbour(other)
    collector = collector_of(tree, wall_clock=neighbour, parse=parse)
    gpu.set_partition_mode(*mode)
    before = collector.read(ALL)
    fast = rows_of(collector.read(FAST), gpu)
    for count in range(10):
        other_mode = ("CPX", "NPS4") if count % 2 == 0 else ("SPX", "NPS1")
        if torn:
            other.set_partition_mode(*other_mode)
            shutil.rmtree(tree.kfd / "topology")
        else:
            neighbour.modes.append(other_mode)
        during = collector.read(ALL if count % 5 == 0 else FAST)
        assert [each for each in during.partitions if each.device_uuid == gpu.uuid] == list(before.partitions)
        assert meaning(during, gpu.address) == meaning(before, gpu.address)
        assert rows_of(during, gpu) == (rows_of(before, gpu) if count % 5 == 0 else fast)
        tree.write_topology()
        after = collector.read(FAST)
        assert rows_of(after, gpu) == fast


def test_values_of_partitions_are_held_for_three_readings_or_five_seconds(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("CPX", "NPS4")
    clock = Clock()
    collector = collector_of(tree, clock=clock)
    before = collector.read(ALL)
    shutil.rmtree(tree.kfd / "topology")
    for clock.now in (1.0, 2.0, 3.0, 4.0, 5.0):
        assert collector.read(FAST).partitions == before.partitions
    clock.now = 5.1
    assert collector.read(FAST).partitions == ()
    tree.write_topology()
    collector.read(ALL)
    shutil.rmtree(tree.kfd / "topology")
    for clock.now in (65.0, 125.0, 185.0):
        assert collector.read(ALL).partitions == before.partitions
    clock.now = 245.0
    reading = collector.read(ALL)
    assert reading.partitions == ()
    assert meaning(reading, gpu.address) == set()


def test_values_of_another_mode_are_not_held(tree: AmdTree, gpu: Gpu) -> None:
    collector = collector_of(tree)
    gpu.set_partition_mode("CPX", "NPS1")
    collector.read(ALL)
    gpu.set_partition_mode("CPX", "NPS4")
    shutil.rmtree(tree.kfd / "topology")
    reading = collector.read(ALL)
    assert reading.partitions == ()
    assert [sample for sample in reading.samples if sample.partition_uuid] == []


@pytest.mark.parametrize(("old", "new"), [("SPX", "CPX"), ("CPX", "SPX"), ("CPX", "DPX"), ("DPX", "QPX")])
def test_partitions_are_unknown_if_the_mode_does_not_match_the_nodes(
    tree: AmdTree, gpu: Gpu, old: str, new: str
) -> None:
    gpu.set_partition_mode(old)
    gpu.write("current_compute_partition", new)  # the nodes change later
    reading = collector_of(tree).read(ALL)
    assert reading.partitions == ()
    assert meaning(reading, _ADDRESS) == set()
    assert value(reading, catalog.PARTITIONS, gpu.uuid) is None
    assert reasons(reading) == {(_ADDRESS, "unavailable")}


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"UNKNOWN\n", b"garbage!\n", b"\xff\n"])
@pytest.mark.parametrize("name", ["current_compute_partition", "current_memory_partition"])
def test_with_an_unreadable_mode_partitions_are_unknown(tree: AmdTree, gpu: Gpu, content: bytes, name: str) -> None:
    gpu.set_partition_mode("CPX")
    gpu.write_bytes(name, content)
    reading = collector_of(tree).read(ALL)
    assert reading.partitions == ()
    assert meaning(reading, _ADDRESS) == set()
    assert reasons(reading) == {(_ADDRESS, "invalid_value")}
    assert value(reading, catalog.POWER, gpu.uuid) == 611


def test_without_memory_modes_the_profile_is_the_compute_mode(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("CPX")
    gpu.remove("current_memory_partition")
    assert profiles(collector_of(tree).read(ALL)) == {"cpx"}


@pytest.mark.parametrize(("broken", "reason"), [(False, "permission_denied"), (True, "unavailable")])
def test_nodes_denied_to_the_container_are_reported(tree: AmdTree, gpu: Gpu, reason: str, *, broken: bool) -> None:
    gpu.set_partition_mode("DPX")
    whole = tree.add(MI300X, "0000:26:00.0")
    path = tree.node(gpu, 1) / "properties"
    path.write_bytes(b"")
    if broken:
        path.unlink()
        path.symlink_to("/proc/self/mem")
    reading = collector_of(tree).read(ALL)
    assert reasons(reading) == {(_ADDRESS, reason)}
    assert ("privileged" in reading.faults[0].detail) is not broken
    assert reading.partitions == ()
    assert meaning(reading, _ADDRESS) == set()
    assert meaning(reading, whole.address) == {whole.uuid}


def test_nodes_that_become_readable_are_found_with_the_next_full_read(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("DPX")
    path = tree.node(gpu, 1) / "properties"
    content = path.read_bytes()
    path.write_bytes(b"")
    collector = collector_of(tree)
    assert collector.read(ALL).partitions == ()
    path.write_bytes(content)
    assert collector.read(FAST).partitions == ()  # not read every second, because there may be 64 nodes
    assert len(collector.read(ALL).partitions) == 2


def without_last_partition(tree: AmdTree, gpu: Gpu) -> None:
    """The driver is out of DRM nodes: the compute driver does not list this partition."""
    shutil.rmtree(tree.node(gpu, gpu.partitions - 1))


def without_platform_device(tree: AmdTree, gpu: Gpu) -> None:
    number, card, render = gpu.xcp[2]
    for name in (f"card{card}", f"renderD{render}"):
        (tree.path / "devices" / "platform" / f"amdgpu_xcp_{number}" / "drm" / name).rmdir()


@pytest.mark.parametrize("without", [without_last_partition, without_platform_device])
@pytest.mark.parametrize("source", ["table", "ip discovery"])
def test_fractions_are_of_the_whole_gpu(
    tree: AmdTree, gpu: Gpu, without: Callable[[AmdTree, Gpu], None], source: str
) -> None:
    gpu.set_partition_mode("CPX", "NPS4")
    without(tree, gpu)
    if source == "ip discovery":
        for instance in range(10):  # two of them are switched off
            gpu.write(f"ip_discovery/die/0/GC/{instance}/harvest", "0x0" if instance < 8 else "0x1")
    reading = collector_of(tree, parse=parse if source == "table" else no_table).read(ALL)
    ratios = [value(reading, catalog.COMPUTE_RATIO, gpu.uuid, partition=each.uuid) for each in reading.partitions]
    assert ratios == [1 / 8] * 7
    assert reasons(reading) == set()
    busy = [value(reading, catalog.UTILIZATION, gpu.uuid, partition=each.uuid) for each in reading.partitions]
    assert (None in busy) == (source != "table")


def test_without_the_compute_driver_partitions_are_unknown(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("CPX")
    (tree.kfd / "topology" / "generation_id").unlink()
    reading = collector_of(tree).read(ALL)
    assert reading.partitions == ()
    assert not reading.devices[0].partitions_known
    assert meaning(reading, _ADDRESS) == set()


def test_a_lost_gpu_keeps_its_partitions(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("DPX")
    tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    collector.read(ALL)
    gpu.unbind()
    reading = collector.read(ALL)
    assert profiles(reading) == {"dpx_nps1"}
    assert meaning(reading, _ADDRESS) == {f"{_UUID}-dpx_nps1-0"}
    assert {sample.metric for sample in reading.samples if sample.partition_uuid} == {catalog.INFO}


def test_partitions_of_gpus_in_one_slot_are_unknown(tree: AmdTree, gpu: Gpu) -> None:
    other = tree.add(MI300X, "0000:05:00.1")
    other.set_partition_mode("DPX")
    reading = collector_of(tree).read(ALL)
    assert reading.partitions == ()
    assert meaning(reading, gpu.address) == {gpu.uuid}
    assert meaning(reading, other.address) == set()
    assert reasons(reading) == {(other.address, "unavailable")}


@pytest.mark.parametrize("partition", [0, 1])
def test_partitions_with_an_unknown_render_node_are_unknown(tree: AmdTree, gpu: Gpu, partition: int) -> None:
    gpu.set_partition_mode("DPX")
    path = tree.node(gpu, partition) / "properties"
    path.write_text(re.sub(r"drm_render_minor \d+", "drm_render_minor 999", path.read_text()))
    reading = collector_of(tree).read(ALL)
    assert reading.partitions == ()
    assert reasons(reading) == {(_ADDRESS, "unavailable")}


def test_reading_does_not_change_the_tree(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("CPX")
    before = sorted(os.walk(tree.path))
    collector_of(tree).read(ALL)
    assert sorted(os.walk(tree.path)) == before
