"""Finds and identifies devices: compares those that NVML lists with those on the PCI bus."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from collectors.contract import CollectorError, Device, DeviceLostError, Fault, Node, Reason
from collectors.nvidia import identity
from collectors.nvidia.errors import READING_ERRORS, DeviceRefusedError, fault_of
from collectors.nvidia.identity import Identity
from collectors.nvidia.nvml import Handle, Nvml
from collectors.passthrough import passed_through
from collectors.pci import PciFunction, undriven

_DRIVER = "nvidia"
_FAILED_DEVICE = (DeviceLostError, DeviceRefusedError)
_UNLISTED = (
    "bound to the nvidia driver, but the library does not list it; reset the device, or set NVIDIA_VISIBLE_DEVICES=all "
    "for this container"
)


@dataclass(slots=True)
class DeviceEntry:
    """A device that exists.

    Attributes:
        identity: Its identity.
        handle: The handle for calls; None if the library returned none.
        lost: True after it stopped answering, until it is found again.
        asleep: True while it must not be read, because that would wake it.
    """

    identity: Identity
    handle: Handle | None
    lost: bool = False
    asleep: bool = False

    @property
    def device(self) -> Device:
        """The device as the contract defines it."""
        return replace(self.identity.device, lost=self.lost)


def bound_addresses(functions: Iterable[PciFunction]) -> frozenset[str]:
    """Addresses of the functions bound to NVIDIA's driver, which the library should therefore list.

    Virtual functions of a vGPU host are not included: they are bound to the driver, but belong to virtual machines.
    """
    return frozenset(function.address for function in functions if function.driver == _DRIVER and not function.virtual)


def undriven_faults(functions: Iterable[PciFunction]) -> list[Fault]:
    """A fault for each function that NVIDIA's driver should drive and does not.

    Args:
        functions: NVIDIA's display functions on the PCI bus.
    """
    return [
        Fault(Reason.DRIVER_NOT_LOADED, function.address, _why_undriven(function))
        for function in undriven(functions, _DRIVER)
    ]


def _why_undriven(function: PciFunction) -> str:
    """Why it is not read, and what to do, for people."""
    if function.driver is None:
        return (
            "an NVIDIA GPU on the PCI bus without a driver: load the nvidia kernel module, or bind it; if the module "
            "has refused it, the kernel log has the reason"
        )
    return f"an NVIDIA GPU bound to {function.driver}: bind it to nvidia, or to vfio-pci to give it to a machine"


class DeviceTable:
    """The devices of a node over all sessions. A device keeps its identity when it stops answering.

    Args:
        node: The machine.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[str, Identity] = {}
        self._address_by_index: dict[int, str] = {}
        self._complete = True
        self.entries: tuple[DeviceEntry, ...] = ()

    @property
    def empty(self) -> bool:
        """True if no device was ever found."""
        return not self._known

    @property
    def any_lost(self) -> bool:
        """True while a device is lost, so that enumerating again can find it back."""
        return any(entry.lost for entry in self.entries)

    @property
    def needs_rescan(self) -> bool:
        """True while a device is lost or failed to enumerate, so that enumerating again can find a change."""
        return not self._complete or self.any_lost

    def new_session(self) -> None:
        """Forget handles and indices: they are valid in one session only."""
        self._address_by_index.clear()
        self.entries = ()

    def set_asleep(self, addresses: Collection[str]) -> None:
        """Mark the devices at these addresses as asleep, and all others as awake."""
        for entry in self.entries:
            entry.asleep = entry.identity.device.device in addresses

    def bound_entries(self, functions: Sequence[PciFunction]) -> list[DeviceEntry]:
        """The devices bound to NVIDIA's driver, without any call to NVML: as last identified, else from their address.

        Args:
            functions: NVIDIA's display functions on the PCI bus.
        """
        bound = bound_addresses(functions)
        return [
            DeviceEntry(self._known.get(function.address) or identity.from_pci(function, self._node), None, asleep=True)
            for function in functions
            if function.address in bound
        ]

    def passed_through_entries(self, functions: Sequence[PciFunction]) -> list[DeviceEntry]:
        """The devices that VFIO can pass to virtual machines, without any call to NVML.

        Args:
            functions: NVIDIA's display functions on the PCI bus.
        """
        return [
            DeviceEntry(identity.passed_through(each, self._node, self._known.get(each.address)), None)
            for each in passed_through(functions)
        ]

    def enumerate(self, nvml: Nvml, count: int, functions: Sequence[PciFunction]) -> list[Fault]:
        """Find all devices and read their fixed properties. A failing device does not affect the others.

        Args:
            nvml: The open library.
            count: Number of devices that it lists.
            functions: NVIDIA's display functions on the PCI bus.

        Returns:
            Failed, lost and vanished devices.

        Raises:
            SessionError: The session is over.
        """
        faults: list[Fault] = []
        entries: dict[str, DeviceEntry] = {}
        errors: dict[int, CollectorError] = {}
        for index in range(count):
            try:
                entry = self._read_entry(nvml, index, entries, faults)
            except READING_ERRORS as error:
                errors[index] = error
            else:
                entries[entry.identity.device.device] = entry
                self._address_by_index[index] = entry.identity.device.device
        unlocated = self._add_failed(errors, entries, faults)
        self._add_unlisted(unlocated, functions, entries, faults)
        self._known |= {address: entry.identity for address, entry in entries.items()}
        self.entries = tuple(entries[address] for address in sorted(entries))
        self._complete = not faults
        return faults

    def _read_entry(self, nvml: Nvml, index: int, entries: dict[str, DeviceEntry], faults: list[Fault]) -> DeviceEntry:
        handle = nvml.device(index)
        used_uuids = {entry.identity.device.uuid for entry in entries.values()}
        fresh = identity.read(nvml, handle, index, self._node, used_uuids, faults)
        known = self._known.get(fresh.device.device)
        return DeviceEntry(fresh if known is None else identity.completed(fresh, known, self._node, used_uuids), handle)

    def _add_failed(
        self, errors: dict[int, CollectorError], entries: dict[str, DeviceEntry], faults: list[Fault]
    ) -> list[CollectorError]:
        """Keep the devices last listed at these indices in this session. Returns the errors of the others."""
        unlocated = []
        for index, error in errors.items():
            address = self._address_by_index.get(index)
            faults.append(fault_of(error, address or f"device at index {index}"))
            if address is None:
                unlocated.append(error)
            elif address not in entries:
                entries[address] = DeviceEntry(self._known[address], None, lost=isinstance(error, _FAILED_DEVICE))
        return unlocated

    def _add_unlisted(
        self,
        unlocated: Sequence[CollectorError],
        functions: Sequence[PciFunction],
        entries: dict[str, DeviceEntry],
        faults: list[Fault],
    ) -> None:
        if not all(isinstance(error, _FAILED_DEVICE) for error in unlocated):
            return  # a device that works but may not be opened would be reported as lost
        detail = (
            f"bound to the nvidia driver, but the library cannot open it ({unlocated[0]})" if unlocated else _UNLISTED
        )
        missing = bound_addresses(functions) - entries.keys()
        for function in functions:
            if function.address in missing:
                known = self._known.get(function.address) or identity.from_pci(function, self._node)
                entries[function.address] = DeviceEntry(known, None, lost=True)
                faults.append(Fault(Reason.DEVICE_LOST, function.address, detail))
        if not unlocated:
            self._report_vanished(functions, entries, faults)

    def _report_vanished(
        self, functions: Sequence[PciFunction], entries: dict[str, DeviceEntry], faults: list[Fault]
    ) -> None:
        for address in self._known.keys() - entries.keys() - {function.address for function in functions}:
            detail = "no longer listed by the library or on the PCI bus; if it was removed, restart the exporter"
            faults.append(Fault(Reason.DEVICES_VANISHED, address, detail))
