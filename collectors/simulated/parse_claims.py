"""Reads the resource claims of a scenario's containers, and checks what can only be held through one."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from collectors.simulated import fields
from collectors.simulated.document import Node
from collectors.simulated.error import ScenarioError
from collectors.simulated.fields import ScenarioSection
from collectors.simulated.scenario import ContainerPlan, DevicePlan, PodPlan, Slot

MOST_SHARES = 1_000
CLAIM_KEYS = ("claim", "share")

_OF_PLUGINS = ("replica", "resource")
_CLAIM_NAME = fields.matching(
    r"(?=.{1,240}\Z)[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "a name of lower-case letters, digits, dashes and dots"
)


class _Use(NamedTuple):
    """That a pod holds a partition."""

    pod: PodPlan
    claim: str

    def overlaps(self, other: "_Use") -> bool:
        """True if both hold it at the same time, by different claims."""
        if (self.pod.namespace, self.claim) == (other.pod.namespace, other.claim):
            return False
        first, second = sorted((self.pod, other.pod), key=lambda pod: pod.since)
        return first.until is None or second.since < first.until


def claim_of(section: ScenarioSection) -> tuple[str, int | None]:
    """The claim of a container, empty for a device plugin, and the number of its share.

    Raises:
        ScenarioError: A name or number is invalid, or a key of a device plugin is given too.
    """
    claim = section.get("claim", _CLAIM_NAME, "")
    share = section.get("share", fields.whole(0, MOST_SHARES), None)
    if share is not None and not claim:
        raise section.error("share", "given without claim; a device plugin has replica")
    for key in _OF_PLUGINS:
        if claim and key in section:
            raise section.error(key, "given together with claim, which has no such key")
    return claim, share


def check_dynamic(node: Node, pods: Iterable[PodPlan], devices: tuple[DevicePlan, ...]) -> None:
    """Refuse a dynamic partition that is not held by one claim at a time: the claim creates it.

    Raises:
        ScenarioError: There is one.
    """
    uses: defaultdict[Slot, list[_Use]] = defaultdict(list)
    for pod, container, slot in _held(pods):
        if slot.partition is None or not devices[slot.device].partitions[slot.partition].dynamic:
            continue
        if not container.claim:
            place = f"{node.place}: {pod.namespace}/{pod.name}"
            raise ScenarioError(f"{place}: partition {slot.device}/{slot.partition} is dynamic, expected a claim")
        uses[slot].append(_Use(pod, container.claim))
    for slot, held in uses.items():
        for one, other in combinations(held, 2):
            if one.overlaps(other):
                claims = f"claims {one.claim} and {other.claim} have partition {slot.device}/{slot.partition}"
                raise ScenarioError(f"{node.place}: {claims} at the same time, expected one of them")


def _held(pods: Iterable[PodPlan]) -> Iterator[tuple[PodPlan, ContainerPlan, Slot]]:
    return ((pod, container, slot) for pod in pods for container in pod.containers for slot in container.slots)
