"""The identity of a device: its uuid, its names and its fixed properties."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial

from collectors import passthrough
from collectors.catalog import INFO
from collectors.contract import Alias, Device, Fault, Node, UnavailableError, UnsupportedError
from collectors.identity import made_uuid
from collectors.nvidia.errors import InvalidValueError, NoDataError
from collectors.nvidia.names import DRA_DRIVER, PCI_VENDOR, RESOURCE_PREFIX
from collectors.nvidia.nvml import Handle, Nvml
from collectors.pci import PciFunction, functions_of, numa_node, parse_address, spellings

VENDOR = "nvidia"

# nvmlDeviceArchitecture_t.
_ARCHITECTURES = {
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada",
    9: "hopper",
    10: "blackwell",
    11: "dla",
    12: "dla2",
    13: "rubin",
    15: "npu3",
}
_PLATFORM_DRIVER = ("bus", "platform", "drivers", "gk20a")
_PLATFORM_DEVICE = re.compile(r"[0-9a-f]+\.[\w-]+", re.ASCII)
# The only id that NVIDIA's device plugin uses on a Jetson: `internal/rm/tegra_devices.go`.
_TEGRA = "tegra"
_ABSENT_TEXTS = frozenset({"", "n/a", "[n/a]", "unknown", "unknown error"})


@dataclass(frozen=True, slots=True)
class Identity:
    """The properties that do not change while a device is in its slot.

    Attributes:
        device: The device as the contract defines it, not lost.
        info: Values of the info row's labels, in its order; empty if unknown.
        minor: N of /dev/nvidiaN; None if unknown.
    """

    device: Device
    info: tuple[str, ...]
    minor: int | None = None


def info_labels(**known: str) -> tuple[str, ...]:
    """Values of the info row's labels, in its order; empty if not given. `class` is passed as `class_`."""
    return tuple(known.get(label.name, known.get(f"{label.name}_", "")) for label in INFO.labels)


def read(
    nvml: Nvml, handle: Handle, index: int | None, node: Node, used_uuids: Collection[str], faults: list[Fault]
) -> Identity:
    """Read the identity of a device. Only its place is required; other values that fail are left empty.

    Args:
        nvml: The open library.
        handle: The device.
        index: Its index in the library's list; None if unknown.
        node: The machine, for NUMA nodes and generated uuids.
        used_uuids: The uuids of other devices, which are not accepted again.
        faults: Receives the failures.

    Raises:
        DeviceLostError: The device does not answer.
        UnavailableError: The PCI address of the device cannot be read.
        SessionError: The session is no longer usable.
    """
    address, pci_bus_id = _location(nvml, handle, index, node)
    text = partial(_text, handle, address, faults)
    uuid = text(nvml.uuid)
    if not uuid or uuid in used_uuids:
        uuid = made_uuid(VENDOR, node.identity, address)
    minor = text(lambda it: str(nvml.minor(it)))
    numa = numa_node(node.sysfs, pci_bus_id) if pci_bus_id else None
    info = info_labels(
        index="" if index is None else str(index),
        pci_bus_id=pci_bus_id,
        serial=text(nvml.serial),
        driver_version=text(lambda _: nvml.driver_version()),
        firmware_version=text(nvml.vbios_version),  # not the GSP's, which is part of the driver and has its version
        architecture=text(lambda it: _ARCHITECTURES.get(nvml.architecture(it), "")),
        numa_node="" if numa is None else str(numa),
        class_="gpu",
    )
    device = Device(uuid, address, VENDOR, text(nvml.name), _aliases(uuid, address, minor))
    return Identity(device, info, int(minor) if minor else None)


def _location(nvml: Nvml, handle: Handle, index: int | None, node: Node) -> tuple[str, str]:
    """The kernel's name of the device, and its PCI address; the latter is empty for a GPU that is on no PCI bus.

    Such is the GPU of a Jetson: a platform device of the driver gk20a (the kernel names it like `17000000.gpu`), for
    which NVML does not support nvmlDeviceGetPciInfo.
    """
    try:
        location = parse_address(nvml.pci_bus_id(handle))
    except UnsupportedError as error:
        names = [name for name in node.sysfs.names(*_PLATFORM_DRIVER) if _PLATFORM_DEVICE.fullmatch(name)]
        if not names and functions_of(node.sysfs, PCI_VENDOR):
            raise UnavailableError(str(error)) from error  # it is one of these
        return (names[min(index or 0, len(names) - 1)] if names else f"gpu{index or 0}"), ""
    if location is None:
        raise InvalidValueError("nvmlDeviceGetPciInfo: the answer is not a PCI address")
    return str(location), str(location)


def completed(fresh: Identity, known: Identity, node: Node, used_uuids: Collection[str]) -> Identity:
    """An identity with what was known before in place of what could not be read this time.

    Args:
        fresh: As just read; its uuid is a generated one if the library gave none.
        known: The last identity at the same PCI address.
        node: The machine, for generated uuids.
        used_uuids: The uuids of other devices.
    """
    device, before = fresh.device, known.device
    unread = device.uuid == made_uuid(VENDOR, node.identity, device.device)
    uuid = before.uuid if unread and before.uuid not in used_uuids else device.uuid
    minor = known.minor if fresh.minor is None else fresh.minor
    aliases = _aliases(uuid, device.device, "" if minor is None else str(minor))
    info = tuple(new or old for new, old in zip(fresh.info, known.info, strict=True))
    return Identity(replace(device, uuid=uuid, model=device.model or before.model, aliases=aliases), info, minor)


def from_pci(function: PciFunction, node: Node) -> Identity:
    """The identity of a device that the library never listed, generated from its PCI address."""
    uuid = made_uuid(VENDOR, node.identity, function.address)
    model = f"{function.vendor:04x}:{function.device:04x}"
    numa = numa_node(node.sysfs, function.address)
    info = info_labels(pci_bus_id=function.address, numa_node="" if numa is None else str(numa), class_="gpu")
    return Identity(Device(uuid, function.address, VENDOR, model, _aliases(uuid, function.address, "")), info)


def passed_through(function: PciFunction, node: Node, known: Identity | None) -> Identity:
    """The identity of a device that belongs to a virtual machine, or can be given to one.

    Args:
        function: Its PCI function.
        node: The machine.
        known: What was known of it while NVIDIA's driver had it; None if nothing was. Its device file is gone.
    """
    identity = known or from_pci(function, node)
    names = passthrough.aliases(node.sysfs, function.address, RESOURCE_PREFIX)
    aliases = names | {Alias(identity.device.uuid)}
    return Identity(replace(identity.device, aliases=aliases), identity.info)


def _text(handle: Handle, address: str, faults: list[Fault], read: Callable[[Handle], str]) -> str:
    try:
        answer = read(handle).strip()
    except (UnsupportedError, NoDataError):
        return ""
    except UnavailableError as error:
        faults.append(Fault(error.reason, address, str(error)))
        return ""
    return "" if answer.lower() in _ABSENT_TEXTS else answer


def _aliases(uuid: str, address: str, minor: str) -> frozenset[Alias]:
    """The uuid, the PCI address as written by the kernel and by NVML, and the names with the device file's number.

    The device file is in the files that describe a claim's devices to container runtimes; its name without a path is
    the id of GKE's plugin. NVIDIA's DRA driver writes `gpu-<minor>`: `CanonicalName` of GpuInfo in its
    `cmd/gpu-kubelet-plugin/deviceinfo.go`, https://github.com/kubernetes-sigs/dra-driver-nvidia-gpu. The index is not
    an alias, because drivers renumber devices. Without a PCI address, it is the GPU of a Jetson.
    """
    names = {Alias(name) for name in (uuid, *spellings(address))}
    if parse_address(address) is None:
        names.add(Alias(_TEGRA, RESOURCE_PREFIX))
    if minor:
        names |= {
            Alias(f"nvidia{minor}", RESOURCE_PREFIX),
            Alias(f"/dev/nvidia{minor}"),
            Alias(f"gpu-{minor}", DRA_DRIVER),
        }
    return frozenset(names)
