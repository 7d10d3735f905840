"""The identity of a GPU: its uuid, its names, its fixed properties."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from collectors import passthrough
from collectors.amd.files import read_text
from collectors.amd.gpu_paths import DrmNodes, GpuPaths
from collectors.amd.kfd import Topology, slot_of
from collectors.amd.names import DRA_DRIVER, RESOURCE_PREFIX
from collectors.catalog import INFO
from collectors.contract import Alias, Device, Fault, Node, UnavailableError, UnsupportedError
from collectors.identity import made_uuid
from collectors.pci import PciFunction, numa_node, spellings
from collectors.query import InvalidValueError

VENDOR = "amd"

_UNIQUE_ID = re.compile(r"[0-9a-f]{16}")
_NO_UNIQUE_IDS = frozenset({"0" * 16, "f" * 16})
# For cards whose inventory chip has no name, mostly virtual functions; those not listed are named by their PCI id.
# Source: the registry `pci.ids`.
_MODELS = {
    "0x7408": "AMD Instinct MI250X",
    "0x740c": "AMD Instinct MI250X/MI250",
    "0x740f": "AMD Instinct MI210",
    "0x74a0": "AMD Instinct MI300A",
    "0x74a1": "AMD Instinct MI300X",
    "0x74a5": "AMD Instinct MI325X",
    "0x74b5": "AMD Instinct MI300X VF",
    "0x75a0": "AMD Instinct MI350X",
    "0x75a3": "AMD Instinct MI355X",
    "0x744c": "AMD Radeon RX 7900 XT/XTX/GRE",
}

# GPUs that share a package, by PCI device id: the two dies of an MI250 or MI250X, and those of processors whose driver
# has power limits. Source: CHIP_ALDEBARAN and AMD_IS_APU in the kernel's `drivers/gpu/drm/amd/amdgpu/amdgpu_drv.c`,
# aldebaran_is_primary in `drivers/gpu/drm/amd/pm/swsmu/smu13/aldebaran_ppt.c`.
_IN_SHARED_PACKAGES = frozenset({"0x7408", "0x740c", "0x74a0", "0x163f"})
_POWERS = ("power1_average", "power1_input")


@dataclass(frozen=True, slots=True)
class Identity:
    """What does not change while a GPU is in its slot.

    Attributes:
        device: The contract's device, neither lost nor partitioned: with the names that mean the whole GPU.
        location_aliases: The names that mean the whole GPU while it is not partitioned, and its first partition while
            it is partitioned.
        info: Values of the info row's labels, in its order; empty if unknown.
        architecture: Such as `gfx942`; empty if unknown.
    """

    device: Device
    location_aliases: frozenset[Alias]
    info: tuple[str, ...]
    architecture: str


@dataclass(frozen=True, slots=True)
class KnownUuids:
    """Uuids that were assigned before.

    Attributes:
        own: The uuid of this GPU, which keeps it; empty for a new GPU.
        others: The uuids of other GPUs, which are not assigned again.
    """

    own: str
    others: Collection[str]


def info_labels(**known: str) -> tuple[str, ...]:
    """Values for the info row's labels, in its order; empty if not given. `class` is passed as `class_`."""
    return tuple(known.get(label.name, known.get(f"{label.name}_", "")) for label in INFO.labels)


def drm_aliases(drm: DrmNodes) -> frozenset[Alias]:
    """The DRM nodes, and the name that AMD's DRA driver derives from them, such as `gpu-0-128`.

    Source: `CanonicalName` in the driver's `cmd/gpu-kubeletplugin/deviceinfo.go`,
    https://github.com/ROCm/k8s-gpu-dra-driver. Names such as `gpu-0-cpx-nps4` are no aliases: the driver counts the
    GPUs when it starts, and which ones it has counted cannot be seen afterwards.
    """
    names = {Alias(f"/dev/dri/renderD{drm.render}")} if drm.render is not None else set()
    if drm.card is not None:
        names.add(Alias(f"/dev/dri/card{drm.card}"))
        if drm.render is not None:
            names.add(Alias(f"gpu-{drm.card}-{drm.render}", DRA_DRIVER))
    return frozenset(names)


def of_address(address: str, node: Node) -> Identity:
    """The identity of a GPU of which no file could be read, generated from its PCI address."""
    uuid = made_uuid(VENDOR, node.identity, address)
    names = frozenset(map(Alias, spellings(address)))
    device = Device(uuid, address, VENDOR, "AMD GPU", frozenset({Alias(uuid)}) | names)
    return Identity(device, names, info_labels(pci_bus_id=address, class_="gpu"), "")


def read(paths: GpuPaths, node: Node, topology: Topology | None, uuids: KnownUuids, faults: list[Fault]) -> Identity:
    """Read the identity of a GPU. Properties that can't be read are empty.

    Args:
        paths: Where its files are.
        node: The machine.
        topology: The nodes of the compute driver, for the architecture; None if unknown.
        uuids: Uuids that were assigned before.
        faults: Receives the readings that failed.
    """
    address = paths.address
    uuid = uuids.own or _uuid(_text(paths, "unique_id", faults))
    if not uuid or uuid in uuids.others:
        uuid = made_uuid(VENDOR, node.identity, address)
    numa = numa_node(node.sysfs, address)
    architecture = _architecture(address, topology)
    info = info_labels(
        pci_bus_id=address,
        serial=_text(paths, "serial_number", faults),
        driver_version=node.sysfs.text("module", "amdgpu", "version") or "",  # only of an out-of-tree driver
        firmware_version=_text(paths, "vbios_version", faults),
        architecture=architecture,
        numa_node="" if numa is None else str(numa),
        class_="gpu",
    )
    pci_id = _text(paths, "device", faults).lower()
    location_aliases = frozenset(map(Alias, spellings(address))) | drm_aliases(paths.drm)
    device = Device(
        uuid,
        address,
        VENDOR,
        _text(paths, "product_name", faults) or _MODELS.get(pci_id, f"1002:{pci_id.removeprefix('0x')}"),
        frozenset({Alias(uuid)}) | location_aliases,
        power_shared=_is_power_shared(paths, pci_id),
    )
    return Identity(device, location_aliases, info, architecture)


def passed_through(function: PciFunction, node: Node, known: Identity | None) -> Identity:
    """The identity of a GPU that belongs to a virtual machine, or can be given to one.

    Args:
        function: Its PCI function.
        node: The machine.
        known: What was known of it while amdgpu drove it; None if nothing was. Its DRM nodes are gone.
    """
    names = passthrough.aliases(node.sysfs, function.address, RESOURCE_PREFIX)
    if known is not None:
        return replace(known, device=replace(known.device, aliases=names | {Alias(known.device.uuid)}))
    uuid = made_uuid(VENDOR, node.identity, function.address)
    numa = numa_node(node.sysfs, function.address)
    info = info_labels(pci_bus_id=function.address, numa_node="" if numa is None else str(numa), class_="gpu")
    model = _MODELS.get(f"0x{function.device:04x}", f"1002:{function.device:04x}")
    return Identity(Device(uuid, function.address, VENDOR, model, names | {Alias(uuid)}), frozenset(), info, "")


def completed(fresh: Identity, known: Identity) -> Identity:
    """An identity with what was known before in place of what could not be read this time."""
    info = tuple(new or old for new, old in zip(fresh.info, known.info, strict=True))
    device = replace(fresh.device, model=known.device.model, power_shared=known.device.power_shared)
    return replace(fresh, device=device, info=info)


def _uuid(unique_id: str) -> str:
    """The uuid as ROCm writes it; empty if the GPU has no unique id, or if the driver does not show it to a guest."""
    text = unique_id.lower().removeprefix("0x")
    return f"GPU-{text}" if _UNIQUE_ID.fullmatch(text) and text not in _NO_UNIQUE_IDS else ""


def _architecture(address: str, topology: Topology | None) -> str:
    slot = slot_of(address)
    nodes = () if topology is None else topology.nodes
    return next((node.architecture for node in nodes if node.slot == slot), "")


def _is_power_shared(paths: GpuPaths, pci_id: str) -> bool:
    """Whether its power is that of a package with another die or a processor.

    The driver has no power limit for the GPU of a processor (hwmon_attributes_visible in the kernel's
    `drivers/gpu/drm/amd/pm/amdgpu_pm.c`), with few exceptions.
    """
    if pci_id in _IN_SHARED_PACKAGES:
        return True
    if paths.hwmon is None or not any((paths.hwmon / name).exists() for name in _POWERS):
        return False
    return not (paths.hwmon / "power1_cap").exists()


def _text(paths: GpuPaths, name: str, faults: list[Fault]) -> str:
    try:
        text = read_text(paths.folder / name)
    except UnsupportedError:
        return ""
    except UnavailableError as error:
        if not isinstance(error, InvalidValueError):  # a property that was never stored on the card is empty
            faults.append(Fault(error.reason, paths.address, str(error)))
        return ""
    return "" if text.lower() in ("n/a", "unknown") else text
