"""Which devices of resource claims (DRA) are used, and by which containers of a pod. No I/O.

A claim with admin access only monitors its devices. That is written in the ResourceClaim only; where it is not read,
claims in the exporter's own namespace do not count: there, they are those of the exporter and of other monitors.
Which request of a claim a container uses is written in the pod only; where that is not read, it uses all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from collectors.vendors import DRIVERS_WITHOUT_ACCELERATORS
from exporter.attribution.claim_lookups import ClaimObjects
from exporter.attribution.holding import ClaimDevice

if TYPE_CHECKING:  # loaded only if the API server is read
    from exporter.attribution.claim_objects import AllocatedDevice


class Use(Enum):
    """What a device of a claim is used for."""

    USED = auto()
    MONITORED = auto()
    OF_OTHER_CONTAINER = auto()
    NO_ACCELERATOR = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Whose claims do not count.

    Attributes:
        own_namespace: The exporter's namespace; empty for none.
        ignored_drivers: Drivers without accelerators, besides those that are known.
    """

    own_namespace: str = ""
    ignored_drivers: tuple[str, ...] = ()


class ClaimUsers:
    """Tells what the devices of claims are used for.

    Args:
        rules: Whose claims do not count.
        objects: The ResourceClaims; None where they are not read.
    """

    def __init__(self, rules: ClaimRules, objects: ClaimObjects | None) -> None:
        self._own_namespace = rules.own_namespace
        self._ignored = DRIVERS_WITHOUT_ACCELERATORS.union(rules.ignored_drivers)
        self._objects = objects

    def use(self, claimed: ClaimDevice) -> Use:
        """What a device of a claim is used for by all containers; unknown while its ResourceClaim is to be read."""
        if claimed.driver in self._ignored:
            return Use.NO_ACCELERATOR
        results = self._results(claimed)
        if results is not None:
            return Use.MONITORED if results and all(each.admin_access for each in results) else Use.USED
        if self._objects is not None and self._objects.awaited(claimed.namespace, claimed.pod, claimed.claim_name):
            return Use.UNKNOWN
        monitored = bool(self._own_namespace) and claimed.claim_namespace == self._own_namespace
        return Use.MONITORED if monitored else Use.USED

    def use_of_container(self, claimed: ClaimDevice) -> Use:
        """What a container uses a device for that its claim does not only monitor; unknown while its pod is to be read.

        The kubelet lists a device for each container with the claim, also for those that use another request of it.
        """
        results = self._results(claimed)
        if self._objects is None or not results:
            return Use.USED
        where = claimed.namespace, claimed.pod
        named = {
            self._objects.names_request(*where, claimed.container, claimed.claim_name, each.request)
            for each in results
            if not each.admin_access
        }
        if named == {False}:
            return Use.OF_OTHER_CONTAINER
        awaited = True not in named and self._objects.awaited(*where, claimed.claim_name)
        return Use.UNKNOWN if awaited else Use.USED

    def _results(self, claimed: ClaimDevice) -> "Sequence[AllocatedDevice] | None":
        """What the ResourceClaim says about the device; None while it is not known."""
        if self._objects is None:
            return None
        allocation = self._objects.claim(claimed.claim_namespace, claimed.claim_name)
        if allocation is None:
            return None
        return [each for each in allocation.results if _key(each) == claimed.key]


def _key(result: "AllocatedDevice") -> tuple[str, str, str, str]:
    return result.driver, result.pool, result.device, result.share_id
