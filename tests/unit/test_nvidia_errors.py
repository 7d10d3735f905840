import pynvml
import pytest

from collectors.contract import CollectorError, DeviceLostError, Reason, UnavailableError, UnsupportedError
from collectors.nvidia.errors import (
    DeviceRefusedError,
    InsufficientSizeError,
    InvalidArgumentError,
    LibraryMissingError,
    NoDataError,
    NvmlCode,
    SessionError,
    TimedOutError,
    fault_of,
    from_code,
)
from collectors.query import PermanentlyUnsupportedError

UNAVAILABLE = (UnavailableError, Reason.UNAVAILABLE)
REFUSED = (DeviceRefusedError, Reason.UNAVAILABLE)
EXPECTED: dict[int, tuple[type[CollectorError], Reason | None]] = {
    0: (NoDataError, None),
    1: (SessionError, Reason.DRIVER_NOT_LOADED),
    2: (InvalidArgumentError, Reason.UNAVAILABLE),
    3: (UnsupportedError, None),
    4: (UnavailableError, Reason.PERMISSION_DENIED),
    5: UNAVAILABLE,
    6: (NoDataError, None),
    7: (InsufficientSizeError, Reason.UNAVAILABLE),
    8: REFUSED,
    9: (SessionError, Reason.DRIVER_NOT_LOADED),
    10: (TimedOutError, Reason.UNAVAILABLE),
    11: REFUSED,
    12: (LibraryMissingError, Reason.LIBRARY_MISSING),
    13: (PermanentlyUnsupportedError, None),
    14: REFUSED,
    15: (DeviceLostError, Reason.DEVICE_LOST),
    16: (DeviceLostError, Reason.DEVICE_LOST),
    17: UNAVAILABLE,
    18: (SessionError, Reason.VERSION_MISMATCH),
    19: UNAVAILABLE,
    20: UNAVAILABLE,
    21: (NoDataError, None),
    22: (UnsupportedError, None),
    23: UNAVAILABLE,
    24: (NoDataError, None),
    25: (PermanentlyUnsupportedError, None),
    26: (PermanentlyUnsupportedError, None),
    27: UNAVAILABLE,
    28: (DeviceLostError, Reason.DEVICE_LOST),
    29: UNAVAILABLE,
    30: UNAVAILABLE,
    999: REFUSED,
}


@pytest.mark.parametrize("code", EXPECTED)
def test_each_code_has_one_error_type(code: int) -> None:
    kind, reason = EXPECTED[code]
    error = from_code(code, "nvmlDeviceGetPowerUsage")
    assert type(error) is kind
    if reason is not None:
        assert error.reason is reason
    assert str(error).startswith(f"nvmlDeviceGetPowerUsage: {NvmlCode(code).name} ({code})")


def test_no_code_of_the_binding_is_missing_from_the_table() -> None:
    of_binding = {
        name.removeprefix("NVML_ERROR_"): value
        for name, value in vars(pynvml).items()
        if name.startswith("NVML_ERROR_")
    }
    assert of_binding == {code.name: code.value for code in NvmlCode if code is not NvmlCode.SUCCESS}
    assert set(EXPECTED) == set(NvmlCode)


def test_a_code_of_a_newer_library_is_unavailable() -> None:
    error = from_code(4711, "nvmlDeviceGetPowerUsage")
    assert type(error) is UnavailableError
    assert str(error) == "nvmlDeviceGetPowerUsage: unknown NVML error 4711"


@pytest.mark.parametrize("code", [1, 9, 17, 18])
def test_errors_an_operator_can_fix_come_with_advice(code: int) -> None:
    assert from_code(code, "nvmlInit").args[0].count(": ") == 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [(3, Reason.UNAVAILABLE), (6, Reason.UNAVAILABLE), (4, Reason.PERMISSION_DENIED), (15, Reason.DEVICE_LOST)],
)
def test_any_error_of_a_required_reading_is_a_fault(code: int, reason: Reason) -> None:
    fault = fault_of(from_code(code, "call"), "0000:3b:00.0")
    assert (fault.reason, fault.where) == (reason, "0000:3b:00.0")
