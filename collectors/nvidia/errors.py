"""NVML's return codes and what each means to us: the one table by which errors leave the border.

Source: `nvmlReturn_t` in NVML's `nvml.h`.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial

from collectors.contract import CollectorError, DeviceLostError, Fault, Reason, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError, NoDataError

__all__ = [
    "READING_ERRORS",
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
    """The return codes, by NVML's names without their prefix."""

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
    """The session with the library is over: shut it down, wait, open a new one. Never a matter of one reading.

    Args:
        text: What happened, where, what to do.
        reason: The member of the closed list that it counts as.
    """

    def __init__(self, text: str, reason: Reason) -> None:
        super().__init__(text)
        self.reason = reason


class LibraryMissingError(SessionError):
    """The library can't be loaded. Whether that is a fault depends on whether there is hardware for it."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Reason.LIBRARY_MISSING)


class InvalidArgumentError(UnavailableError):
    """The library refuses an argument; MIG handles beyond the last one are answered so."""


class InsufficientSizeError(UnavailableError):
    """More came than there was room for; asking again makes more room."""


class TimedOutError(UnavailableError):
    """It took too long; of a wait for events, that none came."""


# Everything that one reading can raise and that leaves the session as it is.
READING_ERRORS = (UnavailableError, UnsupportedError, NoDataError, DeviceLostError)

_DRIVER_GONE = partial(SessionError, reason=Reason.DRIVER_NOT_LOADED)

# What a code means; every other one makes the reading unavailable for now.
_MEANING: Mapping[NvmlCode, Callable[[str], CollectorError]] = {
    NvmlCode.SUCCESS: NoDataError,  # the binding raises it where a list of samples is empty
    NvmlCode.UNINITIALIZED: _DRIVER_GONE,
    NvmlCode.INVALID_ARGUMENT: InvalidArgumentError,
    NvmlCode.NOT_SUPPORTED: UnsupportedError,
    NvmlCode.NO_PERMISSION: partial(UnavailableError, reason=Reason.PERMISSION_DENIED),
    NvmlCode.NOT_FOUND: NoDataError,
    NvmlCode.INSUFFICIENT_SIZE: InsufficientSizeError,
    NvmlCode.DRIVER_NOT_LOADED: _DRIVER_GONE,
    NvmlCode.TIMEOUT: TimedOutError,
    NvmlCode.LIBRARY_NOT_FOUND: LibraryMissingError,
    NvmlCode.FUNCTION_NOT_FOUND: UnsupportedError,
    NvmlCode.GPU_IS_LOST: DeviceLostError,
    NvmlCode.RESET_REQUIRED: DeviceLostError,
    NvmlCode.LIB_RM_VERSION_MISMATCH: partial(SessionError, reason=Reason.VERSION_MISMATCH),
    NvmlCode.NO_DATA: NoDataError,
    NvmlCode.VGPU_ECC_NOT_SUPPORTED: UnsupportedError,
    NvmlCode.FREQ_NOT_SUPPORTED: NoDataError,
    NvmlCode.ARGUMENT_VERSION_MISMATCH: UnsupportedError,
    NvmlCode.DEPRECATED: UnsupportedError,
    NvmlCode.GPU_NOT_FOUND: DeviceLostError,
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
    """How an error counts where the reading had to succeed, so that an unsupported one is a failure too."""
    counts = isinstance(error, UnavailableError | DeviceLostError)
    return Fault(error.reason if counts else Reason.UNAVAILABLE, where, str(error))


def from_code(value: int, call: str) -> CollectorError:
    """The contract's error for a return code.

    Args:
        value: What NVML returned; a code that NVML's header does not have counts as unavailable.
        call: The NVML function, for the text.
    """
    try:
        code = NvmlCode(value)
    except ValueError:
        return UnavailableError(f"{call}: unknown NVML error {value}")
    advice = f": {_ADVICE[code]}" if code in _ADVICE else ""
    return _MEANING.get(code, UnavailableError)(f"{call}: {code.name} ({value}){advice}")
