"""Finds and identifies devices: compares those that NVML lists with those on the PCI bus.

Each device is asked by a call about it. So one that hangs does not hide the others.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from collectors.contract import CollectorError, Device, DeviceLostError, Fault, Node, Reason
from collectors.device_calls import DeviceCalls, StuckError
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
        stuck: True if the library has not returned from identifying it.
    """

    identity: Identity
    handle: Handle | None
    lost: bool = False
    asleep: bool = False
    stuck: bool = False

    @property
    def device(self) -> Device:
        """The device as the contract defines it."""
        device = self.identity.device
        return device if device.lost == self.lost else replace(device, lost=self.lost)


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


# Where a device is looked up: its index in the list of the library, or its PCI address.
Place = int | str


class DeviceTable:
    """The devices of a node over all sessions. A device keeps its identity when it stops answering.

    Args:
        node: The machine.
        calls: Makes the calls about single devices.
    """

    def __init__(self, node: Node, calls: DeviceCalls) -> None:
        self._node = node
        self._calls = calls
        self._known: dict[str, Identity] = {}
        self._address_by_index: dict[int, str] = {}
        self._places: Sequence[Place] = ()  # at the last enumeration
        self._places_last = False  # whether the places mean what they meant then, as the same places show
        self._complete = True
        self.entries: tuple[DeviceEntry, ...] = ()

    @property
    def empty(self) -> bool:
        """True if no device was ever found."""
        return not self._known

    @property
    def any_missing(self) -> bool:
        """True while a device is lost or could not be identified, so that enumerating again can find it back."""
        return any(entry.lost or entry.stuck for entry in self.entries)

    @property
    def needs_rescan(self) -> bool:
        """True while a device is lost or failed to enumerate, so that enumerating again can find a change."""
        return not self._complete or self.any_missing

    def new_session(self) -> None:
        """Forget handles and indices: they are valid in one session only."""
        self._address_by_index.clear()
        self.entries = ()

    def set_asleep(self, addresses: Collection[str]) -> None:
        """Mark the devices at these addresses as asleep, and all others as awake."""
        for entry in self.entries:
            entry.asleep = entry.identity.device.device in addresses

    def closed_entries(self, functions: Sequence[PciFunction]) -> list[DeviceEntry]:
        """Devices that are not opened, without any call to NVML: as last identified, else from their address.

        Args:
            functions: Their PCI functions.
        """
        return [
            DeviceEntry(self._known.get(function.address) or identity.from_pci(function, self._node), None, asleep=True)
            for function in functions
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

    def enumerate(
        self,
        nvml: Nvml,
        places: Sequence[Place],
        functions: Sequence[PciFunction],
        released: Collection[str] = (),
    ) -> list[Fault]:
        """Find all devices and read their fixed properties. A failing device does not affect the others.

        Args:
            nvml: The open library.
            places: Where it is to look for them.
            functions: NVIDIA's display functions on the PCI bus.
            released: The addresses of those that must not be opened, and are in none of the places.

        Returns:
            Failed, lost and vanished devices.

        Raises:
            SessionError: The session is over.
        """
        self._places_last, self._places = places == self._places, places
        faults: list[Fault] = []
        entries: dict[str, DeviceEntry] = {}
        errors: dict[Place, CollectorError] = {}
        for place in places:
            try:
                entry = self._read_entry(nvml, place, entries, faults)
            except (*READING_ERRORS, StuckError) as error:
                errors[place] = error
            else:
                entries[entry.identity.device.device] = entry
        unlocated = self._add_failed(errors, entries, faults)
        self._add_unlisted(unlocated, [each for each in functions if each.address not in released], entries, faults)
        if not unlocated:
            self._report_vanished({each.address for each in functions}.union(entries, released), faults)
        self._known |= {address: entry.identity for address, entry in entries.items()}
        self.entries = tuple(entries[address] for address in sorted(entries))
        self._complete = not (faults or errors)
        return faults

    def _read_entry(
        self, nvml: Nvml, place: Place, entries: dict[str, DeviceEntry], faults: list[Fault]
    ) -> DeviceEntry:
        used_uuids = {entry.identity.device.uuid for entry in entries.values()}
        # A device whose index may be another now must not be taken for a stuck one.
        certain = isinstance(place, str) or self._places_last
        last = self._known.get(self._last_address_at(place) or "") if certain else None
        name = _at(place) if last is None else last.device.uuid
        handle, fresh, more = self._calls.run(name, partial(_identify, nvml, place, self._node, used_uuids))
        faults += more
        if isinstance(place, int):
            self._address_by_index[place] = fresh.device.device
        known = self._known.get(fresh.device.device)
        return DeviceEntry(fresh if known is None else identity.completed(fresh, known, self._node, used_uuids), handle)

    def _last_address_at(self, place: Place) -> str | None:
        """The address of the device last found at a place in this session, or of the known device at this address."""
        if isinstance(place, str):
            return place if place in self._known else None
        return self._address_by_index.get(place)

    def _add_failed(
        self, errors: dict[Place, CollectorError], entries: dict[str, DeviceEntry], faults: list[Fault]
    ) -> list[CollectorError]:
        """Keep the devices last found at these places in this session. Returns the errors of the others."""
        unlocated = []
        before = {entry.identity.device.device: entry for entry in self.entries}
        for place, error in errors.items():
            if isinstance(error, StuckError) and isinstance(place, int) and not self._places_last:
                self._address_by_index.pop(place, None)
            address = self._last_address_at(place)
            if address is None:
                unlocated.append(error)
            elif address not in entries:
                entries[address] = DeviceEntry(self._known[address], None, lost=isinstance(error, _FAILED_DEVICE))
                if isinstance(error, StuckError):  # its handle is still that of this session
                    entries[address] = before.get(address) or replace(entries[address], stuck=True)
            if not isinstance(error, StuckError):
                faults.append(fault_of(error, address or _at(place)))
        return unlocated

    def _add_unlisted(
        self,
        unlocated: Sequence[CollectorError],
        functions: Sequence[PciFunction],
        entries: dict[str, DeviceEntry],
        faults: list[Fault],
    ) -> None:
        if not all(isinstance(error, (*_FAILED_DEVICE, StuckError)) for error in unlocated):
            return  # a device that works but may not be opened would be reported as lost
        hung = [error for error in unlocated if isinstance(error, StuckError)]
        detail = (
            f"bound to the nvidia driver, but the library cannot open it ({unlocated[0]})" if unlocated else _UNLISTED
        )
        missing = bound_addresses(functions) - entries.keys()
        for function in functions:
            if function.address in missing:
                known = self._known.get(function.address) or identity.from_pci(function, self._node)
                entries[function.address] = DeviceEntry(known, None, lost=not hung, stuck=bool(hung))
                if not hung:
                    faults.append(Fault(Reason.DEVICE_LOST, function.address, detail))
        if hung and not missing:
            faults.append(fault_of(hung[0], "devices"))

    def _report_vanished(self, present: Collection[str], faults: list[Fault]) -> None:
        for address in self._known.keys() - present:
            detail = "no longer listed by the library or on the PCI bus; if it was removed, restart the exporter"
            faults.append(Fault(Reason.DEVICES_VANISHED, address, detail))


def _at(place: Place) -> str:
    """The name of a device that is not known."""
    return place if isinstance(place, str) else f"device at index {place}"


def _identify(
    nvml: Nvml, place: Place, node: Node, used_uuids: Collection[str]
) -> tuple[Handle, Identity, list[Fault]]:
    """The handle and the identity of a device, and the readings that failed."""
    faults: list[Fault] = []
    index: int | None = None
    if isinstance(place, int):
        handle, index = nvml.device(place), place
    else:
        handle = nvml.device_at(place)
        with suppress(*READING_ERRORS):
            index = nvml.index(handle)
    return handle, identity.read(nvml, handle, index, node, used_uuids, faults), faults
