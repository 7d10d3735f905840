from types import SimpleNamespace

import pynvml
import pytest

from collectors.contract import DeviceLostError, Reason, UnavailableError, UnsupportedError
from collectors.nvidia.errors import InvalidValueError, NothingError, SessionError
from collectors.nvidia.nvml import Handle, Nvml
from tests.doubles.nvml_binding import FakeBinding, FakeGpu, border, mig_device

PIDS = "nvmlDeviceGetComputeRunningProcesses_v3"


def a_gpu(**values: object) -> tuple[Nvml, FakeGpu, Handle]:
    gpu = FakeGpu(**values)  # type: ignore[arg-type]  # the dataclass checks its names itself
    return border(gpu), gpu, Handle(gpu)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(3, UnsupportedError), (6, NothingError), (15, DeviceLostError), (1, SessionError), (999, UnavailableError)],
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
    gpu.errors[PIDS] = pynvml.NVMLLibraryMismatchError("versions differ")
    with pytest.raises(UnsupportedError, match="versions differ"):
        nvml.compute_pids(handle)


def test_an_answer_that_is_no_text_is_an_invalid_value() -> None:
    nvml, gpu, handle = a_gpu()
    gpu.errors["nvmlDeviceGetName"] = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    with pytest.raises(InvalidValueError) as caught:
        nvml.name(handle)
    assert caught.value.reason is Reason.INVALID_VALUE


def test_an_empty_list_that_the_binding_raises_as_success_is_empty() -> None:
    nvml, gpu, handle = a_gpu()
    gpu.errors[PIDS] = 0
    assert nvml.compute_pids(handle) == frozenset()


def test_a_process_list_that_grew_meanwhile_is_asked_again() -> None:
    gpu = FakeGpu(compute_pids=(11, 12))
    answers = iter([7, 7])

    class Growing(FakeBinding):
        def nvmlDeviceGetComputeRunningProcesses_v3(self, _: FakeGpu) -> list[SimpleNamespace]:  # noqa: N802 - NVML's
            code = next(answers, None)
            if code is not None:
                raise pynvml.NVMLError(code)
            return [SimpleNamespace(pid=pid) for pid in gpu.compute_pids]

    assert Nvml(Growing([gpu])).compute_pids(Handle(gpu)) == {11, 12}


def test_a_process_list_that_never_fits_is_given_up() -> None:
    nvml, gpu, handle = a_gpu()
    gpu.errors[PIDS] = 7
    with pytest.raises(UnavailableError):
        nvml.compute_pids(handle)
    assert gpu.calls[PIDS] == 3


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
