import pynvml
import pytest

from collectors.contract import DeviceLostError, Reason, UnavailableError, UnsupportedError
from collectors.nvidia.errors import InvalidValueError, NoDataError, SessionError
from collectors.nvidia.nvml import Handle, Nvml
from tests.doubles.nvml_binding import FakeGpu, border, mig_device


def a_gpu(**values: object) -> tuple[Nvml, FakeGpu, Handle]:
    gpu = FakeGpu(**values)  # type: ignore[arg-type]  # the dataclass checks its names itself
    return border(gpu), gpu, Handle(gpu)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(3, UnsupportedError), (6, NoDataError), (15, DeviceLostError), (1, SessionError), (999, UnavailableError)],
)
def test_the_bindings_error_leaves_as_the_contracts(code: int, expected: type[Exception]) -> None:
    nvml, gpu, handle = a_gpu()
    gpu.errors["nvmlDeviceGetPowerUsage"] = code
    with pytest.raises(expected, match="nvmlDeviceGetPowerUsage"):
        nvml.power(handle)


def test_the_bindings_error_is_not_chained_for_it_can_be_neither_hashed_nor_compared() -> None:
    nvml, gpu, handle = a_gpu()
    gpu.errors["nvmlDeviceGetPowerUsage"] = 999
    with pytest.raises(UnavailableError) as caught:
        nvml.power(handle)
    assert caught.value.__suppress_context__


def test_a_function_the_library_does_not_have_is_unsupported() -> None:
    nvml, gpu, handle = a_gpu()
    gpu.errors["nvmlDeviceGetPowerUsage"] = pynvml.NVMLLibraryMismatchError("versions differ")
    with pytest.raises(UnsupportedError, match="versions differ"):
        nvml.power(handle)


def test_an_answer_that_is_no_text_is_an_invalid_value() -> None:
    nvml, gpu, handle = a_gpu()
    gpu.errors["nvmlDeviceGetName"] = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    with pytest.raises(InvalidValueError) as caught:
        nvml.name(handle)
    assert caught.value.reason is Reason.INVALID_VALUE


@pytest.mark.parametrize("code", [2, 6])
def test_a_hole_in_the_list_of_mig_devices_is_none(code: int) -> None:
    nvml, gpu, handle = a_gpu(mig_devices={1: mig_device(1)})
    assert nvml.mig_device(handle, 1) == Handle(gpu.mig_devices[1])
    gpu.errors["nvmlDeviceGetMigDeviceHandleByIndex"] = code
    assert nvml.mig_device(handle, 0) is None


def test_both_versions_of_the_memory_call_are_told_apart() -> None:
    nvml, _, handle = a_gpu(memory=(1000, 100, 300))
    assert nvml.memory(handle) == (1000, 300, 100)
    assert nvml.memory_with_reserved_as_used(handle) == (1000, 400, None)
