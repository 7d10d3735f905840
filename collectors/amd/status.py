"""The state of a GPU, by rules: which facts make it degraded, soon to fail, or failed. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass

from collectors import catalog
from collectors.contract import Sample

OK = "ok"
_DEGRADED, _PREDICTED, _FAILED = "degraded", "predicted_failure", "failed"


@dataclass(slots=True)
class HealthFacts:
    """What is known of one GPU. Readings keep their last value until the next one.

    Attributes:
        lost: The driver has let go of it.
        uncorrected_errors: Of all its blocks, since the driver was loaded.
        bad_pages: Pages of its memory that are out of use, or will be.
        bad_page_threshold: From how many on it ought to be replaced; None where that is unknown or switched off.
        repair_pending: Whether a bad page is still in use.
    """

    lost: bool = False
    uncorrected_errors: int = 0
    bad_pages: int = 0
    bad_page_threshold: int | None = None
    repair_pending: bool = False


@dataclass(frozen=True, slots=True)
class StatusRule:
    """A reason for a state.

    Attributes:
        name: For people who ask why.
        state: The state it puts the GPU into.
        holds: Whether the facts are so.
        text: When it holds, for the documentation.
    """

    name: str
    state: str
    holds: Callable[[HealthFacts], bool]
    text: str


def _worn_out(facts: HealthFacts) -> bool:
    return facts.bad_page_threshold is not None and facts.bad_pages >= facts.bad_page_threshold


# The first that holds decides; the worst state comes first.
RULES: tuple[StatusRule, ...] = (
    StatusRule(
        "lost",
        _FAILED,
        lambda facts: facts.lost,
        "The GPU is on the PCI bus but no longer bound to a driver, and amdgpu is still loaded",
    ),
    StatusRule(
        "bad_pages",
        _PREDICTED,
        _worn_out,
        "The number of bad pages in its memory has reached the driver's threshold, or one in 100 MiB: replace the GPU",
    ),
    StatusRule(
        "repair_pending",
        _DEGRADED,
        lambda facts: facts.repair_pending,
        "A bad page of its memory is still in use until the next reset",
    ),
    StatusRule(
        "uncorrected_errors",
        _DEGRADED,
        lambda facts: facts.uncorrected_errors > 0,
        "Uncorrected errors since the driver was loaded, in memory or in another block",
    ),
)


def state_of(facts: HealthFacts) -> str:
    """The state by the first rule that holds."""
    return next((rule.state for rule in RULES if rule.holds(facts)), OK)


def samples(uuid: str, facts: HealthFacts) -> list[Sample]:
    """`status` of one GPU: 1 for its state, 0 for the others."""
    now = state_of(facts)
    return [
        Sample(catalog.STATUS_STATE, uuid, float(state == now), labels=(state,))
        for state in catalog.STATUS_STATE.labels[0].values
    ]
