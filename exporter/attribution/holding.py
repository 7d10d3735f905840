"""The answer of a source of attribution: which device id is allocated to which container. No I/O."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

_SEPARATOR = b"\xff"  # never part of UTF-8


class Holding(NamedTuple):
    """One device id that is allocated to one container, as its source reports it.

    Attributes:
        namespace: The pod's namespace.
        pod: The pod's name.
        container: The container's name.
        resource: The Kubernetes resource that was requested, such as `nvidia.com/gpu`.
        device_id: The id from the device plugin; see `device_ids` for the forms.
        source: `device_plugin`, or another source of the closed list of `accelerator_allocation_info`.
        claim: The resource claim's name; empty for device plugins.
    """

    namespace: str
    pod: str
    container: str
    resource: str
    device_id: str
    source: str
    claim: str = ""


GroupKey = tuple[str, str, str, str, str, str]


class HoldingGroup(NamedTuple):
    """The ids of one resource that one container holds; the other fields are those of `Holding`.

    Attributes:
        ids: Made by `packed`.
    """

    namespace: str
    pod: str
    container: str
    resource: str
    source: str
    claim: str
    ids: bytes

    @property
    def key(self) -> GroupKey:
        """All but the ids."""
        return self[:-1]

    def split(self) -> list[bytes]:
        """Return the ids, sorted."""
        return self.ids.split(_SEPARATOR)

    def of(self, ids: list[bytes]) -> "HoldingGroup":
        """Return the group with only these of its ids, at least one and sorted; the same object for all of them."""
        joined = _SEPARATOR.join(ids)
        return self if joined == self.ids else self._replace(ids=joined)


class Holdings(Collection[Holding]):
    """The holdings of a node, sorted by container, resource and id, each once.

    They are kept as bytes, and a `Holding` exists only while it is looked at: the kubelet can list 250,000 ids, and
    each would take 190 bytes instead of the 40 of its text. Equal to a tuple of the same holdings.

    Args:
        groups: In any order.

    Attributes:
        groups: Sorted, one for each container and resource.
    """

    __slots__ = ("_count", "groups")

    def __init__(self, groups: Iterable[HoldingGroup]) -> None:
        self.groups = tuple(_merged(sorted(groups)))
        self._count = sum(self.by_resource().values())

    @classmethod
    def of(cls, holdings: Iterable[Holding]) -> "Holdings":
        """Pack holdings, if they are not packed already; it takes the least memory if they are sorted."""
        if isinstance(holdings, Holdings):
            return holdings
        return cls(
            HoldingGroup(*key, packed([each.device_id.encode() for each in same]))
            for key, same in groupby(holdings, key=_group_key)
        )

    def by_resource(self) -> Mapping[str, int]:
        """Number of holdings of each resource."""
        counts: Counter[str] = Counter()
        for group in self.groups:
            counts[group.resource] += group.ids.count(_SEPARATOR) + 1
        return counts

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Holding]:
        for group in self.groups:
            for device_id in group.split():
                yield Holding(*group[:4], device_id.decode(), group.source, group.claim)

    def __contains__(self, holding: object) -> bool:
        return any(holding == each for each in self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Holdings):
            return self.groups == other.groups
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))


def _group_key(holding: Holding) -> GroupKey:
    return holding.namespace, holding.pod, holding.container, holding.resource, holding.source, holding.claim


def packed(ids: list[bytes]) -> bytes:
    """Pack ids in UTF-8, at least one: sorted, each once.

    Made for least memory: the list itself is sorted, and `join` would take 80 bytes for each id.
    """
    ids.sort()
    joined = bytearray()
    for each, _ in groupby(ids):
        joined += each
        joined += _SEPARATOR
    del joined[-1]
    return bytes(joined)


def _merged(groups: Iterable[HoldingGroup]) -> Iterator[HoldingGroup]:
    """Merge neighbours that differ only in their ids."""
    for _, same in groupby(groups, key=itemgetter(slice(-1))):
        first, *others = same
        ids = [device_id for group in (first, *others) for device_id in group.split()]
        yield first._replace(ids=packed(ids)) if others else first


class DeviceOfClaim(NamedTuple):
    """One device of one resource claim, for all containers that use the claim; see `ClaimDevice`."""

    claim_namespace: str
    claim_name: str
    driver: str
    pool: str
    device: str
    share: str


class ClaimDevice(NamedTuple):
    """One device of a resource claim (DRA) of one container, as the kubelet lists it.

    The kubelet lists all devices of a claim for each container that uses the claim, also if the container uses only one
    request of it (the kubelet's `pkg/kubelet/cm/dra/manager.go`, GetContainerClaimInfos). Whether the claim has admin
    access, which only monitors, is not listed.

    Attributes:
        namespace: The pod's namespace.
        pod: The pod's name.
        driver: The name of the DRA driver, such as `gpu.nvidia.com`.
        pool: The driver's pool, usually the node's name.
        device: The driver's name of the device.
        share: The id of the share, where the driver allocates parts of a device; else empty.
        claim_namespace: The namespace of the ResourceClaim.
        claim_name: The name of the ResourceClaim.
        cdi_devices: Qualified names of CDI devices, as listed. The kubelet's lists accumulate: that of the next device
            of the claim and driver begins with those of this one.
        container: The container's name.
    """

    namespace: str
    pod: str
    driver: str
    pool: str
    device: str
    share: str = ""
    claim_namespace: str = ""
    claim_name: str = ""
    cdi_devices: tuple[str, ...] = ()
    container: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same each time the kubelet lists it."""
        return self.namespace, self.pod, *self.key, self.claim_namespace, self.claim_name, self.container

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the claim allocates: driver, pool, device and share. Several containers can have the same claim."""
        return self.driver, self.pool, self.device, self.share

    @property
    def allocated(self) -> "DeviceOfClaim":
        """What all containers that use the claim have in common."""
        return DeviceOfClaim(self.claim_namespace, self.claim_name, *self.key)


class PodResourcesList(NamedTuple):
    """One complete answer of the kubelet.

    Attributes:
        pods: (namespace, name) of every listed pod, also of pods without devices.
        holdings: Their allocations by device plugins, sorted, each once: a tuple or `Holdings`.
        claim_devices: The devices of their resource claims (DRA), sorted, each once for each container.
    """

    pods: frozenset[tuple[str, str]]
    holdings: Collection[Holding]
    claim_devices: tuple[ClaimDevice, ...] = ()
