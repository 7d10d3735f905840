"""Joins allocations with devices: the holders of each device, their shares, and what they measurably use."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import groupby

from collectors import catalog
from collectors.contract import Device, Partition, Sample, SubjectKey
from collectors.metric import Metric
from exporter import families
from exporter.accounting import UsageCounters
from exporter.attribution.claims import ResolvedClaims
from exporter.attribution.device_ids import AliasTable
from exporter.attribution.finished_pods import CurrentHolders
from exporter.attribution.holding import Holding, HoldingGroup, Holdings
from exporter.attribution.inventory import Inventory
from exporter.attribution.plugin_ids import PluginIds
from exporter.few_names import counted_by_few
from exporter.snapshot import Allocation, Container, Holder, HolderSample

# All of what follows is by identity, because a row is hashed slowly.
_MEASURED = {
    id(catalog.UTILIZATION): families.CONTAINER_UTILIZATION,
    id(catalog.MEMORY_USAGE): families.CONTAINER_MEMORY_USAGE,
    id(catalog.MEMORY_LIMIT): families.CONTAINER_MEMORY_LIMIT,
    id(catalog.POWER): families.CONTAINER_POWER,
}
_UTILIZATION, _ENERGY = id(catalog.UTILIZATION), id(catalog.ENERGY)
_OF_PACKAGE = frozenset({id(catalog.POWER), _ENERGY})
_USED = frozenset({*_MEASURED, _ENERGY})
# A node has at most a few hundred pods. Each allocation takes about 7 kB, with its counters and series.
MOST_ALLOCATIONS = 5_000
# A container can hold a device by a claim and by a device plugin; the first of these names the edge.
_SOURCES = ("dra", "device_plugin")
_CLAIM_SOURCE = _SOURCES[0]


@dataclass(frozen=True, slots=True)
class JoinResult:
    """The holders of each device. The daemon's series and the report of `check` are both derived from it.

    Attributes:
        allocations: One for each container and subject, sorted by both, without their shares. Also those of a subject
            that no collector knows at the moment, if the id was resolved before.
        subjects: What the ids of the answer mean, for each container, resource and meaning that is known or was known
            before.
        unmatched: Ids that match no known device, of resources that belong to a collector or with the name of a device.
        other_resources: Number of ids by resource, for every other resource.
        claims: The devices of resource claims.
        unresolved_claims: Number of devices of resource claims that are not resolved, or not known at the moment, by
            driver.
        by_subject: The allocations of each allocated subject.
        held_devices: Uuids of the devices that are allocated, completely or in part.
        possibly_held: Uuids of the devices that a claim or an unmatched id may hold, also by one of its partitions.
        excess: How many allocations there are if they are more than `MOST_ALLOCATIONS`, else 0. None of them is kept
            then, and each device may be held.
    """

    allocations: tuple[Allocation, ...]
    subjects: Mapping[HoldingGroup, SubjectKey]
    unmatched: Holdings
    other_resources: Mapping[str, int]
    claims: ResolvedClaims
    unresolved_claims: Mapping[str, int]
    by_subject: Mapping[SubjectKey, tuple[Allocation, ...]]
    held_devices: frozenset[str]
    possibly_held: frozenset[str]
    excess: int = 0

    def holders(self, subject: Device | Partition) -> tuple[Allocation, ...] | None:
        """Return the allocations of a device or partition itself, not of its parts; empty if there are none.

        They are unknown while neither the subject nor its device or a part of it is known to be allocated, and
        something may hold it that is not resolved: a claim, an id with its name, and for a lost device any unmatched
        id, because a lost device that was never read has no alias.

        Returns:
            The allocations; None where unknown.
        """
        if isinstance(subject, Partition):
            key, device_uuid = subject.subject, subject.device_uuid
            held = key in self.by_subject or SubjectKey(device_uuid) in self.by_subject
            lost = False
        else:
            key, device_uuid = subject.subject, subject.uuid
            held = device_uuid in self.held_devices
            lost = subject.lost
        if not held and (device_uuid in self.possibly_held or (lost and self.unmatched)):
            return None
        return self.by_subject.get(key, ())

    def all_known(self, subject: SubjectKey) -> bool:
        """Whether all allocations of a device or partition are known. Who holds it alone shares it with no other."""
        return subject.device_uuid not in self.possibly_held or len(self.by_subject.get(subject, ())) <= 1


def join(
    holdings: Iterable[Holding],
    claims: ResolvedClaims,
    inventories: Sequence[Inventory],
    earlier: Mapping[HoldingGroup, SubjectKey] | None = None,
    exported: AbstractSet[SubjectKey] | None = None,
    current: CurrentHolders | None = None,
) -> JoinResult:
    """Match allocated ids with the known devices.

    Replicas, mirrored resources and repeated entries of one container and subject become one allocation.

    Args:
        holdings: The kubelet's allocations, in any order.
        claims: The devices of resource claims, resolved with the same inventories.
        inventories: The devices of each collector.
        earlier: `subjects` of an earlier result: a listed id keeps its meaning while no collector knows the device.
        exported: The devices and partitions that have series: an id of another one is counted as unmatched. None: all.
        current: What is known of the holders from earlier answers; None: nothing.
    """
    known = {subject for each in inventories for subject in each.subjects} if exported is None else exported
    prefixes = tuple(prefix for each in inventories for prefix in each.resource_prefixes)
    matches = PluginIds(AliasTable(*_all_of(inventories)), prefixes, known, earlier or {})
    unmatched = matches.unmatched(holdings)
    matches.possibly_held |= claims.possibly_held
    if matches.unknown_id:
        matches.possibly_held.update(_may_have_unknown_partitions(inventories))
    unresolved = _unresolved(claims, known)
    excess = len(matches.subjects) + len(claims.edges)
    if excess > MOST_ALLOCATIONS:
        uuids = frozenset(device.uuid for each in inventories for device in each.devices)
        others = dict(sorted(matches.others.items()))
        return JoinResult((), {}, unmatched, others, claims, unresolved, {}, frozenset(), uuids, excess)
    if current is not None:
        matches.subjects = current.of(matches.subjects)
    return _result(matches, unmatched, claims, unresolved)


def _may_have_unknown_partitions(inventories: Iterable[Inventory]) -> Iterator[str]:
    """The devices that an unknown id may mean by a partition that is not listed."""
    return (device.uuid for each in inventories for device in each.devices if not device.partitions_known)


def _all_of(inventories: Sequence[Inventory]) -> tuple[list[Device], list[Partition]]:
    """The devices and partitions of all collectors."""
    return (
        [device for each in inventories for device in each.devices],
        [part for each in inventories for part in each.partitions],
    )


def _result(
    matches: PluginIds, unmatched: Holdings, claims: ResolvedClaims, unresolved: Mapping[str, int]
) -> JoinResult:
    found = _edges([*_plugin_allocations(matches), *_claim_allocations(claims)])
    by_subject: defaultdict[SubjectKey, list[Allocation]] = defaultdict(list)
    for allocation in found:
        by_subject[allocation.subject].append(allocation)
    return JoinResult(
        found,
        matches.subjects,
        unmatched,
        dict(sorted(matches.others.items())),
        claims,
        unresolved,
        {subject: tuple(held) for subject, held in by_subject.items()},
        frozenset(subject.device_uuid for subject in by_subject),
        frozenset(matches.possibly_held),
    )


def _unresolved(claims: ResolvedClaims, known: AbstractSet[SubjectKey]) -> dict[str, int]:
    """Number of devices by driver that are not resolved, or are but have no series."""
    unknown = {claimed.allocated for claimed, subject in claims.edges if subject not in known}
    counts = Counter(claims.unresolved) + Counter(each.driver for each in unknown)
    return dict(sorted(counted_by_few(counts).items()))


def _plugin_allocations(matches: PluginIds) -> Iterator[Allocation]:
    for group, subject in matches.subjects.items():
        container = Container(group.namespace, group.pod, group.container)
        yield Allocation(container, subject, group.resource, group.source, group.claim)


def _claim_allocations(claims: ResolvedClaims) -> Iterator[Allocation]:
    """The edges of claims. The kubelet does not list what was requested, so the driver stands for the resource."""
    for claimed, subject in claims.edges:
        container = Container(claimed.namespace, claimed.pod, claimed.container)
        yield Allocation(container, subject, claimed.driver, _CLAIM_SOURCE, claimed.claim_name)


def _edges(allocations: Iterable[Allocation]) -> tuple[Allocation, ...]:
    """One allocation for each container and subject, sorted by both: of the first source, with the names of all claims.

    Args:
        allocations: In any order.
    """
    edges: list[Allocation] = []
    for _, same in groupby(sorted(allocations, key=_edge_order), key=lambda each: (each.container, each.subject)):
        first, *others = same
        names = sorted({each.claim for each in (first, *others) if each.claim})
        edges.append(replace(first, claim=",".join(names)))
    return tuple(edges)


def _edge_order(allocation: Allocation) -> tuple[Container, SubjectKey, int, str, str, str]:
    source = allocation.source
    rank = _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)
    return allocation.container, allocation.subject, rank, source, allocation.resource, allocation.claim


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
            samples.append(Sample(catalog.ALLOCATED, device.uuid, float(device.uuid in joined.held_devices)))
            if joined.all_known(device.subject):
                samples.append(Sample(catalog.ALLOCATIONS, device.uuid, len(holders)))
    for partition in partitions:
        holders = joined.holders(partition)
        if holders is not None:
            uuid, own = partition.device_uuid, partition.uuid
            samples.append(Sample(catalog.ALLOCATED, uuid, float(bool(holders)), own))
            if joined.all_known(partition.subject):
                samples.append(Sample(catalog.ALLOCATIONS, uuid, len(holders), own))
    return samples


def holder_samples(
    edges: Iterable[Allocation],
    live: Iterable[Sample],
    usage: Callable[[Holder], UsageCounters],
    *,
    allocation_energy: bool = False,
    power_shared: AbstractSet[str] = frozenset(),
) -> tuple[HolderSample, ...]:
    """Return every value about containers and allocations.

    Args:
        edges: The allocations, with shares.
        live: The samples of devices and partitions that are exported now, including the exporter's own counters; at
            least those of the fast cadence.
        usage: Returns how much of a subject a container has used so far.
        allocation_energy: Whether the energy of allocations is exported.
        power_shared: Uuids of the devices whose power and energy are those of a package that they share. Which part of
            it a holder uses is not measured, so it has none.
    """
    by_subject = _usable(live, power_shared)
    samples: list[HolderSample] = []
    add = samples.append
    for edge in edges:
        container, subject, counters = edge.container, edge.subject, usage(edge.holder)
        labels = (edge.resource, edge.source, edge.claim)
        add(HolderSample(families.ALLOCATION_INFO, container, subject, 1.0, labels))
        if edge.share_ratio is not None:
            add(HolderSample(families.ALLOCATION_SHARE, container, subject, edge.share_ratio))
            add(HolderSample(families.ALLOCATION_DEVICE_SECONDS, container, subject, counters.device_seconds))
            if allocation_energy and _ENERGY in by_subject.get((subject.device_uuid, ""), {}):
                joules = counters.allocated_energy_joules
                add(HolderSample(families.ALLOCATION_ENERGY, container, subject, joules))
        if edge.sole:
            for row, value in _used(by_subject.get(subject, {}), counters):
                add(HolderSample(row, container, subject, value))
    return tuple(samples)


def _usable(live: Iterable[Sample], power_shared: AbstractSet[str]) -> Mapping[tuple[str, str], Mapping[int, float]]:
    """The values that may be those of a holder, by device or partition and by the identity of the row."""
    by_subject: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for sample in live:
        row = id(sample.metric)
        if row not in _USED or sample.labels:
            continue
        if not (row in _OF_PACKAGE and sample.device_uuid in power_shared):
            by_subject[sample.device_uuid, sample.partition_uuid][row] = sample.value
    return by_subject


def _used(now: Mapping[int, float], counters: UsageCounters) -> list[tuple[Metric, float]]:
    """Return what a sole holder uses: the subject's current readings, and own counters while their input is known."""
    values = [(row, now[source]) for source, row in _MEASURED.items() if source in now]
    if _UTILIZATION in now:
        values += (
            (families.CONTAINER_BUSY_SECONDS, counters.busy_seconds),
            (families.CONTAINER_OBSERVED_SECONDS, counters.observed_seconds),
        )
        if counters.last_active is not None:
            values.append((families.CONTAINER_LAST_ACTIVE, counters.last_active))
    if _ENERGY in now:
        values.append((families.CONTAINER_ENERGY, counters.energy_joules))
    return values
