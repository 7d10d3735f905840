"""The facts of the check on a healthy node; each test changes the facts that it is about."""

from dataclasses import replace

from collectors import catalog
from collectors.contract import Alias, Device, Fault, Partition, Reading, Reason, Sample, Unsupported
from exporter.attribution.holding import ClaimDevice, Holding, PodResourcesList
from exporter.check.facts import (
    AddressFacts,
    AddressState,
    CallOutcome,
    CollectorFacts,
    Environment,
    IdentitySource,
    KubeletFacts,
    KubeletState,
    MountFacts,
    NodeFacts,
    PciFacts,
    PciState,
    SocketMount,
    VariableFacts,
)
from exporter.check.kubelet import allocation_facts

GPU = "nvidia.com/gpu"
SOCKET = "/var/lib/kubelet/pod-resources/kubelet.sock"
MOUNTED = MountFacts(SocketMount.DIRECTORY, SOCKET.rpartition("/")[0])
NOT_MOUNTED = MountFacts(SocketMount.NONE)
PREFIXES = ("nvidia.com/",)
DRA_DRIVER = "gpu.nvidia.com"
_MODEL = "NVIDIA H100 80GB HBM3"


def h100(number: int, *, lost: bool = False) -> Device:
    """A device; its PCI address and uuid are made from the number, up to 9."""
    uuid = f"GPU-{str(number) * 8}-0000-4000-8000-000000000000"
    return Device(uuid, f"0000:{number}b:00.0", "nvidia", _MODEL, frozenset({Alias(uuid)}), lost)


WHOLE, PARTITIONED = h100(1), h100(2)
SLICE = Partition(
    "MIG-22222222-0000-4000-8000-000000000001", PARTITIONED.uuid, "3g.40gb", frozenset({Alias("MIG-one")})
)
IDLE_SLICE = Partition(
    "MIG-22222222-0000-4000-8000-000000000002", PARTITIONED.uuid, "1g.10gb", frozenset({Alias("MIG-two")})
)
TRAINING = Holding("research", "train-0", "main", GPU, WHOLE.uuid, "device_plugin")
SERVING = Holding("serving", "chat-0", "server", "nvidia.com/mig-3g.40gb", "MIG-one", "device_plugin")
NETWORK = Holding("network", "cni-0", "main", "example.com/rdma", "hca-0", "device_plugin")


def unmatched_holding(number: int = 0) -> Holding:
    """An allocated id that matches no device."""
    return Holding("lost", f"pod-{number}", "main", GPU, f"GPU-unmatched-{number}", "device_plugin")


def reading(*faults: Fault, devices: tuple[Device, ...] = (WHOLE, PARTITIONED)) -> Reading:
    """A reading of the collector: the second device is partitioned and has no utilization."""
    states = [Sample(catalog.STATUS_STATE, each.uuid, 1, labels=("ok",)) for each in devices if not each.lost]
    mode = Sample(catalog.MODE_STATE, PARTITIONED.uuid, 1, labels=("partitioning",))
    return Reading(
        devices=devices,
        partitions=tuple(part for part in (SLICE, IDLE_SLICE) if PARTITIONED in devices),
        samples=(*states, mode),
        faults=faults,
        unsupported=(
            Unsupported(catalog.UTILIZATION, PARTITIONED.uuid, "nvmlDeviceGetUtilizationRates: NOT_SUPPORTED (3)"),
        ),
    )


def collector(found: Reading | None = None) -> CollectorFacts:
    """A collector that works."""
    return CollectorFacts("nvidia", CallOutcome.OK, PREFIXES, 0.031, found or reading(), dra_drivers=(DRA_DRIVER,))


def failed(state: CallOutcome, reason: Reason | None = None, text: str = "it says why") -> CollectorFacts:
    """A collector without a reading."""
    return CollectorFacts("nvidia", state, PREFIXES, 5.0, reason=reason, text=text)


def on_bus(device: Device, state: PciState = PciState.READ, driver: str | None = "nvidia") -> PciFacts:
    """A device on the PCI bus."""
    return PciFacts(device.device, "NVIDIA", "10de:2330", driver, state, "nvidia")


def kubelet(
    *holdings: Holding,
    mount: MountFacts = MOUNTED,
    claims: tuple[ClaimDevice, ...] = (),
    collectors: tuple[CollectorFacts, ...] | None = None,
) -> KubeletFacts:
    """A kubelet that answers."""
    pods = frozenset((holding.namespace, holding.pod) for holding in holdings)
    answer = allocation_facts(PodResourcesList(pods, tuple(sorted(holdings)), claims), collectors or (collector(),))
    return KubeletFacts(SOCKET, mount, KubeletState.ANSWERS, allocations=answer)


def silent_kubelet(state: KubeletState, mount: MountFacts = NOT_MOUNTED, text: str = "it says why") -> KubeletFacts:
    """A kubelet that does not answer."""
    return KubeletFacts(SOCKET, mount, state, text)


ENVIRONMENT = Environment(
    uid=0,
    own_user_namespace=False,
    capabilities=(),
    host_processes=False,
    read_only_root=True,
    pci_bus=True,
    node_name="worker-1",
    host_name="exporter-x7k2p",
    identity=IdentitySource.NODE_NAME,
    in_kubernetes=True,
    variables=(VariableFacts("nvidia", "NVIDIA_VISIBLE_DEVICES", "all", "all", "devices of the node"),),
)

HEALTHY = NodeFacts(
    version="0.1.0",
    collectors=(collector(),),
    pci=(on_bus(WHOLE), on_bus(PARTITIONED)),
    kubelet=kubelet(TRAINING, SERVING, NETWORK),
    addresses=(AddressFacts(":9410", AddressState.SERVED),),
    environment=ENVIRONMENT,
)


def _without_library() -> NodeFacts:
    text = (
        "cannot load libnvidia-ml.so.1: libnvidia-ml.so.1: cannot open shared object file: No such file or directory, "
        f"but the PCI bus has an NVIDIA device ({WHOLE.device}): run this container with runtimeClassName nvidia and "
        "NVIDIA_VISIBLE_DEVICES=all"
    )
    down = replace(failed(CallOutcome.FAILED, Reason.LIBRARY_MISSING, text), seconds=0.001)
    hidden = replace(ENVIRONMENT.variables[0], value=None)
    return replace(
        HEALTHY,
        collectors=(down,),
        pci=(on_bus(WHOLE, PciState.NOT_READ), on_bus(PARTITIONED, PciState.NOT_READ)),
        kubelet=kubelet(TRAINING, collectors=(down,)),
        environment=replace(ENVIRONMENT, variables=(hidden,)),
    )


WITHOUT_LIBRARY = _without_library()
