"""From the device id in the kubelet's answer to the device: the forms of ids, and the table of known names. No I/O.

Collectors say by which names their devices go (`Alias`). Nothing here knows a vendor: an id is resolved by looking up
the id itself, then the name that is left of it when the parts that mark a share are taken off.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from collectors.contract import Alias, Device, Partition

_Subject = tuple[str, str]

_SHARE_OF_NODE_NAME = re.compile(r"(?P<name>.+)/vgpu\d+", re.ASCII | re.DOTALL)


def without_replica(device_id: str) -> str:
    """`X::3`, the fourth replica of a device that a plugin shares out, to `X`."""
    return device_id.partition("::")[0]


def without_virtual_share(device_id: str) -> str:
    """`nvidia0/gi1/vgpu2`, a share of a device or of a slice by its node's name, to `nvidia0/gi1`."""
    found = _SHARE_OF_NODE_NAME.fullmatch(device_id)
    return found["name"] if found else device_id


_FORMS: tuple[Callable[[str], str], ...] = (without_replica, without_virtual_share)


def only_monitors(resource: str) -> bool:
    """True for resources that let a container look at devices (`example.com/monitoring`): it uses none of them."""
    name = resource.rpartition("/")[2].casefold()
    return name == "monitoring" or name.endswith("_monitoring")


def candidates(resource: str, device_id: str) -> tuple[str, ...]:
    """The names under which the device may be known, in folded case, the most exact first.

    An id of a form that is not known, such as `MIG-GPU-<uuid>/<gi>/<ci>`, is itself the only name.

    Args:
        resource: The Kubernetes resource, such as `nvidia.com/gpu`.
        device_id: The id as the device plugin gave it.

    Returns:
        None for a resource that only monitors.
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
        partitions: Likewise, and their `device_uuid`.
    """

    def __init__(self, devices: Iterable[Device], partitions: Iterable[Partition]) -> None:
        self._scopes: defaultdict[str, dict[str, set[_Subject]]] = defaultdict(dict)
        for device in devices:
            self._add(device.aliases, (device.uuid, ""))
        for partition in partitions:
            self._add(partition.aliases, (partition.device_uuid, partition.uuid))

    def resolve(self, resource: str, device_id: str) -> tuple[str, str] | None:
        """The device or partition that an allocated id means.

        The most exact name that is known decides, in the longest scope that the resource is in. A name that means
        two things there means nothing: no device is better than the wrong one.

        Args:
            resource: The Kubernetes resource, such as `nvidia.com/gpu`.
            device_id: The id as the device plugin gave it.

        Returns:
            (device uuid, partition uuid), the latter empty for a whole device; None if the id means no known device.
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
