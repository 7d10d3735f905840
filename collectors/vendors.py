"""What is known of accelerator vendors before their collectors speak: names for PCI ids, and what hides devices."""

from dataclasses import dataclass

from collectors.pci import PciFunction

_VGA = 0x0300
_COMPUTE_CARD = 0x0302
_OTHER_DISPLAY = 0x0380
_PROCESSING_ACCELERATORS = 0x12


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable by which a container runtime decides which devices a container sees.

    Attributes:
        name: Of the variable.
        shows_all: The value that hides nothing.
        shows: What may be hidden from the container without it.
    """

    name: str
    shows_all: str
    shows: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor of accelerators.

    Attributes:
        name: Lower case, one word, as collectors write it in `Device.vendor`.
        title: For people.
        pci_id: PCI vendor id.
        graphics: True where its display controllers are accelerators, and not the picture of a server's console.
        variables: What hides its devices from a container.
    """

    name: str
    title: str
    pci_id: int
    graphics: bool = False
    variables: tuple[Variable, ...] = ()


# Source of the ids: the registry of the PCI special interest group, as in `pci.ids`.
VENDORS: tuple[Vendor, ...] = (
    Vendor("amd", "AMD", 0x1002, graphics=True),
    Vendor("cambricon", "Cambricon", 0xCABC),
    Vendor("furiosa", "FuriosaAI", 0x1ED2),
    Vendor("google", "Google", 0x1AE0),
    Vendor("habana", "Habana Labs", 0x1DA3),
    Vendor("huawei", "Huawei", 0x19E5),
    Vendor("intel", "Intel", 0x8086, graphics=True),
    Vendor("moorethreads", "Moore Threads", 0x1ED5, graphics=True),
    Vendor(
        "nvidia",
        "NVIDIA",
        0x10DE,
        graphics=True,
        variables=(
            Variable("NVIDIA_VISIBLE_DEVICES", "all", "devices of the node"),
            Variable("NVIDIA_MIG_MONITOR_DEVICES", "all", "MIG instances of its devices"),
        ),
    ),
    Vendor("qualcomm", "Qualcomm", 0x17CB),
    Vendor("rebellions", "Rebellions", 0x1EFF),
    Vendor("tenstorrent", "Tenstorrent", 0x1E52),
)


def vendor_of(pci_id: int) -> Vendor | None:
    """The vendor of a PCI id; None for one that is not known to make accelerators."""
    return next((vendor for vendor in VENDORS if vendor.pci_id == pci_id), None)


def is_accelerator(function: PciFunction) -> bool:
    """True for compute cards and processing accelerators of anybody, and for display controllers that compute."""
    subclass = function.pci_class >> 8
    if subclass == _COMPUTE_CARD or subclass >> 8 == _PROCESSING_ACCELERATORS:
        return True
    vendor = vendor_of(function.vendor)
    return subclass in (_VGA, _OTHER_DISPLAY) and vendor is not None and vendor.graphics
