"""The collector with the vendor's library instead of the kernel's files."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd import SPEC
from collectors.amd.collector import AmdCollector
from collectors.amd.gpu_metrics.parse import parse
from collectors.amd.load import MEMORY_ROWS
from collectors.amd.rocm_smi import libamd_smi
from collectors.amd.rocm_smi.librocm_smi import READINGS
from collectors.amd.rocm_smi.queries import LIBRARY_FALLBACKS, LIBRARY_ITEMS, LIBRARY_ROWS, memory_item
from collectors.contract import AmdBackend, AmdOptions, CollectorError, Node, Reason, UnavailableError, UnsupportedError
from collectors.device_calls import DeviceCalls
from collectors.metric import Subject
from collectors.sysfs import Root
from tests.doubles.amd_cards import MI210, MI300X, RX_7900_XTX
from tests.doubles.amd_node import ALL, FAST, MACHINE, NO_DEADLINE, NOW, reasons, value, values
from tests.doubles.amd_tree import AmdTree

_ADDRESS = "0000:63:00.0"
ITEMS = (*LIBRARY_ITEMS, *map(memory_item, MEMORY_ROWS))
# All of them differ from the files of the card.
_TOLD: Mapping[str, float] = {
    "utilization_percent": 5,
    "memory_activity_percent": 6,
    "vram_used_bytes": 7,
    "vram_total_bytes": 8,
    "gtt_used_bytes": 9,
    "power_average_microwatts": 10_000_000,
    "power_current_microwatts": 11_000_000,
    "power_cap_microwatts": 12_000_000,
    "energy_count": 13 << 16,
    "pcie_replays": 14,
    "edge_millidegrees": 15_000,
    "junction_millidegrees": 16_000,
    "memory_millidegrees": 17_000,
    "hbm0_millidegrees": 18_000,
    "hbm1_millidegrees": 19_000,
    "hbm2_millidegrees": 20_000,
    "hbm3_millidegrees": 21_000,
}


class FakeLibrary:
    """Returns the given values."""

    def __init__(self, values: Mapping[str, float | CollectorError]) -> None:
        self.values = dict(values)
        self.failure: CollectorError | None = None
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.closed = 0

    def read(self, address: str, names: Sequence[str]) -> Sequence[float | CollectorError]:
        self.asked.append((address, tuple(names)))
        if self.failure is not None:
            raise self.failure
        return [self.values[name] for name in names]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


def _collector(tree: AmdTree, library: FakeLibrary) -> AmdCollector:
    node = Node(tree.root, Root(Path("/nonexistent")), MACHINE)
    return AmdCollector(node, lambda: NOW, parse, lambda: 0.0, DeviceCalls("test", NO_DEADLINE), library)


def test_the_library_supplies_its_readings_and_files_the_others(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    reading = _collector(tree, FakeLibrary(_TOLD)).read(ALL)
    assert value(reading, catalog.UTILIZATION, gpu.uuid) == 0.05
    assert value(reading, catalog.MEMORY_CONTROLLER_ACTIVITY, gpu.uuid) == 0.06
    assert value(reading, catalog.MEMORY_USAGE, gpu.uuid) == 7
    assert value(reading, catalog.MEMORY_LIMIT, gpu.uuid) == 8
    assert value(reading, catalog.HOST_MEMORY_USAGE, gpu.uuid) == 9
    assert value(reading, catalog.POWER, gpu.uuid) == 10
    assert value(reading, catalog.POWER_LIMIT, gpu.uuid) == 12
    assert value(reading, catalog.ENERGY, gpu.uuid) == 13
    assert value(reading, catalog.PCIE_REPLAYS, gpu.uuid) == 14
    assert values(reading, catalog.TEMPERATURE, gpu.uuid) == {
        ("core",): 15,
        ("hotspot",): 16,
        ("memory",): 17,
        ("hbm0",): 18,
        ("hbm1",): 19,
        ("hbm2",): 20,
        ("hbm3",): 21,
    }
    assert value(reading, catalog.CLOCK, gpu.uuid, "core") == 1_700_000_000
    assert value(reading, catalog.THROTTLE_ACTIVE, gpu.uuid, "power") == 1
    assert value(reading, catalog.STATUS_STATE, gpu.uuid, "ok") == 1
    assert reading.faults == ()


def test_a_reading_of_the_library_is_not_replaced_by_a_file(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    library = FakeLibrary(dict.fromkeys(_TOLD, 0) | {name: UnsupportedError("not in this release") for name in _TOLD})
    reading = _collector(tree, library).read(ALL)
    assert not LIBRARY_ROWS & {sample.metric for sample in reading.samples}
    assert {each.metric: each.detail for each in reading.unsupported if each.metric in LIBRARY_ROWS} == dict.fromkeys(
        LIBRARY_ROWS - {catalog.MEMORY_BANDWIDTH},  # which this card does not report
        "not in this release",
    )
    assert value(reading, catalog.CLOCK, gpu.uuid, "core") == 1_700_000_000


def test_a_gpu_is_read_once_in_a_poll_and_only_what_is_due(tree: AmdTree) -> None:
    tree.add(MI210, _ADDRESS)
    tree.add(RX_7900_XTX, "0000:03:00.0")
    library = FakeLibrary(_TOLD)
    collector = _collector(tree, library)
    collector.read(FAST)
    assert [address for address, _ in library.asked] == ["0000:03:00.0", _ADDRESS]
    assert set(library.asked[0][1]) == {part.key for part in ITEMS if part.cadence in FAST}


def test_the_current_power_replaces_a_missing_average(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, _ADDRESS)
    library = FakeLibrary({**_TOLD, "power_average_microwatts": UnsupportedError("power_ave")})
    assert value(_collector(tree, library).read(ALL), catalog.POWER, gpu.uuid) == 11


def test_a_counter_that_stays_at_0_is_unsupported(tree: AmdTree) -> None:
    tree.add(RX_7900_XTX, _ADDRESS)
    reading = _collector(tree, FakeLibrary({**_TOLD, "energy_count": 0, "power_average_microwatts": 0})).read(ALL)
    assert not {catalog.ENERGY, catalog.POWER} & {sample.metric for sample in reading.samples}
    assert catalog.ENERGY in {each.metric for each in reading.unsupported}


def test_library_does_not_hide_that_the_counter_is_narrow(tree: AmdTree) -> None:
    gpu = tree.add(replace(MI210, device=0x738C, gfx_target_version=90008), _ADDRESS)
    reading = _collector(tree, FakeLibrary(_TOLD)).read(ALL)
    assert value(reading, catalog.ENERGY, gpu.uuid) is None
    assert catalog.ENERGY in {each.metric for each in reading.unsupported}


def test_partitions_are_read_from_files_because_the_library_repeats_the_gpu(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, _ADDRESS)
    gpu.set_partition_mode("CPX", "NPS4")
    reading = _collector(tree, FakeLibrary(_TOLD)).read(ALL)
    ratios = [s.value for s in reading.samples if s.metric is catalog.UTILIZATION and s.partition_uuid]
    assert ratios == [0.81, 0.83, 0.85, 0.87, 0.89, 0.91, 0.93, 0.95]


def test_a_library_that_does_not_answer_is_one_fault_and_read_again(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    library = FakeLibrary(_TOLD)
    library.failure = UnavailableError("librocm_smi64: not there", Reason.LIBRARY_MISSING)
    collector = _collector(tree, library)
    reading = collector.read(ALL)
    assert reasons(reading) == {(gpu.uuid, "library_missing")}
    assert value(reading, catalog.CLOCK, gpu.uuid, "core") == 1_700_000_000
    library.failure = None
    assert value(collector.read(ALL), catalog.UTILIZATION, gpu.uuid) == 0.05


def test_closing_the_collector_closes_the_library(tree: AmdTree) -> None:
    tree.add(MI210, _ADDRESS)
    library = FakeLibrary(_TOLD)
    _collector(tree, library).close()
    assert library.closed == 1


def test_every_item_is_a_reading_of_the_library() -> None:
    assert {part.key for part in (*ITEMS, *LIBRARY_FALLBACKS)} <= READINGS.keys()


def test_the_library_is_read_only_with_its_option(tree: AmdTree, tmp_path: Path) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    for backend in (AmdBackend.AUTO, AmdBackend.KERNEL):
        collector = SPEC.create(Node(tree.root, Root(tmp_path), MACHINE, amd=AmdOptions(backend)))
        assert value(collector.read(ALL), catalog.UTILIZATION, gpu.uuid) == 0.37


def _told_by(readings: Collection[str]) -> set[str]:
    rows = {row for part in (*ITEMS, *LIBRARY_FALLBACKS) if part.key in readings for row in part.rows}
    return {row.name(Subject.DEVICE) for row in rows}


def test_the_documentation_lists_the_families_of_each_backend() -> None:
    page = (Path(__file__).parents[2] / "docs" / "amd.md").read_text(encoding="utf-8")
    section = page.partition("## Backends")[2].partition("## Status")[0]
    table = re.findall(r"^\| `(accelerator_\w+)` \| yes \| (yes|no) \| (yes|no) \|$", section, re.MULTILINE)
    assert {family for family, _, _ in table} == {row.name(Subject.DEVICE) for row in LIBRARY_ROWS}
    assert {family for family, rocm, _ in table if rocm == "yes"} == _told_by(READINGS)
    assert {family for family, _, amd in table if amd == "yes"} == _told_by(libamd_smi.READINGS)
