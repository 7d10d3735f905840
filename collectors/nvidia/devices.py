"""Which devices exist and who they are: what NVML lists, set against what the PCI bus shows."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from collectors.contract import CollectorError, Device, DeviceLostError, Fault, Node, Reason
from collectors.nvidia import identity
from collectors.nvidia.errors import READING_ERRORS, fault_of
from collectors.nvidia.identity import Identity
from collectors.nvidia.nvml import Handle, Nvml
from collectors.pci import PciFunction

_DRIVER = "nvidia"


@dataclass(slots=True)
class Entry:
    """A device that exists.

    Attributes:
        identity: Who it is.
        handle: For asking it; None where the library gave none.
        lost: True once it stops answering, until it is found again.
        asleep: True while it is not to be asked, since that would wake it.
    """

    identity: Identity
    handle: Handle | None
    lost: bool = False
    asleep: bool = False

    @property
    def device(self) -> Device:
        """As the contract knows it."""
        return replace(self.identity.device, lost=self.lost)


def driven(functions: Iterable[PciFunction]) -> frozenset[str]:
    """Addresses of the functions bound to NVIDIA's driver, which the library therefore ought to list.

    Virtual functions of a vGPU host are bound to it too, but belong to virtual machines.
    """
    return frozenset(function.address for function in functions if function.driver == _DRIVER and not function.virtual)


class DeviceTable:
    """The devices of a node, over any number of sessions: a device keeps its identity when it stops answering.

    Args:
        node: The machine.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[str, Identity] = {}
        self._address_at: dict[int, str] = {}
        self._settled = True
        self.entries: tuple[Entry, ...] = ()

    @property
    def empty(self) -> bool:
        """True while there is no device and never was one."""
        return not self._known

    @property
    def unsettled(self) -> bool:
        """True while something is amiss, so that it pays to look again."""
        return not self._settled or any(entry.lost for entry in self.entries)

    def new_session(self) -> None:
        """Handles and indices of before mean nothing any more."""
        self._address_at.clear()
        self.entries = ()

    def note_asleep(self, addresses: Collection[str]) -> None:
        """Mark the devices at these addresses as asleep, and all others as awake."""
        for entry in self.entries:
            entry.asleep = entry.identity.device.device in addresses

    def unasked(self, functions: Sequence[PciFunction]) -> list[Entry]:
        """The devices bound to NVIDIA's driver, without asking anybody: as they were known, else by their address.

        Args:
            functions: NVIDIA's display functions on the PCI bus.
        """
        here = driven(functions)
        return [
            Entry(self._known.get(function.address) or identity.made(function, self._node), None, asleep=True)
            for function in functions
            if function.address in here
        ]

    def enumerate(self, nvml: Nvml, count: int, functions: Sequence[PciFunction]) -> list[Fault]:
        """Find every device again and read its fixed properties. One bad device never hides the others.

        Args:
            nvml: The open library.
            count: How many devices it lists.
            functions: NVIDIA's display functions on the PCI bus.

        Returns:
            What failed, what is lost, what has vanished.

        Raises:
            SessionError: The session is over.
        """
        faults: list[Fault] = []
        found: dict[str, Entry] = {}
        refused: dict[int, CollectorError] = {}
        for index in range(count):
            try:
                entry = self._ask(nvml, index, found, faults)
            except READING_ERRORS as error:
                refused[index] = error
            else:
                found[entry.identity.device.device] = entry
                self._address_at[index] = entry.identity.device.device
        nameless = self._place_refused(refused, found, faults)
        self._place_unlisted(nameless, functions, found, faults)
        self._known |= {address: entry.identity for address, entry in found.items()}
        self.entries = tuple(found[address] for address in sorted(found))
        self._settled = not faults
        return faults

    def _ask(self, nvml: Nvml, index: int, found: dict[str, Entry], faults: list[Fault]) -> Entry:
        handle = nvml.device(index)
        taken = {entry.identity.device.uuid for entry in found.values()}
        return Entry(identity.read(nvml, handle, index, self._node, taken, faults), handle)

    def _place_refused(
        self, refused: dict[int, CollectorError], found: dict[str, Entry], faults: list[Fault]
    ) -> list[CollectorError]:
        """Keep the devices that were at these indices before in this session; return the errors of the others."""
        nameless = []
        for index, error in refused.items():
            address = self._address_at.get(index)
            faults.append(fault_of(error, address or f"device at index {index}"))
            if address is None:
                nameless.append(error)
            elif address not in found:
                found[address] = Entry(self._known[address], None, lost=isinstance(error, DeviceLostError))
        return nameless

    def _place_unlisted(
        self,
        nameless: Sequence[CollectorError],
        functions: Sequence[PciFunction],
        found: dict[str, Entry],
        faults: list[Fault],
    ) -> None:
        if not all(isinstance(error, DeviceLostError) for error in nameless):
            return  # a device that is listed but may not be opened would be taken for a lost one
        missing = driven(functions) - found.keys()
        for function in functions:
            if function.address in missing:
                known = self._known.get(function.address) or identity.made(function, self._node)
                found[function.address] = Entry(known, None, lost=True)
                faults.append(
                    Fault(
                        Reason.DEVICE_LOST,
                        function.address,
                        "bound to the nvidia driver, but the library does not list it; reset the device, or show this "
                        "container all devices by NVIDIA_VISIBLE_DEVICES=all",
                    )
                )
        if not nameless:
            self._tell_vanished(functions, found, faults)

    def _tell_vanished(self, functions: Sequence[PciFunction], found: dict[str, Entry], faults: list[Fault]) -> None:
        for address in self._known.keys() - found.keys() - {function.address for function in functions}:
            detail = "gone from the library and from the PCI bus; if it was taken out, restart the exporter"
            faults.append(Fault(Reason.DEVICES_VANISHED, address, detail))
