import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.model import Metrics, PartitionMetrics, UnknownTableError
from collectors.amd.gpu_metrics.parse import parse
from collectors.query import InvalidValueError
from tests.doubles.amd_cards import MI210, MI300X, AmdCard
from tests.doubles.amd_node import ALL, FAST, collector_of, reasons, value, values
from tests.doubles.amd_table import Table
from tests.doubles.amd_tree import AmdTree, Gpu

_ADDRESS = "0000:05:00.0"


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    card = tree.add(MI300X, _ADDRESS)
    card.write_bytes("gpu_metrics", b"\0")
    return card


def test_values_that_only_the_table_has(tree: AmdTree, gpu: Gpu) -> None:
    table = Table(
        Metrics(energy_joules=1234.5, vcn_ratios=(0.2, 0.4, None), jpeg_ratios=(0.5,), hbm_celsius=(40, None, 42))
    )
    reading = collector_of(tree, parse=table.parse).read(ALL)
    assert value(reading, catalog.ENERGY, gpu.uuid) == 1234.5
    assert values(reading, catalog.ENGINE_UTILIZATION, gpu.uuid) == pytest.approx({("video",): 0.3, ("jpeg",): 0.5})
    assert values(reading, catalog.TEMPERATURE, gpu.uuid) == {
        ("hotspot",): 61,
        ("memory",): 47,
        ("hbm0",): 40,
        ("hbm2",): 42,
    }


def test_the_table_replaces_missing_files(tree: AmdTree, gpu: Gpu) -> None:
    table = Table(
        Metrics(
            power_watts=600.0,
            gfx_ratio=0.5,
            umc_ratio=0.25,
            edge_celsius=50,
            hotspot_celsius=60,
            memory_celsius=45,
        )
    )
    reading = collector_of(tree, parse=table.parse).read(ALL)
    assert value(reading, catalog.UTILIZATION, gpu.uuid) == 0.88
    assert value(reading, catalog.POWER, gpu.uuid) == 611
    # This card has no sensor at the edge of the die.
    assert values(reading, catalog.TEMPERATURE, gpu.uuid) == {("core",): 50, ("hotspot",): 61, ("memory",): 47}
    for name in ("gpu_busy_percent", "mem_busy_percent", "hwmon/name"):
        gpu.remove(name)
    reading = collector_of(tree, parse=table.parse).read(ALL)
    assert value(reading, catalog.UTILIZATION, gpu.uuid) == 0.5
    assert value(reading, catalog.MEMORY_BANDWIDTH, gpu.uuid) == 0.25
    assert value(reading, catalog.POWER, gpu.uuid) == 600
    assert values(reading, catalog.TEMPERATURE, gpu.uuid) == {("core",): 50, ("hotspot",): 60, ("memory",): 45}


@pytest.mark.parametrize("joules", [None, 0.0])
def test_a_card_without_an_energy_counter_reports_it_as_unsupported(
    tree: AmdTree, gpu: Gpu, joules: float | None
) -> None:
    reading = collector_of(tree, parse=Table(Metrics(energy_joules=joules)).parse).read(ALL)
    assert value(reading, catalog.ENERGY, gpu.uuid) is None
    assert catalog.ENERGY in {each.metric for each in reading.unsupported}
    assert reading.faults == ()


MI100 = replace(
    MI210, name="AMD Instinct MI100", device=0x738C, gfx_target_version=90008, table_fields={"energy": 6_553_600_000}
)


@pytest.mark.parametrize("version", [(1, 1), (1, 2), (1, 3)])
@pytest.mark.parametrize(
    ("kind", "architecture", "joules"),
    [(MI210, True, 100_000), (MI210, False, 100_000), (MI100, True, None), (MI100, False, None)],
)
def test_energy_of_old_tables_is_wide_on_one_architecture_only(
    tree: AmdTree, kind: AmdCard, version: tuple[int, int], joules: float | None, *, architecture: bool
) -> None:
    fields = {name: value for name, value in kind.table_fields.items() if name == "energy"}
    card = tree.add(replace(kind, table=version, table_fields=fields), "0000:63:00.0")
    if not architecture:
        (tree.kfd / "topology" / "generation_id").unlink()
    reading = collector_of(tree, parse=parse).read(ALL)
    assert value(reading, catalog.ENERGY, card.uuid) == joules
    gaps = {gap.device_uuid for gap in reading.unsupported if gap.metric is catalog.ENERGY}
    assert (card.uuid in gaps) == (joules is None)


def test_counter_that_has_counted_may_read_0(tree: AmdTree, gpu: Gpu) -> None:
    table = Table(Metrics(energy_joules=5_000_000.0))
    collector = collector_of(tree, parse=table.parse)
    collector.read(ALL)
    table.change(energy_joules=0.0)
    assert value(collector.read(ALL), catalog.ENERGY, gpu.uuid) == 0


def test_each_binding_is_a_new_session(tree: AmdTree, gpu: Gpu) -> None:
    other = tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    first, same = collector.read(ALL).sessions, collector.read(ALL).sessions
    gpu.unbind()
    collector.read(ALL)
    gpu.bind()
    bound = collector.read(ALL).sessions
    (gpu.folder / "hwmon" / gpu.hwmon).rename(gpu.folder / "hwmon" / "hwmon77")  # bound again between two readings
    again = collector.read(ALL).sessions
    shutil.copytree(gpu.folder / "hwmon" / "hwmon77", gpu.folder / "new")
    (gpu.folder / "hwmon" / "hwmon77").rename(gpu.folder / "old")
    (gpu.folder / "new").rename(gpu.folder / "hwmon" / "hwmon77")  # and again, with the same number
    same_number = collector.read(ALL).sessions
    assert first == same
    assert len({each[gpu.uuid] for each in (first, bound, again, same_number)}) == 4
    assert {each[other.uuid] for each in (first, bound, again, same_number)} == {first[other.uuid]}


def test_a_value_that_is_missing_at_first_is_read_later(tree: AmdTree, gpu: Gpu) -> None:
    table = Table(Metrics(jpeg_ratios=(None,)))
    collector = collector_of(tree, parse=table.parse)
    assert value(collector.read(ALL), catalog.ENGINE_UTILIZATION, gpu.uuid, "jpeg") is None
    table.change(jpeg_ratios=(0.75,))
    assert value(collector.read(ALL), catalog.ENGINE_UTILIZATION, gpu.uuid, "jpeg") == 0.75


def test_the_table_is_read_once_in_a_poll_for_all_queries(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("CPX")
    table = Table(Metrics(energy_joules=1.0, partitions=[PartitionMetrics((0.1 * number,)) for number in range(8)]))
    collector = collector_of(tree, parse=table.parse)
    collector.read(ALL)
    assert table.asked == 1
    collector.read(FAST)
    assert table.asked == 2


def test_the_utilization_of_a_partition_is_the_mean_of_its_dies(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("DPX")
    table = Table(Metrics(partitions=[PartitionMetrics((0.5, 1.0, None, 0.0)), PartitionMetrics((None, None))]))
    reading = collector_of(tree, parse=table.parse).read(ALL)
    first, second = (partition.uuid for partition in reading.partitions)
    assert value(reading, catalog.UTILIZATION, gpu.uuid, partition=first) == 0.5
    assert value(reading, catalog.UTILIZATION, gpu.uuid, partition=second) is None
    assert value(reading, catalog.UTILIZATION, gpu.uuid) == 0.88
    assert reading.faults == ()


def test_a_table_of_another_partition_layout_is_not_used(tree: AmdTree, gpu: Gpu) -> None:
    gpu.set_partition_mode("DPX")
    table = Table(Metrics(partitions=[PartitionMetrics((0.5,))] * 8))
    collector = collector_of(tree, parse=table.parse)
    reading = collector.read(ALL)
    assert [s for s in reading.samples if s.metric is catalog.UTILIZATION and s.partition_uuid] == []
    table.change(partitions=[PartitionMetrics((0.5,))] * 2)
    reading = collector.read(FAST)
    assert len([s for s in reading.samples if s.metric is catalog.UTILIZATION and s.partition_uuid]) == 2


def test_a_table_of_an_unknown_version_is_unsupported(tree: AmdTree, gpu: Gpu) -> None:
    table = Table(error=lambda: UnknownTableError("gpu_metrics 1.9: unknown version"))
    collector = collector_of(tree, parse=table.parse)
    reading = collector.read(ALL)
    assert [(fault.where, fault.detail) for fault in reading.faults] == [(gpu.uuid, "gpu_metrics 1.9: unknown version")]
    assert collector.read(ALL).faults == ()
    assert {each.detail for each in reading.unsupported if each.metric is catalog.ENERGY} == {
        "gpu_metrics 1.9: unknown version"
    }
    assert value(reading, catalog.UTILIZATION, gpu.uuid) == 0.88


def test_a_table_that_cannot_be_parsed_is_one_fault(tree: AmdTree, gpu: Gpu) -> None:
    table = Table(error=lambda: InvalidValueError("gpu_metrics: truncated"))
    collector = collector_of(tree, parse=table.parse)
    reading = collector.read(ALL)
    assert [(fault.where, fault.reason.value) for fault in reading.faults] == [(gpu.uuid, "invalid_value")]
    table.error = None
    table.change(energy_joules=7.0)
    assert value(collector.read(ALL), catalog.ENERGY, gpu.uuid) == 7


def test_a_table_that_cannot_be_read_is_one_fault_and_read_again(tree: AmdTree, gpu: Gpu) -> None:
    gpu.fail("gpu_metrics")
    collector = collector_of(tree, parse=Table(Metrics(energy_joules=7.0)).parse)
    assert reasons(collector.read(ALL)) == {(gpu.uuid, "unavailable")}
    gpu.write_bytes("gpu_metrics", b"\0")
    assert value(collector.read(ALL), catalog.ENERGY, gpu.uuid) == 7


def test_a_card_without_the_table_is_read_from_its_files(tree: AmdTree) -> None:
    card = tree.add(MI210, "0000:63:00.0")
    card.remove("gpu_metrics")
    table = Table(Metrics(energy_joules=7.0))
    reading = collector_of(tree, parse=table.parse).read(ALL)
    assert table.asked == 0
    assert value(reading, catalog.UTILIZATION, card.uuid) == 0.37


@pytest.mark.parametrize("ratio", [1.01, -0.1, 655.35])
def test_an_impossible_ratio_is_refused(tree: AmdTree, gpu: Gpu, ratio: float) -> None:
    reading = collector_of(tree, parse=Table(Metrics(jpeg_ratios=(ratio,))).parse).read(ALL)
    assert value(reading, catalog.ENGINE_UTILIZATION, gpu.uuid, "jpeg") is None
    assert reasons(reading) == {(gpu.uuid, "invalid_value")}
