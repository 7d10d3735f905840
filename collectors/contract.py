"""The interface of a collector: its two methods, the records it returns and the errors it may raise. No I/O."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from collectors.condition import Condition, CriticalEvent
from collectors.metric import DEFAULT_SETS, Cadence, Metric, MetricSet
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
    """Base of all errors that a collector raises on purpose. The text says what failed, where, and what to do."""

    reason = Reason.BROKEN


class AbsentError(CollectorError):
    """The node has no device of this vendor. This is not a failure and is not counted; it is retried later."""


class UnsupportedError(CollectorError):
    """The device does not support this reading. It is tried again at a slow rate, and counted only if it was lost."""


class UnavailableError(CollectorError):
    """The reading failed temporarily. It is counted and retried after a pause.

    Args:
        text: What failed, where, and what to do.
        reason: The reason under which it is counted.
    """

    def __init__(self, text: str, reason: Reason = Reason.UNAVAILABLE) -> None:
        super().__init__(text)
        self.reason = reason


class DeviceLostError(CollectorError):
    """One device no longer answers. Other devices are not affected."""

    reason = Reason.DEVICE_LOST


class BrokenError(CollectorError):
    """A bug in the exporter, or a library that violates its own contract. Logged with a traceback, and counted."""


class Alias(NamedTuple):
    """A name that the kubelet, a device plugin or a DRA driver may use for a device or partition.

    Attributes:
        id: The name. Case is ignored.
        scope: The prefix of resource or driver names within which the name is valid; empty for names that mean only
            this device on its machine, such as a UUID, a PCI address or the path of a device file.
    """

    id: str
    scope: str = ""


class SubjectKey(NamedTuple):
    """The key of a device or of a partition.

    Attributes:
        device_uuid: The device, or the parent of the partition.
        partition_uuid: The partition; empty for the whole device.
    """

    device_uuid: str
    partition_uuid: str = ""

    @property
    def where(self) -> str:
        """The uuid of the partition, else of the device; for log messages."""
        return self.partition_uuid or self.device_uuid


@dataclass(frozen=True, slots=True)
class Device:
    """A physical accelerator.

    Attributes:
        uuid: Unique in the cluster, stable over reboots.
        device: The PCI address as the kernel writes it (`0000:3b:00.0`), else the kernel's name. For legends.
        vendor: The vendor, one word in lower case.
        model: The vendor's product name.
        aliases: All names under which it can be allocated.
        lost: True if it exists but no longer answers. Its identity and status are still exported, its readings are not.
        power_shared: True if only the power of a package is measured that it shares with another device or a processor.
            Its power and energy are then not those of the container that holds it.
        partitions_known: False while it may have partitions that are not listed. An allocated id that is not understood
            may then mean one of them, so the device is not reported as free.
    """

    uuid: str
    device: str
    vendor: str
    model: str
    aliases: frozenset[Alias] = frozenset()
    lost: bool = False
    power_shared: bool = False
    partitions_known: bool = True

    @property
    def subject(self) -> SubjectKey:
        """Its key."""
        return SubjectKey(self.uuid)


@dataclass(frozen=True, slots=True)
class Partition:
    """A hardware slice of a device that can be allocated separately.

    Attributes:
        uuid: Unique in the cluster.
        device_uuid: The `uuid` of the device it is a slice of.
        profile: The vendor's name of its profile, such as `1g.10gb`.
        aliases: All names under which it can be allocated.
    """

    uuid: str
    device_uuid: str
    profile: str
    aliases: frozenset[Alias] = frozenset()

    @property
    def subject(self) -> SubjectKey:
        """Its key."""
        return SubjectKey(self.device_uuid, self.uuid)


def subjects_of(devices: Iterable[Device], partitions: Iterable[Partition]) -> frozenset[SubjectKey]:
    """The keys of devices and partitions."""
    return frozenset(device.subject for device in devices) | {partition.subject for partition in partitions}


@dataclass(frozen=True, slots=True)
class Process:
    """A process that uses a device or partition, as the vendor's library reports it.

    Attributes:
        pid: The process id in the PID namespace of the driver, usually the host's.
        device_uuid: The device it runs on.
        partition_uuid: The partition it runs on; empty for the whole device.
        memory_usage_bytes: Device memory that it uses; None if unknown.
        utilization_ratio: Fraction of time, 0 to 1, in which it executed on the device or partition; None if unknown.
        occupancy_ratio: Fraction of the compute units on which it has work now; None if unknown.
        copy_seconds: Time in which copy engines worked for it; None if unknown.
        started: Anything that differs between two processes that have had the same id; None if unknown.
    """

    pid: int
    device_uuid: str
    partition_uuid: str = ""
    memory_usage_bytes: int | None = None
    utilization_ratio: float | None = None
    occupancy_ratio: float | None = None
    copy_seconds: float | None = None
    started: Hashable = None

    @property
    def subject(self) -> SubjectKey:
        """The device or partition that it runs on."""
        return SubjectKey(self.device_uuid, self.partition_uuid)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured value of a catalogue row for one device or partition, in the row's base unit.

    Attributes:
        metric: The catalogue row.
        device_uuid: The device, or the parent of the partition.
        value: A finite number; 1 for an info.
        partition_uuid: The partition; empty for the whole device.
        labels: Values of the row's own labels, in the row's order. Only an optional label or a label of an info may be
            empty; in an info that means unknown.
        width: Of a counter that is known to be narrow: the value at which it starts again from 0, in the row's unit.
    """

    metric: Metric
    device_uuid: str
    value: float
    partition_uuid: str = ""
    labels: tuple[str, ...] = ()
    width: float = 0.0

    @property
    def subject(self) -> SubjectKey:
        """The device or partition that it describes."""
        return SubjectKey(self.device_uuid, self.partition_uuid)


class Fault(NamedTuple):
    """A reading that failed without affecting the others.

    Attributes:
        reason: The reason under which it is counted.
        where: The device and call, for the log.
        detail: The error text of the library, for the log.
    """

    reason: Reason
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A row that a device or partition does not support.

    Attributes:
        metric: The catalogue row.
        device_uuid: The device, or the parent of the partition.
        detail: The reason, as text for people.
        partition_uuid: The partition; empty for the whole device.
    """

    metric: Metric
    device_uuid: str
    detail: str
    partition_uuid: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one call of a collector.

    Attributes:
        devices: All devices known now, including lost ones, independent of the cadences that were due.
        partitions: All partitions known now.
        samples: Values of the cadences that were due only.
        processes: Processes on the devices; empty unless the cadence that reads them was due.
        faults: The readings that failed.
        unsupported: All rows that were read so far and are unsupported, independent of the cadences that were due. If
            the energy counter of a device is unsupported in the first reading of a session, the exporter integrates
            its power instead, until the session ends.
        sessions: By device, anything that changes when its driver may have restarted its counters: the driver was
            loaded again, the device was bound again. A lower counter is then a reset. A device that is lost or not
            listed, and then back, needs no change here.
        incomplete: Whether a reading has failed of a device that has not been read completely since it was new or back:
            a driver is busy for a moment at the start of a device. All cadences are then due again soon.
        stuck: The uuids of the devices about which a call has not returned, see `collectors.device_calls`. They are
            listed, with nothing but identity and events. What was read of them before is exported until it is too old.
        cpu_seconds: The CPU time that threads of the collector have used since it was created, without the thread that
            calls `read`; 0 if it has no threads. It never falls.
        conditions: By the uuid of each device whose state is known and not ok: why, the worst first.
        events: The critical events since the last reading, once for each device and code.
    """

    devices: tuple[Device, ...]
    partitions: tuple[Partition, ...] = ()
    samples: tuple[Sample, ...] = ()
    processes: tuple[Process, ...] = ()
    faults: tuple[Fault, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    sessions: Mapping[str, Hashable] = field(default_factory=dict)
    stuck: frozenset[str] = frozenset()
    incomplete: bool = False
    cpu_seconds: float = field(default=0.0, compare=False)  # two readings with the same content are equal
    conditions: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    events: tuple[CriticalEvent, ...] = ()


class Collector(Protocol):
    """Reads the hardware of one vendor. Only one thread calls it, one call at a time."""

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on all devices.

        Args:
            due: The cadences to read. All three at the first call, after an error, when a device or partition is new,
                or was lost and is back, and some time after a reading that was incomplete.

        Raises:
            AbsentError: The node has no device of this vendor.
            UnavailableError: Nothing could be read this time.
        """
        ...

    def close(self) -> None:
        """Release the hardware. May be called twice; a later `read` opens it again."""
        ...


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """Optional readings. A collector without such a reading ignores the option.

    Each field but the first is an option `collect.*` of the exporter and is written only here.

    Attributes:
        sets: The sets that are exported, from the option `metrics.sets`. What is in no set need not be read.
    """

    sets: frozenset[MetricSet] = DEFAULT_SETS
    pcie_throughput: bool = switch(
        "Readings that block while the device measures: NVML's PCIe throughput takes 20 ms per direction and device.",
        read_by=("nvidia",),
    )
    wake_sleeping: bool = switch(
        "Also read devices that the kernel has suspended to save power. This wakes them and keeps them awake.",
        read_by=("nvidia", "amd"),
    )
    processes: bool = switch(
        "The families `accelerator_process_*`: series for each process on a device. Each new process adds series.",
        read_by=("exporter", "amd"),
    )


class AmdBackend(StrEnum):
    """Source of AMD readings."""

    AUTO = "auto"
    KERNEL = "kernel"
    ROCM_SMI = "rocm-smi"


@dataclass(frozen=True, slots=True)
class AmdOptions:
    """How AMD GPUs are read. Each field is an option `amd.*` of the exporter and is written only here."""

    backend: AmdBackend = choice(
        AmdBackend.AUTO,
        "Source of AMD readings: kernel files, or ROCm SMI where it supports them. auto uses the kernel files, which "
        "exist for every GPU that the amdgpu driver is bound to. See docs/amd.md.",
        read_by=("amd",),
    )


@dataclass(frozen=True, slots=True)
class Node:
    """The machine that a collector runs on, and its options.

    Attributes:
        sysfs: The root of the host's `/sys`.
        procfs: The root of the host's `/proc`.
        identity: A name of the machine, unique in the cluster. Generated uuids are derived from it.
        options: What is read beyond the usual readings.
        amd: How AMD GPUs are read.
    """

    sysfs: Root
    procfs: Root
    identity: str
    options: CollectOptions = CollectOptions()
    amd: AmdOptions = AmdOptions()


@dataclass(frozen=True, slots=True)
class CollectorSpec:
    """The object that an entry point of the group `accelerator_exporter.collectors` refers to.

    Attributes:
        name: The `collector` label, unique among installed collectors.
        metrics: The catalogue rows that it can supply for whole devices, a tuple or `DeferredRows`. Documentation and
            contract tests use it.
        resource_prefixes: Prefixes of the Kubernetes resources whose ids refer to its devices.
        create: Creates the collector. Must not access hardware: the first `read` does.
        partition_metrics: The same for partitions.
        dra_drivers: The DRA drivers whose resource claims hold its devices, such as `gpu.example.com`.
    """

    name: str
    metrics: Sequence[Metric]
    resource_prefixes: tuple[str, ...]
    create: Callable[[Node], Collector]
    partition_metrics: Sequence[Metric] = ()
    dra_drivers: tuple[str, ...] = ()
