"""Reliability: memory errors, repairs of memory, and the recovery action that the driver requires.

A device without ECC, or with ECC off, returns NOT_SUPPORTED. Its counts are then unknown, not 0.
"""

from collections.abc import Iterator
from functools import partial

from collectors import catalog
from collectors.contract import CollectorError
from collectors.labels import RECOVERY
from collectors.metric import Metric
from collectors.nvidia.errors import InvalidValueError, NoDataError
from collectors.nvidia.field_values import Field, read_fields
from collectors.nvidia.nvml import Handle, Nvml, Query
from collectors.query import RawValue

# nvmlMemoryErrorType_t.
_ERROR_TYPES = {"corrected": 0, "uncorrected": 1}
# nvmlEccCounterType_t, with the row for that period.
_COUNTERS = (("volatile", catalog.MEMORY_ERRORS, 0), ("lifetime", catalog.MEMORY_LIFETIME_ERRORS, 1))
# nvmlPageRetirementCause_t: several corrected errors in one page, or one uncorrected error.
_RETIREMENT_CAUSES = {"corrected": 0, "uncorrected": 1}

_RECOVERY_ACTION = Field(230)  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, driver 570 or later
# nvmlDeviceGpuRecoveryAction_t in the order of its numbers, of which 5 has another meaning from driver 595 on. Both
# reboots, of the node and of the system, are the same action for an operator.
_FIRST_ACTIONS = ("none", "reset", "reboot", "drain", "drain_and_reset")
_ACTIONS: tuple[str, ...] = (*_FIRST_ACTIONS, "recover_fabric", "bus_reset", "reboot")
_ACTIONS_OF_OLD_DRIVERS = (*_FIRST_ACTIONS, "bus_reset")
_NEW_DRIVER = 595
# Numbers that a later driver may give to another action. Higher ones are no action.
_NUMBERS = range(256)


def _ecc_errors(metric: Metric, kind: str, counter: int, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetTotalEccErrors, since the driver was loaded or over the lifetime of the device."""
    count = nvml.call("nvmlDeviceGetTotalEccErrors", handle, _ERROR_TYPES[kind], counter, read=int)
    yield RawValue(metric, count, labels=(kind,))


def _remapped_rows(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetRemappedRows, Ampere or later; unavailable while there are MIG devices.

    The last value is set once a remapping has failed. Spare rows may be left: each bank has its own.
    """
    call = "nvmlDeviceGetRemappedRows"
    corrected, uncorrected, pending, failed = nvml.call(call, handle, read=tuple)
    yield RawValue(catalog.MEMORY_REMAPPED_ROWS, corrected, labels=("corrected",))
    yield RawValue(catalog.MEMORY_REMAPPED_ROWS, uncorrected, labels=("uncorrected",))
    yield RawValue(catalog.MEMORY_REPAIR_PENDING, _flag(call, pending))
    yield RawValue(catalog.MEMORY_REPAIR_FAILED, _flag(call, failed))


def _retired_pages(kind: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetRetiredPages, before Ampere."""
    count = nvml.call("nvmlDeviceGetRetiredPages", handle, _RETIREMENT_CAUSES[kind], read=len)
    yield RawValue(catalog.MEMORY_RETIRED_PAGES, count, labels=(kind,))


def _retirement_pending(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetRetiredPagesPendingStatus, before Ampere."""
    call = "nvmlDeviceGetRetiredPagesPendingStatus"
    yield RawValue(catalog.MEMORY_REPAIR_PENDING, _flag(call, nvml.call(call, handle, read=int)))


class RecoveryAction:
    """The recovery action that the driver requires for one device.

    The actions are a closed list. For one that is not in it there is no series, but the device is not well: each
    action of nvmlDeviceGpuRecoveryAction_t but `none` asks for something.

    Attributes:
        unknown: The number of the latest action, if it is not in the list; None if it is, or was never read.
    """

    def __init__(self) -> None:
        self.unknown: int | None = None

    @property
    def query(self) -> Query:
        """The query that reads it."""
        return Query("recovery action", (catalog.RECOVERY_ACTION,), self._read)

    def _read(self, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
        [number] = read_fields(nvml, handle, [_RECOVERY_ACTION])
        if isinstance(number, CollectorError):
            raise number
        if number not in _NUMBERS:
            raise InvalidValueError(f"recovery action: {number:g}")
        actions = _ACTIONS
        if number >= len(_FIRST_ACTIONS) and _is_old(nvml.driver_version()):
            actions = _ACTIONS_OF_OLD_DRIVERS
        if number >= len(actions):
            self.unknown = int(number)
            raise NoDataError(f"recovery action: {number:g} is unknown")
        self.unknown = None
        return (
            RawValue(catalog.RECOVERY_ACTION, value == actions[int(number)], labels=(value,))
            for value in RECOVERY.values
        )


def _is_old(driver_version: str) -> bool:
    major = driver_version.partition(".")[0]
    return major.isdecimal() and int(major) < _NEW_DRIVER


def _flag(call: str, raw: int) -> int:
    if raw not in (0, 1):
        raise InvalidValueError(f"{call}: found {raw}, expected 0 or 1")
    return raw


_ROWS = (catalog.MEMORY_REMAPPED_ROWS, catalog.MEMORY_REPAIR_PENDING, catalog.MEMORY_REPAIR_FAILED)

QUERIES: tuple[Query, ...] = (
    *(
        Query(f"{kind} memory errors, {since}", (metric,), partial(_ecc_errors, metric, kind, counter))
        for since, metric, counter in _COUNTERS
        for kind in _ERROR_TYPES
    ),
    Query("remapped rows", _ROWS, _remapped_rows),
    *(
        Query(
            f"retired pages, {kind}",
            (catalog.MEMORY_RETIRED_PAGES,),
            partial(_retired_pages, kind),
            fallback_for="remapped rows",
        )
        for kind in _RETIREMENT_CAUSES
    ),
    Query("retirement pending", (catalog.MEMORY_REPAIR_PENDING,), _retirement_pending, fallback_for="remapped rows"),
)
