"""A partition whose size cannot be read lacks only its size."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import Reading
from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_node import ALL, FAST, collector_of, reasons, value
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.collectors import Clock


@pytest.fixture
def gpu(tmp_path: Path) -> Gpu:
    gpu = AmdTree(tmp_path / "sys").add(MI300X, "0000:05:00.0")
    gpu.set_partition_mode("DPX")
    return gpu


def replaced(pattern: str, text: str) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.write_text(re.sub(pattern, text, path.read_text()))

    return replace


def families(reading: Reading, number: int) -> set[str]:
    uuid = reading.partitions[number].uuid
    return {sample.metric.stem for sample in reading.samples if sample.partition_uuid == uuid}


@pytest.mark.parametrize("count", ["", "simd_count 0", "simd_count 4294967295", "simd_count x", "simd_count -8"])
def test_a_partition_without_a_number_of_units_has_all_else(gpu: Gpu, count: str) -> None:
    """The fraction of every partition depends on the sum over all."""
    before = collector_of(gpu.tree, parse=parse).read(ALL)
    replaced("simd_count .*", count)(gpu.tree.node(gpu, 1) / "properties")
    collector = collector_of(gpu.tree, parse=parse)
    reading = collector.read(ALL)
    for number in range(2):
        assert families(reading, number) == families(before, number) - {"compute_ratio"}
        uuid = reading.partitions[number].uuid
        assert value(reading, catalog.UTILIZATION, gpu.uuid, partition=uuid) is not None
    assert reasons(reading) == {(reading.partitions[1].uuid, "invalid_value")}
    assert collector.read(FAST).faults == ()


def input_error(path: Path) -> None:
    path.unlink()
    path.symlink_to("/proc/self/mem")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "input error": input_error,
    "missing": Path.unlink,
    "garbage": replaced("(?s).+", "garbage"),
    "impossible": replaced("size_in_bytes .*", f"size_in_bytes {2**64 - 1}"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_partition_without_a_memory_size_has_all_else(gpu: Gpu, damage: Callable[[Path], None]) -> None:
    clock = Clock()
    collector = collector_of(gpu.tree, parse=parse, clock=clock)
    before = collector.read(ALL)
    damage(gpu.tree.node(gpu, 1) / "mem_banks" / "0" / "properties")
    for _ in range(4):  # the last values are held for three readings while files are missing
        clock.now += 10
        reading = collector.read(ALL)
    assert families(reading, 0) == families(before, 0)
    assert families(reading, 1) == families(before, 1) - {"memory_limit_bytes"}
