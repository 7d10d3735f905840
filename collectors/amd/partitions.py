"""Compute partitions: which exist now, their identities, their fraction of the GPU.

The first partition keeps the PCI function of the GPU and its DRM nodes, and so also its names; the others have their
own platform devices. A platform device exists for every partition that the GPU could have, so only those are used whose
render node the compute driver (KFD) lists. While the nodes change, a name could mean the wrong partition: then no
partitions are reported, and the names that depend on the layout are not resolved.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from collectors.amd import kfd
from collectors.amd.gpu_paths import DrmNodes, GpuPaths, drm_nodes
from collectors.amd.identity import Identity, drm_aliases
from collectors.amd.kept_files import KeptFiles
from collectors.amd.kfd import KfdNode, PciSlot, Topology
from collectors.amd.names import RESOURCE_PREFIX
from collectors.contract import (
    Alias,
    CollectorError,
    Device,
    Fault,
    Partition,
    Reason,
    UnavailableError,
    UnsupportedError,
)
from collectors.device_calls import DeviceCalls, StuckError
from collectors.query import InvalidValueError
from collectors.sysfs import Root

_PLATFORM = ("devices", "platform")
_XCP = re.compile(r"amdgpu_xcp[_.](\d+)")
_WHOLE = "SPX"
_IP_DISCOVERY = ("ip_discovery", "die")
_IN_USE = ("0x0", "0", None)  # the file `harvest`, which old kernels do not have
# Number of partitions in the modes that define it; CPX has one for each compute die.
_COUNTS = {"DPX": 2, "TPX": 3, "QPX": 4}
_MODE = re.compile(r"[A-Z]+[0-9]*")


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """A partition that exists in this poll.

    Attributes:
        partition: The contract's partition.
        node: Its KFD node.
        folder: The folder of its device: the GPU's PCI function for the first one, else its platform device.
    """

    partition: Partition
    node: KfdNode
    folder: Path


@dataclass(slots=True)
class PartitionLayout:
    """The current partitions of a GPU.

    Attributes:
        partitions: Its partitions; empty while it is whole, or while the layout is unknown.
        known: Whether the layout is known.
        partitionable: Whether the GPU has partition modes.
        faults: Why the layout is unknown.
        count: Number of partitions that the GPU is divided into; None if only the existing ones are known. The driver
            leaves out the last ones when it has no more DRM nodes: `amdgpu_xcp_dev_alloc` in the kernel's
            `amdgpu_xcp.c`, `kfd_topology_add_device` in `kfd_topology.c`.
    """

    partitions: tuple[PartitionInfo, ...] = ()
    known: bool = True
    partitionable: bool = True
    faults: list[Fault] = field(default_factory=list)
    count: int | None = None

    def compute_ratio(self, info: PartitionInfo, count: int) -> float | None:
        """A partition's fraction of all compute units of the GPU, also of those of partitions that do not exist.

        None if the size of one of them is unknown.

        Args:
            info: The partition.
            count: Number of partitions that the GPU is divided into.
        """
        sizes = [each.node.simd_count for each in self.partitions]
        known = [size for size in sizes if size is not None]
        if info.node.simd_count is None or len(known) < len(sizes):
            return None
        return info.node.simd_count / sum(known) * len(sizes) / count

    @property
    def uuids(self) -> frozenset[str]:
        """The uuids of its partitions."""
        return frozenset(info.partition.uuid for info in self.partitions)

    @property
    def intact(self) -> bool:
        """Whether the nodes of its partitions are those that were found."""
        return all(info.node.intact for info in self.partitions)

    def device(self, identity: Identity) -> Device:
        """The device with the names that mean the whole GPU in this layout."""
        if self.known and not self.partitions:
            return identity.device
        aliases = identity.device.aliases - identity.location_aliases
        return replace(identity.device, aliases=aliases, partitions_known=self.known)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The nodes of all GPUs at one moment.

    Attributes:
        generation: The compute driver's count of changes; None if there is no such driver.
        topology: Its nodes; None if there is no such driver, or while they change.
        xcp: Names and DRM nodes of the partitions' platform devices, by render node.
    """

    generation: int | None = None
    topology: Topology | None = None
    xcp: Mapping[int, tuple[str, DrmNodes]] = field(default_factory=dict)


class PartitionTable:
    """The partitions of all GPUs.

    The nodes belong to all GPUs, so they are read by a call of their own. While it has not returned, the last ones are
    used.

    Args:
        sysfs: The root of the host's `/sys`.
        calls: Makes the calls.
    """

    def __init__(self, sysfs: Root, calls: DeviceCalls) -> None:
        self._sysfs = sysfs
        self._calls = calls
        self._shared_slots: frozenset[PciSlot] = frozenset()
        self._nodes = _Nodes()
        self._consistent = True

    @property
    def topology(self) -> Topology | None:
        """The compute driver's nodes, as last read; None if unknown."""
        return self._nodes.topology

    def refresh(self, all_paths: Sequence[GpuPaths], *, full: bool) -> list[Fault]:
        """Read the nodes again if they have changed since the last poll.

        Args:
            all_paths: The paths of all GPUs.
            full: Also read them again if a mode did not match its nodes, or if one of them could not be read.

        Returns:
            Why they could not be read, once for each full one.
        """
        slots = [kfd.slot_of(paths.address) for paths in all_paths]
        self._shared_slots = frozenset(slot for slot in slots if slots.count(slot) > 1)
        known = self._nodes
        failed = known.topology is not None and known.topology.fault is not None
        again = full and (failed or not self._consistent)
        try:
            self._nodes = self._calls.run(_NODES, partial(_read_nodes, self._sysfs, None if again else known))
        except StuckError as error:
            return [Fault(error.reason, _NODES, str(error))] if full else []
        if self._nodes.topology is not known.topology:
            self._consistent = True
        return []

    def unchanged(self) -> bool:
        """Whether the nodes are known not to have changed since `refresh`."""
        try:
            return self._calls.run(_NODES, partial(kfd.generation, self._sysfs)) == self._nodes.generation
        except StuckError:
            return False

    def doubt(self) -> None:
        """A layout is unknown: let the next full `refresh` read the nodes again."""
        self._consistent = False

    def in_mode_of(self, paths: GpuPaths, layout: PartitionLayout, kept: KeptFiles) -> bool:
        """Whether a GPU is in the mode in which it had this layout.

        Changes nothing but the kept files of the GPU, so that the thread that reads the GPU can call it.
        """
        try:
            mode = _mode(paths, "current_compute_partition", kept)
            if not layout.partitions:
                return mode == _WHOLE
            return _profile(mode, paths, kept) == layout.partitions[0].partition.profile
        except CollectorError:
            return False

    def read(self, identity: Identity, paths: GpuPaths, kept: KeptFiles) -> PartitionLayout:
        """Find the partitions of one GPU. See `in_mode_of` for the thread."""
        try:
            mode = _mode(paths, "current_compute_partition", kept)
        except UnsupportedError:
            return PartitionLayout(partitionable=False)
        except UnavailableError as error:
            return self._unknown(paths, error.reason, str(error))
        slot = kfd.slot_of(paths.address)
        nodes = [node for node in (() if self.topology is None else self.topology.nodes) if node.slot == slot]
        if mode == _WHOLE and (len(nodes) <= 1 or slot in self._shared_slots):
            return PartitionLayout()
        if mode == _WHOLE:  # several nodes: the mode is new and the nodes are old
            return self._changing(paths, mode, nodes)
        return self._partitioned(identity, paths, mode, sorted(nodes, key=lambda node: node.partition), kept)

    def _partitioned(
        self, identity: Identity, paths: GpuPaths, mode: str, nodes: Sequence[KfdNode], kept: KeptFiles
    ) -> PartitionLayout:
        fault = None if self.topology is None else self.topology.fault
        if fault is not None:
            advice = f"; {_ADVICE}" if fault.reason is Reason.PERMISSION_DENIED else ""
            return self._unknown(paths, fault.reason, f"{fault.where}: {fault.detail}{advice}")
        if kfd.slot_of(paths.address) in self._shared_slots:
            return self._unknown(paths, Reason.UNAVAILABLE, "several GPUs in one PCI slot: partitions are ambiguous")
        if mode not in _COUNTS:  # the others of its dies can be used while one has no DRM node
            nodes = [node for node in nodes if node.partition == 0 or node.render in self._nodes.xcp]
        if not _fits(mode, [node.partition for node in nodes]):
            return self._changing(paths, mode, nodes)
        if nodes[0].render != paths.drm.render or any(node.render not in self._nodes.xcp for node in nodes[1:]):
            return self._changing(paths, mode, nodes)
        try:
            profile = _profile(mode, paths, kept)
        except UnavailableError as error:
            return self._unknown(paths, error.reason, str(error))
        return PartitionLayout(
            tuple(self._partition_info(identity, paths, profile, node) for node in nodes),
            count=_COUNTS.get(mode) or _compute_dies(paths),
        )

    def _partition_info(self, identity: Identity, paths: GpuPaths, profile: str, node: KfdNode) -> PartitionInfo:
        uuid = f"{identity.device.uuid}-{profile}-{node.partition}"
        if node.partition == 0:
            aliases, folder = identity.location_aliases, paths.folder
        else:
            name, drm = self._nodes.xcp[node.render]
            aliases = frozenset(Alias(each, RESOURCE_PREFIX) for each in _spellings(name)) | drm_aliases(drm)
            folder = self._sysfs.path.joinpath(*_PLATFORM, name)
        partition = Partition(uuid, identity.device.uuid, profile, aliases | {Alias(uuid)})
        return PartitionInfo(partition, node, folder)

    def _changing(self, paths: GpuPaths, mode: str, nodes: Sequence[KfdNode]) -> PartitionLayout:
        detail = f"mode {mode} does not match the compute driver's {len(nodes)} nodes"
        return self._unknown(paths, Reason.UNAVAILABLE, detail)

    def _unknown(self, paths: GpuPaths, reason: Reason, detail: str) -> PartitionLayout:
        return PartitionLayout(known=False, faults=[Fault(reason, paths.address, f"partitions: {detail}")])


_NODES = "KFD nodes"
_ADVICE = "to read partitions, run the container privileged"


def _read_nodes(sysfs: Root, known: _Nodes | None) -> _Nodes:
    """The nodes of all GPUs.

    Args:
        sysfs: The root of the host's `/sys`.
        known: Those that are returned if they have not changed; None to read them in any case.
    """
    generation = kfd.generation(sysfs)
    if known is not None and known.topology is not None and known.topology.generation == generation:
        return known if known.generation == generation else replace(known, generation=generation)
    return _Nodes(generation, kfd.read_topology(sysfs), _platform_devices(sysfs))


def _mode(paths: GpuPaths, name: str, kept: KeptFiles) -> str:
    mode = kept.read_text(paths.folder, name)
    if not _MODE.fullmatch(mode) or mode == "UNKNOWN":
        raise InvalidValueError(f"{name}: {mode[:40]!r}")
    return mode


def _profile(mode: str, paths: GpuPaths, kept: KeptFiles) -> str:
    """The name that AMD's device plugin uses, such as `cpx_nps4`; without the memory mode if it is unsupported."""
    try:
        return f"{mode}_{_mode(paths, 'current_memory_partition', kept)}".lower()
    except UnsupportedError:
        return mode.lower()


def _fits(mode: str, numbers: Sequence[int]) -> bool:
    """Whether the numbers of the partitions, in order, are possible in a mode."""
    if mode in _COUNTS:
        return list(numbers) == list(range(_COUNTS[mode]))
    return len(numbers) > 1 and numbers[0] == 0 and len(set(numbers)) == len(numbers)


def _compute_dies(paths: GpuPaths) -> int | None:
    """The number of compute dies by the driver's list of its parts; None without such a list.

    Dies that are switched off stay in the list, marked by their file `harvest`; the driver does not count them.

    Source: `ip_discovery/die/<die>/GC/<instance>`, the kernel's `drivers/gpu/drm/amd/amdgpu/amdgpu_discovery.c`
    (amdgpu_discovery_sysfs_ips, amdgpu_discovery_get_harvest_info).
    """
    root = Root(paths.folder)
    folders = [(*_IP_DISCOVERY, die, "GC") for die in root.names(*_IP_DISCOVERY)]
    marks = [root.text(*folder, instance, "harvest") for folder in folders for instance in root.names(*folder)]
    return sum(mark in _IN_USE for mark in marks) or None


def _platform_devices(sysfs: Root) -> Mapping[int, tuple[str, DrmNodes]]:
    """Names and DRM nodes of the platform devices, by their render nodes."""
    found = {}
    for name in sysfs.names(*_PLATFORM):
        if _XCP.fullmatch(name):
            drm = drm_nodes(sysfs, *_PLATFORM, name)
            if drm.render is not None:
                found[drm.render] = (name, drm)
    return found


def _spellings(name: str) -> tuple[str, str]:
    """Kernels write a dot or an underscore before the number."""
    number = name.removeprefix("amdgpu_xcp")[1:]
    return (f"amdgpu_xcp_{number}", f"amdgpu_xcp.{number}")
