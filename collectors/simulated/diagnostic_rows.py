"""The same for the families that are read only with the set `diagnostics`."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from collectors import catalog, labels
from collectors.metric import Metric
from collectors.simulated.device_rows import (
    IDLE_LOAD,
    DeviceView,
    Values,
    alone,
    one_of,
    repair_has_failed,
    replaced_rows,
)

_IDLE_STATE = 8


def _fabric_condition(view: DeviceView) -> Values:
    """No scenario disturbs a fabric."""
    fabric = view.profile.fabric
    if fabric is None or not fabric.registers:
        return ()
    return (((fabric.name, *condition), value) for condition, value in one_of(labels.FABRIC_CONDITION))


def _mode_change_pending(view: DeviceView) -> Values:
    """No scenario changes a mode."""
    modes = ("partitioning", "ecc") if view.profile.partition else ("ecc",)
    return (((mode,), 0) for mode in modes)


def _performance_state(view: DeviceView) -> Values:
    """The fastest one under load, and on cards whose memory keeps its clock."""
    idle = view.load < IDLE_LOAD
    slower = any(clock.domain == "memory" and clock.idle_hertz < clock.max_hertz for clock in view.profile.clocks)
    return alone(_IDLE_STATE if idle and slower else 0)


def _banks(view: DeviceView) -> Values:
    """Each replaced row is in another bank, which has some spare rows less; a failed repair has used up one bank."""
    empty = int(repair_has_failed(view))
    used = min(sum(replaced_rows(view)), view.profile.memory_banks - empty)
    left = {"max": view.profile.memory_banks - used - empty, "high": used, "none": empty}
    return (((name,), left.get(name, 0)) for name in labels.SPARE_ROWS.values)


def _no_errors(_: DeviceView) -> Values:
    """The memory errors of scenarios are errors of DRAM."""
    return (((kind,), 0) for kind in labels.MEMORY_ERROR.values)


_Rows: TypeAlias = Mapping[Metric, Callable[[DeviceView], Values]]

FABRIC_ROWS: _Rows = {catalog.FABRIC_CONDITION: _fabric_condition}
BANK_ROWS: _Rows = {catalog.MEMORY_BANKS: _banks}
# What NVIDIA cards from Ampere on have, also when they are partitioned.
NVIDIA_ROWS: _Rows = {
    catalog.MODE_CHANGE_PENDING: _mode_change_pending,
    catalog.PERFORMANCE_STATE: _performance_state,
    catalog.REPAIR_PENDING: lambda _: ((("channel",), 0), (("tpc",), 0)),
    catalog.SRAM_ERRORS: _no_errors,
    catalog.SRAM_LIFETIME_ERRORS: _no_errors,
    catalog.SRAM_THRESHOLD_EXCEEDED: lambda _: alone(0),
}

ROWS: _Rows = {**FABRIC_ROWS, **BANK_ROWS, **NVIDIA_ROWS}
# Other families that some vendor's collector reads only with the set.
ALSO: Mapping[str, frozenset[Metric]] = {"nvidia": frozenset({catalog.THROTTLE_SECONDS})}


def rows_of_set(vendor: str) -> frozenset[Metric]:
    """The families that cards of this vendor have only with the set `diagnostics`."""
    return ALSO.get(vendor, frozenset()).union(ROWS)
