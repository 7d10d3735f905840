"""The rules for the state of a device: which facts mean degraded, predicted failure or failed. No I/O."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors import catalog
from collectors.condition import Condition
from collectors.contract import Sample
from collectors.metric import Metric
from collectors.nvidia.xid import RESET, Effect, effect, meaning

OK = "ok"
_DEGRADED, _PREDICTED, _FAILED = "degraded", "predicted_failure", "failed"


class Said(NamedTuple):
    """What is said about a fact, for people: what is wrong, and what to do next."""

    text: str
    do: str


_REMOVE_AND_RESET = (
    "Remove the pods that use the device, then run `nvidia-smi --gpu-reset -i ID` on the node, with the index or uuid "
    "as ID. No process may have the device open, including the exporter: docs/installation.md, Releasing one device"
)
# Recovery actions that are required before the device can work again, and actions for a device that still works.
REQUIRED = {
    "reset": Said("The driver requires a reset of the device", _REMOVE_AND_RESET),
    "bus_reset": Said("The driver requires a reset of the device's bus", _REMOVE_AND_RESET),
    "reboot": Said("The driver requires a reboot of the node", "Drain the node and reboot it"),
}
RECOMMENDED = {
    "drain": Said(
        "The driver recommends to stop the programs that access the memory of other devices",
        "Stop the programs that access the memory of other devices; then the action changes to the next one that is "
        "needed",
    ),
    "drain_and_reset": Said(
        "The driver recommends to reset the device when it is free",
        "Not urgent: start no new work on the device, and reset it when the present work has ended",
    ),
    "recover_fabric": Said(
        "The driver recommends to recover the fabric of the device",
        "Recover the IMEX domain; see the log of its service on the nodes of the domain",
    ),
}
_UNKNOWN = "unknown"  # of a later driver

Events = dict[tuple[str, str], Effect]  # by source and code

# A device can still answer for a moment after the event that ends in its loss, and require no action then.
_BEFORE_LOSS_SECONDS = 600.0
# Registration with a fabric takes seconds once its fabric manager runs. The manager itself may start some minutes after
# the driver; until it has registered the device, no program can use it.
_UNFINISHED = frozenset({"not_started", "in_progress", "failed"})
_FABRIC_SECONDS = 300.0
_FABRIC_GAP_SECONDS = 300.0  # it is read once a minute; what happened in a longer gap is unknown
# A recovery of routes or after a timeout ends by itself.
_FABRIC_TROUBLES = {
    "degraded_bandwidth": "less bandwidth",
    "route_unhealthy": "an unhealthy route",
    "incorrect_configuration": "a wrong configuration",
}
# The rows that the rules use, by identity, because a row is hashed slowly.
_ROWS = frozenset(
    map(
        id,
        (
            catalog.RECOVERY_ACTION,
            catalog.MEMORY_REPAIR_FAILED,
            catalog.MEMORY_REPAIR_PENDING,
            catalog.MEMORY_ERRORS,
            catalog.FABRIC_STATUS,
            catalog.FABRIC_CONDITION,
        ),
    )
)


@dataclass(slots=True)
class HealthFacts:
    """The facts about one device. Readings keep their last value until the next one.

    Attributes:
        lost: The device does not answer.
        recovery: The recovery action that the driver reports, "unknown" for one that is not in the list; empty if it
            does not report one.
        repair_failed: A repair of the memory has ever failed.
        repair_pending: Bad memory will be repaired at the next reset.
        uncorrected_errors: Uncorrected memory errors since the driver was loaded.
        fabric: The state of the registration with the fabric; empty if the device has no fabric.
        fabric_read_at: Monotonic seconds of its last reading.
        fabric_unfinished_seconds: How long it has been seen unfinished or failed.
        fabric_conditions: The conditions that the fabric reports for the device.
        events: The events since the device was last known to work that have an effect.
        ended_events: Those that have no effect any more because the driver requires no action, and since when, in
            monotonic seconds.
        new_event: Whether one of these events occurred since the last reading.
        before_loss: The events after which a lost device was lost.
    """

    lost: bool = False
    recovery: str = ""
    repair_failed: bool = False
    repair_pending: bool = False
    uncorrected_errors: float = 0
    fabric: str = ""
    fabric_read_at: float = 0.0
    fabric_unfinished_seconds: float = 0.0
    fabric_conditions: set[str] = field(default_factory=set)
    events: Events = field(default_factory=dict)
    ended_events: dict[tuple[str, str], tuple[Effect, float]] = field(default_factory=dict)
    new_event: bool = False
    before_loss: Events = field(default_factory=dict)

    def leave_fabric(self) -> None:
        """The driver reports no registration any more, as in MIG mode: nothing is known of the fabric."""
        self.fabric, self.fabric_unfinished_seconds = "", 0.0
        self.fabric_conditions.clear()


def _with(facts: HealthFacts, wanted: Effect) -> list[Said]:
    """What the events with an effect mean."""
    return [Said(*meaning(*event)) for event, has in facts.events.items() if has is wanted]


def _lost_after(facts: HealthFacts) -> list[Said]:
    """What happened before a device was lost."""
    worst_first = sorted(facts.before_loss.items(), key=lambda event: event[1] is not Effect.FAILED)
    before = [Said(*meaning(*event)) for event, _ in worst_first]
    texts = "; ".join(each.text for each in before)
    return [Said(f"The device no longer answers. Before that: {texts}", before[0].do)] if before else []


def _nothing(_: HealthFacts) -> Iterable[Said]:
    return ()


@dataclass(frozen=True, slots=True)
class StatusRule:
    """A rule for a state.

    Attributes:
        name: The name of the rule, for the documentation.
        state: The resulting state of the device.
        holds: Whether the rule applies to the facts.
        said: When the rule applies, for the documentation and for people whose device it is, and what to do next.
        details: What is said instead of a device, where the facts say more; nothing where they do not.
    """

    name: str
    state: str
    holds: Callable[[HealthFacts], bool]
    said: Said
    details: Callable[[HealthFacts], Iterable[Said]] = _nothing

    def conditions(self, facts: HealthFacts) -> Iterable[Condition]:
        """What is said of a device to which the rule applies."""
        return (Condition(self.state, *said) for said in self.details(facts) or (self.said,))


_SEE_FABRIC = "See Fabric in the output of `nvidia-smi -q`, and the log of the fabric manager"
# The first rule that applies decides; the worst state comes first.
RULES: tuple[StatusRule, ...] = (
    StatusRule(
        "lost",
        _FAILED,
        lambda facts: facts.lost,
        Said(
            "The device no longer answers, or the driver no longer lists it",
            "See dmesg on the node for lines with Xid. Drain the node, then reset the device or reboot",
        ),
        _lost_after,
    ),
    StatusRule(
        "recovery_required",
        _FAILED,
        lambda facts: facts.recovery in REQUIRED,
        Said("The driver requires a reset of the device or its bus, or a reboot", RESET),
        lambda facts: (REQUIRED[facts.recovery],),
    ),
    StatusRule(
        "fatal_event",
        _FAILED,
        lambda facts: Effect.FAILED in facts.events.values(),
        Said("A critical event after which the device must be reset", RESET),
        lambda facts: _with(facts, Effect.FAILED),
    ),
    StatusRule(
        "repair_failed",
        _PREDICTED,
        lambda facts: facts.repair_failed,
        Said("A repair of the memory has failed", "Replace the device. Until then it works"),
    ),
    StatusRule(
        "recovery_advised",
        _DEGRADED,
        lambda facts: facts.recovery in RECOMMENDED,
        Said(
            "The driver recommends to drain the device, to reset it when it is free, or to recover its fabric",
            "Start no new work on the device",
        ),
        lambda facts: (RECOMMENDED[facts.recovery],),
    ),
    StatusRule(
        "recovery_unknown",
        _DEGRADED,
        lambda facts: facts.recovery == _UNKNOWN,
        Said(
            "The driver requires an action that this exporter does not know; `recovery_action` is then absent",
            "`nvidia-smi -q` names it under GPU Recovery Action; then update the exporter",
        ),
    ),
    StatusRule(
        "repair_pending",
        _DEGRADED,
        lambda facts: facts.repair_pending,
        Said(
            "Bad memory will be replaced at the next reset",
            "Reset the device at the next opportunity. Programs that run now can go on until then",
        ),
    ),
    StatusRule(
        "hardware_event",
        _DEGRADED,
        lambda facts: Effect.DEGRADED in facts.events.values(),
        Said("A critical event with the effect degraded in the list of codes below", "See the list of codes"),
        lambda facts: _with(facts, Effect.DEGRADED),
    ),
    StatusRule(
        "uncorrected_errors",
        _DEGRADED,
        lambda facts: facts.uncorrected_errors > 0,
        Said(
            "Memory errors that could not be corrected since the driver was loaded",
            "Reset the device at the next opportunity. If the errors repeat, have the device checked",
        ),
    ),
    StatusRule(
        "fabric_unregistered",
        _DEGRADED,
        lambda facts: facts.fabric == "failed" or facts.fabric_unfinished_seconds >= _FABRIC_SECONDS,
        Said(
            "The registration with the NVLink fabric has failed, or has not finished within 5 minutes",
            "CUDA may not start on the device. See the log of the fabric manager; on systems with several nodes, of "
            "IMEX too",
        ),
    ),
    StatusRule(
        "fabric_unhealthy",
        _DEGRADED,
        lambda facts: not facts.fabric_conditions.isdisjoint(_FABRIC_TROUBLES),
        Said(
            "The NVLink fabric reports less bandwidth, an unhealthy route or a wrong configuration for the device",
            _SEE_FABRIC,
        ),
        lambda facts: [
            Said(f"The NVLink fabric reports {_FABRIC_TROUBLES[condition]} for the device", _SEE_FABRIC)
            for condition in sorted(facts.fabric_conditions & _FABRIC_TROUBLES.keys())
        ],
    ),
)


def state_of(facts: HealthFacts) -> str:
    """The state of the first rule that applies."""
    return next((rule.state for rule in RULES if rule.holds(facts)), OK)


def conditions_of(facts: HealthFacts) -> tuple[Condition, ...]:
    """Why a device is not ok, the worst first; nothing if it is."""
    return tuple(condition for rule in RULES if rule.holds(facts) for condition in rule.conditions(facts))


class StatusTable:
    """The facts about all devices of one session.

    The effects of events end when the driver reports the recovery action "none" (driver 570 or later), when the device
    is lost and found again, and with the session, which ends when the driver is unloaded.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._facts: dict[str, HealthFacts] = {}
        self._samples: dict[tuple[str, str], list[Sample]] = {}  # by device and state
        self._states: dict[str, str] = {}  # as they were last asked for

    def apply_event(self, uuid: str, source: str, code: str) -> None:
        """Apply a critical event of a device."""
        event_effect = effect(source, code)
        if event_effect is not Effect.NONE:
            facts = self._facts_of(uuid)
            facts.events[source, code] = event_effect
            facts.new_event = True

    def update(
        self,
        uuid: str,
        samples: Sequence[Sample],
        unsupported: Collection[Metric] = frozenset(),
        *,
        unknown_action: bool = False,
    ) -> None:
        """Update the facts about a device from the samples of one poll, of any cadence.

        Args:
            uuid: The device.
            samples: What was read.
            unsupported: The rows that it does not support now.
            unknown_action: Whether the latest recovery action is not in the list.
        """
        facts = self._facts_of(uuid)
        facts.lost = False
        facts.before_loss.clear()
        concerned = [sample for sample in samples if id(sample.metric) in _ROWS and not sample.partition_uuid]
        if catalog.FABRIC_STATUS in unsupported:
            facts.leave_fabric()
        elif any(sample.metric is catalog.FABRIC_STATUS for sample in concerned):
            facts.fabric_conditions.clear()  # those that still hold are in the same reading
        for sample in concerned:
            _apply_sample(facts, sample, self._clock())
        if unknown_action:
            facts.recovery = _UNKNOWN
        facts.new_event = False

    def mark_lost(self, uuid: str) -> None:
        """Mark a device as lost. Its other facts are no longer valid; its events are the likely cause."""
        before, since = self._facts_of(uuid), self._clock() - _BEFORE_LOSS_SECONDS
        ended = {event: has for event, (has, at) in before.ended_events.items() if at >= since}
        self._facts[uuid] = HealthFacts(lost=True, before_loss=before.before_loss | ended | before.events)

    def conditions(self, uuid: str) -> tuple[Condition, ...]:
        """Why a device was not ok when `samples` was last called, the worst first; nothing if it was."""
        return () if self._states.get(uuid, OK) == OK else conditions_of(self._facts_of(uuid))

    def samples(self, uuid: str) -> list[Sample]:
        """`status` of one device: 1 for its state, 0 for the others."""
        now = self._states[uuid] = state_of(self._facts_of(uuid))
        found = self._samples.get((uuid, now))
        if found is None:
            found = self._samples[uuid, now] = [
                Sample(catalog.STATUS_STATE, uuid, float(state == now), labels=(state,))
                for state in catalog.STATUS_STATE.labels[0].values
            ]
        return found

    def _facts_of(self, uuid: str) -> HealthFacts:
        return self._facts.setdefault(uuid, HealthFacts())


def _apply_sample(facts: HealthFacts, sample: Sample, now: float) -> None:
    if sample.metric is catalog.RECOVERY_ACTION:
        if sample.value:
            facts.recovery = sample.labels[0]
            # In the poll in which an event is received, the action may have been read before the event.
            if facts.recovery == "none" and not facts.new_event:
                facts.ended_events |= {event: (has, now) for event, has in facts.events.items()}
                facts.events.clear()
    elif sample.metric is catalog.MEMORY_REPAIR_FAILED:
        facts.repair_failed = bool(sample.value)
    elif sample.metric is catalog.MEMORY_REPAIR_PENDING:
        facts.repair_pending = bool(sample.value)
    elif sample.metric is catalog.MEMORY_ERRORS and sample.labels == ("uncorrected",):
        facts.uncorrected_errors = sample.value
    elif sample.metric is catalog.FABRIC_STATUS and sample.value:
        _apply_fabric(facts, sample.labels[-1], now)
    elif sample.metric is catalog.FABRIC_CONDITION and sample.value:
        facts.fabric_conditions.add(sample.labels[-1])


def _apply_fabric(facts: HealthFacts, state: str, now: float) -> None:
    """Apply a reading of the registration. Without readings no time passes: what is unknown is not late.

    A registration that has failed is tried again, which does not begin the time anew.
    """
    if state not in _UNFINISHED:
        facts.fabric_unfinished_seconds = 0.0
    elif facts.fabric in _UNFINISHED:
        elapsed = now - facts.fabric_read_at
        facts.fabric_unfinished_seconds += elapsed if elapsed <= _FABRIC_GAP_SECONDS else 0.0
    facts.fabric, facts.fabric_read_at = state, now
