"""Resolves the device ids in the kubelet's answer: the forms of ids, and the table of known names. No I/O.

Collectors give the names of their devices (`Alias`). Nothing here depends on a vendor: an id is resolved by looking up
the id itself, then the name that remains without the parts that mark a share.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from collectors.contract import Alias, Device, Partition, SubjectKey

_Subject = tuple[str, str]

_SHARE_OF_NODE_NAME = re.compile(r"(?P<name>.+)/vgpu\d+", re.ASCII | re.DOTALL)
_NUMBERED_SHARE = re.compile(r"(?P<name>[a-z]+\d+(?:[a-z]*-\d+)?)-\d+", re.ASCII | re.IGNORECASE)
_TEMPLATE = re.compile(r"(?P<chip>[a-z]+\d+[a-z]*)-\d+c[^-]*-\d+(?P<number>-\d+)", re.ASCII | re.IGNORECASE)
_PCI_NAME = re.compile(r"([0-9a-f]{4,8})-([0-9a-f]{2})-([0-9a-f]{2})-([0-7])-0x[0-9a-f]{1,8}", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[\W_]+\d+", re.ASCII)
# A uuid as RFC 9562 writes it. It is recognized between any other text, and without the prefix that a vendor adds.
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])", re.ASCII)
_UUID_LENGTH = 36
# Shorter names are indexes: they cannot be unique, whatever their scope.
_SHORTEST_UNIQUE = 5


def without_replica(device_id: str) -> str:
    """Return `X` for `X::3`, the fourth replica of a device that a device plugin shares."""
    return device_id.partition("::")[0]


def without_virtual_share(device_id: str) -> str:
    """Return `nvidia0/gi1` for `nvidia0/gi1/vgpu2`, a share of a device or slice that has its device node's name."""
    found = _SHARE_OF_NODE_NAME.fullmatch(device_id)
    return found["name"] if found else device_id


def without_numbered_share(device_id: str) -> str:
    """Return `card0` for `card0-3`, and `Ascend310P-2` for `Ascend310P-2-3`: shares of a device, by their number.

    Source: `cmd/gpu_plugin/gpu_plugin.go` of https://github.com/intel/intel-device-plugins-for-kubernetes, and
    `getNPUsByShareMode` in `component/ascend-device-plugin/pkg/device/ascendcommon.go` of
    https://github.com/Ascend/mind-cluster.
    """
    found = _NUMBERED_SHARE.fullmatch(device_id)
    return found["name"] if found else device_id


def without_template(device_id: str) -> str:
    """Return `Ascend910-5` for `Ascend910-2c-100-5`: a slice with 2 cores and the number 100 of device 5.

    Source: `assembleSpecVirtualDevice` in the same file of Huawei's plugin.
    """
    found = _TEMPLATE.fullmatch(device_id)
    return found["chip"] + found["number"] if found else device_id


_FORMS: tuple[Callable[[str], str], ...] = (
    without_replica,
    without_virtual_share,
    without_numbered_share,
    without_template,
)


def pci_address_in(device: str) -> str:
    """Return `0000:03:00.0` for `0000-03-00-0-0x56c0`: address and device id, as some DRA drivers name a device.

    Source: `DeviceUIDFromPCIinfo` in https://github.com/intel/intel-resource-drivers-for-kubernetes.

    Args:
        device: The name of a device in a ResourceSlice.

    Returns:
        The address as the kernel writes it; empty for other names.
    """
    found = _PCI_NAME.fullmatch(device)
    return "{}:{}:{}.{}".format(*found.groups()).lower() if found else ""


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
        devices: Their `uuid`, `aliases` and `partitions_known` are used.
        partitions: Their `uuid`, `device_uuid` and `aliases` are used.
    """

    def __init__(self, devices: Iterable[Device], partitions: Iterable[Partition]) -> None:
        self._scopes: defaultdict[str, dict[str, set[_Subject]]] = defaultdict(dict)
        self._unique = _UniqueNames()
        self._partitioned: set[str] = set()
        for device in devices:
            self._add(device.aliases, (device.uuid, ""))
            if not device.partitions_known:
                self._partitioned.add(device.uuid)
        for partition in partitions:
            self._partitioned.add(partition.device_uuid)
            self._add(partition.aliases, (partition.device_uuid, partition.uuid))

    def resolve(self, resource: str, device_id: str, earlier: _Subject | None = None) -> _Subject | None:
        """Return the device or partition of an allocated id.

        The most exact known name is used, in the longest scope that matches the resource. A name that belongs to two
        devices or partitions there matches neither: no device is better than the wrong one. An id with no known name
        may be a share: a uuid with text behind it.

        Args:
            resource: The Kubernetes resource, such as `nvidia.com/gpu`.
            device_id: The id from the device plugin.
            earlier: What the id meant before, which it still means while it has no known name.

        Returns:
            (device uuid, partition uuid), the latter empty for a whole device; None if the id matches no known device.
        """
        names = candidates(resource, device_id)
        for name in names:
            scopes = [scope for scope in self._scopes.get(name, ()) if resource.startswith(scope)]
            if scopes:
                return _only(self._scopes[name][max(scopes, key=len)]) or earlier
        return earlier or (self._share(names[0]) if names else None)

    def in_scope(self, name: str, scope: str) -> frozenset[SubjectKey]:
        """Return all devices and partitions with a name in exactly this scope: that of a DRA driver, or the global one.

        Args:
            name: The driver's name of the device, or the path of a device node.
            scope: The driver; empty for globally unique names.
        """
        found = self._scopes.get(name.casefold(), {}).get(scope, set())
        return frozenset(SubjectKey(*subject) for subject in found)

    def named(self, device_id: str) -> frozenset[str]:
        """Return the devices that an id names anywhere in its text, by a globally unique name.

        Args:
            device_id: The id from the device plugin.

        Returns:
            Their uuids; for the name of a partition, that of its device.
        """
        name = device_id.casefold()
        found = [name[start:end] for start, end in self._unique.within(name)]
        return frozenset(device_uuid for each in found for device_uuid, _ in self._unique.subjects[each])

    def _share(self, name: str) -> _Subject | None:
        """The device or partition whose uuid begins an id such as `<uuid>-3`: the id of a share of it.

        Plugins that share devices write the share's number behind the uuid, each with its own separator. Behind the
        uuid of a partitioned device, other text than a number may name a partition, so it is not resolved.
        """
        uuid = self._unique.uuid_before_text(name)
        if uuid is None or any(end > len(uuid) for _, end in self._unique.within(name)):
            return None
        subject = _only(self._unique.subjects[uuid])
        if subject is not None and not subject[1] and subject[0] in self._partitioned:
            return subject if _NUMBER.fullmatch(name, len(uuid)) else None
        return subject

    def _add(self, aliases: Iterable[Alias], subject: _Subject) -> None:
        uuids = [uuid.casefold() for uuid in subject if uuid]
        for alias in aliases:
            name = alias.id.casefold()
            self._scopes[name].setdefault(alias.scope, set()).add(subject)
            if not alias.scope:
                self._unique.add(name, subject, has_uuid=any(uuid in name for uuid in uuids))
                if name == uuids[-1]:
                    self._add_without_prefix(name, subject)

    def _add_without_prefix(self, own_uuid: str, subject: _Subject) -> None:
        """Add `<uuid>` for the device or partition `GPU-<uuid>`: some plugins leave out the vendor's prefix."""
        name = own_uuid[-_UUID_LENGTH:]
        if name != own_uuid and _UUID.fullmatch(own_uuid, len(own_uuid) - _UUID_LENGTH):
            self._scopes[name].setdefault("", set()).add(subject)
            self._unique.add(name, subject, has_uuid=True)


class _UniqueNames:
    """The globally unique names, indexed for searches in ids: the time of a search depends on the id's length only.

    Attributes:
        subjects: The devices and partitions of each name, in folded case.
    """

    def __init__(self) -> None:
        self.subjects: defaultdict[str, set[_Subject]] = defaultdict(set)
        self._with_uuid: set[str] = set()
        self._beginnings: set[str] = set()
        self._lengths: tuple[int, ...] = ()

    def add(self, name: str, subject: _Subject, *, has_uuid: bool) -> None:
        """Add a name, unless it is too short to be unique, or would not be found because it is no whole words."""
        if len(name) < _SHORTEST_UNIQUE or not (name[0].isalnum() and name[-1].isalnum()):
            return
        self.subjects[name].add(subject)
        self._beginnings.add(name[:_SHORTEST_UNIQUE])
        self._lengths = tuple(sorted({*self._lengths, len(name)}, reverse=True))
        if has_uuid:
            self._with_uuid.add(name)

    def uuid_before_text(self, name: str) -> str | None:
        """The longest name with a uuid that begins a longer text and ends where a word ends, or with a whole uuid."""
        found = self._at(name, 0)
        return next((each for each in found if each in self._with_uuid and len(each) < len(name)), None)

    def within(self, name: str) -> Iterator[tuple[int, int]]:
        """Yield begin and end of the longest unique name at each place of a text.

        Names consist of whole words, except that a uuid may stand between any characters.
        """
        starts = {found.start() for words in (_WORD, _UUID) for found in words.finditer(name)}
        for start in sorted(starts):
            longest = next(self._at(name, start), None)
            if longest is not None:
                yield start, start + len(longest)

    def _at(self, name: str, start: int) -> Iterator[str]:
        """Yield every unique name at a place of a text, the longest first."""
        if name[start : start + _SHORTEST_UNIQUE] not in self._beginnings:
            return
        for length in self._lengths:
            end = start + length
            if name[start:end] in self.subjects and not self._cuts_word(name, end):
                yield name[start:end]

    @staticmethod
    def _cuts_word(name: str, end: int) -> bool:
        """Whether a name that ends here is only the beginning of a word, other than a uuid before other letters."""
        if not name[end : end + 1].isalnum():
            return False
        uuid = _UUID.match(name, max(0, end - _UUID_LENGTH))
        return uuid is None or uuid.end() != end


def _only(subjects: set[_Subject]) -> _Subject | None:
    return next(iter(subjects)) if len(subjects) == 1 else None
