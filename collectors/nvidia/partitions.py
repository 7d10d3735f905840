"""MIG devices: which ones exist now, their identity, and their part of the device."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from collectors.contract import (
    Alias,
    CollectorError,
    Fault,
    Partition,
    Reason,
    UnavailableError,
    UnsupportedError,
)
from collectors.nvidia.errors import READING_ERRORS, InvalidValueError, NoDataError, fault_of
from collectors.nvidia.identity import Identity
from collectors.nvidia.mig_nodes import mig_nodes
from collectors.nvidia.names import DRA_DRIVER, RESOURCE_PREFIX
from collectors.nvidia.nvml import Handle, MigSlices, Nvml, Placement
from collectors.sysfs import Root

_MAX_PARTITIONS = 64
_PROFILE_MARK = " MIG "
_PART_OF_INSTANCE = re.compile(r"\d+c\.")  # of a profile such as 1c.3g.40gb
_NOT_IN_DRA_NAME = re.compile(r"[^a-z0-9-]")


@dataclass(frozen=True, slots=True)
class MigDevice:
    """A compute instance of a GPU instance.

    Attributes:
        uuid: NVML's uuid, `MIG-...`.
        profile: `1g.10gb`, or `1c.3g.40gb` if it has only a part of its GPU instance; empty if unknown.
        gpu_instance: Id of the GPU instance, which owns the memory.
        compute_instance: Id of the compute instance in the GPU instance.
        compute_ratio: Its fraction of the device's compute slices; None if unknown.
        fills_gpu_instance: Whether it has all slices of its GPU instance; by its profile if its size is unknown.
        placement: Where its GPU instance is on the device; None if unknown, as without privileges.
    """

    uuid: str
    profile: str
    gpu_instance: int
    compute_instance: int
    compute_ratio: float | None
    fills_gpu_instance: bool
    placement: Placement | None = None


class PartitionInfo(NamedTuple):
    """A MIG device and its handle, which is valid in this poll only.

    Attributes:
        mig: Its identity.
        handle: Its handle.
        reports_memory: True for one compute instance of each GPU instance. Memory belongs to the GPU instance and all
            its compute instances report the same values, so only the one with the lowest id is read.
        is_only_instance: Whether it is the only compute instance of its GPU instance.
    """

    mig: MigDevice
    handle: Handle
    reports_memory: bool
    is_only_instance: bool

    @property
    def is_whole_instance(self) -> bool:
        """Whether it is the whole GPU instance, so that values of the GPU instance are also its own."""
        return self.is_only_instance and self.mig.fills_gpu_instance

    def has_names_of(self, other: "PartitionInfo") -> bool:
        """Whether it has the same names as another one: its handle is not one of them."""
        return self.mig is other.mig and self.is_only_instance == other.is_only_instance


@dataclass(slots=True)
class PartitionLayout:
    """How a device is partitioned now.

    Attributes:
        partitions: The partitions that exist; after a failure also those of the last poll.
        infos: The partitions that answered.
        complete: Whether nothing failed, so that `infos` has all partitions.
        changed: Whether the layout has changed since the last poll.
        faults: The failures.
        sized: Whether no size is missing because of a failure.
        known: Whether the device can have no other partitions. In MIG mode NVML reports a MIG device that it does not
            find like an index without one.
    """

    partitions: tuple[Partition, ...] = ()
    infos: tuple[PartitionInfo, ...] = ()
    complete: bool = True
    changed: bool = False
    faults: list[Fault] = field(default_factory=list)
    sized: bool = True
    known: bool = True


class PartitionTable:
    """The MIG devices of all devices of one session.

    Handles and instance ids are reused after a change, so each poll reads the uuid of each handle again.

    Args:
        nvml: The open library.
        procfs: The root of a `/proc`.
    """

    def __init__(self, nvml: Nvml, procfs: Root) -> None:
        self._nvml = nvml
        self._procfs = procfs
        self._nodes: dict[int, Mapping[tuple[int, int | None], str]] = {}
        self._mig_unsupported: set[str] = set()
        self._denied: set[tuple[str, str]] = set()
        self._properties: dict[str, MigDevice] = {}
        self._named: dict[str, tuple[PartitionInfo, Partition]] = {}
        self._last_partitions: dict[str, tuple[Partition, ...]] = {}
        self._shapes: dict[str, tuple[bool, frozenset[tuple[str, str]]]] = {}

    def last_partitions(self, device_uuid: str) -> tuple[Partition, ...]:
        """The partitions of a device at its last reading. A lost device keeps them: they are still allocated."""
        return self._last_partitions.get(device_uuid, ())

    def forget_properties(self) -> None:
        """Read the properties of all partitions, and whether devices can be partitioned, again at the next poll."""
        self._properties.clear()
        self._named.clear()
        self._nodes = {minor: nodes for minor, nodes in self._nodes.items() if nodes}  # others may be readable now
        self._mig_unsupported.clear()

    def read(self, identity: Identity, handle: Handle) -> PartitionLayout:
        """Find the partitions of one device.

        Raises:
            DeviceLostError: The device does not answer.
            SessionError: The session is no longer usable.
        """
        layout = PartitionLayout()
        uuid = identity.device.uuid
        enabled = self._is_mig_enabled(uuid, handle, layout)
        if enabled:
            layout.infos = self._read_partitions(uuid, handle, layout)
        layout.known = layout.complete and bool(layout.infos or not enabled)
        layout.partitions = tuple(self._partition(identity, info) for info in layout.infos)
        answered = frozenset(partition.uuid for partition in layout.partitions)
        if layout.complete:
            for gone in {last.uuid for last in self.last_partitions(uuid)} - answered:
                self._properties.pop(gone, None)  # if it is created again, it may be at another place
                self._named.pop(gone, None)
            shape = (enabled, frozenset((part.uuid, part.profile) for part in layout.partitions))
            layout.changed = self._shapes.get(uuid, shape) != shape
            self._shapes[uuid] = shape
        else:
            layout.partitions += tuple(last for last in self.last_partitions(uuid) if last.uuid not in answered)
        self._last_partitions[uuid] = layout.partitions
        return layout

    def _is_mig_enabled(self, uuid: str, handle: Handle, layout: PartitionLayout) -> bool:
        if uuid in self._mig_unsupported:
            return False
        try:
            return self._nvml.mig_mode(handle)
        except UnsupportedError as error:
            was_enabled, _ = self._shapes.get(uuid, (False, frozenset()))
            if was_enabled:  # it has answered before, so it is not unsupported but fails
                self._record_failure(uuid, error, layout)
            else:
                self._mig_unsupported.add(uuid)
        except (UnavailableError, NoDataError) as error:
            self._record_failure(uuid, error, layout)
        return False

    def _read_partitions(self, uuid: str, handle: Handle, layout: PartitionLayout) -> tuple[PartitionInfo, ...]:
        answered: dict[str, tuple[MigDevice, Handle]] = {}
        try:
            slices = self._slice_count(handle)
        except (UnavailableError, UnsupportedError, NoDataError) as error:
            self._record_failure(uuid, error, layout)
            return ()
        for index in range(slices):
            try:
                mig_handle = self._nvml.mig_device(handle, index)
                if mig_handle is not None:  # the list has unused indices
                    mig = self._mig_device(handle, mig_handle, slices, layout)
                    answered[mig.uuid] = (mig, mig_handle)
            except READING_ERRORS as error:  # a lost MIG device was just removed; its device may be fine
                self._record_failure(uuid, error, layout)
        reporting = _lowest_of_each_gpu_instance([mig for mig, _ in answered.values()])
        instances = Counter(mig.gpu_instance for mig, _ in answered.values())
        return tuple(
            PartitionInfo(mig, mig_handle, mig.uuid in reporting, instances[mig.gpu_instance] == 1)
            for mig, mig_handle in answered.values()
        )

    def _slice_count(self, handle: Handle) -> int:
        """The number of compute slices of a device, which is the highest number of its MIG devices."""
        slices = self._nvml.max_mig_devices(handle)
        if slices > _MAX_PARTITIONS:
            raise InvalidValueError(f"nvmlDeviceGetMaxMigDeviceCount: {slices} partitions")
        return slices

    def _mig_device(self, parent: Handle, handle: Handle, slices: int, layout: PartitionLayout) -> MigDevice:
        uuid = self._nvml.uuid(handle)
        known = self._properties.get(uuid)
        profile = self._profile(handle, known)
        if known is not None and known.profile == profile:
            return known
        # New, or created again, perhaps with the same uuid.
        instance, compute_instance = self._nvml.gpu_instance_id(handle), self._nvml.compute_instance_id(handle)
        whole_by_name = bool(profile) and not _PART_OF_INSTANCE.match(profile)
        mig = MigDevice(
            uuid, profile, instance, compute_instance, None, whole_by_name, self._placement(parent, instance)
        )
        try:
            own, of_gpu_instance = self._read_size(handle, slices)
        except (UnsupportedError, NoDataError):
            pass
        except UnavailableError as error:  # it is read again in the next poll
            self._record_fault(uuid, error, layout)
            layout.sized = False
            return mig
        else:
            mig = replace(mig, compute_ratio=own / slices, fills_gpu_instance=own >= of_gpu_instance)
        self._properties[uuid] = mig
        return mig

    def _profile(self, handle: Handle, known: MigDevice | None) -> str:
        try:
            _, _, profile = self._nvml.name(handle).rpartition(_PROFILE_MARK)
        except (UnsupportedError, NoDataError):
            if known is None:
                raise
            return known.profile
        return profile.strip()

    def _read_size(self, handle: Handle, slices: int) -> MigSlices:
        """The compute slices of a partition, and of its GPU instance.

        Partitions have whole slices and never share one, so the sum of the ratios never exceeds 1. Multiprocessors
        would be more precise, but NVML reports their number for the whole device to privileged callers only.
        """
        found = self._nvml.mig_slices(handle)
        if not 0 < found.own <= slices:
            raise InvalidValueError(f"nvmlDeviceGetAttributes_v2: {found.own} of {slices} compute slices")
        return found

    def _placement(self, parent: Handle, gpu_instance: int) -> Placement | None:
        """Where a GPU instance is. Not a fault if it is refused: it is for a name only, and most users have no right.

        It is asked once for each partition, and again with the properties of all.
        """
        try:
            return self._nvml.placement(parent, gpu_instance)
        except READING_ERRORS:
            return None

    def _partition(self, identity: Identity, info: PartitionInfo) -> Partition:
        """A partition with its names, which are made once for what they are made of."""
        made_of, partition = self._named.get(info.mig.uuid, (None, None))
        if partition is None or made_of is None or not made_of.has_names_of(info):
            partition = self._new_partition(identity, info)
            self._named[info.mig.uuid] = (info, partition)
        return partition

    def _new_partition(self, identity: Identity, info: PartitionInfo) -> Partition:
        names = frozenset(
            (*_plugin_names(identity, info), *self._node_names(identity, info), *_dra_names(identity, info))
        )
        return Partition(info.mig.uuid, identity.device.uuid, info.mig.profile, names)

    def _node_names(self, identity: Identity, info: PartitionInfo) -> Iterator[Alias]:
        """Its device files. That of its GPU instance is not only its own if the instance has another partition."""
        if identity.minor is None:
            return
        if identity.minor not in self._nodes:
            self._nodes[identity.minor] = mig_nodes(self._procfs, identity.minor)
        instances = (info.mig.compute_instance, *((None,) if info.is_only_instance else ()))
        paths = (self._nodes[identity.minor].get((info.mig.gpu_instance, instance)) for instance in instances)
        yield from map(Alias, filter(None, paths))

    def _record_failure(self, uuid: str, error: CollectorError, layout: PartitionLayout) -> None:
        layout.complete = False
        self._record_fault(uuid, error, layout)

    def _record_fault(self, uuid: str, error: CollectorError, layout: PartitionLayout) -> None:
        """Record a failure; a missing permission only once, because it does not change while the process runs."""
        if error.reason is Reason.PERMISSION_DENIED:
            if (uuid, str(error)) in self._denied:
                return
            self._denied.add((uuid, str(error)))
        layout.faults.append(fault_of(error, uuid))


def _lowest_of_each_gpu_instance(devices: Sequence[MigDevice]) -> frozenset[str]:
    lowest: dict[int, MigDevice] = {}
    for mig in sorted(devices, key=lambda mig: mig.compute_instance):
        lowest.setdefault(mig.gpu_instance, mig)
    return frozenset(mig.uuid for mig in lowest.values())


def _plugin_names(identity: Identity, info: PartitionInfo) -> Iterator[Alias]:
    """Its uuid, its name in drivers before 470 and, if it is alone in its GPU instance, its name in GKE."""
    mig = info.mig
    yield Alias(mig.uuid)
    yield Alias(f"MIG-{identity.device.uuid}/{mig.gpu_instance}/{mig.compute_instance}")
    if identity.minor is not None and info.is_only_instance:
        yield Alias(f"nvidia{identity.minor}/gi{mig.gpu_instance}", RESOURCE_PREFIX)


def _dra_names(identity: Identity, info: PartitionInfo) -> Iterator[Alias]:
    """Its names in NVIDIA's DRA driver, now and up to version 25.8, which only has whole GPU instances.

    Source: `ToCanonicalName` in the driver's `cmd/gpu-kubelet-plugin/mig.go`, and `CanonicalName` of MigDeviceInfo in
    an earlier `deviceinfo.go`; https://github.com/kubernetes-sigs/dra-driver-nvidia-gpu.
    """
    profile = _NOT_IN_DRA_NAME.sub("-", info.mig.profile.replace(".", "").lower()).strip("-")
    place = info.mig.placement
    if identity.minor is None or place is None or not profile or not info.is_whole_instance:
        return
    name = f"gpu-{identity.minor}-mig"
    yield Alias(f"{name}-{profile}-{place.profile_id}-{place.start}", DRA_DRIVER)
    yield Alias(f"{name}-{place.profile_id}-{place.start}-{place.size}", DRA_DRIVER)
