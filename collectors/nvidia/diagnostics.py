"""Readings of the set `diagnostics`: what predicts a failure of a device, and what its next reset changes.

Sources are the comments of `nvml.h`. Errors of SRAM, the memory inside the chip, are also part of the totals of
`reliability`; what those have beyond is the errors of DRAM.
"""

from collections.abc import Iterator
from ctypes import byref
from functools import partial

from collectors import catalog
from collectors.metric import Metric
from collectors.nvidia import field_values
from collectors.nvidia.errors import InvalidValueError, NoDataError
from collectors.nvidia.field_values import Field
from collectors.nvidia.nvml import ABSENT_MARKS, Handle, Nvml, Query
from collectors.query import BatchItem, RawValue

_SRAM_STATUS = "nvmlDeviceGetSramEccErrorStatus"
# Members of nvmlEccSramErrorStatus_v1_t, whose sum is the count of one kind; a memory has either parity or SEC-DED.
_SRAM_COUNTS: dict[Metric, dict[str, tuple[str, ...]]] = {
    catalog.SRAM_ERRORS: {
        "corrected": ("volatileCor",),
        "uncorrected": ("volatileUncParity", "volatileUncSecDed"),
    },
    catalog.SRAM_LIFETIME_ERRORS: {
        "corrected": ("aggregateCor",),
        "uncorrected": ("aggregateUncParity", "aggregateUncSecDed"),
    },
}
# Calls that return the current and the pending mode: ECC changes with a reboot, MIG with a reset or unbind.
_PENDING = {"partitioning": "nvmlDeviceGetMigMode", "ecc": "nvmlDeviceGetEccMode"}
_MODES = frozenset({0, 1})  # disabled, enabled
_UNKNOWN_STATE = 32  # NVML_PSTATE_UNKNOWN
_SPARE_ROWS = ("max", "high", "partial", "low", "none")
# NVML_FI_DEV_REMAPPED_ROWS_COR_INACTIVE to NVML_FI_DEV_PENDING_BANK_REMAPPING, first in the header of driver 615.
_INACTIVE_ROWS = {"corrected": 301, "uncorrected": 302}
_BANK_REMAPPINGS = {"active": 303, "inactive": 304}
_BANK_GROUPS = {"max": 305, "none": 306}
_BANK_PENDING = 307


def _pending(mode: str, nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetMigMode, Ampere or later, and nvmlDeviceGetEccMode: whether the pending mode is another one."""
    current, pending = nvml.call(_PENDING[mode], handle, read=tuple)
    if not {current, pending} <= _MODES:
        raise InvalidValueError(f"{_PENDING[mode]}: found {current} and {pending}, expected 0 or 1")
    yield RawValue(catalog.MODE_CHANGE_PENDING, current != pending, labels=(mode,))


def _performance_state(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetPerformanceState: nvmlPstates_t, from 0 for the highest performance to 15 for the lowest."""
    state = nvml.call("nvmlDeviceGetPerformanceState", handle, read=int)
    if state == _UNKNOWN_STATE:
        raise NoDataError("nvmlDeviceGetPerformanceState: the driver does not know it")
    yield RawValue(catalog.PERFORMANCE_STATE, state)


def _banks(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetRowRemapperHistogram: number of banks by the rows that are left as spares, Ampere or later."""
    histogram = nvml.call("nvmlDeviceGetRowRemapperHistogram", handle, read=lambda values: values)
    for left in _SPARE_ROWS:
        yield RawValue(catalog.MEMORY_BANKS, int(getattr(histogram, left)), labels=(left,))


def _sram(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetSramEccErrorStatus, Ampere or later, driver 550; nvml.h says that it needs root.

    The flag is set if the error threshold of the field diagnostic is exceeded.
    """
    status = nvml.structure("c_nvmlEccSramErrorStatus_v1_t")
    nvml.call(_SRAM_STATUS, handle, byref(status), read=int)
    for metric, kinds in _SRAM_COUNTS.items():
        for kind, members in kinds.items():
            counts = [int(getattr(status, member)) for member in members]
            if not ABSENT_MARKS.isdisjoint(counts):
                raise InvalidValueError(f"{_SRAM_STATUS}: {counts}")
            yield RawValue(metric, sum(counts), labels=(kind,))
    yield RawValue(catalog.SRAM_THRESHOLD_EXCEEDED, int(status.bThresholdExceeded))


def _repairs(nvml: Nvml, handle: Handle) -> Iterator[RawValue]:
    """nvmlDeviceGetRepairStatus: of a memory channel and of a processing cluster (TPC), Ampere or later."""
    channel, cluster = nvml.call("nvmlDeviceGetRepairStatus", handle, read=tuple)
    yield RawValue(catalog.REPAIR_PENDING, channel, labels=("channel",))
    yield RawValue(catalog.REPAIR_PENDING, cluster, labels=("tpc",))


QUERIES: tuple[Query, ...] = (
    *(Query(f"pending {mode} mode", (catalog.MODE_CHANGE_PENDING,), partial(_pending, mode)) for mode in _PENDING),
    Query("performance state", (catalog.PERFORMANCE_STATE,), _performance_state),
    Query("spare rows of banks", (catalog.MEMORY_BANKS,), _banks),
    Query("sram errors", (*_SRAM_COUNTS, catalog.SRAM_THRESHOLD_EXCEEDED), _sram),
    Query("pending repairs", (catalog.REPAIR_PENDING,), _repairs),
)
ITEMS: tuple[BatchItem, ...] = (
    *(
        field_values.item(f"inactive rows, {kind}", catalog.MEMORY_INACTIVE_ROWS, Field(number), labels=(kind,))
        for kind, number in _INACTIVE_ROWS.items()
    ),
    *(
        field_values.item(f"bank remappings, {state}", catalog.MEMORY_REMAPPED_BANKS, Field(number), labels=(state,))
        for state, number in _BANK_REMAPPINGS.items()
    ),
    *(
        field_values.item(f"spare banks, {left}", catalog.MEMORY_BANK_GROUPS, Field(number), labels=(left,))
        for left, number in _BANK_GROUPS.items()
    ),
    field_values.item("pending bank", catalog.REPAIR_PENDING, Field(_BANK_PENDING), labels=("bank",)),
)
