"""The rules for the state of a device: which facts mean degraded, predicted failure or failed. No I/O."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from collectors import catalog
from collectors.contract import Sample
from collectors.metric import Metric
from collectors.nvidia.xid import Effect, effect

OK = "ok"
_DEGRADED, _PREDICTED, _FAILED = "degraded", "predicted_failure", "failed"

# Recovery actions that are required before the device can work again, and actions for a device that still works.
_REQUIRED = frozenset({"reset", "bus_reset", "reboot"})
_RECOMMENDED = frozenset({"drain", "drain_and_reset", "recover_fabric"})
_UNKNOWN = "unknown"  # of a later driver

# Registration with a fabric takes seconds once its fabric manager runs. The manager itself may start some minutes after
# the driver; until it has registered the device, no program can use it.
_UNFINISHED = frozenset({"not_started", "in_progress", "failed"})
_FABRIC_SECONDS = 300.0
_FABRIC_GAP_SECONDS = 300.0  # it is read once a minute; what happened in a longer gap is unknown
# A recovery of routes or after a timeout ends by itself.
_FABRIC_TROUBLES = frozenset({"degraded_bandwidth", "route_unhealthy", "incorrect_configuration"})
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
        effects: The effects of the events since the device was last known to work.
        new_event: Whether one of these events occurred since the last reading.
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
    effects: set[Effect] = field(default_factory=set)
    new_event: bool = False

    def leave_fabric(self) -> None:
        """The driver reports no registration any more, as in MIG mode: nothing is known of the fabric."""
        self.fabric, self.fabric_unfinished_seconds = "", 0.0
        self.fabric_conditions.clear()


@dataclass(frozen=True, slots=True)
class StatusRule:
    """A rule for a state.

    Attributes:
        name: The name of the rule, for the documentation.
        state: The resulting state of the device.
        holds: Whether the rule applies to the facts.
        text: When the rule applies, for the documentation.
    """

    name: str
    state: str
    holds: Callable[[HealthFacts], bool]
    text: str


# The first rule that applies decides; the worst state comes first.
RULES: tuple[StatusRule, ...] = (
    StatusRule(
        "lost", _FAILED, lambda facts: facts.lost, "The device no longer answers, or is on the bus but not listed"
    ),
    StatusRule(
        "recovery_required",
        _FAILED,
        lambda facts: facts.recovery in _REQUIRED,
        "The driver requires a reset of the device or its bus, or a reboot",
    ),
    StatusRule(
        "fatal_event",
        _FAILED,
        lambda facts: Effect.FAILED in facts.effects,
        "A critical event after which the device must be reset",
    ),
    StatusRule(
        "repair_failed",
        _PREDICTED,
        lambda facts: facts.repair_failed,
        "A repair of the memory has failed: replace the device",
    ),
    StatusRule(
        "recovery_advised",
        _DEGRADED,
        lambda facts: facts.recovery in _RECOMMENDED,
        "The driver recommends to drain the device, to reset it when it is free, or to recover its fabric",
    ),
    StatusRule(
        "recovery_unknown",
        _DEGRADED,
        lambda facts: facts.recovery == _UNKNOWN,
        "The driver requires an action that this exporter does not know; `recovery_action` is then absent",
    ),
    StatusRule(
        "repair_pending",
        _DEGRADED,
        lambda facts: facts.repair_pending,
        "Bad memory will be replaced at the next reset",
    ),
    StatusRule(
        "hardware_event",
        _DEGRADED,
        lambda facts: Effect.DEGRADED in facts.effects,
        "A critical event with the effect degraded in the list of codes below",
    ),
    StatusRule(
        "uncorrected_errors",
        _DEGRADED,
        lambda facts: facts.uncorrected_errors > 0,
        "Memory errors that could not be corrected since the driver was loaded",
    ),
    StatusRule(
        "fabric_unregistered",
        _DEGRADED,
        lambda facts: facts.fabric == "failed" or facts.fabric_unfinished_seconds >= _FABRIC_SECONDS,
        "The registration with the NVLink fabric has failed, or has not finished within 5 minutes",
    ),
    StatusRule(
        "fabric_unhealthy",
        _DEGRADED,
        lambda facts: bool(facts.fabric_conditions & _FABRIC_TROUBLES),
        "The NVLink fabric reports less bandwidth, an unhealthy route or a wrong configuration for the device",
    ),
)


def state_of(facts: HealthFacts) -> str:
    """The state of the first rule that applies."""
    return next((rule.state for rule in RULES if rule.holds(facts)), OK)


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

    def apply_event(self, uuid: str, source: str, code: str) -> None:
        """Apply a critical event of a device."""
        event_effect = effect(source, code)
        if event_effect is not Effect.NONE:
            facts = self._facts_of(uuid)
            facts.effects.add(event_effect)
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
        """Mark a device as lost. Its other facts are no longer valid."""
        self._facts[uuid] = HealthFacts(lost=True)

    def samples(self, uuid: str) -> list[Sample]:
        """`status` of one device: 1 for its state, 0 for the others."""
        now = state_of(self._facts_of(uuid))
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
                facts.effects.clear()
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
