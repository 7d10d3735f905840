"""What the devices of resource claims can be looked up in, besides the names that collectors give. No I/O.

Both are optional: the CDI files need a mount, the ResourceSlices and ResourceClaims need access to the API server.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from exporter.attribution.cdi_specs import CdiAnswer

if TYPE_CHECKING:  # they are loaded only if the API server is read
    from exporter.attribution.claim_objects import ClaimAllocation
    from exporter.attribution.slice_pools import SliceAttributes


@dataclass(frozen=True, slots=True)
class LookupsChanged:
    """There is something new to look up: in the CDI files, the ResourceSlices or the ResourceClaims."""


class DeviceNodes(Protocol):
    """Finds the device nodes that a container gets; `CdiReader` is the real one. Called by the assembler's thread."""

    def nodes(self, cdi_devices: Sequence[str], device: str) -> CdiAnswer:
        """Look up what was read before; no I/O.

        Args:
            cdi_devices: The names of CDI devices, as the kubelet lists them for one device of a claim.
            device: The driver's name of that device.
        """
        ...


class ClaimObjects(Protocol):
    """Knows the ResourceSlices and ResourceClaims; `ResourceSlices` is the real one. Called by the assembler's thread.

    All methods return what was read before; they never wait for the API server.
    """

    def attributes(self, driver: str, pool: str, device: str) -> "SliceAttributes | None":
        """The attributes of a device; None while unknown."""
        ...

    def claim(self, namespace: str, name: str) -> "ClaimAllocation | None":
        """The allocation of a claim; None while unknown."""
        ...

    def names_request(self, namespace: str, pod: str, container: str, claim: str, request: str) -> bool | None:
        """Whether a container uses the devices of one request of a claim; None while unknown."""
        ...

    def awaited(self, namespace: str, pod: str, claim: str) -> bool:
        """Whether a first answer about a pod's use of a claim is to be expected within moments."""
        ...
