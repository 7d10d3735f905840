"""Families for diagnosis, in the set `diagnostics`.

They say why a device is in its state, what predicts a failure, and what the next reset changes.
"""

from collectors import labels as own
from collectors.catalog.bounds import FLAG
from collectors.catalog.row import diagnostic
from collectors.metric import Cadence, Kind

MODE_CHANGE_PENDING = diagnostic(
    "mode_change_pending",
    "1 while the mode differs from the one that was set, and changes at the next reset or reboot, else 0.",
    (own.PENDING_MODE,),
    bounds=FLAG,
)
PERFORMANCE_STATE = diagnostic(
    "performance_state",
    "The performance state (P-state): 0 is the fastest, 15 the slowest.",
    cadence=Cadence.MEDIUM,
    bounds=(0, 15),
)
FABRIC_CONDITION = diagnostic(
    "fabric_condition",
    "1 while the fabric reports a condition for the device, else 0. A condition on which it reports nothing is absent.",
    (own.FABRIC, own.FABRIC_CONDITION),
    bounds=FLAG,
)
MEMORY_BANKS = diagnostic(
    "memory_banks",
    "Number of memory banks by how many of their spare rows are left: from max, all of them, to none.",
    (own.SPARE_ROWS,),
)
MEMORY_INACTIVE_ROWS = diagnostic(
    "memory_inactive_remapped_rows",
    "Memory rows with a replacement that is not in use, by the errors that were its reason.",
    (own.MEMORY_ERROR,),
)
MEMORY_REMAPPED_BANKS = diagnostic(
    "memory_remapped_banks",
    "Whole memory banks replaced by spare banks, by whether the replacement is in use.",
    (own.REMAPPING_STATE,),
)
MEMORY_BANK_GROUPS = diagnostic(
    "memory_bank_groups",
    "Number of groups of memory banks that have all of their spare banks left, and of those that have none.",
    (own.SPARE_BANKS,),
)
REPAIR_PENDING = diagnostic(
    "repair_pending",
    "1 while a part of the device needs a reset to be repaired, else 0: a memory channel, a processing cluster (TPC) "
    "or a memory bank.",
    (own.REPAIR_PART,),
    bounds=FLAG,
)
SRAM_ERRORS = diagnostic(
    "sram_errors_total",
    "Errors of the memory inside the chip, such as caches and registers, since the driver was loaded. The errors of "
    "the device memory include them.",
    (own.MEMORY_ERROR,),
    kind=Kind.COUNTER,
)
SRAM_LIFETIME_ERRORS = diagnostic(
    "sram_lifetime_errors_total",
    "Errors of the memory inside the chip over the lifetime of the device, as the device stores them.",
    (own.MEMORY_ERROR,),
    kind=Kind.COUNTER,
)
SRAM_THRESHOLD_EXCEEDED = diagnostic(
    "sram_threshold_exceeded",
    "1 if the memory inside the chip has more errors than the vendor's field diagnostic accepts, else 0.",
    bounds=FLAG,
)
