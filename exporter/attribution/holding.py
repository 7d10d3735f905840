"""The answer of a source of attribution: which device id is allocated to which container. No I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Holding:
    """One device id that is allocated to one container, as its source reports it.

    Attributes:
        namespace: The pod's namespace.
        pod: The pod's name.
        container: The container's name.
        resource: The Kubernetes resource that was requested, such as `nvidia.com/gpu`.
        device_id: The id from the device plugin; see `device_ids` for the forms.
        source: `device_plugin`, or another source of the closed list of `accelerator_allocation_info`.
        claim: The resource claim's name; empty for device plugins.
    """

    namespace: str
    pod: str
    container: str
    resource: str
    device_id: str
    source: str
    claim: str = ""


@dataclass(frozen=True, slots=True, order=True)
class ClaimDevice:
    """One device of a resource claim (DRA) of one pod, as the kubelet lists it.

    Whether the claim has admin access, which only monitors, is not listed.

    Attributes:
        namespace: The pod's namespace.
        pod: The pod's name.
        driver: The name of the DRA driver, such as `gpu.nvidia.com`.
        pool: The driver's pool, usually the node's name.
        device: The driver's name of the device.
        share: The id of the share, where the driver allocates parts of a device; else empty.
    """

    namespace: str
    pod: str
    driver: str
    pool: str
    device: str
    share: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the claim allocates: driver, pool, device and share. Several pods can have the same claim."""
        return self.driver, self.pool, self.device, self.share


@dataclass(frozen=True, slots=True)
class PodResourcesList:
    """One complete answer of the kubelet.

    Attributes:
        pods: (namespace, name) of every listed pod, also of pods without devices.
        holdings: Their allocations by device plugins, sorted, each once.
        claim_devices: The devices of their resource claims (DRA), sorted, each once for each pod.
    """

    pods: frozenset[tuple[str, str]]
    holdings: tuple[Holding, ...]
    claim_devices: tuple[ClaimDevice, ...] = ()
