"""The devices of one collector, as the allocations are matched with them. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from collectors.contract import Device, Partition, SubjectKey, subjects_of


@dataclass(frozen=True, slots=True)
class Inventory:
    """The devices of one collector, and what the kubelet may call them.

    Attributes:
        devices: Every known device.
        partitions: Every known partition.
        resource_prefixes: Resources whose ids should match a device.
        dra_drivers: DRA drivers whose claims hold such devices.
        collector: The collector's name.
        healthy: Whether its last call succeeded: what it does not list does not exist.
        read_at: Monotonic seconds at which its last successful reading of all cadences began. As a default, it is later
            than any claim.
        unread: The uuids of devices that it lists as they were read before: lost ones, and those that do not answer.
    """

    devices: Sequence[Device]
    partitions: Sequence[Partition]
    resource_prefixes: tuple[str, ...] = ()
    dra_drivers: tuple[str, ...] = ()
    collector: str = ""
    healthy: bool = True
    read_at: float = math.inf
    unread: frozenset[str] = frozenset()

    @property
    def subjects(self) -> frozenset[SubjectKey]:
        """Every known device and partition."""
        return subjects_of(self.devices, self.partitions)

    @property
    def known_drivers(self) -> frozenset[str]:
        """The DRA drivers that may hold its devices: its own, and those for which a device has a name."""
        named = (*(each.aliases for each in self.devices), *(each.aliases for each in self.partitions))
        return frozenset(self.dra_drivers).union(alias.scope for aliases in named for alias in aliases if alias.scope)

    def is_current(self, subject: SubjectKey, since: float) -> bool:
        """Whether it lists the device or partition, as read after a moment of the monotonic clock."""
        fresh = self.healthy and self.read_at >= since and subject.device_uuid not in self.unread
        return fresh and subject in self.subjects
