from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.nvml import (
    MEMORY_TEMPERATURE_FIELD,
    Device,
    NvmlState,
    ProcessKind,
    ValueType,
    h100,
    h100_mig,
    process,
)
from tests.native.nvml_calls import CALLS, DEVICE_CALLS
from tests.native.nvml_process import Reader, started

INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND, GPU_IS_LOST, VERSION_MISMATCH = 2, 3, 6, 15, 25


@pytest.fixture
def state(tmp_path: Path) -> Iterator[NvmlState]:
    with NvmlState(tmp_path / "nvml.state", [h100(0), h100(1)]) as made:
        yield made


@pytest.fixture
def reader(state: NvmlState, nvml_library: Path) -> Iterator[Reader]:
    with started(state.environment(nvml_library)) as running:
        running.value("nvmlInitWithFlags", (), 0)
        yield running


# What the binding's functions say, and to which fields of the double.
ONE_NUMBER = {
    "nvmlDeviceGetMinorNumber": "minor_number",
    "nvmlDeviceGetArchitecture": "architecture",
    "nvmlDeviceGetBrand": "brand",
    "nvmlDeviceGetNumaNodeId": "numa_node",
    "nvmlDeviceGetPowerUsage": "power_milliwatts",
    "nvmlDeviceGetEnforcedPowerLimit": "power_enforced_limit_milliwatts",
    "nvmlDeviceGetPowerManagementLimit": "power_limit_milliwatts",
    "nvmlDeviceGetPowerManagementDefaultLimit": "power_default_limit_milliwatts",
    "nvmlDeviceGetTotalEnergyConsumption": "energy_millijoules",
    "nvmlDeviceGetPersistenceMode": "persistence_mode",
    "nvmlDeviceGetComputeMode": "compute_mode",
    "nvmlDeviceGetCurrentClocksEventReasons": "clocks_event_reasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons": "clocks_event_reasons",
    "nvmlDeviceGetCurrPcieLinkGeneration": "pcie_link_generation",
    "nvmlDeviceGetCurrPcieLinkWidth": "pcie_link_width",
    "nvmlDeviceGetMaxPcieLinkGeneration": "pcie_link_max_generation",
    "nvmlDeviceGetMaxPcieLinkWidth": "pcie_link_max_width",
    "nvmlDeviceGetPcieReplayCounter": "pcie_replays",
    "nvmlDeviceGetFanSpeed": "fan_speed_percent",
}
TWO_NUMBERS = {
    "nvmlDeviceGetEncoderUtilization": ("utilization_encoder_percent", "utilization_period_microseconds"),
    "nvmlDeviceGetDecoderUtilization": ("utilization_decoder_percent", "utilization_period_microseconds"),
    "nvmlDeviceGetJpgUtilization": ("utilization_jpeg_percent", "utilization_period_microseconds"),
    "nvmlDeviceGetOfaUtilization": ("utilization_ofa_percent", "utilization_period_microseconds"),
    "nvmlDeviceGetPowerManagementLimitConstraints": ("power_min_limit_milliwatts", "power_max_limit_milliwatts"),
    "nvmlDeviceGetEccMode": ("ecc_mode", "ecc_mode_pending"),
    "nvmlDeviceGetMigMode": ("mig_mode", "mig_mode_pending"),
    "nvmlDeviceGetCudaComputeCapability": ("cuda_capability_major", "cuda_capability_minor"),
}
CHOSEN = {
    ("nvmlDeviceGetTemperature", 0): "temperature_celsius",
    ("nvmlDeviceGetTemperatureV", 0): "temperature_celsius",
    ("nvmlDeviceGetTemperatureThreshold", 0): "threshold_shutdown_celsius",
    ("nvmlDeviceGetTemperatureThreshold", 1): "threshold_slowdown_celsius",
    ("nvmlDeviceGetTemperatureThreshold", 2): "threshold_memory_celsius",
    ("nvmlDeviceGetTemperatureThreshold", 3): "threshold_gpu_celsius",
    ("nvmlDeviceGetClockInfo", 0): "clock_graphics_megahertz",
    ("nvmlDeviceGetClockInfo", 1): "clock_sm_megahertz",
    ("nvmlDeviceGetClockInfo", 2): "clock_memory_megahertz",
    ("nvmlDeviceGetClockInfo", 3): "clock_video_megahertz",
    ("nvmlDeviceGetMaxClockInfo", 0): "max_clock_graphics_megahertz",
    ("nvmlDeviceGetMaxClockInfo", 1): "max_clock_sm_megahertz",
    ("nvmlDeviceGetMaxClockInfo", 2): "max_clock_memory_megahertz",
    ("nvmlDeviceGetMaxClockInfo", 3): "max_clock_video_megahertz",
}
MODES = {"mig_mode": 0, "mig_mode_pending": 1, "compute_mode": 3}


def number_all(device: Device) -> dict[str, int]:
    """Give every reading a number of its own."""
    names = {*ONE_NUMBER.values(), *CHOSEN.values()}.union(*TWO_NUMBERS.values())
    numbers = dict(zip(sorted(names), range(21, 200), strict=False)) | MODES
    for name, number in numbers.items():
        setattr(device, name, number)
    return numbers


def test_every_number_is_read_where_it_was_written(state: NvmlState, reader: Reader) -> None:
    numbers = number_all(state.devices[1])
    for function, name in ONE_NUMBER.items():
        assert reader.value(function, (1,)) == numbers[name], function
    for function, pair in TWO_NUMBERS.items():
        assert reader.value(function, (1,)) == [numbers[name] for name in pair], function
    for (function, argument), name in CHOSEN.items():
        assert reader.value(function, (1,), argument) == numbers[name], (function, argument)


def test_a_reading_that_a_device_does_not_have(state: NvmlState, reader: Reader) -> None:
    number_all(state.devices[0])
    for name in {*ONE_NUMBER.values(), *CHOSEN.values()}:
        setattr(state.devices[0], name, None)
    for function in ONE_NUMBER:
        assert reader.error(function, (0,)) == NOT_SUPPORTED, function
    for function, argument in CHOSEN:
        assert reader.error(function, (0,), argument) == NOT_SUPPORTED, (function, argument)


def test_identity(state: NvmlState, reader: Reader) -> None:
    gpu = state.devices[1]
    assert reader.value("nvmlDeviceGetCount") == 2
    assert reader.value("nvmlDeviceGetIndex", (1,)) == 1
    assert reader.value("nvmlDeviceGetUUID", (1,)) == gpu.uuid == h100(1).uuid != h100(0).uuid
    assert reader.value("nvmlDeviceGetName", (1,)) == "NVIDIA H100 80GB HBM3"
    assert reader.value("nvmlDeviceGetSerial", (1,)) == gpu.serial
    assert reader.value("nvmlDeviceGetVbiosVersion", (1,)) == "96.00.61.00.01"
    assert reader.value("nvmlDeviceGetGspFirmwareVersion", (1,)) == "570.124.06"
    assert reader.value("nvmlDeviceGetPciInfo", (1,)) == {
        "busIdLegacy": "0000:27:00.0",
        "busId": "00000000:27:00.0",
        "domain": 0,
        "bus": 0x27,
        "device": 0,
        "pciDeviceId": 0x233010DE,
        "pciSubSystemId": 0x16C110DE,
    }
    gpu.serial = ""
    assert reader.error("nvmlDeviceGetSerial", (1,)) == NOT_SUPPORTED


def test_versions(state: NvmlState, reader: Reader) -> None:
    state.driver_version, state.nvml_version, state.cuda_driver_version = "580.1", "13.580.1", 13010
    assert reader.value("nvmlSystemGetDriverVersion") == "580.1"
    assert reader.value("nvmlSystemGetNVMLVersion") == "13.580.1"
    assert reader.value("nvmlSystemGetCudaDriverVersion") == 13010
    assert reader.value("nvmlSystemGetCudaDriverVersion_v2") == 13010


def test_handles_are_found(state: NvmlState, reader: Reader) -> None:
    state.devices[1].partition([None, h100_mig(1, 1)])
    reader.value("nvmlDeviceGetHandleByUUID", (), h100(0).uuid)
    reader.value("nvmlDeviceGetHandleByUUID", (), h100_mig(1, 1).uuid)
    for spelling in ("0000:1b:00.0", "00000000:1B:00.0"):
        reader.value("nvmlDeviceGetHandleByPciBusId", (), spelling)
    assert state.calls("nvmlDeviceGetHandleByUUID", device=0) == 1
    assert state.calls("nvmlDeviceGetHandleByUUID", device=1, mig=1) == 1
    assert state.calls("nvmlDeviceGetHandleByPciBusId_v2", device=0) == 2
    assert reader.error("nvmlDeviceGetHandleByUUID", (), h100(7).uuid) == NOT_FOUND
    assert reader.error("nvmlDeviceGetHandleByPciBusId", (), "0000:ff:00.0") == NOT_FOUND
    assert reader.error("nvmlDeviceGetHandleByIndex", (), 2) == INVALID_ARGUMENT


def test_utilization_and_memory(state: NvmlState, reader: Reader) -> None:
    gpu = state.devices[0]
    gpu.utilization_gpu_percent, gpu.utilization_memory_percent = 73, 41
    gpu.memory_total_bytes, gpu.memory_reserved_bytes, gpu.memory_used_bytes = 1000, 10, 200
    version = 0x02000028
    assert reader.value("nvmlDeviceGetUtilizationRates", (0,)) == {"gpu": 73, "memory": 41}
    assert reader.value("nvmlDeviceGetMemoryInfo", (0,)) == {"total": 1000, "free": 790, "used": 210}
    assert reader.value("nvmlDeviceGetMemoryInfo", (0,), version) == {
        "version": version,
        "total": 1000,
        "reserved": 10,
        "free": 790,
        "used": 200,
    }
    assert reader.error("nvmlDeviceGetMemoryInfo", (0,), version + 1) == VERSION_MISMATCH


def test_field_values(state: NvmlState, reader: Reader) -> None:
    gpu = state.devices[0]
    gpu.set_field(MEMORY_TEMPERATURE_FIELD, 55, ValueType.UNSIGNED_INT)
    gpu.set_field(193, -7, ValueType.SIGNED_INT)
    gpu.set_field(191, 1.5, ValueType.DOUBLE, scope=1)
    gpu.set_field(138, 2**40, ValueType.UNSIGNED_LONG_LONG, code=GPU_IS_LOST)
    asked = [MEMORY_TEMPERATURE_FIELD, 193, [191, 1], 191, 138]
    values = reader.value("nvmlDeviceGetFieldValues", (0,), asked)
    assert values == [[0, 55], [0, -7], [0, 1.5], [NOT_SUPPORTED, 0.0], [GPU_IS_LOST, 2**40]]


def test_process_lists(state: NvmlState, reader: Reader) -> None:
    mig = h100_mig(0, 2)
    state.devices[0].partition([None, None, mig])
    state.devices[0].processes = [
        process(11, 4096),
        process(12, None, ProcessKind.GRAPHICS),
        process(13, 2**33, mig=mig),
        process(14, 0, ProcessKind.MPS),
    ]
    compute = reader.value("nvmlDeviceGetComputeRunningProcesses_v3", (0,))
    assert [each["pid"] for each in compute] == [11, 13]
    assert compute[0] == {
        "pid": 11,
        "usedGpuMemory": 4096,
        "gpuInstanceId": 2**32 - 1,
        "computeInstanceId": 2**32 - 1,
    }
    assert reader.value("nvmlDeviceGetComputeRunningProcesses_v3", (0, 2)) == [
        {"pid": 13, "usedGpuMemory": 2**33, "gpuInstanceId": 9, "computeInstanceId": 0}
    ]
    graphics = reader.value("nvmlDeviceGetGraphicsRunningProcesses_v3", (0,))
    assert [(each["pid"], each["usedGpuMemory"]) for each in graphics] == [(12, None)]
    assert [each["pid"] for each in reader.value("nvmlDeviceGetMPSComputeRunningProcesses_v3", (0,))] == [14]
    assert reader.value("nvmlDeviceGetComputeRunningProcesses_v3", (1,)) == []


def test_mig_devices_have_holes_in_their_numbering(state: NvmlState, reader: Reader) -> None:
    state.devices[0].partition([h100_mig(0, 0), None, None, h100_mig(0, 3, "3g.40gb")])
    assert reader.value("nvmlDeviceGetMigMode", (0,)) == [1, 1]
    assert reader.value("nvmlDeviceGetMaxMigDeviceCount", (0,)) == 7
    assert reader.value("nvmlDeviceGetMaxMigDeviceCount", (1,)) == 0
    for hole in (1, 2, 4, 5, 6):
        assert reader.error("nvmlDeviceGetMigDeviceHandleByIndex", (0,), hole) == NOT_FOUND
    assert reader.error("nvmlDeviceGetMigDeviceHandleByIndex", (0,), 7) == INVALID_ARGUMENT
    assert reader.error("nvmlDeviceGetMigDeviceHandleByIndex", (1,), 0) == NOT_SUPPORTED
    assert reader.value("nvmlDeviceGetUUID", (0, 3)) == h100_mig(0, 3).uuid != h100_mig(0, 0).uuid
    assert reader.value("nvmlDeviceGetName", (0, 3)) == "NVIDIA H100 80GB HBM3 MIG 3g.40gb"
    assert reader.value("nvmlDeviceGetIndex", (0, 3)) == 3
    assert reader.value("nvmlDeviceGetGpuInstanceId", (0, 3)) == 10
    assert reader.value("nvmlDeviceGetComputeInstanceId", (0, 3)) == 0
    assert reader.value("nvmlDeviceGetComputeMode", (0, 3)) == 0
    assert reader.value("nvmlDeviceGetMemoryInfo", (0, 3))["total"] == 40_320 * 2**20
    attributes = reader.value("nvmlDeviceGetAttributes_v2", (0, 3))
    assert (attributes["multiprocessorCount"], attributes["computeInstanceSliceCount"]) == (60, 3)
    assert (attributes["gpuInstanceSliceCount"], attributes["memorySizeMB"]) == (3, 40_320)
    assert [reader.value("nvmlDeviceIsMigDeviceHandle", place) for place in ((0,), (0, 3))] == [0, 1]
    reader.value("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", (0, 3))


WITHOUT_PARTITIONS = ("UtilizationRates", "EncoderUtilization", "DecoderUtilization", "JpgUtilization", "ComputeMode")
OF_WHOLE_DEVICES = ("UtilizationRates", "PowerUsage", "TotalEnergyConsumption", "PciInfo", "MigMode", "FanSpeed")
OF_PARTITIONS = ("GpuInstanceId", "ComputeInstanceId", "Attributes_v2", "DeviceHandleFromMigDeviceHandle")


def test_what_is_refused_in_mig_mode(state: NvmlState, reader: Reader) -> None:
    assert reader.value("nvmlDeviceGetUtilizationRates", (0,)) == {"gpu": 0, "memory": 0}
    state.devices[0].partition([h100_mig(0, 0)])
    for call in WITHOUT_PARTITIONS:
        assert reader.error(f"nvmlDeviceGet{call}", (0,)) == NOT_SUPPORTED, call
    for call in OF_WHOLE_DEVICES:
        assert reader.error(f"nvmlDeviceGet{call}", (0, 0)) == NOT_SUPPORTED, call
    for call in OF_PARTITIONS:
        assert reader.error(f"nvmlDeviceGet{call}", (0,)) == NOT_SUPPORTED, call
    assert reader.value("nvmlDeviceGetPowerUsage", (0,)) == 71_000


def test_a_handle_outlives_its_mig_device(state: NvmlState, reader: Reader) -> None:
    state.devices[0].partition([h100_mig(0, 0)])
    assert reader.value("nvmlDeviceGetUUID", (0, 0)) == h100_mig(0, 0).uuid
    state.devices[0].unpartition()
    assert reader.error("nvmlDeviceGetUUID", (0, 0)) == INVALID_ARGUMENT
    assert reader.value("nvmlDeviceGetUtilizationRates", (0,)) == {"gpu": 0, "memory": 0}


# Functions that the binding reaches under another name, and those that want arguments.
BINDING = {
    "nvmlInitWithFlags": ("nvmlInitWithFlags", 0),
    "nvmlDeviceGetCount_v2": ("nvmlDeviceGetCount",),
    "nvmlDeviceGetHandleByIndex_v2": ("nvmlDeviceGetHandleByIndex", 0),
    "nvmlDeviceGetHandleByUUID": ("nvmlDeviceGetHandleByUUID", "GPU-0"),
    "nvmlDeviceGetHandleByPciBusId_v2": ("nvmlDeviceGetHandleByPciBusId", "0:0:0"),
    "nvmlDeviceGetPciInfo_v3": ("nvmlDeviceGetPciInfo",),
    "nvmlDeviceGetMemoryInfo_v2": ("nvmlDeviceGetMemoryInfo", 0x02000028),
    "nvmlDeviceGetTemperature": ("nvmlDeviceGetTemperature", 0),
    "nvmlDeviceGetTemperatureV": ("nvmlDeviceGetTemperatureV", 0),
    "nvmlDeviceGetTemperatureThreshold": ("nvmlDeviceGetTemperatureThreshold", 0),
    "nvmlDeviceGetFieldValues": ("nvmlDeviceGetFieldValues", [1]),
    "nvmlDeviceGetClockInfo": ("nvmlDeviceGetClockInfo", 0),
    "nvmlDeviceGetMaxClockInfo": ("nvmlDeviceGetMaxClockInfo", 0),
    "nvmlDeviceGetMigDeviceHandleByIndex": ("nvmlDeviceGetMigDeviceHandleByIndex", 0),
    "nvmlDeviceGetFanSpeed_v2": ("nvmlDeviceGetFanSpeed_v2", 0),
    "nvmlDeviceGetPcieThroughput": ("nvmlDeviceGetPcieThroughput", 0),
    "nvmlDeviceGetGpuFabricInfoV": ("nvmlDeviceGetGpuFabricInfoV", None),
    "nvmlGpmSampleFree": ("nvmlGpmSampleFree", None),
    "nvmlGpmSampleGet": ("nvmlGpmSampleGet", None),
    "nvmlGpmMigSampleGet": ("nvmlGpmMigSampleGet", 1, None),
    "nvmlDeviceGetProcessUtilization": ("nvmlDeviceGetProcessUtilization", 0),
    "nvmlEventSetWait_v2": ("nvmlEventSetWait_v2", None, 0),
    "nvmlEventSetFree": ("nvmlEventSetFree", None),
    "nvmlDeviceRegisterEvents": ("nvmlDeviceRegisterEvents", 8, None),
    "nvmlDeviceGetTotalEccErrors": ("nvmlDeviceGetTotalEccErrors", 0, 0),
    "nvmlDeviceGetRetiredPages": ("nvmlDeviceGetRetiredPages", 0),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_function_is_the_one_that_the_binding_asks_for(call: str, state: NvmlState, reader: Reader) -> None:
    before = state.calls(call)
    state.fail(call, GPU_IS_LOST)
    function, *arguments = BINDING.get(call, (call,))
    place = (0,) if call in DEVICE_CALLS else ()
    assert reader.error(str(function), place, *arguments) == GPU_IS_LOST
    assert state.calls(call) == before + 1
