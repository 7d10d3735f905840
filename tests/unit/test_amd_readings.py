from collections.abc import Mapping
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd import SPEC
from collectors.amd.load import memory_row
from collectors.contract import CollectOptions
from collectors.metric import Cadence, Metric
from tests.doubles.amd_cards import APU, GIB, MI210, MI300X, MI355X, MIB, RX_7900_XTX, AmdCard
from tests.doubles.amd_node import ALL, FAST, collector_of, reasons, value, values
from tests.doubles.amd_tree import AmdTree

_ADDRESS = "0000:63:00.0"
_MHZ = 1_000_000

# Every value was computed by hand from the files of the card.
_EXPECTED: list[tuple[AmdCard, Mapping[Metric, Mapping[tuple[str, ...], float]]]] = [
    (
        MI210,
        {
            catalog.UTILIZATION: {(): 0.37},
            catalog.MEMORY_BANDWIDTH: {},
            catalog.MEMORY_CONTROLLER_ACTIVITY: {(): 0.12},
            catalog.ENGINE_UTILIZATION: {},
            catalog.MEMORY_USAGE: {(): 16 * GIB},
            catalog.MEMORY_LIMIT: {(): 64 * GIB},
            catalog.HOST_MEMORY_USAGE: {(): 1 * GIB},
            catalog.POWER: {(): 96.0},
            catalog.POWER_LIMIT: {(): 300.0},
            catalog.POWER_DEFAULT_LIMIT: {(): 300.0},
            catalog.POWER_MIN_LIMIT: {(): 0.0},
            catalog.POWER_MAX_LIMIT: {(): 300.0},
            catalog.TEMPERATURE: {("core",): 41.0, ("hotspot",): 48.0, ("memory",): 52.0},
            catalog.TEMPERATURE_LIMIT: {
                ("core", "slowdown"): 100.0,
                ("core", "shutdown"): 105.0,
                ("hotspot", "slowdown"): 110.0,
                ("hotspot", "shutdown"): 115.0,
                ("memory", "slowdown"): 94.0,
                ("memory", "shutdown"): 99.0,
            },
            catalog.CLOCK: {
                ("core",): 1700 * _MHZ,
                ("memory",): 1600 * _MHZ,
                ("soc",): 1090 * _MHZ,
                ("fabric",): 1400 * _MHZ,
            },
            catalog.MAX_CLOCK: {
                ("core",): 1700 * _MHZ,
                ("memory",): 1600 * _MHZ,
                ("soc",): 1090 * _MHZ,
                ("fabric",): 1400 * _MHZ,
            },
            catalog.FAN_SPEED: {},
            catalog.MEMORY_ERRORS: {("corrected",): 0, ("uncorrected",): 0},
            catalog.MEMORY_RETIRED_PAGES: {("uncorrected",): 0},
            catalog.MEMORY_REPAIR_PENDING: {(): 0},
        },
    ),
    (
        MI300X,
        {
            catalog.UTILIZATION: {(): 0.88},
            catalog.MEMORY_BANDWIDTH: {(): 0.31},
            catalog.MEMORY_CONTROLLER_ACTIVITY: {},
            catalog.POWER: {(): 611.0},
            catalog.TEMPERATURE: {("hotspot",): 61.0, ("memory",): 47.0},
            catalog.FAN_SPEED: {},
        },
    ),
    (
        MI355X,
        {
            catalog.MEMORY_BANDWIDTH: {(): 0.31},
            catalog.MEMORY_CONTROLLER_ACTIVITY: {},
            catalog.POWER: {(): 1120.0},
            catalog.MEMORY_LIMIT: {(): 288 * GIB},
        },
    ),
    (
        RX_7900_XTX,
        {
            catalog.UTILIZATION: {(): 0.81},
            catalog.MEMORY_BANDWIDTH: {},
            catalog.MEMORY_CONTROLLER_ACTIVITY: {(): 0.64},
            catalog.ENGINE_UTILIZATION: {("video",): 0.07},
            catalog.POWER: {(): 287.5},
            catalog.CLOCK: {
                ("core",): 2304 * _MHZ,
                ("memory",): 1249 * _MHZ,
                ("soc",): 1200 * _MHZ,
                ("fabric",): 1800 * _MHZ,
                ("video",): 500 * _MHZ,
                ("display",): 417 * _MHZ,
            },
            catalog.FAN_SPEED: {("0",): 0.5},
            catalog.MEMORY_ERRORS: {},
        },
    ),
    (
        APU,
        {
            catalog.UTILIZATION: {(): 0.05},
            catalog.MEMORY_BANDWIDTH: {},
            catalog.MEMORY_CONTROLLER_ACTIVITY: {},
            catalog.MEMORY_LIMIT: {(): 512 * MIB},
            catalog.POWER: {(): 4.037},
            catalog.POWER_LIMIT: {},
            catalog.TEMPERATURE: {("core",): 39.0},
            catalog.TEMPERATURE_LIMIT: {},
            catalog.CLOCK: {("core",): 800 * _MHZ},
        },
    ),
]


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.mark.parametrize(("kind", "expected"), _EXPECTED, ids=["mi210", "mi300x", "mi355x", "rx7900xtx", "apu"])
def test_a_card_reports_the_values_of_its_files(
    tree: AmdTree, kind: AmdCard, expected: Mapping[Metric, Mapping[tuple[str, ...], float]]
) -> None:
    tree.add(kind, _ADDRESS)
    reading = collector_of(tree).read(ALL)
    uuid = reading.devices[0].uuid
    assert {metric.stem: values(reading, metric, uuid) for metric in expected} == {
        metric.stem: pytest.approx(wanted) for metric, wanted in expected.items()
    }
    assert reading.faults == ()


def test_only_due_readings_are_reported(tree: AmdTree) -> None:
    tree.add(MI300X, _ADDRESS).set_partition_mode("CPX")
    collector = collector_of(tree)
    collector.read(ALL)
    for cadence in Cadence:
        assert {sample.metric.cadence for sample in collector.read(frozenset({cadence})).samples} <= {cadence}


def test_every_row_is_declared(tree: AmdTree) -> None:
    for number, kind in enumerate((MI210, MI300X, RX_7900_XTX, APU)):
        tree.add(kind, f"0000:{number:02x}:00.0")
    tree.gpus[1].set_partition_mode("CPX")
    reading = collector_of(tree).read(ALL)
    whole = {sample.metric for sample in reading.samples if not sample.partition_uuid}
    partitions = {sample.metric for sample in reading.samples if sample.partition_uuid}
    assert whole <= set(SPEC.metrics)
    assert partitions <= set(SPEC.partition_metrics)


def test_a_value_is_read_again_in_every_poll(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    collector = collector_of(tree)
    for percent in (0, 100, 37):
        gpu.write("gpu_busy_percent", str(percent))
        assert value(collector.read(FAST), catalog.UTILIZATION, gpu.uuid) == percent / 100


def test_padding_is_not_part_of_a_value(tree: AmdTree) -> None:
    gpu = tree.add(RX_7900_XTX, _ADDRESS)
    for name, text in {**gpu.kind.files, **{f"hwmon/{key}": text for key, text in gpu.kind.hwmon.items()}}.items():
        gpu.write(name, text, padded=True)
    padded = collector_of(tree).read(ALL)
    for name, text in {**gpu.kind.files, **{f"hwmon/{key}": text for key, text in gpu.kind.hwmon.items()}}.items():
        gpu.write(name, text)
    assert padded == collector_of(tree).read(ALL)


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"garbage\n", b"101\n", b"-1\n", b"255\n", b"65535\n"])
def test_an_impossible_value_is_absent_and_counted(tree: AmdTree, content: bytes) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    gpu.write_bytes("gpu_busy_percent", content)
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.UTILIZATION, gpu.uuid) is None
    assert reasons(reading) == {(gpu.uuid, "invalid_value")}
    assert value(reading, catalog.MEMORY_CONTROLLER_ACTIVITY, gpu.uuid) == 0.12


@pytest.mark.parametrize("number", [255, 65535, 2**31 - 1, 2**32 - 1])
def test_a_value_like_a_sentinel_of_another_width_is_exported(tree: AmdTree, number: int) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    gpu.write("mem_info_vram_used", str(number))
    assert value(collector_of(tree).read(ALL), catalog.MEMORY_USAGE, gpu.uuid) == number


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("gpu_busy_percent", catalog.UTILIZATION),
        ("mem_info_vram_used", catalog.MEMORY_USAGE),
        ("hwmon/power1_average", catalog.POWER),
        ("pp_dpm_socclk", catalog.MAX_CLOCK),
        ("ras/umc_err_count", catalog.MEMORY_ERRORS),
        ("ras/gpu_vram_bad_pages", catalog.MEMORY_RETIRED_PAGES),
    ],
)
def test_a_reading_with_an_input_error_is_absent_counted_and_retried(tree: AmdTree, name: str, metric: Metric) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    whole = collector_of(tree).read(ALL)
    content = gpu.path(name).read_bytes()
    gpu.fail(name)
    collector = collector_of(tree)
    reading = collector.read(ALL)
    assert len(values(reading, metric, gpu.uuid)) < len(values(whole, metric, gpu.uuid))
    assert reasons(reading) == {(gpu.uuid, "unavailable")}
    gpu.write_bytes(name, content)
    assert values(collector.read(ALL), metric, gpu.uuid) == values(whole, metric, gpu.uuid)


def test_a_missing_file_is_unsupported_and_not_a_fault(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    gpu.remove("mem_busy_percent")
    reading = collector_of(tree).read(ALL)
    assert reading.faults == ()
    assert catalog.MEMORY_CONTROLLER_ACTIVITY in {each.metric for each in reading.unsupported}


def test_without_sensors_the_other_values_are_reported(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    gpu.remove("hwmon/name")
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.POWER, gpu.uuid) is None
    assert value(reading, catalog.UTILIZATION, gpu.uuid) == 0.37
    assert catalog.POWER in {each.metric for each in reading.unsupported}


def test_sensors_that_come_later_are_found(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    gpu.remove("hwmon/name")
    collector = collector_of(tree)
    collector.read(ALL)
    gpu.write("hwmon/name", "amdgpu")
    assert value(collector.read(ALL), catalog.POWER, gpu.uuid) == 96


def test_sensors_are_found_by_their_labels_and_not_by_their_numbers(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    gpu.write("hwmon/temp1_label", "mem")
    gpu.write("hwmon/temp3_label", "edge")
    reading = collector_of(tree).read(ALL)
    assert values(reading, catalog.TEMPERATURE, gpu.uuid) == {("core",): 52, ("hotspot",): 48, ("memory",): 41}


def test_a_temperature_below_0_is_reported_and_a_limit_of_0_is_absent(tree: AmdTree) -> None:
    gpu = tree.add(MI210, _ADDRESS)
    gpu.write("hwmon/temp1_input", "-5000")
    gpu.write("hwmon/temp1_crit", "0")
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.TEMPERATURE, gpu.uuid, "core") == -5
    assert value(reading, catalog.TEMPERATURE_LIMIT, gpu.uuid, "core", "slowdown") is None
    assert reading.faults == ()


@pytest.mark.parametrize(
    ("table", "now", "highest"),
    [
        ("S: 19Mhz *\n0: 500Mhz\n1: 1200Mhz", 19, 1200),
        ("0: 500Mhz\n1: 1200Mhz*", 1200, 1200),
        ("0: 500Mhz\n1: 1200Mhz", None, 1200),
        ("0: 500Mhz *\n1: 1200Mhz *", None, 1200),
        ("0: garbage", None, None),
        ("0:", None, None),
        ("", None, None),
    ],
)
def test_a_table_of_clocks_has_the_active_level_and_the_highest(
    tree: AmdTree, table: str, now: int | None, highest: int | None
) -> None:
    gpu = tree.add(RX_7900_XTX, _ADDRESS)
    gpu.write("pp_dpm_socclk", table)
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.CLOCK, gpu.uuid, "soc") == (None if now is None else now * _MHZ)
    assert value(reading, catalog.MAX_CLOCK, gpu.uuid, "soc") == (None if highest is None else highest * _MHZ)


def test_a_fan_without_a_speed_is_read_by_its_duty(tree: AmdTree) -> None:
    gpu = tree.add(RX_7900_XTX, _ADDRESS)
    gpu.remove("hwmon/fan1_max")
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.FAN_SPEED, gpu.uuid, "0") == 127 / 255


def test_fan_may_be_faster_than_its_nominal_maximum(tree: AmdTree) -> None:
    gpu = tree.add(RX_7900_XTX, _ADDRESS)
    gpu.write("hwmon/fan1_input", "3410")
    assert value(collector_of(tree).read(ALL), catalog.FAN_SPEED, gpu.uuid, "0") == 3410 / 3300


def test_a_suspended_card_is_not_read_and_has_no_status(tree: AmdTree) -> None:
    gpu = tree.add(RX_7900_XTX, _ADDRESS)
    gpu.write("power/runtime_status", "suspended")
    reading = collector_of(tree).read(ALL)
    assert [device.lost for device in reading.devices] == [False]
    assert {sample.metric for sample in reading.samples} == {catalog.INFO}
    assert reading.faults == ()
    asked = collector_of(tree, CollectOptions(wake_sleeping=True)).read(ALL)
    assert value(asked, catalog.UTILIZATION, gpu.uuid) == 0.81


def test_the_blocking_file_is_never_read(tree: AmdTree) -> None:
    gpu = tree.add(RX_7900_XTX, _ADDRESS)
    gpu.fail("pcie_bw")
    assert collector_of(tree, CollectOptions(pcie_throughput=True)).read(ALL).faults == ()


@pytest.mark.parametrize(
    ("text", "on"), [("feature mask: 0x3f", 1), ("feature mask: 0x3e", 0), ("feature mask: 0x0", 0)]
)
def test_ecc_is_the_lowest_bit_of_the_monitored_blocks(tmp_path: Path, text: str, on: int) -> None:
    tree = AmdTree(tmp_path / "sys")
    gpu = tree.add(MI210, _ADDRESS)
    gpu.write("ras/features", text)
    assert value(collector_of(tree).read(ALL), catalog.MODE_STATE, gpu.uuid, "ecc") == on


@pytest.mark.parametrize("text", ["feature mask: 63", "0x3f", "feature mask: 0x"])
def test_features_without_a_mask_are_a_fault(tmp_path: Path, text: str) -> None:
    tree = AmdTree(tmp_path / "sys")
    gpu = tree.add(MI210, _ADDRESS)
    gpu.write("ras/features", text)
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.MODE_STATE, gpu.uuid, "ecc") is None
    assert reasons(reading) == {(gpu.uuid, "invalid_value")}


@pytest.mark.parametrize(
    ("architecture", "row"),
    [
        ("gfx942", catalog.MEMORY_BANDWIDTH),
        ("gfx950", catalog.MEMORY_BANDWIDTH),
        ("gfx90a", catalog.MEMORY_CONTROLLER_ACTIVITY),
        ("gfx1100", catalog.MEMORY_CONTROLLER_ACTIVITY),
        ("", catalog.MEMORY_CONTROLLER_ACTIVITY),
    ],
)
def test_the_load_of_the_memory_is_named_by_what_the_firmware_reports(architecture: str, row: Metric) -> None:
    assert memory_row(architecture) is row


def test_a_gpu_whose_architecture_is_unknown_reports_no_used_bandwidth(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, _ADDRESS)
    for node in (tree.root.path / "class/kfd/kfd/topology/nodes").iterdir():
        (node / "properties").unlink()
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.MEMORY_CONTROLLER_ACTIVITY, gpu.uuid) == 0.31
    assert value(reading, catalog.MEMORY_BANDWIDTH, gpu.uuid) is None
