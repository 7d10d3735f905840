"""Resolves the device ids in the kubelet's answer: the forms of ids, and the table of known names. No I/O.

Collectors give the names of their devices (`Alias`). Nothing here depends on a vendor: an id is resolved by looking up
the id itself, then the name that remains without the parts that mark a share.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from collectors.contract import Alias, Device, Partition

_Subject = tuple[str, str]

_SHARE_OF_NODE_NAME = re.compile(r"(?P<name>.+)/vgpu\d+", re.ASCII | re.DOTALL)


def without_replica(device_id: str) -> str:
    """Return `X` for `X::3`, the fourth replica of a device that a device plugin shares."""
    return device_id.partition("::")[0]


def without_virtual_share(device_id: str) -> str:
    """Return `nvidia0/gi1` for `nvidia0/gi1/vgpu2`, a share of a device or slice that has its device node's name."""
    found = _SHARE_OF_NODE_NAME.fullmatch(device_id)
    return found["name"] if found else device_id


_FORMS: tuple[Callable[[str], str], ...] = (without_replica, without_virtual_share)


def only_monitors(resource: str) -> bool:
    """Return True for resources that only let a container monitor devices, such as `example.com/monitoring`."""
    name = resource.rpartition("/")[2].casefold()
    return name == "monitoring" or name.endswith("_monitoring")


def candidates(resource: str, device_id: str) -> tuple[str, ...]:
    """Return the names that the device may have, in folded case, the most exact first.

    For an id of an unknown form, such as `MIG-GPU-<uuid>/<gi>/<ci>`, the only name is the id itself.

    Args:
        resource: The Kubernetes resource, such as `nvidia.com/gpu`.
        device_id: The id from the device plugin.

    Returns:
        The names; empty for a resource that only monitors.
    """
    if only_monitors(resource):
        return ()
    name = device_id.casefold()
    names = [name]
    for stripped in _FORMS:
        name = stripped(name)
        names.append(name)
    return tuple(dict.fromkeys(name for name in names if name))


class AliasTable:
    """Every name of every known device and partition.

    Args:
        devices: Their `uuid` and `aliases` are used.
        partitions: Their `uuid`, `device_uuid` and `aliases` are used.
    """

    def __init__(self, devices: Iterable[Device], partitions: Iterable[Partition]) -> None:
        self._scopes: defaultdict[str, dict[str, set[_Subject]]] = defaultdict(dict)
        for device in devices:
            self._add(device.aliases, (device.uuid, ""))
        for partition in partitions:
            self._add(partition.aliases, (partition.device_uuid, partition.uuid))

    def resolve(self, resource: str, device_id: str) -> tuple[str, str] | None:
        """Return the device or partition of an allocated id.

        The most exact known name is used, in the longest scope that matches the resource. A name that belongs to two
        devices or partitions there matches neither: no device is better than the wrong one.

        Args:
            resource: The Kubernetes resource, such as `nvidia.com/gpu`.
            device_id: The id from the device plugin.

        Returns:
            (device uuid, partition uuid), the latter empty for a whole device; None if the id matches no known device.
        """
        for name in candidates(resource, device_id):
            scopes = [scope for scope in self._scopes.get(name, ()) if resource.startswith(scope)]
            if scopes:
                subjects = self._scopes[name][max(scopes, key=len)]
                return next(iter(subjects)) if len(subjects) == 1 else None
        return None

    def _add(self, aliases: Iterable[Alias], subject: _Subject) -> None:
        for alias in aliases:
            self._scopes[alias.id.casefold()].setdefault(alias.scope, set()).add(subject)
