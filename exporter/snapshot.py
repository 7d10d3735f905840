"""The snapshot: everything known at one moment. Immutable; made by one thread, read by all."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.condition import Condition, CriticalEvent
from collectors.contract import Device, Partition, Process, Reason, Sample, SubjectKey
from collectors.metric import Metric

RECENT_SECONDS = 600.0
"""For how long an event is recent: the window of the alert AcceleratorHardwareError."""


class Container(NamedTuple):
    """A Kubernetes container to which a device or partition is allocated."""

    namespace: str
    pod: str
    container: str


class Holder(NamedTuple):
    """A container that holds a device or partition.

    Attributes:
        container: The container.
        subject: The device or partition.
    """

    container: Container
    subject: SubjectKey


@dataclass(frozen=True, slots=True)
class Allocation:
    """The edge from a container to a device or partition allocated to it; one for each such pair.

    Attributes:
        container: The holder.
        subject: The allocated device or partition.
        resource: The Kubernetes resource that the container requested.
        source: `device_plugin`, `dra` or `job`.
        claim: The name of the resource claim; empty without one.
        share_ratio: The holder's share of the whole device, 0 to 1; None where the partition's size is unknown.
        sole: True when neither the subject nor any part of it is allocated to another container.
    """

    container: Container
    subject: SubjectKey
    resource: str
    source: str
    claim: str = ""
    share_ratio: float | None = None
    sole: bool = False

    @property
    def holder(self) -> Holder:
        """What identifies the edge."""
        return Holder(self.container, self.subject)


class RecentEvent(NamedTuple):
    """A critical event of the last minutes.

    Attributes:
        event: The last one of its device and code.
        age_seconds: Time since it was reported.
    """

    event: CriticalEvent
    age_seconds: float


class HolderSample(NamedTuple):
    """One value of a container or an allocation, in the base unit of its metric."""

    metric: Metric
    container: Container
    subject: SubjectKey
    value: float
    labels: tuple[str, ...] = ()


class SampleValues(NamedTuple):
    """The values of all samples of a snapshot.

    Attributes:
        series: Stands for what they are the values of: the same object for two snapshots if both have the same samples
            in the same order, apart from their values.
        every: The values of the samples, of the process samples and of the holder samples, each in their order.
    """

    series: object
    every: "array[float]"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a collector is down.

    Attributes:
        reason: The member of the closed list.
        text: The error text of its last call, for people.
        since: Monotonic seconds of the first of the consecutive calls that failed for this reason.
    """

    reason: Reason
    text: str
    since: float


@dataclass(frozen=True, slots=True)
class CollectorHealth:
    """The health of one collector.

    Attributes:
        name: The `collector` label.
        present: False while the vendor is absent from the node, which is not an error.
        up: True while the last call succeeded in time.
        late: True while a call has not returned by its deadline, or calls about all of its devices have not.
        devices: Number of devices that it exports.
        duration_seconds: Duration of the last call, or of the late call so far; None before the first call.
        last_success_timestamp_seconds: Unix time; None before the first success.
        errors: Error count by reason, with every reason present.
        failure: Why the last call failed; None if it succeeded.
        released: True while the collector is closed at the user's request.
        duplicate_devices: Number of devices that it lists and does not export, because another collector does.
        stuck: For how many seconds a call about a device has not returned, by its uuid.
        cpu_seconds: The CPU time that it has used; None before the first call.
        released_devices: The uuids of its devices that alone are closed at the user's request.
        unread: For how many seconds nothing has been read of a device that should be read, by its uuid.
        losses: What the library or kernel says about a device that does not answer, by its uuid.
    """

    name: str
    present: bool
    up: bool
    late: bool
    devices: int
    duration_seconds: float | None
    last_success_timestamp_seconds: float | None
    errors: Mapping[Reason, int]
    failure: Failure | None = None
    released: bool = False
    duplicate_devices: int = 0
    stuck: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: float | None = None
    released_devices: frozenset[str] = frozenset()
    unread: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttributionHealth:
    """The health of the source of allocations."""

    source: str
    up: bool
    last_success_timestamp_seconds: float | None


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """Everything that is exported, at one moment.

    Attributes:
        devices: By uuid, lost ones included.
        partitions: By uuid.
        samples: Values of devices and partitions, from the collectors and from the exporter's own accounting.
        allocations: Every allocation; None while unknown.
        holder_samples: Values of containers and allocations.
        processes: Processes that use devices or partitions, as the collectors report them.
        process_samples: Values of single processes; empty unless they are enabled.
        collectors: Health of each collector, by name.
        attribution: Health of each source of allocations.
        unmatched: Allocated ids that match no device, counted by resource, see `few_names`; empty while unknown.
        unresolved_claims: Devices of resource claims that are not resolved, counted by driver, see `few_names`; empty
            while unknown.
        ready: True once every collector has answered, failed or been late for the first time.
        conditions: By the uuid of each device that is not ok: why, the worst first.
        events: The critical events of the class hardware of the last 10 minutes, the newest first.
        values: The values of all samples; None if it is not known whether the series are those of another snapshot.
    """

    devices: Mapping[str, Device] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    allocations: tuple[Allocation, ...] | None = None
    holder_samples: tuple[HolderSample, ...] = ()
    processes: tuple[Process, ...] = ()
    process_samples: tuple[Sample, ...] = ()
    collectors: tuple[CollectorHealth, ...] = ()
    attribution: tuple[AttributionHealth, ...] = ()
    unmatched: Mapping[str, int] = field(default_factory=dict)
    unresolved_claims: Mapping[str, int] = field(default_factory=dict)
    ready: bool = False
    conditions: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    events: tuple[RecentEvent, ...] = ()
    values: SampleValues | None = None
