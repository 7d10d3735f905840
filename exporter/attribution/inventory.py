"""The devices of one collector, as the allocations are matched with them. No I/O."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
        read_until: Monotonic seconds at which that reading ended, or a later one that lists others. As a default, it is
            before any file was looked at.
        unread: The uuids of devices that it lists as they were read before: lost ones, and those that do not answer.
    """

    devices: Sequence[Device]
    partitions: Sequence[Partition]
    resource_prefixes: tuple[str, ...] = ()
    dra_drivers: tuple[str, ...] = ()
    collector: str = ""
    healthy: bool = True
    read_at: float = math.inf
    read_until: float = -math.inf
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


class ListedSubjects:
    """Which collectors list a device or partition now.

    Args:
        inventories: The devices of each collector.
    """

    def __init__(self, inventories: Iterable[Inventory]) -> None:
        self._by_subject: defaultdict[SubjectKey, list[Inventory]] = defaultdict(list)
        self._healthy: set[str] = set()
        for each in inventories:
            if each.healthy:
                self._healthy.add(each.collector)
            for subject in each.subjects:
                self._by_subject[subject].append(each)

    def __contains__(self, subject: SubjectKey) -> bool:
        """Whether a collector lists it, however old that is."""
        return subject in self._by_subject

    def collector_of(self, subject: SubjectKey) -> str:
        """The first collector that lists it; empty if none does."""
        return next((each.collector for each in self._by_subject.get(subject, ())), "")

    def is_healthy(self, collector: str) -> bool:
        """Whether the last call of a collector has succeeded."""
        return collector in self._healthy

    def is_current(self, subject: SubjectKey, since: float, until: float = math.inf) -> bool:
        """Whether a collector lists it, as read between two moments of the monotonic clock."""
        return any(
            each.healthy
            and each.read_at >= since
            and each.read_until <= until
            and subject.device_uuid not in each.unread
            for each in self._by_subject.get(subject, ())
        )
