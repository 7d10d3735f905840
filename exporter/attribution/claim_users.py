"""Which devices of resource claims (DRA) are used: not those that a claim only monitors. No I/O.

Whether a claim has admin access is written in the ResourceClaim only. Where that is not read, claims in the exporter's
own namespace do not count: there, they are those of the exporter and of other monitors.
"""

from dataclasses import dataclass
from enum import Enum, auto

from collectors.vendors import DRIVERS_WITHOUT_ACCELERATORS
from exporter.attribution.claim_lookups import ClaimAllocationResult, ClaimObjects
from exporter.attribution.holding import AllocatedDevice


class Use(Enum):
    """What a device of a claim is used for."""

    USED = auto()
    MONITORED = auto()
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

    def use(self, allocated: AllocatedDevice) -> Use:
        """What one device of a claim is used for; unknown while its ResourceClaim is to be read."""
        if allocated.driver in self._ignored:
            return Use.NO_ACCELERATOR
        if self._objects is not None:
            allocation = self._objects.claim(allocated.claim_namespace, allocated.claim_name)
            if allocation is None:
                return Use.UNKNOWN
            if any(_key(each) == allocated[2:] and each.admin_access for each in allocation.results):
                return Use.MONITORED
            return Use.USED
        return self.use_without_object(allocated)

    def use_without_object(self, allocated: AllocatedDevice) -> Use:
        """What it is used for, as far as the namespace tells."""
        monitored = bool(self._own_namespace) and allocated.claim_namespace == self._own_namespace
        return Use.MONITORED if monitored else Use.USED


def _key(result: ClaimAllocationResult) -> tuple[str, str, str, str]:
    return result.driver, result.pool, result.device, result.share_id
