"""Why simulated devices are not well, and what happens to them, in the words of the collectors of real ones."""

from collections.abc import Iterable, Iterator, Mapping

from collectors import catalog
from collectors.amd import status as amd
from collectors.condition import Condition, CriticalEvent
from collectors.nvidia import status as nvidia
from collectors.nvidia import xid
from collectors.simulated.device_rows import (
    DeviceView,
    bad_page_threshold,
    recovery_action,
    repair_has_failed,
    replaced_rows,
    rows_waiting,
)
from collectors.simulated.machine import BLOCKS, MEMORY_BLOCK, Machine
from collectors.simulated.profile import ErrorCode, Scheme

# Of cards of other vendors, by state.
_OTHERS: tuple[Condition, ...] = (
    Condition(
        "failed", "The device does not answer", "See dmesg on the node. Drain it, then reset the device or reboot"
    ),
    Condition("degraded", "Memory errors that could not be corrected", "Reset the device at the next opportunity"),
)


def conditions_of(view: DeviceView) -> tuple[Condition, ...]:
    """Why a device is not ok, the worst first; nothing if it is."""
    scheme = view.profile.naming.scheme
    if scheme is Scheme.MINOR:
        return nvidia.conditions_of(_nvidia_facts(view))
    if scheme is Scheme.ADDRESS:
        return amd.conditions_of(_amd_facts(view))
    failed, degraded = _OTHERS
    if view.machine.now.lost or view.machine.must_be_reset:
        return (failed,)
    return (degraded,) if rows_waiting(view) else ()


def new_events(machine: Machine, before: Mapping[tuple[str, ...], int]) -> Iterator[CriticalEvent]:
    """The events of a device that have been counted since an earlier count.

    Args:
        machine: The device.
        before: The earlier count, as `Machine.events`.
    """
    for code in machine.device.profile.error_codes:
        count = machine.events.get(code.labels, 0) - before.get(code.labels, 0)
        if count:
            text, do = amd.event_texts(code.code) if code.source == BLOCKS else xid.meaning(code.source, code.code)
            yield CriticalEvent(machine.device.device.uuid, *code.labels, text, do, _state_after(code), count)


def _state_after(code: ErrorCode) -> str:
    return amd.DEGRADED if code.source == BLOCKS else xid.state_after(code.source, code.code)


def _nvidia_facts(view: DeviceView) -> nvidia.HealthFacts:
    machine, whole = view.machine, view.profile.whole
    if machine.now.lost:
        return nvidia.HealthFacts(lost=True, before_loss=_effects(machine.before_loss))
    waiting, action = rows_waiting(view), recovery_action(view)
    return nvidia.HealthFacts(
        recovery=action if catalog.RECOVERY_ACTION in whole else "",
        repair_failed=catalog.MEMORY_REPAIR_FAILED in whole and repair_has_failed(view),
        repair_pending=waiting,
        uncorrected_errors=float(waiting),
        events={} if action == "none" else _effects(machine.unrepaired),
    )


def _effects(codes: Iterable[ErrorCode]) -> nvidia.Events:
    effects = {(code.source, code.code): xid.effect(code.source, code.code) for code in codes}
    return {event: has for event, has in effects.items() if has is not xid.Effect.NONE}


def _amd_facts(view: DeviceView) -> amd.HealthFacts:
    if view.machine.now.lost:
        return amd.HealthFacts(lost=True)
    pages = catalog.MEMORY_RETIRED_PAGES in view.profile.whole
    return amd.HealthFacts(
        failing_blocks=tuple(sorted({*view.machine.failing_blocks, *([MEMORY_BLOCK] if rows_waiting(view) else ())})),
        bad_pages=replaced_rows(view)[1],
        bad_page_threshold=bad_page_threshold(view) if pages else None,
        repair_pending=rows_waiting(view),
    )
