"""Who a device is: its uuid, its names, its fixed properties."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from collectors.catalog import INFO
from collectors.contract import Alias, Device, Fault, Node, UnavailableError, UnsupportedError
from collectors.identity import made_uuid
from collectors.nvidia.errors import InvalidValueError, NoDataError
from collectors.nvidia.nvml import Handle, Nvml
from collectors.pci import PciFunction, numa_node, parse_address, spellings

VENDOR = "nvidia"
RESOURCE_PREFIX = "nvidia.com/"

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
    13: "rubin",
}
_ABSENT_TEXTS = frozenset({"", "n/a", "[n/a]", "unknown", "unknown error"})


@dataclass(frozen=True, slots=True)
class Identity:
    """What does not change while a device is in its slot.

    Attributes:
        device: As the contract knows it, not lost.
        info: Values of the info row's labels, in its order; empty where unknown.
        minor: N of /dev/nvidiaN; None where unknown.
    """

    device: Device
    info: tuple[str, ...]
    minor: int | None = None


def info_labels(**known: str) -> tuple[str, ...]:
    """Values for the info row's labels, in its order; empty where not given. `class` is written `class_`."""
    return tuple(known.get(label.name, known.get(f"{label.name}_", "")) for label in INFO.labels)


def read(
    nvml: Nvml, handle: Handle, index: int, node: Node, used_uuids: Collection[str], faults: list[Fault]
) -> Identity:
    """Read who a device is. Only its PCI address has to be known; what else fails is left out.

    Args:
        nvml: The open library.
        handle: The device.
        index: Where the library lists it.
        node: The machine, for NUMA nodes and made-up uuids.
        used_uuids: The uuids of other devices; one of these is not accepted again.
        faults: Receives what failed.

    Raises:
        DeviceLostError: It does not answer.
        UnavailableError: Its address is unknown.
        SessionError: The session is over.
    """
    if (location := parse_address(nvml.pci_bus_id(handle))) is None:
        raise InvalidValueError("nvmlDeviceGetPciInfo: the answer is not a PCI address")
    address = str(location)

    text = partial(_text, handle, address, faults)
    uuid = text(nvml.uuid)
    if not uuid or uuid in used_uuids:
        uuid = made_uuid(VENDOR, node.identity, address)
    minor = text(lambda it: str(nvml.minor(it)))
    numa = numa_node(node.sysfs, address)
    info = info_labels(
        index=str(index),
        pci_bus_id=address,
        serial=text(nvml.serial),
        driver_version=text(lambda _: nvml.driver_version()),
        firmware_version=text(nvml.vbios_version),  # not the GSP's, which comes with the driver and has its version
        architecture=text(lambda it: _ARCHITECTURES.get(nvml.architecture(it), "")),
        numa_node="" if numa is None else str(numa),
        class_="gpu",
    )
    device = Device(uuid, address, VENDOR, text(nvml.name), _aliases(uuid, address, minor))
    return Identity(device, info, int(minor) if minor else None)


def from_pci(function: PciFunction, node: Node) -> Identity:
    """The identity of a device the library has never listed, made from its place in the machine."""
    uuid = made_uuid(VENDOR, node.identity, function.address)
    model = f"{function.vendor:04x}:{function.device:04x}"
    numa = numa_node(node.sysfs, function.address)
    info = info_labels(pci_bus_id=function.address, numa_node="" if numa is None else str(numa), class_="gpu")
    return Identity(Device(uuid, function.address, VENDOR, model, _aliases(uuid, function.address, "")), info)


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
    """Uuid, the PCI address as the kernel and as NVML write it, and the device file's name as GKE uses it.

    The index is not among them: drivers renumber it.
    """
    names = {Alias(name) for name in (uuid, *spellings(address))}
    if minor:
        names.add(Alias(f"nvidia{minor}", RESOURCE_PREFIX))
    return frozenset(names)
