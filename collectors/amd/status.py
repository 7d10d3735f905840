"""The state of a GPU by rules: the facts that make it degraded, predicted to fail, or failed. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass

from collectors import catalog
from collectors.condition import Condition
from collectors.contract import Sample

OK, DEGRADED = "ok", "degraded"
_PREDICTED, _FAILED = "predicted_failure", "failed"


@dataclass(slots=True)
class HealthFacts:
    """What is known of one GPU. Readings keep their last value until the next one.

    Attributes:
        lost: It is no longer bound to the driver.
        failing_blocks: Its blocks with uncorrected errors since the driver was loaded, sorted.
        bad_pages: Pages of its memory that are retired, or will be.
        bad_page_threshold: Number of bad pages at which it should be replaced; None if unknown or disabled.
        repair_pending: Whether a bad page is still in use.
    """

    lost: bool = False
    failing_blocks: tuple[str, ...] = ()
    bad_pages: int = 0
    bad_page_threshold: int | None = None
    repair_pending: bool = False


def _nothing(_: HealthFacts) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class StatusRule:
    """A reason for a state.

    Attributes:
        name: Name of the rule, for the documentation.
        state: The state of the GPU if the rule applies.
        holds: Whether the rule applies to the facts.
        text: When the rule applies, for the documentation and for people whose GPU it is.
        do: What to do next, for people.
        details: What is said of a GPU instead, where the facts say more; empty where they do not.
    """

    name: str
    state: str
    holds: Callable[[HealthFacts], bool]
    text: str
    do: str
    details: Callable[[HealthFacts], str] = _nothing


def _worn_out(facts: HealthFacts) -> bool:
    return facts.bad_page_threshold is not None and facts.bad_pages >= facts.bad_page_threshold


def _failing_blocks(facts: HealthFacts) -> str:
    blocks = "block" if len(facts.failing_blocks) == 1 else "blocks"
    return f"Uncorrected errors in the {blocks} {', '.join(facts.failing_blocks)} since the driver was loaded"


_RESET_SOON = "Reset the GPU at the next opportunity. If the errors repeat, have it checked"
# The first rule that applies decides; the worst state comes first.
RULES: tuple[StatusRule, ...] = (
    StatusRule(
        "lost",
        _FAILED,
        lambda facts: facts.lost,
        "The GPU is on the PCI bus but no longer bound to a driver, and amdgpu is still loaded",
        "See dmesg on the node for lines with amdgpu. Drain the node, then bind the GPU again or reboot",
    ),
    StatusRule(
        "bad_pages",
        _PREDICTED,
        _worn_out,
        "The number of bad pages in its memory has reached the threshold",
        "Replace the GPU. Until then it works",
    ),
    StatusRule(
        "repair_pending",
        DEGRADED,
        lambda facts: facts.repair_pending,
        "A bad page of its memory is still in use until the next reset",
        "Reset the GPU at the next opportunity",
    ),
    StatusRule(
        "uncorrected_errors",
        DEGRADED,
        lambda facts: bool(facts.failing_blocks),
        "Uncorrected errors since the driver was loaded, in memory or in another block",
        _RESET_SOON,
        _failing_blocks,
    ),
)


def state_of(facts: HealthFacts) -> str:
    """The state of the first rule that applies."""
    return next((rule.state for rule in RULES if rule.holds(facts)), OK)


def conditions_of(facts: HealthFacts) -> tuple[Condition, ...]:
    """Why a GPU is not ok, the worst first; nothing if it is."""
    return tuple(
        Condition(rule.state, rule.details(facts) or rule.text, rule.do) for rule in RULES if rule.holds(facts)
    )


def event_texts(block: str) -> tuple[str, str]:
    """What an uncorrected error of a block means, and what to do next. For people."""
    return f"Uncorrected errors in the block {block}", _RESET_SOON


def samples(uuid: str, facts: HealthFacts) -> list[Sample]:
    """`status` of one GPU: 1 for its state, 0 for the others."""
    now = state_of(facts)
    return [
        Sample(catalog.STATUS_STATE, uuid, float(state == now), labels=(state,))
        for state in catalog.STATUS_STATE.labels[0].values
    ]
