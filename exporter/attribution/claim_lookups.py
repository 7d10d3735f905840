"""What the devices of resource claims can be looked up in, besides the names that collectors give. No I/O.

Both are optional: the CDI files need a mount, the ResourceSlices and ResourceClaims need access to the API server.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LookupsChanged:
    """There is something new to look up: in the CDI files, the ResourceSlices or the ResourceClaims."""


class FoundNodes(Protocol):
    """What the CDI files say about one device of a claim."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Its device nodes, as paths on the host; empty if there are none."""
        ...

    @property
    def missing(self) -> str:
        """Why nothing was found, a value of a closed list; empty if something was."""
        ...

    @property
    def claim_uid(self) -> str:
        """The claim's uid, if the files have an entry for this claim alone; else empty."""
        ...

    @property
    def may_have_ended(self) -> bool:
        """Whether the entry for this claim alone is not there: the driver removes it when the claim ends."""
        ...

    @property
    def as_of(self) -> float:
        """Monotonic seconds at which the files were looked at."""
        ...


class DeviceNodes(Protocol):
    """Finds the device nodes that a container gets; `CdiReader` is the real one. Called by the assembler's thread."""

    def nodes(self, cdi_devices: Sequence[str], device: str) -> FoundNodes:
        """Look up what was read before; no I/O.

        Args:
            cdi_devices: The names of CDI devices, as the kubelet lists them for one device of a claim.
            device: The driver's name of that device.
        """
        ...


class IdentifyingAttributes(Protocol):
    """The attributes of one device in a ResourceSlice."""

    @property
    def pci_bus_id(self) -> str:
        """The PCI address: of a partition that of its device. Empty if there is none."""
        ...

    @property
    def uuid(self) -> str:
        """The uuid, where it is unique; else empty."""
        ...

    @property
    def type(self) -> str:
        """The driver's word for the kind of device; empty if there is none."""
        ...


class AllocatedResult(Protocol):
    """One device that a ResourceClaim allocates."""

    @property
    def request(self) -> str:
        """The name of the claim's request."""
        ...

    @property
    def driver(self) -> str:
        """The DRA driver."""
        ...

    @property
    def pool(self) -> str:
        """The driver's pool."""
        ...

    @property
    def device(self) -> str:
        """The driver's name of the device."""
        ...

    @property
    def share_id(self) -> str:
        """The share, as `ClaimDevice.share`."""
        ...

    @property
    def admin_access(self) -> bool:
        """True if the claim only monitors the device."""
        ...


class AllocatedResults(Protocol):
    """The allocation of one ResourceClaim."""

    @property
    def results(self) -> Iterable[AllocatedResult]:
        """Its devices."""
        ...


class ClaimObjects(Protocol):
    """Knows the ResourceSlices and ResourceClaims; `ResourceSlices` is the real one. Called by the assembler's thread.

    All methods return what was read before; they never wait for the API server.
    """

    def attributes(self, driver: str, pool: str, device: str) -> IdentifyingAttributes | None:
        """The attributes of a device; None while unknown."""
        ...

    def claim(self, namespace: str, name: str) -> AllocatedResults | None:
        """The allocation of a claim; None while unknown."""
        ...

    def names_request(self, namespace: str, pod: str, container: str, claim: str, request: str) -> bool | None:
        """Whether a container uses the devices of one request of a claim; None while unknown."""
        ...

    def awaited(self, namespace: str, pod: str, claim: str) -> bool:
        """Whether a first answer about a pod's use of a claim is to be expected within moments."""
        ...
