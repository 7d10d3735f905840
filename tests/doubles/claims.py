"""Devices with names that claims use, and what their claims are looked up in, all in memory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collectors.contract import Alias, Device, Partition
from exporter.attribution.cdi_files import CdiMissing
from exporter.attribution.cdi_names import claim_uid, claim_uid_in
from exporter.attribution.cdi_specs import CdiAnswer
from exporter.attribution.claim_objects import ClaimAllocation
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.slice_pools import SliceAttributes

UID = "7b0d54d5-6e0c-4f2e-9a53-0c1e35a0f7c1"
OTHER_UID = "0f0e42ab-8a49-45de-a5fb-3a7b3c1c9d02"


def device(uuid: str, *names: str, driver: str = "", partitions_known: bool = True) -> Device:
    """A device with these names: paths and PCI addresses in the global scope, all others in that of the driver."""
    return Device(uuid, uuid, "acme", "A1", _aliases(uuid, names, driver), partitions_known=partitions_known)


def partition(parent: str, uuid: str, *names: str, driver: str = "") -> Partition:
    """A partition, with names as `device`."""
    return Partition(uuid, parent, "1g", _aliases(uuid, names, driver))


def _aliases(uuid: str, names: Sequence[str], driver: str) -> frozenset[Alias]:
    return frozenset({Alias(uuid), *(Alias(name, "" if name[0] == "/" or ":" in name else driver) for name in names)})


def claimed(
    device_name: str,
    driver: str,
    *,
    pod: str = "train",
    container: str = "main",
    claim: str = "own",
    uid: str = UID,
    share: str = "",
    namespace: str = "ml",
) -> ClaimDevice:
    """A device of a claim, with a CDI device behind that of another device, as the kubelet lists it."""
    cdi_devices = (f"k8s.{driver}/claim={uid}-before", f"k8s.{driver}/claim={uid}-{device_name}")
    return ClaimDevice(
        namespace, pod, driver, "node", device_name, share, namespace, claim, cdi_devices if uid else (), container
    )


@dataclass(slots=True)
class CdiTable:
    """Device nodes by the part of a CDI device's name behind the equals sign, and when they were looked at."""

    entries: dict[str, tuple[str, ...]] = field(default_factory=dict)
    as_of: float = math.inf

    def nodes(self, cdi_devices: Sequence[str], device: str) -> CdiAnswer:
        """As `CdiSpecs.nodes`."""
        own = {each.partition("=")[2] for each in cdi_devices if claim_uid_in(each, device) is not None}
        paths = [self.entries[name] for name in own if name in self.entries]
        uid = claim_uid(cdi_devices, device)
        if len(paths) == 1:
            return CdiAnswer(paths[0], uid, as_of=self.as_of)
        return CdiAnswer((), uid, CdiMissing.NOT_FOUND, as_of=self.as_of)


@dataclass(slots=True)
class Objects:
    """The objects of an API server, and what is still to be read."""

    slices: Mapping[str, SliceAttributes] = field(default_factory=dict)
    claims: dict[str, ClaimAllocation] = field(default_factory=dict)
    requests: dict[tuple[str, str], bool] = field(default_factory=dict)
    awaited_pods: set[str] = field(default_factory=set)

    def attributes(self, driver: str, pool: str, device: str) -> SliceAttributes | None:
        """As `ResourceSlices.attributes`; the device's name is enough here."""
        return self.slices.get(device) if driver and pool else None

    def claim(self, namespace: str, name: str) -> ClaimAllocation | None:
        """As `ResourceSlices.claim`."""
        return self.claims.get(name) if namespace else None

    def names_request(self, namespace: str, pod: str, container: str, claim: str, request: str) -> bool | None:
        """As `ResourceSlices.names_request`."""
        return self.requests.get((container, request)) if namespace and pod and claim else None

    def awaited(self, namespace: str, pod: str, claim: str) -> bool:
        """As `ResourceSlices.awaited`."""
        return pod in self.awaited_pods and bool(namespace and claim)
