"""What a collector is: the records it returns, the errors it may raise, the two calls it answers. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from collectors.metric import Cadence, Metric
from collectors.options import choice, switch
from collectors.sysfs import Root


class Reason(StrEnum):
    """Why a reading failed; the closed list behind `accelerator_exporter_collector_errors_total`."""

    UNAVAILABLE = "unavailable"
    PERMISSION_DENIED = "permission_denied"
    DEVICE_LOST = "device_lost"
    DEVICES_VANISHED = "devices_vanished"
    LIBRARY_MISSING = "library_missing"
    DRIVER_NOT_LOADED = "driver_not_loaded"
    VERSION_MISMATCH = "version_mismatch"
    INVALID_VALUE = "invalid_value"
    LATE = "late"
    BROKEN = "broken"


class CollectorError(Exception):
    """Base of everything a collector raises on purpose. The text is for people: what, where, what to do."""

    reason = Reason.BROKEN


class AbsentError(CollectorError):
    """This vendor is not on this node. Quiet: asked again now and then, never counted."""


class UnsupportedError(CollectorError):
    """This device cannot give this reading. Remembered per device and reading, and silent."""


class UnavailableError(CollectorError):
    """The reading failed for now. Counted, backed off, tried again.

    Args:
        text: What happened, where, what to do.
        reason: The member of the closed list that it counts as.
    """

    def __init__(self, text: str, reason: Reason = Reason.UNAVAILABLE) -> None:
        super().__init__(text)
        self.reason = reason


class DeviceLostError(CollectorError):
    """One device has stopped answering; the others go on."""

    reason = Reason.DEVICE_LOST


class BrokenError(CollectorError):
    """A bug of ours or a library that breaks its own contract. Logged with a traceback, counted."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A name by which the kubelet, a device plugin or a DRA driver may call a device or partition.

    Attributes:
        id: The name, compared without regard to case.
        scope: The resource-name or driver-name prefix in which it means this device; empty for names that are
            unique in the world, such as a UUID.
    """

    id: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A physical accelerator.

    Attributes:
        uuid: Unique in the cluster, stable over reboots.
        device: The PCI address in the kernel's spelling (`0000:3b:00.0`), else the kernel's name. For legends.
        vendor: Lower case, one word.
        model: The vendor's product name.
        aliases: Every name by which it can be allocated.
        lost: True when it exists but no longer answers; its identity and status stay, its readings go.
    """

    uuid: str
    device: str
    vendor: str
    model: str
    aliases: frozenset[Alias] = frozenset()
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """A hardware slice of a device that can be allocated by itself.

    Attributes:
        uuid: Unique in the cluster.
        device_uuid: The `uuid` of the device it is a slice of.
        profile: The vendor's name of its shape, such as `1g.10gb`.
        aliases: Every name by which it can be allocated.
    """

    uuid: str
    device_uuid: str
    profile: str
    aliases: frozenset[Alias] = frozenset()


class SubjectKey(NamedTuple):
    """A device, or a partition of it.

    Attributes:
        device_uuid: The device, or the parent of the partition.
        partition_uuid: The partition; empty for the whole device.
    """

    device_uuid: str
    partition_uuid: str = ""

    @property
    def where(self) -> str:
        """The uuid of the subject itself, for people."""
        return self.partition_uuid or self.device_uuid


@dataclass(frozen=True, slots=True)
class Process:
    """A process that uses a device or partition, as the vendor's library tells it.

    Attributes:
        pid: The process id in the namespace of the driver, usually the host's.
        device_uuid: The device it runs on.
        partition_uuid: The partition it runs on; empty for the whole device.
        memory_usage_bytes: Device memory it holds; None where the library cannot tell.
        utilization_ratio: Its share of the subject's time, 0 to 1; None where the library cannot tell.
        occupancy_ratio: The share of the subject's compute units on which it has work now; None where nobody can tell.
        copy_seconds: For how long copy engines have worked for it; None where nobody can tell.
    """

    pid: int
    device_uuid: str
    partition_uuid: str = ""
    memory_usage_bytes: int | None = None
    utilization_ratio: float | None = None
    occupancy_ratio: float | None = None
    copy_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured value of one catalogue row for one subject, in the row's base unit.

    Attributes:
        metric: The catalogue row.
        device_uuid: The device it is about, or the parent of the partition it is about.
        value: A finite number; 1 for an info.
        partition_uuid: The partition it is about; empty for the whole device.
        labels: Values of the row's own labels, in the row's order. Only an info may leave one empty: unknown; and an
            optional one may be empty.
    """

    metric: Metric
    device_uuid: str
    value: float
    partition_uuid: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """A reading that failed without spoiling the others.

    Attributes:
        reason: The member of the closed list that it counts as.
        where: The device and call, for the log.
        detail: What the library said, for the log.
    """

    reason: Reason
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A row that a device or partition cannot give, so that nobody waits for it.

    Attributes:
        metric: The catalogue row.
        device_uuid: The device, or the parent of the partition.
        detail: Why, for people.
        partition_uuid: The partition; empty for the whole device.
    """

    metric: Metric
    device_uuid: str
    detail: str
    partition_uuid: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one call of a collector returns.

    Attributes:
        devices: Every device known now, lost ones included, whatever cadence was due.
        partitions: Every partition known now.
        samples: Values of the cadences that were due, and of no other.
        processes: Processes on the devices; empty unless the cadence that reads them was due.
        faults: What failed on the way.
        unsupported: Every row that was asked for so far and cannot be had, whatever cadence was due. A device whose
            energy counter is among them has its power integrated instead.
    """

    devices: tuple[Device, ...]
    partitions: tuple[Partition, ...] = ()
    samples: tuple[Sample, ...] = ()
    processes: tuple[Process, ...] = ()
    faults: tuple[Fault, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()


class Collector(Protocol):
    """One vendor's hardware. Called by one thread only, one call at a time."""

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on every device.

        Args:
            due: The cadences to read. All three at the first call and after an error.

        Raises:
            AbsentError: The vendor is not on this node.
            UnavailableError: Nothing could be read this time.
        """
        ...

    def close(self) -> None:
        """Let go of the hardware. Safe to call twice; a later `read` takes it up again."""
        ...


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """Readings beyond the usual ones. A collector without such a reading ignores the option.

    Each field is an option `collect.*` of the exporter, written nowhere else.
    """

    each_link: bool = switch(
        "Interconnect series for each link instead of their sum over all links of a device.", read_by=("nvidia", "amd")
    )
    pcie_throughput: bool = switch(
        "Readings that block while the device measures: NVML's PCIe throughput takes 20 ms a direction and device.",
        read_by=("nvidia",),
    )
    wake_sleeping: bool = switch(
        "Read also devices that the kernel has put to sleep to save power. That wakes them and keeps them awake.",
        read_by=("nvidia", "amd"),
    )
    processes: bool = switch(
        "The families `accelerator_process_*`: series for each process on a device, new ones with each new process.",
        read_by=("exporter", "amd"),
    )


class AmdBackend(StrEnum):
    """By what AMD GPUs are read."""

    AUTO = "auto"
    KERNEL = "kernel"
    ROCM_SMI = "rocm-smi"


@dataclass(frozen=True, slots=True)
class AmdOptions:
    """How AMD GPUs are read. Each field is an option `amd.*` of the exporter, written nowhere else."""

    backend: AmdBackend = choice(
        AmdBackend.AUTO,
        "By what AMD GPUs are read: the kernel's files, or rocm-smi, AMD's library, for what it can tell. With auto it "
        "is the files wherever they exist, which is wherever amdgpu drives a GPU. See docs/amd.md.",
        read_by=("amd",),
    )


@dataclass(frozen=True, slots=True)
class Node:
    """Where a collector finds the machine it runs on, and what it is to do there.

    Attributes:
        sysfs: The root of the host's `/sys`.
        procfs: The root of the host's `/proc`.
        identity: A name of the machine that no other in the cluster has; made-up uuids start from it.
        options: What is to be read beyond the usual.
        amd: How AMD GPUs are read.
    """

    sysfs: Root
    procfs: Root
    identity: str
    options: CollectOptions = CollectOptions()
    amd: AmdOptions = AmdOptions()


@dataclass(frozen=True, slots=True)
class CollectorSpec:
    """What an entry point of the group `accelerator_exporter.collectors` names.

    Attributes:
        name: The `collector` label, unique among installed collectors.
        metrics: The catalogue rows it can supply for whole devices; documentation and contract tests are made from it.
        resource_prefixes: Prefixes of the Kubernetes resources whose ids should resolve to its devices.
        create: Makes the collector. Must not touch hardware: the first `read` does.
        partition_metrics: The rows it can supply for partitions.
    """

    name: str
    metrics: tuple[Metric, ...]
    resource_prefixes: tuple[str, ...]
    create: Callable[[Node], Collector]
    partition_metrics: tuple[Metric, ...] = ()
