"""NVML's return codes and the error of the contract for each of them.

Source: `nvmlReturn_t` in NVML's `nvml.h`.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial

from collectors.contract import CollectorError, DeviceLostError, Fault, Reason, UnavailableError, UnsupportedError
from collectors.device_calls import StuckError
from collectors.query import InvalidValueError, NoDataError, PermanentlyUnsupportedError

__all__ = [
    "READING_ERRORS",
    "DeviceRefusedError",
    "InsufficientSizeError",
    "InvalidArgumentError",
    "InvalidValueError",
    "LibraryMissingError",
    "NoDataError",
    "NvmlCode",
    "SessionError",
    "TimedOutError",
    "fault_of",
    "from_code",
]


class NvmlCode(IntEnum):
    """The return codes with NVML's names, without their prefix."""

    SUCCESS = 0
    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    ALREADY_INITIALIZED = 5
    NOT_FOUND = 6
    INSUFFICIENT_SIZE = 7
    INSUFFICIENT_POWER = 8
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    IRQ_ISSUE = 11
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    CORRUPTED_INFOROM = 14
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    OPERATING_SYSTEM = 17
    LIB_RM_VERSION_MISMATCH = 18
    IN_USE = 19
    MEMORY = 20
    NO_DATA = 21
    VGPU_ECC_NOT_SUPPORTED = 22
    INSUFFICIENT_RESOURCES = 23
    FREQ_NOT_SUPPORTED = 24
    ARGUMENT_VERSION_MISMATCH = 25
    DEPRECATED = 26
    NOT_READY = 27
    GPU_NOT_FOUND = 28
    INVALID_STATE = 29
    RESET_TYPE_NOT_SUPPORTED = 30
    UNKNOWN = 999


class SessionError(CollectorError):
    """The session with the library is no longer usable: it must be shut down, and a new one opened after a pause.

    Args:
        text: What failed, where, and what to do.
        reason: The reason under which it is counted.
    """

    def __init__(self, text: str, reason: Reason) -> None:
        super().__init__(text)
        self.reason = reason


class LibraryMissingError(SessionError):
    """The library cannot be loaded. This is a failure only if the node has NVIDIA hardware."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Reason.LIBRARY_MISSING)


class InvalidArgumentError(UnavailableError):
    """The library rejects an argument, for example the index of a MIG device after the last one."""


class DeviceRefusedError(UnavailableError):
    """The driver could not start the device: what opening it returns if power, interrupts or firmware are at fault."""


class InsufficientSizeError(UnavailableError):
    """The buffer was too small; the next call uses a larger one."""


class TimedOutError(UnavailableError):
    """The call took too long. For a wait for events: no event occurred."""


# All errors that one reading can raise and after which the session is still usable.
READING_ERRORS = (UnavailableError, UnsupportedError, NoDataError, DeviceLostError)

_DRIVER_UNLOADED = partial(SessionError, reason=Reason.DRIVER_NOT_LOADED)

# The error of each code; all other codes mean that the reading is temporarily unavailable.
_MEANING: Mapping[NvmlCode, Callable[[str], CollectorError]] = {
    NvmlCode.SUCCESS: NoDataError,  # the binding raises it if a list of samples is empty
    NvmlCode.UNINITIALIZED: _DRIVER_UNLOADED,
    NvmlCode.INVALID_ARGUMENT: InvalidArgumentError,
    NvmlCode.NOT_SUPPORTED: UnsupportedError,
    NvmlCode.NO_PERMISSION: partial(UnavailableError, reason=Reason.PERMISSION_DENIED),
    NvmlCode.NOT_FOUND: NoDataError,
    NvmlCode.INSUFFICIENT_SIZE: InsufficientSizeError,
    NvmlCode.INSUFFICIENT_POWER: DeviceRefusedError,
    NvmlCode.DRIVER_NOT_LOADED: _DRIVER_UNLOADED,
    NvmlCode.TIMEOUT: TimedOutError,
    NvmlCode.IRQ_ISSUE: DeviceRefusedError,
    NvmlCode.LIBRARY_NOT_FOUND: LibraryMissingError,
    NvmlCode.FUNCTION_NOT_FOUND: PermanentlyUnsupportedError,
    NvmlCode.CORRUPTED_INFOROM: DeviceRefusedError,
    NvmlCode.GPU_IS_LOST: DeviceLostError,
    NvmlCode.RESET_REQUIRED: DeviceLostError,
    NvmlCode.LIB_RM_VERSION_MISMATCH: partial(SessionError, reason=Reason.VERSION_MISMATCH),
    NvmlCode.NO_DATA: NoDataError,
    NvmlCode.VGPU_ECC_NOT_SUPPORTED: UnsupportedError,
    NvmlCode.FREQ_NOT_SUPPORTED: NoDataError,
    NvmlCode.ARGUMENT_VERSION_MISMATCH: PermanentlyUnsupportedError,
    NvmlCode.DEPRECATED: PermanentlyUnsupportedError,
    NvmlCode.GPU_NOT_FOUND: DeviceLostError,
    NvmlCode.UNKNOWN: DeviceRefusedError,
}
_ADVICE: Mapping[NvmlCode, str] = {
    NvmlCode.NOT_SUPPORTED: "this device, or its current mode, does not support it",
    NvmlCode.FUNCTION_NOT_FOUND: "the driver is too old for it",
    NvmlCode.UNINITIALIZED: "the driver was unloaded; the exporter opens a new session when it is loaded again",
    NvmlCode.DRIVER_NOT_LOADED: "load the nvidia kernel module on the node",
    NvmlCode.LIB_RM_VERSION_MISMATCH: (
        "library and kernel module have different driver versions; restart the container"
    ),
    NvmlCode.OPERATING_SYSTEM: (
        "access to the device files is blocked, for example after the device cgroup was lost; restart the container"
    ),
}


def fault_of(error: CollectorError, where: str) -> Fault:
    """The fault for an error of a reading that must succeed, so that "unsupported" is a failure too."""
    counts = isinstance(error, UnavailableError | DeviceLostError | StuckError)
    return Fault(error.reason if counts else Reason.UNAVAILABLE, where, str(error))


def from_code(value: int, call: str) -> CollectorError:
    """The contract's error for a return code.

    Args:
        value: The value that NVML returned. A code that is not in NVML's header means unavailable.
        call: The NVML function, for the text.
    """
    try:
        code = NvmlCode(value)
    except ValueError:
        return UnavailableError(f"{call}: unknown NVML error {value}")
    advice = f": {_ADVICE[code]}" if code in _ADVICE else ""
    return _MEANING.get(code, UnavailableError)(f"{call}: {code.name} ({value}){advice}")
