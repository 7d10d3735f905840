"""The topology of the compute driver (KFD): one node for each GPU, or for each partition of one.

Source: the kernel's `drivers/gpu/drm/amd/amdkfd/kfd_topology.c`. If the device cgroup of a container does not allow a
GPU's render node, reading the files of its KFD node is refused, or they are empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from collectors.amd.files import ReadRefusedError, read_number, read_text
from collectors.contract import CollectorError, Fault, Reason, UnavailableError, UnsupportedError
from collectors.pci import parse_address
from collectors.query import InvalidValueError
from collectors.sysfs import Root

_TOPOLOGY = ("class", "kfd", "kfd", "topology")
_SLOT_MASK = 0xFFF8  # bus and device; older drivers store the partition in the function's bits
_PARTITION_SHIFT = 28
_FUNCTION_MASK = 0x7
_MOST_SIMDS = 1 << 16  # an MI300X has 1,216


@dataclass(frozen=True, slots=True)
class PciSlot:
    """A slot on the PCI bus, without the function.

    Attributes:
        domain: PCI domain.
        bus_and_device: In the upper 13 of 16 bits.
    """

    domain: int
    bus_and_device: int


@dataclass(frozen=True, slots=True)
class KfdNode:
    """A GPU, or a partition of one.

    Attributes:
        folder: The folder of its files.
        slot: The slot of its GPU.
        partition: Its number within the GPU; 0 for a whole GPU too.
        render: The minor number of its render node.
        simd_count: Number of SIMD units; None if unknown.
        compute_units: Number of compute units; None if unknown.
        architecture: Such as `gfx942`; empty if unknown.
        gpu_id: Its id in the driver's files about processes; None if unknown.
        inode: The inode of the folder, which is a new one after a change of the nodes; None if unknown.
    """

    folder: Path
    slot: PciSlot
    partition: int
    render: int
    simd_count: int | None
    compute_units: int | None
    architecture: str
    gpu_id: int | None
    inode: int | None = None

    @property
    def intact(self) -> bool:
        """Whether its files are still those that were found.

        When a node is added, the driver removes and creates all folders before it counts the change; when one is
        removed, it counts first.
        """
        return _inode(self.folder) == self.inode


@dataclass(frozen=True, slots=True)
class Topology:
    """All nodes at one moment.

    Attributes:
        generation: The driver's count of changes.
        nodes: The nodes of GPUs that could be read.
        fault: Why a node could not be read; None if all could be read.
    """

    generation: int
    nodes: tuple[KfdNode, ...] = ()
    fault: Fault | None = None


def slot_of(address: str) -> PciSlot:
    """The slot of a PCI address.

    Raises:
        ValueError: It is none.
    """
    parsed = parse_address(address)
    if parsed is None:
        raise ValueError(f"no PCI address: {address!r}")
    return PciSlot(parsed.domain, parsed.bus << 8 | parsed.device << 3)


def generation(sysfs: Root) -> int | None:
    """The driver's count of changes to its nodes; None if there is no KFD."""
    try:
        return read_number(sysfs.path.joinpath(*_TOPOLOGY, "generation_id"))
    except CollectorError:
        return None


def read_topology(sysfs: Root) -> Topology | None:
    """All nodes of GPUs.

    Returns:
        None if there is no KFD, or while the nodes change. The driver counts a new node before it fills its files
        (kfd_topology_add_device, the kernel's `drivers/gpu/drm/amd/amdkfd/kfd_topology.c`).
    """
    before = generation(sysfs)
    if before is None:
        return None
    nodes, fault = [], None
    for name in sysfs.names(*_TOPOLOGY, "nodes"):
        try:
            node = _node(sysfs.path.joinpath(*_TOPOLOGY, "nodes", name))
        except (UnavailableError, UnsupportedError) as error:
            fault = Fault(_reason(error), f"KFD node {name}", str(error))
        else:
            nodes += [] if node is None else [node]
    if any(node.slot.bus_and_device == 0 or node.render == 0 for node in nodes):
        return None
    return Topology(before, tuple(nodes), fault) if generation(sysfs) == before else None


def memory_limit(node: KfdNode) -> int:
    """Bytes of device memory that a partition has: mem_banks/0/properties, size_in_bytes.

    Raises:
        UnsupportedError, UnavailableError: It can't be read.
    """
    sizes = _properties(node.folder / "mem_banks" / "0" / "properties")
    if "size_in_bytes" not in sizes:
        raise UnsupportedError("mem_banks/0/properties: no size_in_bytes")
    return sizes["size_in_bytes"]


def memory_usage(node: KfdNode) -> int:
    """Bytes of device memory in use in a partition: mem_banks/0/used_memory. Not every driver has it.

    Raises:
        UnsupportedError, UnavailableError: It can't be read.
    """
    return read_number(node.folder / "mem_banks" / "0" / "used_memory")


def _reason(error: CollectorError) -> Reason:
    """A refused or empty node is denied to this container: its device cgroup does not allow the render node."""
    kept = isinstance(error, ReadRefusedError | InvalidValueError)
    return Reason.PERMISSION_DENIED if kept else Reason.UNAVAILABLE


def _node(folder: Path) -> KfdNode | None:
    """One node; None for the node of a processor."""
    known = _properties(folder / "properties")
    simd_count = known.get("simd_count", 0)
    if not simd_count and known.get("drm_render_minor", 0) <= 0:
        return None
    counted = simd_count if 0 < simd_count <= _MOST_SIMDS else None
    location = known.get("location_id", 0)
    return KfdNode(
        folder,
        PciSlot(known.get("domain", 0), location & _SLOT_MASK),
        location >> _PARTITION_SHIFT or location & _FUNCTION_MASK,
        known.get("drm_render_minor", -1),
        counted,
        counted // known["simd_per_cu"] if counted and known.get("simd_per_cu") else None,
        _architecture(known.get("gfx_target_version", 0)),
        _gpu_id(folder),
        _inode(folder),
    )


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _gpu_id(folder: Path) -> int | None:
    try:
        return read_number(folder / "gpu_id") or None  # processors have 0
    except CollectorError:
        return None


def _properties(path: Path) -> Mapping[str, int]:
    """Lines of a name and a number; other lines are ignored."""
    fields = (line.split() for line in read_text(path).splitlines())
    return {words[0]: int(words[1]) for words in fields if len(words) == 2 and words[1].isdigit()}  # noqa: PLR2004, name and number


def _architecture(version: int) -> str:
    """The compiler's name of a target: major version decimal, minor and stepping hexadecimal."""
    major, minor, stepping = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{stepping:x}" if major else ""
