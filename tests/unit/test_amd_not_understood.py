"""Tables whose layout is not supported, or whose content is not such a table."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import Fault, Reading, Reason
from tests.doubles.amd_attributes import gpu_table, partition_table
from tests.doubles.amd_cards import MI210, MI300X, MI300X_DESCRIBED
from tests.doubles.amd_node import ALL, collector_of, value, values
from tests.doubles.amd_tree import AmdTree, Gpu

_POLLS = 5
EARLY_1_6 = struct.pack("<HBB", 384, 1, 6) + b"\1" * 380
UNKNOWN_TYPE = struct.pack("<HBBiQQ", 24, 1, 9, 1, 9 << 20 | 50 << 10 | 1, 0)


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    return tree.add(MI300X_DESCRIBED, "0000:05:00.0")


def _each_poll(tree: AmdTree) -> Iterator[Reading]:
    collector = collector_of(tree, parse=parse)
    while True:
        yield collector.read(ALL)


NOT_UNDERSTOOD = {
    "early 1.6": (EARLY_1_6, "gpu_metrics 1.6: 384 bytes, expected 1664: this layout is not supported"),
    "unknown version": (struct.pack("<HBB", 8, 1, 10) + bytes(4), "gpu_metrics 1.10: this version is not supported"),
    "unknown type": (UNKNOWN_TYPE, "gpu_metrics 1.9, attribute 0: its type 9 is not supported"),
    "too many attributes": (
        struct.pack("<HBBi", 8, 1, 9, 7),
        "gpu_metrics 1.9: 7 attributes in 8 bytes",
    ),
    "truncated": (gpu_table({})[:100], "gpu_metrics 1.9: 100 bytes, 1150 in the header"),
    "empty": (b"", "gpu_metrics: 0 bytes"),
    "long": (gpu_table({}).ljust(9000), "gpu_metrics: longer than 8192 bytes"),
}


@pytest.mark.parametrize(("content", "why"), NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
@pytest.mark.parametrize("mode", ["SPX", "CPX"])
def test_a_table_that_is_not_understood_is_one_fault_and_not_one_in_each_poll(
    tree: AmdTree, gpu: Gpu, mode: str, content: bytes, why: str
) -> None:
    gpu.set_partition_mode(mode)
    gpu.write_bytes("gpu_metrics", content)
    readings = _each_poll(tree)
    first = next(readings)
    assert first.faults == (Fault(Reason.INVALID_VALUE, gpu.uuid, why),)
    assert [next(readings).faults for _ in range(_POLLS)] == [()] * _POLLS
    assert value(first, catalog.UTILIZATION, gpu.uuid) == 0.88
    assert value(first, catalog.STATUS_STATE, gpu.uuid, "ok") == 1


@pytest.mark.parametrize(("content", "why"), [NOT_UNDERSTOOD["early 1.6"], NOT_UNDERSTOOD["unknown type"]])
def test_families_of_a_layout_that_is_not_supported_say_why_they_are_absent(
    tree: AmdTree, gpu: Gpu, content: bytes, why: str
) -> None:
    gpu.write_bytes("gpu_metrics", content)
    gaps = {gap.metric: gap.detail for gap in next(_each_poll(tree)).unsupported}
    assert gaps[catalog.ENERGY] == gaps[catalog.INTERCONNECT_BYTES] == gaps[catalog.THROTTLE_SECONDS] == why


def test_it_is_counted_again_in_a_new_session_of_the_driver(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write_bytes("gpu_metrics", EARLY_1_6)
    readings = _each_poll(tree)
    assert len(next(readings).faults) == 1
    (gpu.folder / "hwmon" / gpu.hwmon).rename(gpu.folder / "hwmon" / "hwmon77")
    assert [fault.reason for fault in next(readings).faults] == [Reason.INVALID_VALUE]
    assert next(readings).faults == ()


def test_another_partition_mode_is_not_a_new_session(tree: AmdTree, gpu: Gpu) -> None:
    readings = _each_poll(tree)
    faults = 0
    for mode in ("CPX", "SPX", "DPX", "CPX"):
        gpu.set_partition_mode(mode)
        gpu.write_bytes("gpu_metrics", EARLY_1_6)
        faults += sum(fault.reason is Reason.INVALID_VALUE for _ in range(3) for fault in next(readings).faults)
    assert faults == 1


def test_each_gpu_has_its_own_fault(tree: AmdTree, gpu: Gpu) -> None:
    other = tree.add(MI210, "0000:63:00.0")
    readings = _each_poll(tree)
    assert next(readings).faults == ()
    for each in (gpu, other):
        each.write_bytes("gpu_metrics", b"\0" * 8)
        assert [fault.where for fault in next(readings).faults] == [each.uuid]


def test_content_that_is_not_a_table_at_the_moment_is_read_again(tree: AmdTree, gpu: Gpu) -> None:
    gpu.write_bytes("gpu_metrics", b"")
    readings = _each_poll(tree)
    assert value(next(readings), catalog.ENERGY, gpu.uuid) is None
    gpu.write_table()
    healed = next(readings)
    assert value(healed, catalog.ENERGY, gpu.uuid) == 1_000_000
    assert values(healed, catalog.INTERCONNECT_LINKS, gpu.uuid) == {("xgmi", "up"): 6, ("xgmi", "down"): 1}
    assert healed.faults == ()


@pytest.mark.parametrize(
    "content", [b"\0" * 8, EARLY_1_6, UNKNOWN_TYPE, b""], ids=["zeros", "early 1.6", "unknown type", "empty"]
)
def test_a_table_that_was_understood_before_does_not_become_unsupported(
    tree: AmdTree, gpu: Gpu, content: bytes
) -> None:
    """A driver writes the same layout during its whole session, so the content is wrong for a moment."""
    gpu.set_partition_mode("DPX")
    readings = _each_poll(tree)
    before = next(readings)
    for name in ("gpu_metrics", "xcp/xcp_metrics"):
        gpu.write_bytes(name, content)
        broken = next(readings)
        assert [fault.reason for fault in broken.faults] == [Reason.INVALID_VALUE]
        assert broken.unsupported == before.unsupported
        assert next(readings).faults == ()
        gpu.write_table()
        healed = next(readings)
        assert healed.faults == ()
        assert value(healed, catalog.ENERGY, gpu.uuid) == value(before, catalog.ENERGY, gpu.uuid) is not None
        assert _by_partition(healed, gpu.uuid) == _by_partition(before, gpu.uuid) == pytest.approx([0.84, 0.92])


def test_the_same_damage_is_counted_again_after_the_table_was_understood(tree: AmdTree, gpu: Gpu) -> None:
    readings = _each_poll(tree)
    next(readings)
    counts = []
    for _ in range(3):
        gpu.write_bytes("gpu_metrics", b"")
        counts.append([len(next(readings).faults) for _ in range(3)])
        gpu.write_table()
        counts.append([len(next(readings).faults)])
    assert counts == [[1, 0, 0], [0]] * 3


def test_another_damage_is_another_fault(tree: AmdTree, gpu: Gpu) -> None:
    readings = _each_poll(tree)
    next(readings)
    contents = [b"", gpu_table({})[:100], b"", EARLY_1_6, gpu_table({})[:100], gpu_table({})[:101]]
    counts = []
    for content in contents:
        gpu.write_bytes("gpu_metrics", content)
        counts.append([len(next(readings).faults) for _ in range(2)])
    assert counts == [[1, 0], [1, 0], [0, 0], [1, 0], [0, 0], [1, 0]]


def test_a_table_of_random_bytes_is_not_counted_in_each_poll(tree: AmdTree, gpu: Gpu) -> None:
    readings = _each_poll(tree)
    next(readings)
    faults = 0
    for size in range(100):
        gpu.write_bytes("gpu_metrics", gpu_table({})[:size])
        faults += len(next(readings).faults)
    assert faults <= 8


def test_the_table_of_another_partition_is_another_fault(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("DPX")
    readings = _each_poll(tree)
    next(readings)
    for number in range(2):
        gpu.write_partition_table(number, b"")
        assert [len(next(readings).faults) for _ in range(2)] == [1, 0]


PARTITION_TABLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "unknown version": (lambda: struct.pack("<HBB", 8, 1, 2) + bytes(4), "xcp_metrics 1.2: this version"),
    "another size": (lambda: struct.pack("<HBB", 480, 1, 0) + bytes(476), "xcp_metrics 1.0: 480 bytes, expected 488"),
    "truncated": (lambda: partition_table({})[:99], "xcp_metrics 1.1: 99 bytes"),
}


@pytest.mark.parametrize(("write", "why"), PARTITION_TABLES.values(), ids=PARTITION_TABLES)
def test_the_tables_of_all_partitions_together_are_one_fault(
    tree: AmdTree, gpu: Gpu, write: Callable[[], bytes], why: str
) -> None:
    gpu.set_partition_mode("CPX")
    for number in range(8):
        gpu.write_partition_table(number, write())
    readings = _each_poll(tree)
    (fault,) = next(readings).faults
    assert (fault.reason, fault.where) == (Reason.INVALID_VALUE, gpu.uuid)
    assert fault.detail.startswith(why)
    assert [next(readings).faults for _ in range(_POLLS)] == [()] * _POLLS


def _by_partition(reading: Reading, uuid: str) -> list[float | None]:
    return [value(reading, catalog.UTILIZATION, uuid, partition=each.uuid) for each in reading.partitions]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("CPX", [0.81, 0.83, 0.85, 0.87, 0.89, 0.91, 0.93, 0.95]),
        ("QPX", [0.82, 0.86, 0.90, 0.94]),
        ("DPX", [0.84, 0.92]),
    ],
)
@pytest.mark.parametrize("gpu_metrics", ["described", "unknown"])
def test_a_partition_is_read_from_its_own_table(
    tree: AmdTree, gpu: Gpu, mode: str, expected: list[float], gpu_metrics: str
) -> None:
    gpu.set_partition_mode(mode)
    if gpu_metrics == "unknown":
        gpu.write_bytes("gpu_metrics", EARLY_1_6)
    reading = next(_each_poll(tree))
    assert _by_partition(reading, gpu.uuid) == pytest.approx(expected)


def test_a_partition_keeps_its_table_when_platform_devices_have_other_names(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys", xcp_mark=".")
    first, second = (tree.add(MI300X_DESCRIBED, address) for address in ("0000:05:00.0", "0000:26:00.0"))
    for gpu in (first, second):
        gpu.set_partition_mode("DPX")
    second.write_partition_table(1, partition_table({"gfx_dies": (1, 3)}))
    reading = next(_each_poll(tree))
    own = {
        (each.device_uuid, value(reading, catalog.UTILIZATION, each.device_uuid, partition=each.uuid))
        for each in reading.partitions
    }
    assert own == {(first.uuid, 0.84), (first.uuid, 0.92), (second.uuid, 0.84), (second.uuid, 0.02)}


def test_a_table_with_values_of_partitions_needs_no_other_one(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, "0000:63:00.0")
    gpu.set_partition_mode("DPX")
    gpu.write_partition_table(0, partition_table({"gfx_dies": (1, 1, 1, 1)}))
    assert _by_partition(next(_each_poll(tree)), gpu.uuid) == pytest.approx([0.84, 0.92])


def test_a_partition_without_a_table_says_so(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("DPX")
    for number in (0, 1):
        (gpu.partition_folder(number) / "xcp" / "xcp_metrics").unlink()
    reading = next(_each_poll(tree))
    assert _by_partition(reading, gpu.uuid) == [None, None]
    assert reading.faults == ()
    gaps = {gap.detail for gap in reading.unsupported if gap.partition_uuid and gap.metric is catalog.UTILIZATION}
    assert gaps == {"xcp_metrics: No such file or directory"}


def test_partitions_without_nodes_are_counted_by_the_compute_dies(tree: AmdTree, gpu: Gpu) -> None:
    """The driver can run out of DRM nodes; the fractions are still those of the whole GPU."""
    gpu.set_partition_mode("CPX")
    lost = gpu.xcp[-1][0]
    for node in (tree.platform_device(lost) / "drm").iterdir():
        node.rmdir()
    reading = next(_each_poll(tree))
    ratios = [value(reading, catalog.COMPUTE_RATIO, gpu.uuid, partition=each.uuid) for each in reading.partitions]
    assert ratios == [pytest.approx(1 / 8)] * 7
