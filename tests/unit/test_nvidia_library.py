"""The collector and the real binding over the NVML double."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors import catalog, labels
from collectors.contract import AbsentError, CollectorError, Node, UnavailableError
from collectors.device_calls import DeviceCalls
from collectors.metric import Cadence
from collectors.nvidia import xid
from collectors.nvidia.collector import NvidiaCollector
from collectors.nvidia.nvml import open_library
from collectors.sysfs import Root
from tests.doubles.native_build import build_nvml
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvml import Device, NvmlState, ProcessKind, ValueType, h100, h100_mig, process
from tests.doubles.nvml_loaded import loaded
from tests.doubles.sysfs_tree import SysfsTree

REASONS = ("power", "thermal", "external", "hardware")


@pytest.fixture
def state(nvml: NvmlState) -> NvmlState:
    return nvml


@pytest.fixture
def reader(state: NvmlState, tmp_path: Path) -> Iterator[CollectorBench]:
    with collector_bench(tmp_path, state) as bench:
        yield bench


def filled(index: int) -> Device:
    """A device whose readings differ from those of the other devices where possible."""
    device = h100(index)
    device.utilization_gpu_percent = 10 + index
    device.utilization_memory_percent = 20 + index
    device.memory_used_bytes = 1_000_000 + index
    device.power_milliwatts = 350_500 + index
    device.energy_millijoules = 2**40 + index
    device.temperature_celsius = 40 + index
    device.max_clock_graphics_megahertz = 1_980 + index
    device.gpm_supported = 0  # tested in test_nvidia_activity.py
    device.clocks_event_reasons = 0x68  # hardware slowdown for heat
    device.temperature_margin_celsius = 46 - index
    device.threshold_slowdown_celsius, device.threshold_shutdown_celsius = 89, 92 + index
    device.pcie_replays = index
    device.ecc_volatile_corrected = 5 + index
    device.set_field(197, 2**40 + index, ValueType.UNSIGNED_LONG_LONG)
    device.set_field(138, index, ValueType.UNSIGNED_LONG_LONG, scope=0xFFFFFFFF)
    device.set_field(165, 0, ValueType.UNSIGNED_INT, scope=3)
    device.processes = [
        process(100, 5),
        process(100, 5, ProcessKind.GRAPHICS),
        process(101, None),
        process(102, 7, ProcessKind.MPS),
    ]
    return device


def in_base_units(device: Device, index: int) -> dict[tuple[str, ...], float]:
    """The expected values."""
    return {
        ("utilization_ratio",): (10 + index) / 100,
        ("memory_busy_ratio",): (20 + index) / 100,
        ("memory_usage_bytes",): 1_000_000 + index,
        ("memory_limit_bytes",): device.memory_total_bytes,
        ("memory_reserved_bytes",): device.memory_reserved_bytes,
        ("power_watts",): (350_500 + index) / 1000,
        ("energy_joules_total",): (2**40 + index) / 1000,
        ("power_limit_watts",): 700,
        ("power_default_limit_watts",): 700,
        ("power_min_limit_watts",): 200,
        ("power_max_limit_watts",): 700,
        ("temperature_celsius", "core"): 40 + index,
        ("temperature_celsius", "memory"): 43,
        ("clock_hertz", "core"): 345e6,
        ("clock_hertz", "sm"): 345e6,
        ("clock_hertz", "memory"): 2_619e6,
        ("clock_hertz", "video"): 765e6,
        ("clock_max_hertz", "core"): (1_980 + index) * 1e6,
        ("clock_max_hertz", "sm"): 1_980e6,
        ("clock_max_hertz", "memory"): 2_619e6,
        ("clock_max_hertz", "video"): 1_545e6,
        ("processes",): 3,
        ("partitions",): 0,
        ("mode", "partitioning"): 0,
        ("mode", "persistence"): 1,
        ("mode", "ecc"): 1,
        ("mode", "exclusive"): 0,
        ("mode", "confidential"): 0,
        **links_in_base_units(device, index),
        **errors_in_base_units(index),
        **{("throttle_active", reason): float(reason == "thermal") for reason in REASONS},
        **{("engine_utilization_ratio", engine): 0 for engine in ("encoder", "decoder", "jpeg", "optical_flow")},
        ("temperature_limit_celsius", "core", "slowdown"): device.threshold_slowdown_celsius,
        ("temperature_limit_celsius", "core", "shutdown"): device.threshold_shutdown_celsius,
        ("temperature_margin_celsius", "core", "slowdown"): 46 - index,
    }


def links_in_base_units(device: Device, index: int) -> dict[tuple[str, ...], float]:
    return {
        ("pcie_link_generation",): device.pcie_link_generation,
        ("pcie_link_width",): 16,
        ("pcie_link_max_generation",): 5,
        ("pcie_link_max_width",): 16,
        ("pcie_replays_total",): index,
        ("pcie_bytes_total", "transmit"): 2**40 + index,
        ("pcie_bytes_total", "receive"): 0,
        ("interconnect_bytes_total", "nvlink", "transmit", ""): 1024 * index,
        ("interconnect_bytes_total", "nvlink", "receive", ""): 0,
        ("interconnect_links", "nvlink", "up"): 17,
        ("interconnect_links", "nvlink", "down"): 1,
        ("interconnect_bandwidth_limit_bytes_per_second", "nvlink"): 17 * 26_562e6,
        **{("interconnect_errors_total", "nvlink", k, ""): 0 for k in ("replay", "recovery", "crc")},
        **{("fabric_status", "nvlink", state): float(state == "completed") for state in labels.FABRIC_STATE.values},
    }


def errors_in_base_units(index: int) -> dict[tuple[str, ...], float]:
    return {
        ("memory_errors_total", "corrected"): 5 + index,
        ("memory_errors_total", "uncorrected"): 0,
        ("memory_lifetime_errors_total", "corrected"): 0,
        ("memory_lifetime_errors_total", "uncorrected"): 0,
        ("memory_remapped_rows", "corrected"): 0,
        ("memory_remapped_rows", "uncorrected"): 0,
        ("memory_repair_pending",): 0,
        ("memory_repair_failed",): 0,
        **{("errors_total", "xid", code, "hardware"): 0 for code in xid.FROM_START},
        ("errors_total", "driver", "gpu_unavailable", "hardware"): 0,
        **{("recovery_action", action): float(action == "none") for action in labels.RECOVERY.values},
    }


def test_every_reading_of_eight_devices_is_reported_in_base_units(state: NvmlState, reader: CollectorBench) -> None:
    state.devices = [filled(index) for index in range(8)]
    result = reader.poll()
    assert result.faults == []
    for index in range(8):
        device = state.devices[index]
        assert result.of(device.uuid) == in_base_units(device, index)


def test_every_reading_of_seven_mig_devices_is_reported(state: NvmlState, reader: CollectorBench) -> None:
    state.devices = [h100(0)]
    card = state.devices[0]
    card.partition(h100_mig(0, index) for index in range(7))
    for index in range(7):
        card.mig[index].memory_used_bytes = 1_000 + index
    card.processes = [process(7, 1, mig=card.mig[3])]
    result = reader.poll()
    uuids = [card.mig[index].uuid for index in range(7)]
    assert result.faults == []
    assert result.partitions == uuids
    assert result.value(catalog.PARTITIONS, card.uuid) == 7
    for index, uuid in enumerate(uuids):
        assert result.of(card.uuid, uuid) == {
            ("memory_usage_bytes",): 1_000 + index,
            ("memory_limit_bytes",): card.mig[index].memory_total_bytes,
            ("memory_reserved_bytes",): 0,
            ("compute_ratio",): 1 / 7,
            ("processes",): int(index == 3),
        }
        assert result.labels(catalog.INFO, card.uuid, uuid) == {
            "gpu_instance_id": str(7 + index),
            "compute_instance_id": "0",
        }
    assert "engine_utilization_ratio" in result.unsupported


def test_an_old_driver_is_read_by_the_older_functions(tmp_path: Path) -> None:
    old = ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetTemperatureV", "nvmlDeviceGetMPSComputeRunningProcesses_v3")
    library = build_nvml(tmp_path, without=old)
    with (
        NvmlState(tmp_path / "state", [h100(0)]) as state,
        loaded(library, state),
        collector_bench(tmp_path, state) as reader,
    ):
        device = state.devices[0]
        result = reader.poll()
        used = device.memory_used_bytes + device.memory_reserved_bytes
        assert result.faults == []
        of_driver = [stem for stem in result.unsupported if stem != "throttle_seconds_total"]  # needs an option
        unsupported = ["memory_reserved_bytes", "host_memory_usage_bytes", "temperature_limit_celsius"]
        assert of_driver == [*unsupported, "fan_speed_ratio"]
        assert result.value(catalog.MEMORY_USAGE, device.uuid) == used
        assert result.value(catalog.TEMPERATURE, device.uuid, "core") == 31
        assert result.value(catalog.PROCESSES, device.uuid) == 0


@pytest.mark.parametrize(("with_device", "error"), [(False, AbsentError), (True, UnavailableError)])
def test_a_missing_library_is_a_fault_if_the_bus_has_a_device(
    tmp_path: Path, *, with_device: bool, error: type[CollectorError]
) -> None:
    """The dynamic loader finds no library here."""
    tree = SysfsTree(tmp_path)
    if with_device:
        tree.add_pci("0000:3b:00.0")
    node = Node(tree.root, Root(tmp_path / "no-proc"), "machine")
    collector = NvidiaCollector(node, open_library, time.monotonic, time.time, DeviceCalls("test"))
    with pytest.raises(error, match=r"libnvidia-ml\.so\.1"):
        collector.read(frozenset(Cadence))
