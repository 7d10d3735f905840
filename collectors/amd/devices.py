"""Which GPUs exist: those that amdgpu drives, compared with those it drove before and with the PCI bus.

The files of one GPU are read by a call about it, named by its address. So a file that blocks costs its own GPU only.
"""

from dataclasses import dataclass
from functools import partial

from collectors.amd import gpu_paths, identity
from collectors.amd.gpu_paths import PCI_DEVICES, GpuPaths
from collectors.amd.identity import Identity, KnownUuids
from collectors.amd.kfd import Topology
from collectors.amd.names import DRIVER, PCI_VENDOR
from collectors.contract import AbsentError, Device, Fault, Node, Reason, UnavailableError
from collectors.device_calls import DeviceCalls, StuckError
from collectors.passthrough import passed_through
from collectors.pci import PciFunction, functions_of, undriven
from collectors.vendors import is_accelerator

_MODULE = ("module", DRIVER)
# AMD's driver for hosts of virtual machines: it splits a GPU into virtual functions.
# Source: https://github.com/amd/MxGPU-Virtualization.
_GIM = "gim"


@dataclass(slots=True)
class DeviceEntry:
    """A GPU that exists.

    Attributes:
        identity: Its identity.
        paths: Where its files are; None while it is lost.
        stuck: Whether its files could not be looked for, or its identity not be read, because a call has not returned.
    """

    identity: Identity
    paths: GpuPaths | None
    stuck: bool = False

    @property
    def address(self) -> str:
        """Its PCI address, by which the calls about it are named: its uuid may not be known yet."""
        return self.identity.device.device


class DeviceTable:
    """The GPUs of a node. A GPU keeps its identity when it is no longer bound to the driver.

    Args:
        node: The machine.
        calls: Makes the calls about single GPUs.
    """

    def __init__(self, node: Node, calls: DeviceCalls) -> None:
        self._node = node
        self._calls = calls
        self._known: dict[str, Identity] = {}
        self._paths: dict[str, GpuPaths] = {}
        self._changed: frozenset[str] = frozenset()
        self._bindings: dict[str, int] = {}
        self._incomplete: set[str] = set()  # addresses of GPUs whose identity could not be read completely
        self._unlocated: set[str] = set()  # those whose call to find their files has not returned
        self._unidentified: set[str] = set()  # those whose call to read their identity has not returned
        self.entries: tuple[DeviceEntry, ...] = ()
        self.passed_through: tuple[Identity, ...] = ()
        self.released: frozenset[str] = frozenset()  # addresses of GPUs whose files must not be opened

    def locate(self, *, full: bool) -> tuple[GpuPaths, ...]:
        """Find the GPUs that amdgpu drives.

        Args:
            full: Also find changes of the GPUs that were present before.

        Raises:
            AbsentError: This node has no GPUs.
            UnavailableError: It has GPUs without a driver.
        """
        bound = gpu_paths.bound_addresses(self._node.sysfs) - self.released
        if full:
            self.passed_through = self._find_passed_through()
        if not (bound or self.passed_through or self.closed()):
            self._raise_absence()
        before = self._paths
        self._unlocated &= bound
        self._unidentified &= bound
        self._paths = {address: self._locate(address, before.get(address), full=full) for address in sorted(bound)}
        self._changed = frozenset(
            address for address in before.keys() | bound if before.get(address) != self._paths.get(address)
        )
        for address, paths in self._paths.items():
            if _is_bound_again(before.get(address), paths):
                self._bindings[address] = self._bindings.get(address, 0) + 1
        return tuple(self._paths.values())

    def closed(self) -> list[DeviceEntry]:
        """The released GPUs on the bus, as last identified; those that are passed through are not among them."""
        passed = {each.device.device for each in self.passed_through}
        sysfs = self._node.sysfs
        return [
            DeviceEntry(self._known[address], gpu_paths.unlocated(sysfs, address))
            for address in sorted(self.released & self._known.keys() - passed)
            if sysfs.text(*PCI_DEVICES, address, "vendor") is not None
        ]

    def any_of(self, addresses: frozenset[str]) -> bool:
        """Whether one of these addresses is that of a GPU that amdgpu drives or has driven."""
        return bool(addresses & (self._known.keys() | gpu_paths.bound_addresses(self._node.sysfs)))

    def sessions(self) -> dict[str, int]:
        """How often each GPU has been bound to the driver since the start, by uuid. It restarts the GPU's counters."""
        bound = ((address, count) for address, count in self._bindings.items() if address in self._known)
        return {self._known[address].device.uuid: count for address, count in bound}

    def identify(self, topology: Topology | None, *, full: bool) -> list[Fault]:
        """List the GPUs just located, and those that are no longer bound to amdgpu.

        Args:
            topology: The nodes of the compute driver; None if unknown.
            full: Report lost and vanished GPUs again.
        """
        faults: list[Fault] = []
        for address, paths in self._paths.items():
            known = self._known.get(address)
            again = full and (address in self._incomplete or (known is not None and not known.architecture))
            if known is None or address in self._changed or address in self._unidentified or again:
                self._known[address] = self._read(paths, known, topology, faults)
        stuck = self._unlocated | self._unidentified
        entries = [DeviceEntry(self._known[address], paths, address in stuck) for address, paths in self._paths.items()]
        missing = sorted(self._known.keys() - self._paths.keys() - self.released)
        reasons = [(address, self._missing_reason(address)) for address in missing]
        entries += [
            DeviceEntry(self._known[address], None) for address, reason in reasons if reason is Reason.DEVICE_LOST
        ]
        self.entries = tuple(sorted(entries, key=lambda entry: entry.identity.device.device))
        reported = [(address, reason) for address, reason in reasons if full or address in self._changed]
        faults += [Fault(reason, address, _DETAILS[reason]) for address, reason in reported if reason is not None]
        reported_anyway = self.released.union(address for address, reason in reasons if reason)
        return faults + (self._undriven_faults(reported_anyway) if full else [])

    def changed(self) -> tuple[Device, ...]:
        """The GPUs that appeared, disappeared or changed, and whose readings must all be queried again."""
        return tuple(self._known[address].device for address in self._changed if address in self._known)

    def _locate(self, address: str, known: GpuPaths | None, *, full: bool) -> GpuPaths:
        if known is not None and not full and address not in self._unlocated:
            return known
        self._unlocated.discard(address)
        try:
            return self._calls.run(address, partial(gpu_paths.locate, self._node.sysfs, address))
        except StuckError:
            self._unlocated.add(address)
            return known or gpu_paths.unlocated(self._node.sysfs, address)

    def _read(
        self, paths: GpuPaths, known: Identity | None, topology: Topology | None, faults: list[Fault]
    ) -> Identity:
        address = paths.address
        others = {each.device.uuid for other, each in self._known.items() if other != address}
        complete = None if address in self._incomplete else known
        own = "" if complete is None else complete.device.uuid
        read = partial(_identify, paths, self._node, topology, KnownUuids(own, others))
        self._unidentified.discard(address)
        try:
            fresh, new_faults = self._calls.run(address, read)
        except StuckError:
            self._unidentified.add(address)
            if known is not None:
                return known
            self._incomplete.add(address)
            return identity.of_address(address, self._node)
        faults += new_faults
        if not new_faults:
            self._incomplete.discard(address)
            return fresh
        if complete is not None:  # only this time: its model and serial number have not changed
            return identity.completed(fresh, complete)
        self._incomplete.add(address)
        return fresh

    def _missing_reason(self, address: str) -> Reason | None:
        """Why amdgpu no longer drives a GPU; None if it is bound to another driver now."""
        if self._node.sysfs.text(*PCI_DEVICES, address, "vendor") is None:
            return Reason.DEVICES_VANISHED
        return Reason.DEVICE_LOST if self._node.sysfs.link_name(*PCI_DEVICES, address, "driver") is None else None

    def _find_passed_through(self) -> tuple[Identity, ...]:
        """The GPUs that VFIO can pass to virtual machines, each as last identified while amdgpu drove it."""
        functions = passed_through(filter(is_accelerator, functions_of(self._node.sysfs, PCI_VENDOR)))
        return tuple(identity.passed_through(each, self._node, self._known.get(each.address)) for each in functions)

    def _raise_absence(self) -> None:
        """Raise the reason why amdgpu drives no GPU, unless it has just lost all of them."""
        loaded = bool(self._node.sysfs.names(*_MODULE))
        if self._known and loaded:
            return
        for function in self._undriven():
            raise UnavailableError(f"{function.address}: {self._why_undriven(function)}", Reason.DRIVER_NOT_LOADED)
        raise AbsentError("no AMD GPU that amdgpu drives")

    def _undriven(self) -> list[PciFunction]:
        """The GPUs that amdgpu should drive and does not. A driver that is neither of AMD's is a choice of the user."""
        functions = filter(is_accelerator, functions_of(self._node.sysfs, PCI_VENDOR))
        return [each for each in undriven(functions, DRIVER) if each.driver in (None, _GIM)]

    def _undriven_faults(self, reported: frozenset[str]) -> list[Fault]:
        return [
            Fault(Reason.DRIVER_NOT_LOADED, function.address, self._why_undriven(function))
            for function in self._undriven()
            if function.address not in reported
        ]

    def _why_undriven(self, function: PciFunction) -> str:
        if function.driver == _GIM:
            return (
                "an AMD GPU bound to gim, which splits it for virtual machines: it cannot be read on this node; bind "
                "it to amdgpu, or to vfio-pci to give it to a machine as a whole"
            )
        if not self._node.sysfs.names(*_MODULE):
            return "an AMD GPU on the PCI bus without a driver: load the amdgpu kernel module on the node"
        return (
            "an AMD GPU on the PCI bus without a driver: bind it to amdgpu; if amdgpu has refused it, the kernel log "
            "has the reason"
        )


def _identify(
    paths: GpuPaths, node: Node, topology: Topology | None, uuids: KnownUuids
) -> tuple[Identity, list[Fault]]:
    """The identity of a GPU, and the readings that failed."""
    faults: list[Fault] = []
    return identity.read(paths, node, topology, uuids, faults), faults


def _is_bound_again(before: GpuPaths | None, now: GpuPaths) -> bool:
    """Whether a GPU was bound to the driver after the last reading: each time, its sensors get a new folder.

    The new folder may have the number of the old one (`hwmon_ida` in the kernel's `drivers/hwmon/hwmon.c`).
    """
    if before is None:
        return True
    known = before.hwmon is not None and now.hwmon is not None
    return known and (before.hwmon, before.hwmon_inode) != (now.hwmon, now.hwmon_inode)


_DETAILS = {
    Reason.DEVICE_LOST: "on the PCI bus, but no longer bound to amdgpu; the kernel log has the reason",
    Reason.DEVICES_VANISHED: "no longer on the PCI bus; if it was removed, restart the exporter",
}
