"""Which of several collectors exports a device or partition that more than one of them lists."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from collectors.contract import Device, Partition, SubjectKey, subjects_of
from collectors.pci import parse_address


@dataclass(frozen=True, slots=True)
class Listing:
    """The devices and partitions of one collector, in its order."""

    devices: tuple[Device, ...] = ()
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """The devices and partitions that all collectors together export.

    Attributes:
        devices: By uuid.
        partitions: By uuid.
        subjects: The keys of both.
        power_shared: Uuids of the devices whose power and energy are those of a package that they share.
    """

    devices: Mapping[str, Device]
    partitions: Mapping[str, Partition]
    subjects: frozenset[SubjectKey]
    power_shared: frozenset[str]

    @classmethod
    def of(cls, listings: Sequence[Listing]) -> "Exported":
        """What is exported of these; no device or partition is in two of them."""
        devices = {device.uuid: device for listing in listings for device in listing.devices}
        partitions = {part.uuid: part for listing in listings for part in listing.partitions}
        power_shared = frozenset(uuid for uuid, device in devices.items() if device.power_shared)
        # Snapshots share them.
        known = MappingProxyType(devices), MappingProxyType(partitions)
        return cls(*known, subjects_of(devices.values(), partitions.values()), power_shared)


def without_duplicates(listings: Sequence[Listing]) -> list[Listing]:
    """What each collector exports: without devices and partitions that it or an earlier collector has listed before.

    Devices of two collectors are the same if they have the same uuid or the same PCI address. Within one collector only
    the uuid counts: several devices can be on one PCI function.

    Args:
        listings: What each collector lists, in the order of precedence.
    """
    exported: list[Listing] = []
    taken: set[str] = set()
    for listing in listings:
        devices = tuple(_first_of_each(listing.devices, taken))
        taken |= {key for device in devices for key in _keys(device)}
        uuids = {device.uuid for device in devices}
        partitions = []
        for partition in listing.partitions:
            if partition.device_uuid in uuids and partition.uuid.lower() not in taken:
                taken.add(partition.uuid.lower())
                partitions.append(partition)
        exported.append(Listing(devices, tuple(partitions)))
    return exported


def with_exported_uuids(listings: Sequence[Listing], exported: Sequence[Listing]) -> list[Listing]:
    """All that each collector lists, under the uuids with which devices and partitions are exported.

    The kubelet may call a device or partition by any name that any collector knows, also by one that only the others
    know. A partition that only they know is not exported, but its holder holds a part of the device.

    Args:
        listings: What each collector lists.
        exported: What `without_duplicates` returned for it.
    """
    uuids = {key: device.uuid for listing in reversed(exported) for device in listing.devices for key in _keys(device)}
    parts = {
        (part.device_uuid, name): part.uuid
        for listing in exported
        for part in listing.partitions
        for name in _names(part)
    }
    return [_renamed(listing, uuids, parts) for listing in listings]


def _renamed(listing: Listing, uuids: Mapping[str, str], parts: Mapping[tuple[str, str], str]) -> Listing:
    own = {each.uuid: next((uuids[key] for key in _keys(each) if key in uuids), each.uuid) for each in listing.devices}
    partitions: list[Partition] = []
    for part in listing.partitions:
        device_uuid = own.get(part.device_uuid, part.device_uuid)
        uuid = next((parts[device_uuid, name] for name in _names(part) if (device_uuid, name) in parts), part.uuid)
        partitions.append(replace(part, device_uuid=device_uuid, uuid=uuid))
    return Listing(tuple(replace(device, uuid=own[device.uuid]) for device in listing.devices), tuple(partitions))


def _names(part: Partition) -> Iterator[str]:
    """Every name of a partition, its uuid first."""
    yield part.uuid.casefold()
    yield from sorted(alias.id.casefold() for alias in part.aliases)


def _first_of_each(devices: Iterable[Device], taken: set[str]) -> Iterator[Device]:
    own: set[str] = set()
    for device in devices:
        uuid = device.uuid.lower()
        if uuid not in own and taken.isdisjoint(_keys(device)):
            own.add(uuid)
            yield device


def _keys(device: Device) -> tuple[str, ...]:
    """The names under which two collectors can list a device; kernel names differ or are not unique."""
    address = parse_address(device.device)
    return (device.uuid.lower(),) if address is None else (device.uuid.lower(), str(address))
