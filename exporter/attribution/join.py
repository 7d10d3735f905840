"""Joins allocations with devices: the holders of each device, their shares, and what they measurably use."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from collectors import catalog
from collectors.contract import Device, Partition, Sample, SubjectKey
from collectors.metric import Metric
from exporter import families
from exporter.accounting import UsageCounters
from exporter.attribution.device_ids import AliasTable, only_monitors
from exporter.attribution.holding import Holding
from exporter.snapshot import Allocation, Container, HolderSample

_MEASURED = {
    catalog.UTILIZATION: families.CONTAINER_UTILIZATION,
    catalog.MEMORY_USAGE: families.CONTAINER_MEMORY_USAGE,
    catalog.MEMORY_LIMIT: families.CONTAINER_MEMORY_LIMIT,
    catalog.POWER: families.CONTAINER_POWER,
}


@dataclass(frozen=True, slots=True)
class JoinResult:
    """The holders of each device. The daemon's series and the report of `check` are both derived from it.

    Attributes:
        allocations: One for each container and subject, sorted by both, without their shares.
        unmatched: Ids that match no known device, of resources that belong to a collector.
        other_resources: Number of ids by resource, for every other resource.
        by_subject: The allocations of each allocated subject.
        held_devices: Uuids of the devices that are allocated, completely or in part.
    """

    allocations: tuple[Allocation, ...]
    unmatched: tuple[Holding, ...]
    other_resources: Mapping[str, int]
    by_subject: Mapping[SubjectKey, tuple[Allocation, ...]]
    held_devices: frozenset[str]

    def holders(self, subject: Device | Partition) -> tuple[Allocation, ...] | None:
        """Return the allocations of a device or partition itself, not of its parts; empty if there are none.

        A lost device that was never read has no alias that an allocated id could match. While neither it nor a part of
        it is known to be allocated, an id that matches no device may be the id of this device.

        Returns:
            The allocations; None where unknown.
        """
        if isinstance(subject, Partition):
            return self.by_subject.get(SubjectKey(subject.device_uuid, subject.uuid), ())
        if subject.lost and self.unmatched and subject.uuid not in self.held_devices:
            return None
        return self.by_subject.get(SubjectKey(subject.uuid), ())


def join(
    holdings: Iterable[Holding],
    devices: Iterable[Device],
    partitions: Iterable[Partition],
    resource_prefixes: tuple[str, ...],
) -> JoinResult:
    """Match allocated ids with the known devices.

    Replicas, mirrored resources and repeated entries of one container and subject become one allocation.

    Args:
        holdings: The kubelet's allocations, in any order.
        devices: Every known device.
        partitions: Every known partition.
        resource_prefixes: Resources whose ids should match a device.
    """
    table = AliasTable(devices, partitions)
    found: dict[tuple[Container, SubjectKey], Allocation] = {}
    unmatched: list[Holding] = []
    others: Counter[str] = Counter()
    for holding in sorted(holdings):
        match = table.resolve(holding.resource, holding.device_id)
        if match is not None:
            container, subject = Container(holding.namespace, holding.pod, holding.container), SubjectKey(*match)
            allocation = Allocation(container, subject, holding.resource, holding.source, holding.claim)
            found.setdefault((container, subject), allocation)
        elif holding.resource.startswith(resource_prefixes) and not only_monitors(holding.resource):
            unmatched.append(holding)
        else:
            others[holding.resource] += 1
    return _result([found[key] for key in sorted(found)], unmatched, others)


def _result(allocations: Sequence[Allocation], unmatched: Sequence[Holding], others: Mapping[str, int]) -> JoinResult:
    by_subject: defaultdict[SubjectKey, list[Allocation]] = defaultdict(list)
    for allocation in allocations:
        by_subject[allocation.subject].append(allocation)
    return JoinResult(
        tuple(allocations),
        tuple(unmatched),
        dict(sorted(others.items())),
        {subject: tuple(held) for subject, held in by_subject.items()},
        frozenset(subject.device_uuid for subject in by_subject),
    )


def with_shares(edges: Sequence[Allocation], compute_ratio: Mapping[SubjectKey, float]) -> tuple[Allocation, ...]:
    """Return every edge with its share of the device; the shares of one device never exceed 1.

    Args:
        edges: The allocations.
        compute_ratio: Each partition's fraction of its device; if it is unknown, the shares are unknown.
    """
    holders = Counter(edge.subject for edge in edges)
    parts = {subject: compute_ratio.get(subject) if subject.partition_uuid else 1.0 for subject in holders}
    allocated: defaultdict[str, float] = defaultdict(float)
    for subject, part in parts.items():
        allocated[subject.device_uuid] += part or 0.0
    whole_devices = {subject.device_uuid for subject in holders if not subject.partition_uuid}
    partitioned_devices = {subject.device_uuid for subject in holders if subject.partition_uuid}
    shared: list[Allocation] = []
    for edge in edges:
        subject, part = edge.subject, parts[edge.subject]
        share = None if part is None else part / max(1.0, allocated[subject.device_uuid]) / holders[subject]
        overlapped = subject.device_uuid in (whole_devices if subject.partition_uuid else partitioned_devices)
        shared.append(replace(edge, share_ratio=share, sole=holders[subject] == 1 and not overlapped))
    return tuple(shared)


def occupancy(devices: Iterable[Device], partitions: Iterable[Partition], joined: JoinResult | None) -> list[Sample]:
    """Return `allocated` and `allocations` of every device and partition, where known.

    Args:
        devices: Every known device.
        partitions: Every known partition.
        joined: The allocations; None while unknown.
    """
    if joined is None:
        return []
    samples: list[Sample] = []
    for device in devices:
        holders = joined.holders(device)
        if holders is not None:
            samples += (
                Sample(catalog.ALLOCATED, device.uuid, float(device.uuid in joined.held_devices)),
                Sample(catalog.ALLOCATIONS, device.uuid, len(holders)),
            )
    for partition in partitions:
        count = len(joined.holders(partition) or ())
        samples += (
            Sample(catalog.ALLOCATED, partition.device_uuid, float(count > 0), partition.uuid),
            Sample(catalog.ALLOCATIONS, partition.device_uuid, count, partition.uuid),
        )
    return samples


def holder_samples(
    edges: Iterable[Allocation], live: Iterable[Sample], usage: Callable[[Container, SubjectKey], UsageCounters]
) -> tuple[HolderSample, ...]:
    """Return every value about containers and allocations.

    Args:
        edges: The allocations, with shares.
        live: The samples of devices and partitions that are exported now, including the exporter's own counters.
        usage: Returns how much of a subject a container has used so far.
    """
    by_subject: dict[SubjectKey, dict[Metric, float]] = defaultdict(dict)
    for sample in live:
        if not sample.labels:
            by_subject[SubjectKey(sample.device_uuid, sample.partition_uuid)][sample.metric] = sample.value
    samples: list[HolderSample] = []
    for edge in edges:
        counters = usage(edge.container, edge.subject)
        values: list[tuple[Metric, float, tuple[str, ...]]] = [
            (families.ALLOCATION_INFO, 1.0, (edge.resource, edge.source, edge.claim)),
        ]
        if edge.share_ratio is not None:
            values += (
                (families.ALLOCATION_SHARE, edge.share_ratio, ()),
                (families.ALLOCATION_DEVICE_SECONDS, counters.device_seconds, ()),
            )
        if edge.sole:
            values += ((row, value, ()) for row, value in _used(by_subject.get(edge.subject, {}), counters))
        samples += (HolderSample(row, edge.container, edge.subject, value, own) for row, value, own in values)
    return tuple(samples)


def _used(now: Mapping[Metric, float], counters: UsageCounters) -> list[tuple[Metric, float]]:
    """Return what a sole holder uses: the subject's current readings, and own counters while their input is known."""
    values = [(row, now[source]) for source, row in _MEASURED.items() if source in now]
    if catalog.UTILIZATION in now:
        values += (
            (families.CONTAINER_BUSY_SECONDS, counters.busy_seconds),
            (families.CONTAINER_OBSERVED_SECONDS, counters.observed_seconds),
        )
        if counters.last_active is not None:
            values.append((families.CONTAINER_LAST_ACTIVE, counters.last_active))
    if catalog.ENERGY in now:
        values.append((families.CONTAINER_ENERGY, counters.energy_joules))
    return values
