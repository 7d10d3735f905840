"""PCI addresses, and the PCI functions that the kernel lists in sysfs, independent of any vendor library.

Source: the kernel's `Documentation/ABI/testing/sysfs-bus-pci`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from collectors.sysfs import Root

_DEVICES = ("bus", "pci", "devices")
_DISPLAY_CLASS = 0x03
# Drivers without "vfio" in their name that reserve a function for a virtual machine. Sources: the kernel's
# `drivers/pci/pci-stub.c` and `drivers/xen/xen-pciback/pci_stub.c`.
_RESERVING = frozenset({"pci-stub", "pciback"})
_ADDRESS = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})\.([0-7])")


class PciAddress(NamedTuple):
    """The address of a PCI function. Its text form is that of the kernel, `0000:3b:00.0`."""

    domain: int
    bus: int
    device: int
    function: int

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.in_domain}"

    @property
    def in_domain(self) -> str:
        """The address without its domain, `3b:00.0`."""
        return f"{self.bus:02x}:{self.device:02x}.{self.function}"


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One PCI function.

    Attributes:
        address: The PCI address as the kernel writes it, `0000:3b:00.0`.
        vendor: PCI vendor id.
        device: PCI device id.
        pci_class: The 24-bit class code; its top byte is the base class.
        driver: The driver it is bound to; None if unbound.
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
        """True for display controllers, including 3D controllers (compute cards)."""
        return self.pci_class >> 16 == _DISPLAY_CLASS

    @property
    def passed_through(self) -> bool:
        """True while it is reserved for a virtual machine: bound to vfio-pci, a vendor's variant of it, or a stub."""
        return self.driver is not None and ("vfio" in self.driver or self.driver in _RESERVING)


def parse_address(text: str) -> PciAddress | None:
    """A PCI address in any spelling, such as NVML's `00000000:3B:00.0`; None if the text is not a PCI address."""
    parts = _ADDRESS.fullmatch(text.strip())
    return None if parts is None else PciAddress(*(int(part, 16) for part in parts.groups()))


def spellings(address: str) -> frozenset[str]:
    """A PCI address as the kernel writes it and as NVML writes it, with eight digits for the domain.

    Args:
        address: The address as the kernel writes it.
    """
    parsed = parse_address(address)
    return frozenset({address} if parsed is None else {address, f"{parsed.domain:08x}:{parsed.in_domain}"})


def functions_of(sysfs: Root, vendor: int | None = None) -> tuple[PciFunction, ...]:
    """PCI functions, ordered by address; empty if sysfs has no PCI bus.

    Args:
        sysfs: The root of the host's `/sys`.
        vendor: PCI vendor id, such as 0x10de; None for the functions of every vendor.
    """
    listed = (_function(sysfs, address, vendor) for address in sysfs.names(*_DEVICES))
    return tuple(function for function in listed if function is not None)


def undriven(functions: Iterable[PciFunction], driver: str) -> tuple[PciFunction, ...]:
    """The functions that a driver should drive but does not, in their order.

    They have no driver, because it is not loaded or has refused them, or another one. Functions for virtual machines
    are not included: those that are passed through, and virtual functions.

    Args:
        functions: The functions that it should drive.
        driver: Its name.
    """
    return tuple(each for each in functions if each.driver != driver and not each.passed_through and not each.virtual)


def numa_node(sysfs: Root, address: str) -> int | None:
    """The NUMA node a PCI function is attached to; None if the platform does not report it (the kernel shows -1)."""
    node = _number(sysfs.text(*_DEVICES, address, "numa_node"), base=10)
    return node if node is not None and node >= 0 else None


def _function(sysfs: Root, address: str, wanted: int | None) -> PciFunction | None:
    vendor = _number(sysfs.text(*_DEVICES, address, "vendor"))
    if vendor is None or wanted not in (None, vendor):
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
