"""PCI functions as the kernel lists them in sysfs: what sits in the machine, whether or not a library sees it.

Source: the kernel's `Documentation/ABI/testing/sysfs-bus-pci`.
"""

import re
from dataclasses import dataclass

from collectors.sysfs import Root

_DEVICES = ("bus", "pci", "devices")
_DISPLAY_CLASS = 0x03
_PARTS = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])")


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One PCI function.

    Attributes:
        address: In the kernel's spelling, `0000:3b:00.0`.
        vendor: PCI vendor id.
        device: PCI device id.
        pci_class: The 24-bit class code; its top byte is the base class.
        driver: The driver it is bound to; None while unbound.
        virtual: True for a virtual function whose physical function is on this machine.
    """

    address: str
    vendor: int
    device: int
    pci_class: int
    driver: str | None
    virtual: bool

    @property
    def is_display(self) -> bool:
        """True for display controllers, 3D controllers (compute cards) among them."""
        return self.pci_class >> 16 == _DISPLAY_CLASS

    @property
    def passed_through(self) -> bool:
        """True while it is kept for a virtual machine: bound to vfio-pci or a vendor's variant of it."""
        return self.driver is not None and "vfio" in self.driver


def functions_of(sysfs: Root, vendor: int) -> tuple[PciFunction, ...]:
    """The PCI functions of one vendor, ordered by address; none where sysfs has no PCI bus.

    Args:
        sysfs: The root of the host's `/sys`.
        vendor: PCI vendor id, such as 0x10de.
    """
    listed = (_function(sysfs, address, vendor) for address in sysfs.names(*_DEVICES))
    return tuple(function for function in listed if function is not None)


def numa_node(sysfs: Root, address: str) -> int | None:
    """The NUMA node a PCI function is attached to; None where the platform does not tell (the kernel says -1)."""
    node = _number(sysfs.text(*_DEVICES, address, "numa_node"), base=10)
    return node if node is not None and node >= 0 else None


def kernel_spelling(address: str) -> str | None:
    """A PCI address as sysfs spells it: lower case, a domain of at least four digits; None if it is none.

    Args:
        address: In any spelling, such as NVML's `00000000:3B:00.0`.
    """
    parts = _PARTS.fullmatch(address.strip())
    if parts is None:
        return None
    domain, bus, device, function = parts.groups()
    return f"{int(domain, 16):04x}:{bus}:{device}.{function}".lower()


def _function(sysfs: Root, address: str, vendor: int) -> PciFunction | None:
    if _number(sysfs.text(*_DEVICES, address, "vendor")) != vendor:
        return None
    device = _number(sysfs.text(*_DEVICES, address, "device"))
    pci_class = _number(sysfs.text(*_DEVICES, address, "class"))
    if device is None or pci_class is None:
        return None
    driver = sysfs.link_name(*_DEVICES, address, "driver")
    virtual = sysfs.link_name(*_DEVICES, address, "physfn") is not None
    return PciFunction(address, vendor, device, pci_class, driver, virtual)


def _number(text: str | None, base: int = 16) -> int | None:
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None
