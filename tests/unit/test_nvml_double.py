"""The NVML double: its interface is that of the binding, and what other tests assume about it is true."""

import ctypes
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest

from collectors.contract import UnavailableError
from tests.doubles.native_build import build_nvml, build_one
from tests.doubles.nvidia_device import gpus, mig_device
from tests.doubles.nvml import Device, NvmlState
from tests.doubles.nvml_loaded import open_nvml
from tests.native.layout import WORD_BYTES
from tests.native.nvml_calls import CALLS, DEVICE_CALLS

ABI = Path(__file__).parents[1] / "native" / "nvml" / "abi.h"
INVALID_ARGUMENT, NOT_SUPPORTED, GPU_IS_LOST, UNKNOWN = 2, 3, 15, 999

STRUCTURES = {
    "nvmlPciInfo_t": pynvml.nvmlPciInfo_t,
    "nvmlUtilization_t": pynvml.c_nvmlUtilization_t,
    "nvmlMemory_t": pynvml.c_nvmlMemory_t,
    "nvmlMemory_v2_t": pynvml.c_nvmlMemory_v2_t,
    "nvmlTemperature_t": pynvml.c_nvmlTemperature_v1_t,
    "nvmlProcessInfo_t": pynvml.c_nvmlProcessInfo_v3_t,
    "nvmlProcessUtilizationSample_t": pynvml.c_nvmlProcessUtilizationSample_t,
    "nvmlValue_t": pynvml.c_nvmlValue_t,
    "nvmlFieldValue_t": pynvml.c_nvmlFieldValue_t,
    "nvmlDeviceAttributes_t": pynvml.c_nvmlDeviceAttributes,
    "nvmlEventData_t": pynvml.c_nvmlEventData_t,
    "nvmlMarginTemperature_t": pynvml.c_nvmlMarginTemperature_v1_t,
    "nvmlGpuFabricInfo_v2_t": pynvml.c_nvmlGpuFabricInfo_v2_t,
    "nvmlGpuFabricInfo_v3_t": pynvml.c_nvmlGpuFabricInfo_v3_t,
    "nvmlEccSramErrorStatus_v1_t": pynvml.c_nvmlEccSramErrorStatus_v1_t,
    "nvmlRepairStatus_v1_t": pynvml.c_nvmlRepairStatus_t,
    "nvmlRowRemapperHistogramValues_t": pynvml.c_nvmlRowRemapperHistogramValues,
    "nvmlConfComputeSystemState_t": pynvml.c_nvmlConfComputeSystemState_t,
    "nvmlGpmMetric_t": pynvml.c_nvmlGpmMetric_t,
    "nvmlGpmMetricsGet_t": pynvml.c_nvmlGpmMetricsGet_t,
    "nvmlGpmSupport_t": pynvml.c_nvmlGpmSupport_t,
    "nvmlSystemEventSetCreateRequest_v1_t": pynvml.c_nvmlSystemEventSetCreateRequest_v1_t,
    "nvmlSystemEventSetFreeRequest_v1_t": pynvml.c_nvmlSystemEventSetFreeRequest_v1_t,
    "nvmlSystemRegisterEventRequest_v1_t": pynvml.c_nvmlSystemRegisterEventRequest_v1_t,
    "nvmlSystemEventData_v1_t": pynvml.c_nvmlSystemEventData_v1_t,
    "nvmlSystemEventSetWaitRequest_v1_t": pynvml.c_nvmlSystemEventSetWaitRequest_v1_t,
}
VERSIONS = {
    "NVML_STRUCT_VERSION(nvmlMemory_v2_t, 2)": pynvml.nvmlMemory_v2,
    "NVML_STRUCT_VERSION(nvmlTemperature_t, 1)": pynvml.nvmlTemperature_v1,
    "NVML_STRUCT_VERSION(nvmlMarginTemperature_t, 1)": pynvml.nvmlMarginTemperature_v1,
    "NVML_STRUCT_VERSION(nvmlGpuFabricInfo_v2_t, 2)": pynvml.nvmlGpuFabricInfo_v2,
    "NVML_STRUCT_VERSION(nvmlGpuFabricInfo_v3_t, 3)": pynvml.nvmlGpuFabricInfo_v3,
    "NVML_STRUCT_VERSION(nvmlEccSramErrorStatus_v1_t, 1)": pynvml.nvmlEccSramErrorStatus_v1,
    "NVML_STRUCT_VERSION(nvmlRepairStatus_v1_t, 1)": pynvml.nvmlRepairStatus_v1,
    "NVML_STRUCT_VERSION(nvmlSystemEventSetCreateRequest_v1_t, 1)": pynvml.nvmlSystemEventSetCreateRequest_v1,
    "NVML_GPM_METRICS_GET_VERSION": pynvml.NVML_GPM_METRICS_GET_VERSION,
}


def layout() -> Iterator[str]:
    """The sizes, offsets and versions of the structures of the binding, as C expressions."""
    for name, structure in STRUCTURES.items():
        yield f"sizeof({name}) == {ctypes.sizeof(structure)}"
        for member, *_ in structure._fields_:
            yield f"offsetof({name}, {member}) == {getattr(structure, member).offset}"
    for macro, version in VERSIONS.items():
        yield f"{macro} == {version}"


def test_structures_have_the_layout_of_the_binding(tmp_path: Path) -> None:
    source = tmp_path / "layout.c"
    checks = "\n".join(f'_Static_assert({fact}, "{fact}");' for fact in layout())
    source.write_text(f'#include <stddef.h>\n#include "{ABI}"\n{checks}\n')
    build_one(source, tmp_path, "layout.so")


# Functions with another name in the binding, and functions with arguments.
BINDING: dict[str, tuple[Any, ...]] = {
    "nvmlInitWithFlags": ("nvmlInitWithFlags", 0),
    "nvmlDeviceGetCount_v2": ("nvmlDeviceGetCount",),
    "nvmlDeviceGetHandleByIndex_v2": ("nvmlDeviceGetHandleByIndex", 0),
    "nvmlDeviceGetHandleByUUID": ("nvmlDeviceGetHandleByUUID", "GPU-0"),
    "nvmlDeviceGetHandleByPciBusId_v2": ("nvmlDeviceGetHandleByPciBusId", "0:0:0"),
    "nvmlDeviceGetPciInfo_v3": ("nvmlDeviceGetPciInfo",),
    "nvmlDeviceGetMemoryInfo_v2": ("nvmlDeviceGetMemoryInfo", pynvml.nvmlMemory_v2),
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
    "nvmlGpmMetricsGet": ("nvmlGpmMetricsGet", pynvml.c_nvmlGpmMetricsGet_t()),
    "nvmlGpmSampleGet": ("nvmlGpmSampleGet", None),
    "nvmlGpmMigSampleGet": ("nvmlGpmMigSampleGet", 1, None),
    "nvmlDeviceGetProcessUtilization": ("nvmlDeviceGetProcessUtilization", 0),
    "nvmlEventSetWait_v2": ("nvmlEventSetWait_v2", None, 0),
    "nvmlEventSetFree": ("nvmlEventSetFree", None),
    "nvmlSystemEventSetCreate": ("nvmlSystemEventSetCreate", pynvml.nvmlSystemEventSetCreateRequest_v1),
    "nvmlSystemRegisterEvents": ("nvmlSystemRegisterEvents", pynvml.nvmlSystemRegisterEventRequest_v1, 1, None),
    "nvmlSystemEventSetWait": ("nvmlSystemEventSetWait", pynvml.nvmlSystemEventSetWaitRequest_v1, None, 0, None, 0),
    "nvmlSystemEventSetFree": ("nvmlSystemEventSetFree", pynvml.nvmlSystemEventSetFreeRequest_v1, None),
    "nvmlDeviceRegisterEvents": ("nvmlDeviceRegisterEvents", 8, None),
    "nvmlDeviceGetTotalEccErrors": ("nvmlDeviceGetTotalEccErrors", 0, 0),
    "nvmlDeviceGetRetiredPages": ("nvmlDeviceGetRetiredPages", 0),
    "nvmlDeviceGetSramEccErrorStatus": ("nvmlDeviceGetSramEccErrorStatus", None),
    "nvmlDeviceGetGpuInstanceById": ("nvmlDeviceGetGpuInstanceById", 0),
}


def code_of(function: str, *arguments: object) -> int:
    """The return code of a call of the binding."""
    try:
        getattr(pynvml, function)(*arguments)
    except pynvml.NVMLError as error:
        return int(error.value)
    return 0


@pytest.fixture
def state(nvml: NvmlState) -> NvmlState:
    """Two cards and an open session."""
    nvml.devices = gpus(2)
    open_nvml()
    return nvml


def test_every_function_is_called_by_the_binding_and_is_counted_and_can_fail(state: NvmlState) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    for call in CALLS:
        before = state.calls(call)
        state.fail(call, GPU_IS_LOST)
        function, *arguments = BINDING.get(call, (call,))
        assert code_of(function, *([handle] if call in DEVICE_CALLS else []), *arguments) == GPU_IS_LOST, call
        assert state.calls(call) == before + 1, call


def test_injected_errors_apply_to_their_handle_and_end(state: NvmlState) -> None:
    state.devices[0].partition([mig_device(1), mig_device(2)])
    first, second = (pynvml.nvmlDeviceGetHandleByIndex(index) for index in (0, 1))
    handles = [first, *(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(first, index) for index in (0, 1)), second]
    codes: list[list[int]] = []

    def read_names() -> None:
        codes.append([code_of("nvmlDeviceGetName", handle) for handle in handles])

    state.fail("nvmlDeviceGetName", 4, device=1)
    state.fail("nvmlDeviceGetName", 20, device=0, mig=1, times=1)
    read_names()
    read_names()
    state.fail("nvmlDeviceGetName", UNKNOWN)
    read_names()
    state.heal()
    read_names()
    assert codes == [[0, 0, 20, 4], [0, 0, 0, 4], [UNKNOWN] * 4, [0] * 4]
    assert [state.calls("nvmlDeviceGetName", device=device) for device in (0, 1)] == [4, 4]


WITHOUT_PARTITIONS = ("UtilizationRates", "EncoderUtilization", "DecoderUtilization", "JpgUtilization", "ComputeMode")
OF_WHOLE_DEVICES = ("UtilizationRates", "PowerUsage", "TotalEnergyConsumption", "PciInfo", "MigMode", "FanSpeed")
OF_PARTITIONS = ("GpuInstanceId", "ComputeInstanceId", "Attributes_v2", "DeviceHandleFromMigDeviceHandle")


def test_calls_that_a_driver_refuses_in_mig_mode_are_refused(state: NvmlState) -> None:
    state.devices[0].partition([mig_device(1)])
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(device, 0)
    calls = ((device, WITHOUT_PARTITIONS), (mig, OF_WHOLE_DEVICES), (device, OF_PARTITIONS))
    for handle, names in calls:
        assert [code_of(f"nvmlDeviceGet{name}", handle) for name in names] == [NOT_SUPPORTED] * len(names)
    assert code_of("nvmlDeviceGetPowerUsage", device) == code_of("nvmlDeviceGetUUID", mig) == 0
    state.devices[0].unpartition()
    assert code_of("nvmlDeviceGetUUID", mig) == INVALID_ARGUMENT  # its handle still exists
    assert code_of("nvmlDeviceGetUtilizationRates", device) == 0


def test_changes_made_together_are_visible_together(state: NvmlState) -> None:
    card = state.devices[0]
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    seen: list[tuple[int, int]] = []

    def read() -> None:
        rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
        seen.append((rates.gpu, rates.memory))

    reading = threading.Thread(target=read)
    with state.at_once():
        card.utilization_gpu_percent = 90
        reading.start()
        reading.join(0.05)
        assert reading.is_alive()
        card.utilization_memory_percent = 80
    reading.join(30)
    assert seen == [(90, 80)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"short", "not a state file of this size"),
        (struct.pack("<q", 1) + bytes((NvmlState.WORDS - 1) * WORD_BYTES), "written for another layout"),
    ],
)
@pytest.mark.usefixtures("nvml")
def test_a_wrong_state_file_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    content: bytes | None,
    why: str,
) -> None:
    path = tmp_path / "wrong"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("NVML_DOUBLE_STATE", str(path))
    with pytest.raises(UnavailableError, match="UNKNOWN"):
        open_nvml()
    assert f"NVML_DOUBLE_STATE={path}: {why}" in capfd.readouterr().err


def test_the_library_is_built_once(nvml_library: Path, tmp_path: Path) -> None:
    assert build_nvml(nvml_library.parent, compiler="no-such-compiler") == nvml_library
    with pytest.raises(AssertionError, match=r"^no-such-compiler not found: apt-get install gcc libc6-dev$"):
        build_nvml(tmp_path, compiler="no-such-compiler")


def test_only_known_functions_can_be_omitted(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not exported: nvmlDeviceGetNmae"):
        build_nvml(tmp_path, without=["nvmlDeviceGetNmae"])


def test_a_misspelt_field_is_an_error() -> None:
    with pytest.raises(AttributeError):
        setattr(Device(), "power_miliwatts", 1)  # noqa: B010 - mypy would reject a plain assignment
