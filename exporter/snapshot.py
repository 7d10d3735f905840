"""What is known at one moment: immutable, made by one thread, read by all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.contract import Device, Partition, Process, Reason, Sample, SubjectKey
from collectors.metric import Metric


class Container(NamedTuple):
    """A Kubernetes container to which a device or partition is allocated."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class Allocation:
    """The edge from a container to the device or partition it holds; one for each such pair.

    Attributes:
        container: Who holds.
        subject: What is held.
        resource: The Kubernetes resource by which it was asked for.
        source: `device_plugin`, `dra` or `job`.
        claim: The resource claim's name where there is one.
        share_ratio: The holder's part of the whole device, 0 to 1; None where the partition's size is unknown.
        sole: True when nobody else holds the subject or any part of it.
    """

    container: Container
    subject: SubjectKey
    resource: str
    source: str
    claim: str = ""
    share_ratio: float | None = None
    sole: bool = False


@dataclass(frozen=True, slots=True)
class HolderSample:
    """One value about a container or about an allocation, in the row's base unit."""

    metric: Metric
    container: Container
    subject: SubjectKey
    value: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a collector is down.

    Attributes:
        reason: The member of the closed list.
        text: What its last call said, for people.
        since: Monotonic seconds of the first call, in an unbroken row, that failed for this reason.
    """

    reason: Reason
    text: str
    since: float


@dataclass(frozen=True, slots=True)
class CollectorHealth:
    """How one collector fares.

    Attributes:
        name: The `collector` label.
        present: False while the vendor is absent from the node, which is no fault.
        up: True while the last call succeeded in time.
        late: True while a call is out past its deadline.
        devices: How many devices it knows.
        duration_seconds: Of the last call, or so far of the late one; None before the first.
        last_success_timestamp_seconds: Unix time; None before the first success.
        errors: Count by reason, every reason present.
        failure: Why the last call failed; None where it did not.
        released: True while it has let go of the hardware because it was told to.
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


@dataclass(frozen=True, slots=True)
class AttributionHealth:
    """How the source of allocations fares."""

    source: str
    up: bool
    last_success_timestamp_seconds: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is served, as it stood at one moment.

    Attributes:
        devices: By uuid, lost ones included.
        partitions: By uuid.
        samples: Values about devices and partitions, ours and the collectors'.
        allocations: Who holds what; None while the kubelet's answer is unknown.
        holder_samples: Values about containers and allocations.
        processes: Processes that use devices or partitions, as the collectors tell them.
        process_samples: Values about single processes; empty unless asked for.
        collectors: Health of each collector, by name.
        attribution: Health of each source of allocations.
        unmatched: Allocated ids that match no device, counted by resource; empty while unknown.
        ready: True once every collector has answered, failed or been late for the first time.
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
    ready: bool = False
