"""What a source of attribution says: which container holds which device id. No I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Holding:
    """One device id in the hands of one container, in the words of its source.

    Attributes:
        namespace: The pod's namespace.
        pod: The pod's name.
        container: The container's name.
        resource: The Kubernetes resource by which the device was asked for, such as `nvidia.com/gpu`.
        device_id: The device as its device plugin calls it; see `device_ids` for the forms.
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


@dataclass(frozen=True, slots=True)
class PodResourcesList:
    """One whole answer of the kubelet.

    Attributes:
        pods: (namespace, name) of every pod listed, also of those that hold nothing.
        holdings: What they hold by device plugins, sorted, each once.
        claim_devices: How many devices of resource claims (DRA) are listed, once for each container that has one.
    """

    pods: frozenset[tuple[str, str]]
    holdings: tuple[Holding, ...]
    claim_devices: int = 0
