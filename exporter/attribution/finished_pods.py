"""Pods that have ended and that the kubelet still lists with their devices: they hold nothing any more.

The kubelet gives an id of a device plugin to one running pod only: `devicesToAllocate` in its
`pkg/kubelet/cm/devicemanager/manager.go` takes an id again as soon as its pod has ended. Before Kubernetes 1.34 it
lists such a pod until it is deleted. Two pods with one id are thus an ended one and its successor.
"""

from collections import defaultdict
from collections.abc import Collection

from exporter.attribution.holding import Holding

_Pod = tuple[str, str]
_Id = tuple[str, str]


class CurrentHolders:
    """Finds the holder of each id among the pods that are listed with it: the one that was listed last.

    Pods that were listed together from the start are all kept: which of them has ended is unknown. Only ids of known
    devices need this: there are few of them, even if the kubelet lists many ids.
    """

    def __init__(self) -> None:
        self._answers = 0
        self._since: dict[tuple[_Id, _Pod], int] = {}

    def of(self, listed: Collection[Holding]) -> tuple[Holding, ...]:
        """The holdings of one answer without those of ended pods."""
        self._answers += 1
        keys = [((each.resource, each.device_id), (each.namespace, each.pod)) for each in listed]
        self._since = {key: self._since.get(key, self._answers) for key in keys}
        last: defaultdict[_Id, int] = defaultdict(int)
        for (device_id, _), since in self._since.items():
            last[device_id] = max(last[device_id], since)
        return tuple(each for each, key in zip(listed, keys, strict=True) if self._since[key] == last[key[0]])
