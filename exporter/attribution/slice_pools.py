"""The devices of a node's ResourceSlices: which slices count, and which attributes identify a device. No I/O.

Source: the type ResourceSlice in staging/src/k8s.io/api/resource of Kubernetes, v1, v1beta2 and v1beta1 alike, except
that v1beta1 has a device's attributes in its field `basic`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from collectors.vendors import DRIVERS_WITH_UUIDS_OF_NODES, TYPES_OF_PARTITIONS, TYPES_WITH_MADE_UP_UUIDS
from exporter.attribution.json_fields import JsonObject, child, children, integer, text

_PCI_BUS_ID = "resource.kubernetes.io/pciBusID"
DeviceKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class SliceAttributes:
    """The attributes of one device that may identify it.

    Attributes:
        pci_bus_id: Its PCI address, `0000:19:00.0`. Empty if there is none, or if it is not the device's own.
        uuid: Its uuid. Empty if there is none, or if it is not unique.
        type: The driver's word for the kind of device, such as `gpu`; empty if there is none.
    """

    pci_bus_id: str = ""
    uuid: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class PoolSlice:
    """One ResourceSlice.

    Attributes:
        driver: The DRA driver.
        pool: The name of its pool.
        generation: The generation of the pool that it belongs to.
        count: The number of slices that the pool has in that generation.
        devices: Name and attributes of each device, as published.
    """

    driver: str
    pool: str
    generation: int
    count: int
    devices: tuple[tuple[str, SliceAttributes], ...]


def parse_slice(item: JsonObject, node: str) -> PoolSlice | None:
    """Return a ResourceSlice of any known version; None if it is not complete or not of this node."""
    spec = child(item, "spec")
    pool = child(spec, "pool")
    driver, name = text(spec, "driver"), text(pool, "name")
    generation, count = integer(pool, "generation"), integer(pool, "resourceSliceCount")
    if text(spec, "nodeName") != node or not driver or not name or generation is None or count is None:
        return None
    return PoolSlice(driver, name, generation, count, tuple(_devices(spec, driver)))


def _devices(spec: JsonObject, driver: str) -> Iterator[tuple[str, SliceAttributes]]:
    for device in children(spec, "devices"):
        fields = child(device, "basic") or device
        attributes = child(fields, "attributes")
        kind = _own_attribute(attributes, driver, "type")
        uuid = _own_attribute(attributes, driver, "uuid")
        if driver in DRIVERS_WITH_UUIDS_OF_NODES or kind in TYPES_WITH_MADE_UP_UUIDS:
            uuid = ""
        address = text(child(attributes, _PCI_BUS_ID), "string")
        # Several can hold it at once, each a part: its shares may be partitions that have no name.
        if fields.get("allowMultipleAllocations") is True or kind in TYPES_OF_PARTITIONS:
            address = ""
        yield text(device, "name"), SliceAttributes(address, uuid, kind)


def _own_attribute(attributes: JsonObject, driver: str, name: str) -> str:
    """An attribute of the driver's own domain, which its name may leave out."""
    return text(child(attributes, name), "string") or text(child(attributes, f"{driver}/{name}"), "string")


def identified_devices(slices: Iterable[PoolSlice]) -> Mapping[DeviceKey, SliceAttributes]:
    """Return the devices of all complete pools, by driver, pool and name.

    A uuid that two devices of a driver have, and a PCI address that two devices of one type have, are left out.
    """
    pools: dict[tuple[str, str], list[PoolSlice]] = defaultdict(list)
    for each in slices:
        pools[each.driver, each.pool].append(each)
    devices = {
        (driver, pool, name): attributes
        for (driver, pool), published in pools.items()
        for name, attributes in _current_devices(published).items()
    }
    uuids = Counter((key[0], each.uuid) for key, each in devices.items())
    addresses = Counter((key[0], each.type, each.pci_bus_id) for key, each in devices.items())
    return {
        key: replace(
            each,
            uuid=each.uuid if uuids[key[0], each.uuid] == 1 else "",
            pci_bus_id=each.pci_bus_id if addresses[key[0], each.type, each.pci_bus_id] == 1 else "",
        )
        for key, each in devices.items()
    }


def _current_devices(published: Iterable[PoolSlice]) -> Mapping[str, SliceAttributes]:
    """The devices of the newest generation of one pool; none while slices are missing, or if a name is repeated.

    Source: the comments of ResourceSlice and ResourcePool: older generations must be ignored; the number of slices
    tells whether the pool is complete.
    """
    newest = max(each.generation for each in published)
    current = [each for each in published if each.generation == newest]
    if any(each.count != len(current) for each in current):
        return {}
    named = [device for each in current for device in each.devices]
    devices = dict(named)
    return devices if len(devices) == len(named) else {}
