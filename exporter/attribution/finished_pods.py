"""Pods that have ended and that the kubelet still lists with their devices: they hold nothing any more.

The kubelet gives an id of a device plugin to one running pod only: `devicesToAllocate` in its
`pkg/kubelet/cm/devicemanager/manager.go` takes an id again as soon as its pod has ended. Before Kubernetes 1.34 it
lists such a pod until it is deleted. Two pods with one id are thus an ended one and its successor.
"""

from collections import defaultdict
from collections.abc import Mapping
from itertools import groupby
from typing import TypeVar

from exporter.attribution.holding import HoldingGroup

T = TypeVar("T")

_Holder = tuple[str, str, str]


class CurrentHolders:
    """Finds the holder of each id among the pods that are listed with it: the one that was listed last.

    Pods that were listed together from the start are all kept: which of them has ended is unknown. A pod gets all
    devices of a resource at once, so it is remembered since when a pod has some, not since when it has each.
    """

    def __init__(self) -> None:
        self._answers = 0
        self._since: dict[_Holder, int] = {}

    def of(self, listed: Mapping[HoldingGroup, T]) -> dict[HoldingGroup, T]:
        """The allocations of one answer without those of ended pods.

        Args:
            listed: The ids of known devices, with anything that belongs to them.
        """
        self._answers += 1
        self._since = {key: self._since.get(key, self._answers) for key in map(_holder, listed)}
        latest_first = sorted(listed, key=self._listed_since, reverse=True)
        taken: defaultdict[str, set[bytes]] = defaultdict(set)
        kept: dict[HoldingGroup, T] = {}
        for since, same in groupby(latest_first, key=self._listed_since):
            groups = tuple(same)
            for group in groups:
                left = _without(group, taken[group.resource])
                if left is not None:
                    kept[left] = listed[group]
            if since != self._listed_since(latest_first[-1]):
                for group in groups:
                    taken[group.resource].update(group.split())
        return kept

    def _listed_since(self, group: HoldingGroup) -> int:
        return self._since[_holder(group)]


def _holder(group: HoldingGroup) -> _Holder:
    return group.namespace, group.pod, group.resource


def _without(group: HoldingGroup, taken: set[bytes]) -> HoldingGroup | None:
    """The group without the ids that are taken; None if none is left."""
    if not taken:
        return group
    left = [device_id for device_id in group.split() if device_id not in taken]
    return group.of(left) if left else None
