"""Finds the device or partition that a resource claim (DRA) allocates: by name, by device nodes, by ResourceSlice.

Nothing is guessed: what does not name exactly one device or partition is unresolved, with the reason and the devices
that it may be. No I/O, and nothing here depends on a vendor: collectors give all names and device nodes.
"""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from collectors.contract import SubjectKey
from exporter.attribution.claim_lookups import ClaimObjects, DeviceNodes
from exporter.attribution.device_ids import AliasTable, pci_address_in
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.inventory import Inventory

_SEPARATOR = re.compile(r"[^0-9a-z]")
_DEVICE_FOLDER = "/dev/"
# The driver's name of a device is a DNS label (k8s.io/api, resource/v1/types.go, `Device.Name`).
_LONGEST_NAME = 63


class Way(StrEnum):
    """How a device of a claim was found, in the order in which it is searched."""

    NAME = "name"
    CDI = "cdi"
    SLICE = "resource_slice"


class UnresolvedReason(StrEnum):
    """Why a device of a claim is not resolved; the reasons of missing CDI files are in `cdi_specs`."""

    UNKNOWN_NAME = "unknown_name"
    UNKNOWN_NODES = "unknown_nodes"
    SEVERAL_DEVICES = "several_devices"
    SEVERAL_SHARES = "several_shares"
    PARTITION_NOT_LISTED = "partition_not_listed"
    NOT_READ_YET = "not_read_yet"
    FILES_NOT_READ_YET = "files_not_read_yet"
    CLAIM_NOT_READ = "claim_not_read"
    TOO_MANY_CLAIMS = "too_many_claims"


class ClaimMatch(NamedTuple):
    """What is known of one device of a claim.

    Attributes:
        subject: The device or partition; None if it is not resolved.
        way: How it was found.
        own_name: Whether it is a whole device that was found by its own name. Such a name always means this device.
        reason: Why it is not resolved: a `UnresolvedReason`, or that of missing CDI files. Empty if it is resolved.
        devices: Of an unresolved one, the uuids of the devices that it may be.
        claimed_at: Monotonic seconds at which the CDI files still had the claim; infinite where that is not looked at.
    """

    subject: SubjectKey | None = None
    way: Way | None = None
    own_name: bool = False
    reason: str = ""
    devices: frozenset[str] = frozenset()
    claimed_at: float = math.inf


@dataclass(frozen=True, slots=True)
class Lookups:
    """What is searched besides the names of devices.

    Attributes:
        cdi: The device nodes in CDI files; None where they are not read.
        objects: ResourceSlices and ResourceClaims; None where they are not read.
    """

    cdi: DeviceNodes | None = None
    objects: ClaimObjects | None = None


class Finder:
    """Searches in the devices that are known at one moment.

    Args:
        inventories: The devices of each collector.
        lookups: What is searched besides their names.
    """

    def __init__(self, inventories: Sequence[Inventory], lookups: Lookups) -> None:
        self._lookups = lookups
        devices = [device for each in inventories for device in each.devices]
        partitions = [part for each in inventories for part in each.partitions]
        self._table = AliasTable(devices, partitions)
        self._partitioned = {device.uuid for device in devices if not device.partitions_known}
        self._partitioned |= {part.device_uuid for part in partitions}
        of_driver: defaultdict[str, set[str]] = defaultdict(set)
        for each in inventories:
            for driver in each.known_drivers:
                of_driver[driver].update(device.uuid for device in each.devices)
        self._of_driver = {driver: frozenset(uuids) for driver, uuids in of_driver.items()}

    def devices_of(self, driver: str) -> frozenset[str]:
        """The uuids of all devices that a claim of a driver may hold: of the collectors that know the driver."""
        return self._of_driver.get(driver, frozenset())

    def find(self, claimed: ClaimDevice, shares: int = 1) -> ClaimMatch:
        """Search in each way, until one of them finds exactly one device or partition.

        Args:
            claimed: The device as listed.
            shares: How many shares of this device the claim has. The driver describes them all in the same CDI device,
                so if there are several, it does not say which of the device's partitions one of them is.
        """
        found = self._by_name(claimed)
        if found is not None:
            return found
        found = self._by_nodes(claimed, shares)
        if found.subject is None and not found.devices:
            in_slice = self._by_slice(claimed)
            found = in_slice or found
        if found.subject is None and not found.devices:
            return found._replace(devices=self._named(claimed) or self.devices_of(claimed.driver))
        return found

    def _by_name(self, claimed: ClaimDevice) -> ClaimMatch | None:
        """Search for the driver's name of the device, then for the PCI address in it.

        The name of a partition is used again when the claim has ended. So it counts only while the claim's CDI file is
        there, where such files are read.
        """
        subject = _only(self._table.in_scope(claimed.device, claimed.driver))
        if subject is None:
            subject = _only(self._table.in_scope(pci_address_in(claimed.device), ""))
            if subject is None or subject.device_uuid in self._partitioned:
                return None
        if not subject.partition_uuid:
            return ClaimMatch(subject, Way.NAME, own_name=True)
        if self._lookups.cdi is None:
            return ClaimMatch(subject, Way.NAME)
        answer = self._lookups.cdi.nodes(claimed.cdi_devices, claimed.device)
        if answer.may_have_ended:
            return None
        return ClaimMatch(subject, Way.NAME, claimed_at=answer.as_of if answer.claim_uid else math.inf)

    def _by_nodes(self, claimed: ClaimDevice, shares: int) -> ClaimMatch:
        """Search for the device nodes that a container with this device gets."""
        if self._lookups.cdi is None:
            return ClaimMatch(reason=UnresolvedReason.UNKNOWN_NAME)
        answer = self._lookups.cdi.nodes(claimed.cdi_devices, claimed.device)
        subjects = {subject for path in answer.paths for subject in self._at(path)}
        if not subjects:
            return ClaimMatch(
                reason=UnresolvedReason.UNKNOWN_NODES
                if answer.paths
                else answer.missing or UnresolvedReason.UNKNOWN_NAME
            )
        subject, devices = _only(subjects), frozenset(each.device_uuid for each in subjects)
        if subject is None:
            return ClaimMatch(reason=UnresolvedReason.SEVERAL_DEVICES, devices=devices)
        if shares > 1:
            return ClaimMatch(reason=UnresolvedReason.SEVERAL_SHARES, devices=devices)
        return self._unless_partitioned(claimed, subject, Way.CDI)._replace(claimed_at=answer.as_of)

    def _by_slice(self, claimed: ClaimDevice) -> ClaimMatch | None:
        """Search for the uuid, else the PCI address, which alone never means a partition: it has that of its device."""
        if self._lookups.objects is None:
            return None
        attributes = self._lookups.objects.attributes(claimed.driver, claimed.pool, claimed.device)
        if attributes is None:
            return None
        subject = _only(self._table.in_scope(attributes.uuid, ""))
        if subject is not None:
            return ClaimMatch(subject, Way.SLICE)
        subject = _only(self._table.in_scope(attributes.pci_bus_id, ""))
        return None if subject is None else self._unless_partitioned(claimed, subject, Way.SLICE)

    def _unless_partitioned(self, claimed: ClaimDevice, subject: SubjectKey, way: Way) -> ClaimMatch:
        """The subject, unless it is a whole device of which the claim may hold a partition that is not listed.

        It may if the device has partitions, or the claim's name for it is that of the device and more.
        """
        uuid = subject.device_uuid
        if not subject.partition_uuid and (uuid in self._partitioned or uuid in self._named(claimed)):
            return ClaimMatch(reason=UnresolvedReason.PARTITION_NOT_LISTED, devices=frozenset({uuid}))
        return ClaimMatch(subject, way)

    def _at(self, path: str) -> frozenset[SubjectKey]:
        """What a device node belongs to.

        A driver in a container has its own folder of device nodes: the DRA driver of NVIDIA writes the host path
        `/run/nvidia/driver/dev/nvidia0` (its `NvidiaDevRoot`).
        """
        known = self._table.in_scope(path, "")
        folder, _, name = path.rpartition(_DEVICE_FOLDER)
        return known if known or not folder else self._table.in_scope(_DEVICE_FOLDER + name, "")

    def _named(self, claimed: ClaimDevice) -> frozenset[str]:
        """The devices with whose name the name begins, such as `gpu-7` of `gpu-7-mig-1g24gb-19-0`."""
        name = claimed.device.casefold()[:_LONGEST_NAME]
        for end in _ends_of_words(name):
            subjects = self._table.in_scope(name[:end], claimed.driver)
            if subjects:
                return frozenset(subject.device_uuid for subject in subjects)
        return frozenset()


def _ends_of_words(name: str) -> Iterator[int]:
    """Yield where words end before the last one, the longest text first."""
    yield from reversed([found.start() for found in _SEPARATOR.finditer(name)])


def _only(subjects: Collection[SubjectKey]) -> SubjectKey | None:
    """The partition if there is one, else the device; None where there are several, or another device beside it."""
    partitions = _kind(subjects, partitions=True)
    devices = _kind(subjects, partitions=False)
    if len(partitions) == 1 and devices <= {SubjectKey(each.device_uuid) for each in partitions}:
        return next(iter(partitions))
    return next(iter(devices)) if len(devices) == 1 and not partitions else None


def _kind(subjects: Iterable[SubjectKey], *, partitions: bool) -> frozenset[SubjectKey]:
    return frozenset(subject for subject in subjects if bool(subject.partition_uuid) is partitions)
