"""The facts for findings and reports: plain records. No I/O."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from collectors import catalog
from collectors.contract import Device, Partition, Reading, Reason, Unsupported
from collectors.metric import Subject
from exporter.attribution.api_health import ApiState
from exporter.attribution.claims import ResolvedClaims
from exporter.attribution.holding import Holding
from exporter.check.running_facts import RunningExporter
from exporter.snapshot import Allocation

_FAILED = "failed"
_PRIVILEGED_CAPABILITIES = 38  # CHOWN (0) to AUDIT_READ (37): every kernel has these since Linux 3.16


class CallOutcome(StrEnum):
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
        seconds: How long the call took; for a late call, how long `check` waited for it.
        reading: Its reading; None unless the state is ok.
        reason: Why it failed; None if it did not fail.
        text: The message of the error it raised: what, where, what to do.
        dra_drivers: DRA drivers whose claims hold its devices.
    """

    name: str
    state: CallOutcome
    resource_prefixes: tuple[str, ...]
    seconds: float
    reading: Reading | None = None
    reason: Reason | None = None
    text: str = ""
    dra_drivers: tuple[str, ...] = ()


class PciState(StrEnum):
    """Whether and why a PCI function that is an accelerator is read or not."""

    READ = "read"
    LOST = "lost"
    NOT_READ = "not_read"
    NO_COLLECTOR = "no_collector"
    EXCLUDED = "excluded"
    PASSED_THROUGH = "passed_through"
    VIRTUAL = "virtual"


@dataclass(frozen=True, slots=True)
class PciFacts:
    """An accelerator on the PCI bus.

    Attributes:
        address: As the kernel writes it.
        vendor: The vendor's name for people, or its id if the name is not known.
        ids: Vendor and device id as `lspci -n` writes them, `10de:2330`.
        driver: The kernel driver it is bound to; None if unbound.
        state: Whether a collector reads it.
        collector: The collector of its vendor; empty if none is installed.
    """

    address: str
    vendor: str
    ids: str
    driver: str | None
    state: PciState
    collector: str = ""


class SocketMount(StrEnum):
    """The mount through which the kubelet's socket is visible."""

    DIRECTORY = "directory"
    FILE = "file"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MountFacts:
    """How the kubelet's socket is mounted.

    Attributes:
        kind: The directory, the file alone, or neither: the path is in this process's own root file system.
        point: The mount point; empty if it is not mounted.
        replaced: True if the mounted file or directory has since been removed on the host.
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
    """A device or partition and the containers it is itself allocated to, not one of its partitions.

    Attributes:
        device: The device.
        partition: The partition; None for the whole device.
        holders: Sorted; empty if there are none; None where unknown, see `JoinResult.holders`.
    """

    device: Device
    partition: Partition | None
    holders: tuple[Allocation, ...] | None


@dataclass(frozen=True, slots=True)
class CdiDirectory:
    """A directory for CDI files.

    Attributes:
        path: The directory.
        exists: Whether it exists; None if that is not known in time.
    """

    path: str
    exists: bool | None


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """How calls of the API server for one kind of object ended.

    Attributes:
        what: The objects, for people.
        right: The right that the calls need, for people.
        state: How the last one ended; unknown if there was none.
        text: Why it failed; empty if it did not.
    """

    what: str
    right: str
    state: ApiState
    text: str = ""


@dataclass(frozen=True, slots=True)
class ClaimSources:
    """What the devices of resource claims are looked up in, besides the names of devices.

    Attributes:
        cdi_directories: The directories for CDI files.
        own_namespace: The namespace whose claims are those of monitors; empty if it is not known.
        api: The kinds of objects of the API server; empty unless it is read.
    """

    cdi_directories: tuple[CdiDirectory, ...] = ()
    own_namespace: str = ""
    api: tuple[ApiFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class AllocationFacts:
    """The kubelet's answer, joined with the devices.

    Attributes:
        pods: How many pods it lists.
        device_ids: How many (container, resource, id) it lists, each once.
        device_holders: Every known device and partition with its holders.
        unmatched: Ids that match no known device, of resources that belong to a collector.
        other_resources: Number of ids by resource, for resources that belong to no collector.
        claims: The devices of resource claims.
    """

    pods: int
    device_ids: int
    device_holders: tuple[DeviceHolders, ...]
    unmatched: Collection[Holding]
    other_resources: Mapping[str, int]
    claims: ResolvedClaims

    @property
    def claim_devices(self) -> int:
        """Number of devices of resource claims that are used."""
        return sum(self.claims.used.values())

    @property
    def has_claims(self) -> bool:
        """Whether there are claims of any kind."""
        return bool(self.claims.used or self.claims.not_counted)


@dataclass(frozen=True, slots=True)
class KubeletFacts:
    """The kubelet's socket and its answer.

    Attributes:
        socket: Its path.
        mount: How it is mounted.
        state: How the call ended.
        text: Why it failed: what, where, what to do.
        allocations: Its answer; None if it did not answer.
        claim_sources: What the devices of its resource claims are looked up in.
        hold_seconds: How long the exporter uses the last answer of a kubelet that does not answer any more.
    """

    socket: str
    mount: MountFacts
    state: KubeletState
    text: str = ""
    allocations: AllocationFacts | None = None
    claim_sources: ClaimSources = ClaimSources()
    hold_seconds: float = 0.0


class AddressState(StrEnum):
    """Whether the exporter can listen on the address."""

    FREE = "free"
    SERVED = "served"
    TAKEN = "taken"
    REFUSED = "refused"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """A listen address.

    Attributes:
        address: As it is configured.
        state: Free, used by an exporter, used by another program, refused, or not known in time.
        text: Why it is not free: what, where, what to do.
    """

    address: str
    state: AddressState
    text: str = ""


class IdentitySource(StrEnum):
    """The source from which ids are generated for devices without an id."""

    PRODUCT_UUID = "product_uuid"
    NODE_NAME = "node_name"
    HOST_NAME = "host_name"


@dataclass(frozen=True, slots=True)
class VariableFacts:
    """An environment variable that may hide devices from this container.

    Attributes:
        vendor: The vendor of the devices.
        name: The name of the variable.
        value: Its value here; None if not set.
        shows_all: The value that hides nothing.
        shows: What may be hidden without this value.
        hidden_ids: The beginnings of the ids of what may be hidden.
        hides_devices: Whether it can hide whole devices, not only parts of them.
    """

    vendor: str
    name: str
    value: str | None
    shows_all: str
    shows: str
    hidden_ids: tuple[str, ...] = ()
    hides_devices: bool = False


@dataclass(frozen=True, slots=True)
class Environment:
    """The rights of this process and what it can see. None where unknown.

    Attributes:
        uid: Effective user id.
        own_user_namespace: True if uid 0 here is another user on the host.
        capabilities: Names of the effective capabilities.
        host_processes: True if the host's processes are visible.
        read_only_root: Whether the root file system is mounted read-only.
        pci_bus: True if sysfs has a PCI bus.
        node_name: The node's name in the cluster.
        host_name: The host name; in a container usually the pod's.
        identity: The source of generated ids.
        in_kubernetes: True in a container of a pod.
        variables: The variables of vendors that have devices here.
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
    """All facts about the node.

    Attributes:
        version: The version of the exporter.
        collectors: Every collector, by name.
        pci: Accelerators on the PCI bus, by address.
        kubelet: The kubelet's socket and answer.
        addresses: The listen addresses, at least one.
        environment: The rights of the process and what it can see.
        simulated: The second of the scenario that is played instead of this node's hardware; None for none.
        running: The exporter that serves here; None if there is none, or if its metrics are not shown to all.
    """

    version: str
    collectors: tuple[CollectorFacts, ...]
    pci: tuple[PciFacts, ...]
    kubelet: KubeletFacts
    addresses: tuple[AddressFacts, ...]
    environment: Environment
    simulated: float | None = None
    running: RunningExporter | None = None

    @property
    def node(self) -> str:
        """The node's name in the cluster, else the host name."""
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
        """Every reading that a device or partition does not support."""
        return tuple(gap for collector in self.collectors if collector.reading for gap in collector.reading.unsupported)

    @property
    def device_states(self) -> dict[str, str]:
        """State by device uuid, from the catalogue's closed list; absent if no collector reports a state."""
        states = {device.uuid: _FAILED for device in self.devices if device.lost}
        for collector in self.collectors:
            for sample in collector.reading.samples if collector.reading else ():
                if sample.metric is catalog.STATUS_STATE and sample.value:
                    states[sample.device_uuid] = sample.labels[0]
        return states


def family_of(gap: Unsupported) -> str:
    """Return the name of the absent family."""
    return gap.metric.name(Subject.PARTITION if gap.partition_uuid else Subject.DEVICE)
