import pytest

from collectors.contract import DeviceLostError, Reason, UnavailableError, UnsupportedError
from collectors.nvidia.errors import InvalidValueError, NoDataError, SessionError
from collectors.nvidia.nvml import Handle, Nvml
from tests.doubles.nvml import NvmlState, h100, h100_mig
from tests.doubles.nvml_loaded import open_nvml

POWER = "nvmlDeviceGetPowerUsage"


def a_gpu(state: NvmlState) -> tuple[Nvml, Handle]:
    state.devices = [h100(0)]
    library = open_nvml()
    return library, library.device(0)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(3, UnsupportedError), (6, NoDataError), (15, DeviceLostError), (1, SessionError), (999, UnavailableError)],
)
def test_an_error_of_the_binding_becomes_one_of_the_contract(
    nvml: NvmlState, code: int, expected: type[Exception]
) -> None:
    library, handle = a_gpu(nvml)
    nvml.fail(POWER, code)
    with pytest.raises(expected, match=POWER):
        library.power(handle)


def test_the_error_of_the_binding_is_not_chained(nvml: NvmlState) -> None:
    """It can be neither hashed nor compared."""
    library, handle = a_gpu(nvml)
    nvml.fail(POWER, 999)
    with pytest.raises(UnavailableError) as caught:
        library.power(handle)
    assert caught.value.__suppress_context__


def test_a_missing_function_is_unsupported(nvml: NvmlState) -> None:
    """The binding has a different error for calls whose version it chooses."""
    library, handle = a_gpu(nvml)
    nvml.fail("nvmlDeviceGetComputeRunningProcesses_v3", 13)
    with pytest.raises(UnsupportedError, match="does not match the NVML lib version"):
        library.call("nvmlDeviceGetComputeRunningProcesses", handle, read=list)


def test_text_that_is_not_utf_8_is_an_invalid_value(nvml: NvmlState) -> None:
    library, handle = a_gpu(nvml)
    nvml.devices[0].name = b"\xff"
    with pytest.raises(InvalidValueError) as caught:
        library.name(handle)
    assert caught.value.reason is Reason.INVALID_VALUE


@pytest.mark.parametrize("code", [2, 6])
def test_a_gap_in_the_list_of_mig_devices_is_none(nvml: NvmlState, code: int) -> None:
    library, handle = a_gpu(nvml)
    nvml.devices[0].partition([None, h100_mig(0, 1)])
    mig = library.mig_device(handle, 1)
    assert mig is not None
    assert library.uuid(mig) == h100_mig(0, 1).uuid
    assert library.mig_device(handle, 0) is None
    nvml.fail("nvmlDeviceGetMigDeviceHandleByIndex", code)
    assert library.mig_device(handle, 1) is None


def test_the_two_versions_of_the_memory_call_differ_in_reserved_memory(nvml: NvmlState) -> None:
    library, handle = a_gpu(nvml)
    device = nvml.devices[0]
    device.memory_total_bytes, device.memory_reserved_bytes, device.memory_used_bytes = 1000, 100, 300
    assert library.memory(handle) == (1000, 300, 100)
    assert library.memory_with_reserved_as_used(handle) == (1000, 400, None)
