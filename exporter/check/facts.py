"""The facts that findings and reports are made from: plain records. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from collectors import catalog
from collectors.contract import Device, Partition, Reading, Reason, Unsupported
from collectors.metric import Subject
from exporter.attribution.holding import Holding
from exporter.snapshot import Allocation

_FAILED = "failed"
_PRIVILEGED_CAPABILITIES = 38  # CHOWN (0) to AUDIT_READ (37): every kernel has these since Linux 3.16


class CollectorStatus(StrEnum):
    """How a collector's one call ended."""

    OK = "ok"
    ABSENT = "absent"
    FAILED = "failed"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class CollectorFacts:
    """How one collector's call ended, and what it returned.

    Attributes:
        name: The collector's name.
        state: How its call ended.
        resource_prefixes: Kubernetes resources whose ids should resolve to its devices.
        seconds: How long the call took; for a late one, how long it was waited for.
        reading: What it returned; None unless it is ok.
        reason: Why it failed; None unless it did.
        text: The message of the error it raised: what, where, what to do.
    """

    name: str
    state: CollectorStatus
    resource_prefixes: tuple[str, ...]
    seconds: float
    reading: Reading | None = None
    reason: Reason | None = None
    text: str = ""


class PciState(StrEnum):
    """What becomes of a PCI function that is an accelerator."""

    READ = "read"
    LOST = "lost"
    NOT_READ = "not_read"
    NO_COLLECTOR = "no_collector"
    PASSED_THROUGH = "passed_through"
    VIRTUAL = "virtual"


@dataclass(frozen=True, slots=True)
class PciFacts:
    """An accelerator on the PCI bus.

    Attributes:
        address: In the kernel's spelling.
        vendor: The vendor's name for people; its id where it is not known.
        ids: Vendor and device id as `lspci -n` writes them, `10de:2330`.
        driver: The kernel driver it is bound to; None while unbound.
        state: Whether a collector reads it.
        collector: The collector of its vendor; empty where none is installed.
    """

    address: str
    vendor: str
    ids: str
    driver: str | None
    state: PciState
    collector: str = ""


class SocketMount(StrEnum):
    """By what the kubelet's socket came into this file system."""

    DIRECTORY = "directory"
    FILE = "file"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MountFacts:
    """How the kubelet's socket is mounted.

    Attributes:
        kind: The directory, the file alone, or neither: the path is in this process's own root file system.
        point: Where it is mounted; empty unless it is.
        replaced: True where the mounted file or directory has been removed on the host since.
    """

    kind: SocketMount
    point: str = ""
    replaced: bool = False


class KubeletState(StrEnum):
    """How the call to the kubelet ended."""

    ANSWERS = "answers"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeviceHolders:
    """A device or partition and who holds it itself, not a part of it.

    Attributes:
        device: The device.
        partition: The partition; None for the whole device.
        holders: Sorted; empty for nobody; None where that is unknown, see `JoinResult.holders`.
    """

    device: Device
    partition: Partition | None
    holders: tuple[Allocation, ...] | None


@dataclass(frozen=True, slots=True)
class AllocationFacts:
    """The kubelet's answer, set against the devices.

    Attributes:
        pods: How many pods it lists.
        device_ids: How many (container, resource, id) it lists, each once.
        device_holders: Every known device and partition with its holders.
        unmatched: Ids of resources that a collector is responsible for, which mean no known device.
        other_resources: Count of ids by resource, for resources that no collector is responsible for.
        claim_devices: How many devices of resource claims it lists.
    """

    pods: int
    device_ids: int
    device_holders: tuple[DeviceHolders, ...]
    unmatched: tuple[Holding, ...]
    other_resources: Mapping[str, int]
    claim_devices: int


@dataclass(frozen=True, slots=True)
class KubeletFacts:
    """The kubelet's socket and what came out of it.

    Attributes:
        socket: Its path.
        mount: How it is mounted.
        state: How the call ended.
        text: Why it failed: what, where, what to do.
        allocations: What it answered; None unless it did.
    """

    socket: str
    mount: MountFacts
    state: KubeletState
    text: str = ""
    allocations: AllocationFacts | None = None


class AddressState(StrEnum):
    """Whether the listen address can be had."""

    FREE = "free"
    SERVED = "served"
    TAKEN = "taken"
    REFUSED = "refused"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """The listen address.

    Attributes:
        address: As it is configured.
        state: Free, served by an exporter already, taken by something else, not to be had, or not known in time.
        text: Why it can't be had: what, where, what to do.
    """

    address: str
    state: AddressState
    text: str = ""


class IdentitySource(StrEnum):
    """What the ids of devices that have none of their own are made from."""

    PRODUCT_UUID = "product_uuid"
    NODE_NAME = "node_name"
    HOST_NAME = "host_name"


@dataclass(frozen=True, slots=True)
class VariableFacts:
    """An environment variable that may hide devices from this container.

    Attributes:
        vendor: Whose devices.
        name: Of the variable.
        value: Here; None where it is not set.
        shows_all: The value that hides nothing.
        shows: What may be hidden without it.
    """

    vendor: str
    name: str
    value: str | None
    shows_all: str
    shows: str


@dataclass(frozen=True, slots=True)
class Environment:
    """What this process may do and what it can see. None where that can't be found out.

    Attributes:
        uid: Effective user id.
        own_user_namespace: True where uid 0 here is another user on the host.
        capabilities: Names of the effective ones.
        host_processes: True where the host's processes can be seen.
        read_only_root: Whether the root file system is mounted read-only.
        pci_bus: True where sysfs has a PCI bus.
        node_name: The node's name in the cluster.
        host_name: The machine's own name; in a container usually the pod's.
        identity: What made-up ids start from.
        in_kubernetes: True in a container of a pod.
        variables: Those of the vendors that have devices here.
        privileged_only: What of these vendors' devices only a privileged container can read, for people.
        host_processes_only: Likewise, what needs the host's processes to be visible.
    """

    uid: int | None
    own_user_namespace: bool | None
    capabilities: tuple[str, ...] | None
    host_processes: bool
    read_only_root: bool | None
    pci_bus: bool
    node_name: str | None
    host_name: str
    identity: IdentitySource
    in_kubernetes: bool
    variables: tuple[VariableFacts, ...] = ()
    privileged_only: tuple[str, ...] = ()
    host_processes_only: tuple[str, ...] = ()

    @property
    def is_privileged(self) -> bool | None:
        """Whether the process has every capability, as in a privileged container; None where unknown."""
        return None if self.capabilities is None else len(self.capabilities) >= _PRIVILEGED_CAPABILITIES


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """Everything that was found.

    Attributes:
        version: Of the exporter.
        collectors: By name.
        pci: Accelerators on the PCI bus, by address.
        kubelet: Its socket.
        address: The listen address.
        environment: What the process may do and can see.
    """

    version: str
    collectors: tuple[CollectorFacts, ...]
    pci: tuple[PciFacts, ...]
    kubelet: KubeletFacts
    address: AddressFacts
    environment: Environment

    @property
    def node(self) -> str:
        """The node's name in the cluster, else the machine's own."""
        return self.environment.node_name or self.environment.host_name

    @property
    def devices(self) -> tuple[Device, ...]:
        """Every device of every collector, by collector and address."""
        return tuple(
            device for collector in self.collectors if collector.reading for device in collector.reading.devices
        )

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Every partition of every collector."""
        return tuple(
            part for collector in self.collectors if collector.reading for part in collector.reading.partitions
        )

    @property
    def unsupported(self) -> tuple[Unsupported, ...]:
        """Every reading that cannot be had."""
        return tuple(gap for collector in self.collectors if collector.reading for gap in collector.reading.unsupported)

    @property
    def device_states(self) -> dict[str, str]:
        """State by device uuid, of the catalogue's closed list; a device whose state no collector reports is absent."""
        states = {device.uuid: _FAILED for device in self.devices if device.lost}
        for collector in self.collectors:
            for sample in collector.reading.samples if collector.reading else ():
                if sample.metric is catalog.STATUS_STATE and sample.value:
                    states[sample.device_uuid] = sample.labels[0]
        return states


def family_of(gap: Unsupported) -> str:
    """The name of the family that is absent."""
    return gap.metric.name(Subject.PARTITION if gap.partition_uuid else Subject.DEVICE)
