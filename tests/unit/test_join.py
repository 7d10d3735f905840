import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest

from collectors import catalog
from collectors.contract import Device, Partition, Sample, SubjectKey
from collectors.metric import Cadence, Subject
from exporter import families
from exporter.accounting import UsageCounters
from exporter.attribution.claims import ResolvedClaims
from exporter.attribution.holding import Holding, Holdings
from exporter.attribution.inventory import Inventory
from exporter.attribution.join import JoinResult, holder_samples, join, occupancy, with_shares
from exporter.snapshot import Allocation, Container
from tests.doubles.collectors import energy, gpu, info, part, power, temperature, utilization

GPU = "acme.example/gpu"
DEVICES = (gpu("a"), gpu("b"))
PARTITIONS = (part("b", "b0"), part("b", "b1"))
PREFIXES = ("acme.example/",)

P = Container("ns", "p", "c")
Q = Container("ns", "q", "c")
R = Container("ns", "r", "c")
NO_CLAIMS = ResolvedClaims()
A, B = SubjectKey("a"), SubjectKey("b")
B0, B1 = SubjectKey("b", "b0"), SubjectKey("b", "b1")


def holding(device_id: str, container: Container = P, resource: str = GPU, **more: str) -> Holding:
    return Holding(*container, resource, device_id, more.get("source", "device_plugin"), more.get("claim", ""))


def joined(*held: Holding, prefixes: tuple[str, ...] = PREFIXES) -> JoinResult:
    return join(held, NO_CLAIMS, [Inventory(DEVICES, PARTITIONS, prefixes)])


def edge(container: Container, subject: SubjectKey) -> Allocation:
    return Allocation(container, subject, GPU, "device_plugin")


def shares(*edges: tuple[Container, SubjectKey], ratio: dict[SubjectKey, float] | None = None) -> list[float | None]:
    return [found.share_ratio for found in with_shares([edge(*pair) for pair in edges], ratio or {})]


def soles(*edges: tuple[Container, SubjectKey]) -> list[bool]:
    return [found.sole for found in with_shares([edge(*pair) for pair in edges], {B0: 0.5, B1: 0.25})]


def test_an_id_becomes_an_edge_to_its_device_or_partition() -> None:
    found = joined(holding("a"), holding("b1", Q, source="dra", claim="claim-1"))

    assert found.allocations == (
        Allocation(P, A, GPU, "device_plugin"),
        Allocation(Q, B1, GPU, "dra", "claim-1"),
    )
    assert (tuple(found.unmatched), found.other_resources) == ((), {})


def test_replicas_mirrored_resources_and_repeated_entries_are_one_edge() -> None:
    held = [
        holding("a::0"),
        holding("a::1"),
        holding("a"),
        holding("a"),
        holding("a", resource="acme.example/gpu.shared"),
    ]

    assert joined(*held).allocations == (Allocation(P, A, GPU, "device_plugin"),)


def test_edges_do_not_depend_on_the_order_of_the_answer() -> None:
    held = [
        holding("a", source="dra", claim="claim-2"),
        holding("a", source="dra", claim="claim-1"),
        holding("a::0", resource="acme.example/gpu.shared"),
        holding("b0", Q),
    ]

    found = {joined(*order).allocations for order in itertools.permutations(held)}

    assert found == {(Allocation(P, A, GPU, "dra", "claim-1,claim-2"), Allocation(Q, B0, GPU, "device_plugin"))}


def test_each_container_of_a_pod_has_its_own_edge() -> None:
    found = joined(holding("a", P), holding("a", P._replace(container="sidecar")))

    assert [each.container.container for each in found.allocations] == ["c", "sidecar"]


def test_an_id_of_an_accelerator_resource_that_matches_no_device_is_unmatched_and_other_ids_are_counted() -> None:
    strange = [holding("z1"), holding("z2", Q), holding("z3", resource="acme.example/slice")]
    other = [holding("hugepage", resource="vendor.example/net"), holding("a", resource="vendor.example/net")]

    found = joined(*other, *strange)

    assert found.unmatched == tuple(sorted(strange))
    assert found.other_resources == {"vendor.example/net": 1}
    assert [each.subject for each in found.allocations] == [A]


def test_a_resource_that_only_monitors_is_neither_an_edge_nor_unmatched() -> None:
    monitoring = "acme.example/gpu_monitoring"
    found = joined(holding("a", resource=monitoring))
    assert (found.allocations, tuple(found.unmatched), found.other_resources) == ((), (), {monitoring: 1})


def test_without_collectors_nothing_is_unmatched() -> None:
    found = joined(holding("z"), prefixes=())
    assert (found.allocations, tuple(found.unmatched), found.other_resources) == ((), (), {GPU: 1})


def test_a_sole_holder_has_the_whole_device() -> None:
    assert shares((P, A), (Q, B)) == [1.0, 1.0]
    assert soles((P, A), (Q, B)) == [True, True]


def test_holders_that_share_a_device_have_equal_parts_of_it() -> None:
    assert shares((P, A), (Q, A), (R, A)) == pytest.approx([1 / 3] * 3)
    assert soles((P, A), (Q, A), (R, A)) == [False] * 3


def test_the_holder_of_a_partition_has_its_fraction_of_the_device() -> None:
    assert shares((P, B0), (Q, B1), ratio={B0: 0.5, B1: 0.25}) == [0.5, 0.25]
    assert soles((P, B0), (Q, B1)) == [True, True]


def test_holders_that_share_a_partition_have_equal_parts_of_its_fraction() -> None:
    assert shares((P, B0), (Q, B0), (R, B1), ratio={B0: 0.5, B1: 0.25}) == [0.25, 0.25, 0.25]
    assert soles((P, B0), (Q, B0), (R, B1)) == [False, False, True]


def test_the_share_of_a_partition_of_unknown_size_is_unknown() -> None:
    assert shares((P, B0), (Q, B1), ratio={B1: 0.25}) == [None, 0.25]
    assert soles((P, B0)) == [True]


def test_the_shares_of_a_device_allocated_whole_and_in_part_do_not_exceed_1() -> None:
    found = shares((P, B), (Q, B0), (R, B1), ratio={B0: 0.5, B1: 0.25})

    assert sum(share or 0 for share in found) == pytest.approx(1.0)
    assert found == pytest.approx([1 / 1.75, 0.5 / 1.75, 0.25 / 1.75])
    assert soles((P, B), (Q, B0)) == [False, False]


def test_partitions_of_one_device_do_not_affect_another() -> None:
    assert soles((P, A), (Q, B0)) == [True, True]


def test_the_shares_of_partitions_with_too_large_fractions_do_not_exceed_1() -> None:
    assert shares((P, B0), (Q, B1), ratio={B0: 1.0, B1: 0.6}) == pytest.approx([1 / 1.6, 0.6 / 1.6])


Occupancy = dict[SubjectKey, tuple[float, float]]


def occupied(devices: Sequence[Device], partitions: Sequence[Partition], *held: Holding) -> Occupancy:
    """(allocated, allocations) of every subject for which they are known."""
    result = join(held, NO_CLAIMS, [Inventory(devices, partitions, PREFIXES)])
    found: defaultdict[SubjectKey, dict[str, float]] = defaultdict(dict)
    for sample in occupancy(devices, partitions, result):
        found[SubjectKey(sample.device_uuid, sample.partition_uuid)][sample.metric.stem] = sample.value
    return {subject: (values["allocated"], values["allocations"]) for subject, values in found.items()}


def test_a_free_device_is_not_allocated() -> None:
    assert occupied(DEVICES, PARTITIONS) == dict.fromkeys((A, B, B0, B1), (0, 0))


def test_a_device_with_an_allocated_partition_is_allocated_without_allocations() -> None:
    held = (holding("b0"), holding("b0", Q))
    assert occupied(DEVICES, PARTITIONS, *held) == {A: (0, 0), B: (1, 0), B0: (1, 2), B1: (0, 0)}


def test_a_shared_device_counts_its_holders_and_its_partitions_stay_free() -> None:
    held = (holding("b"), holding("b", Q), holding("a", R))
    assert occupied(DEVICES, PARTITIONS, *held) == {A: (1, 1), B: (1, 2), B0: (0, 0), B1: (0, 0)}


@pytest.mark.parametrize(
    ("held", "known"),
    [
        ((), {A: (0, 0), B: (0, 0), B0: (0, 0)}),
        (("z",), {A: (0, 0), B0: (0, 0)}),
        (("b", "z"), {A: (0, 0), B: (1, 1), B0: (0, 0)}),
        (("b0", "z"), {A: (0, 0), B: (1, 0), B0: (1, 1)}),
    ],
    ids=["nothing unmatched", "the id may be of the lost device", "allocated", "a partition allocated"],
)
def test_whether_a_lost_device_is_free_is_unknown_while_an_id_matches_no_device(
    held: tuple[str, ...], known: Occupancy
) -> None:
    devices, partitions = (gpu("a"), gpu("b", lost=True)), (part("b", "b0"),)
    assert occupied(devices, partitions, *(holding(each) for each in held)) == known


ACME = Inventory(DEVICES, PARTITIONS, PREFIXES)
NAMED = "uuid-of-a-device"


def test_an_id_of_any_resource_that_is_a_share_of_a_device_is_allocated() -> None:
    found = join(
        [holding(f"{NAMED}-_-3", resource="shares.example/gpu")], NO_CLAIMS, [Inventory((gpu(NAMED),), (), PREFIXES)]
    )
    assert [each.subject for each in found.allocations] == [SubjectKey(NAMED)]
    assert (tuple(found.unmatched), found.other_resources) == ((), {})


def test_an_id_that_names_a_device_and_is_not_understood_is_unmatched_and_the_device_not_free() -> None:
    strange = holding(f"numa0-{NAMED}", resource="shares.example/gpu")
    network = holding("eth0", resource="shares.example/net")
    monitor = holding(f"all-{NAMED}", resource="shares.example/monitoring")
    inventory = Inventory((gpu(NAMED), gpu("a")), (), PREFIXES)
    found = join([strange, network, monitor], NO_CLAIMS, [inventory])
    assert found.unmatched == (strange,)
    assert found.other_resources == {network.resource: 1, monitor.resource: 1}
    assert found.holders(gpu(NAMED)) is None
    assert found.holders(gpu("a")) == ()


def test_a_listed_id_keeps_its_meaning_while_its_partition_is_unknown() -> None:
    held = [holding("b0"), holding("a", Q)]
    before = join(held, NO_CLAIMS, [ACME])
    without = Inventory(DEVICES, (), PREFIXES)
    during = join(held, NO_CLAIMS, [without], before.subjects)
    assert during.allocations == before.allocations
    assert during.held_devices == {"a", "b"}
    assert during.unmatched == (held[0],)
    assert join(held, NO_CLAIMS, [ACME], during.subjects) == before

    ended = join(held[1:], NO_CLAIMS, [without], during.subjects)
    assert Holdings(ended.subjects) == (held[1],)
    assert join(held, NO_CLAIMS, [without], ended.subjects).allocations == ended.allocations


def test_occupancy_is_absent_while_allocations_are_unknown() -> None:
    assert occupancy(DEVICES, PARTITIONS, None) == []


LIVE = (
    utilization("a", 0.5),
    Sample(catalog.MEMORY_USAGE, "a", 4e9),
    Sample(catalog.MEMORY_LIMIT, "a", 8e9),
    power("a", 100),
    energy("a", 5000),
    temperature("a", 60),
    info("a"),
)
USED = UsageCounters(busy_seconds=3, observed_seconds=4, energy_joules=50, device_seconds=6, last_active=7)


def served(
    live: tuple[Sample, ...], *edges: tuple[Container, SubjectKey], used: UsageCounters = USED
) -> dict[str, float]:
    """Return the values of the holder P, by the family's name."""
    shared = with_shares([edge(*pair) for pair in edges], {})
    found = [s for s in holder_samples(shared, live, lambda *_: used) if s.container == P]
    names = Counter(sample.metric.name(sample.metric.subjects[0]) for sample in found)
    assert set(names.values()) == {1}
    return {sample.metric.name(sample.metric.subjects[0]): sample.value for sample in found}


ALLOCATION = {
    "accelerator_allocation_info": 1,
    "accelerator_allocation_share_ratio": 1,
    "accelerator_allocation_device_seconds_total": 6,
}


def test_a_sole_holder_has_the_values_of_the_device() -> None:
    assert served(LIVE, (P, A)) == ALLOCATION | {
        "accelerator_container_utilization_ratio": 0.5,
        "accelerator_container_busy_seconds_total": 3,
        "accelerator_container_observed_seconds_total": 4,
        "accelerator_container_last_active_timestamp_seconds": 7,
        "accelerator_container_memory_usage_bytes": 4e9,
        "accelerator_container_memory_limit_bytes": 8e9,
        "accelerator_container_power_watts": 100,
        "accelerator_container_energy_joules_total": 50,
    }


def test_a_holder_that_shares_has_its_edge_and_no_container_values() -> None:
    assert served(LIVE, (P, A), (Q, A)) == ALLOCATION | {"accelerator_allocation_share_ratio": 0.5}


def test_container_values_are_absent_without_their_input() -> None:
    assert served((), (P, A)) == ALLOCATION
    assert served((power("a", 1),), (P, A)).keys() - ALLOCATION.keys() == {"accelerator_container_power_watts"}
    assert served((energy("a", 1),), (P, A)).keys() - ALLOCATION.keys() == {"accelerator_container_energy_joules_total"}


ENERGY = "accelerator_allocation_energy_joules_total"


def test_energy_of_an_allocation_is_exported_on_request_while_the_energy_of_the_device_is_known() -> None:
    shared = with_shares([edge(P, A), edge(Q, A), edge(P, B0), edge(Q, B1)], {B0: 0.25})
    live = (energy("a", 5000), energy("b", 5000))
    used = UsageCounters(allocated_energy_joules=50)

    def exported(now: tuple[Sample, ...], *, on_request: bool = True) -> list[tuple[Container, SubjectKey, float]]:
        found = holder_samples(shared, now, lambda *_: used, allocation_energy=on_request)
        return [(s.container, s.subject, s.value) for s in found if s.metric is families.ALLOCATION_ENERGY]

    assert families.ALLOCATION_ENERGY.name(Subject.ALLOCATION) == ENERGY
    assert exported(live) == [(P, A, 50), (Q, A, 50), (P, B0, 50)]  # the size of B1 is unknown
    assert exported(live[:1]) == [(P, A, 50), (Q, A, 50)]
    assert exported(live, on_request=False) == []


def test_the_power_of_a_shared_package_is_not_what_a_holder_uses() -> None:
    shared = with_shares([edge(P, A), edge(P, SubjectKey("c"))], {})
    live = (power("a", 412), energy("a", 5000), power("c", 300), energy("c", 7000))
    used = UsageCounters(energy_joules=50, allocated_energy_joules=60)
    found = holder_samples(shared, live, lambda *_: used, allocation_energy=True, power_shared={"a"})
    rows = (families.CONTAINER_POWER, families.CONTAINER_ENERGY, families.ALLOCATION_ENERGY)
    of_power = {(sample.subject.device_uuid, sample.metric) for sample in found if sample.metric in rows}
    assert of_power == {("c", row) for row in rows}
    assert {s.metric for s in found if s.subject == A} == {
        families.ALLOCATION_INFO,
        families.ALLOCATION_SHARE,
        families.ALLOCATION_DEVICE_SECONDS,
    }


def test_last_active_is_absent_until_the_container_has_been_active() -> None:
    found = served((utilization("a", 0),), (P, A), used=UsageCounters(observed_seconds=4))

    assert found.keys() - ALLOCATION.keys() == {
        "accelerator_container_utilization_ratio",
        "accelerator_container_busy_seconds_total",
        "accelerator_container_observed_seconds_total",
    }


def test_an_unknown_share_and_its_integral_are_absent() -> None:
    assert served((), (P, B0)).keys() == {"accelerator_allocation_info"}


def test_the_edge_has_the_requested_resource_and_its_source() -> None:
    [found] = holder_samples([Allocation(P, A, GPU, "dra", "claim-1")], (), lambda *_: USED)

    assert (found.metric, found.labels) == (families.ALLOCATION_INFO, (GPU, "dra", "claim-1"))


def test_readings_of_another_subject_are_not_used_for_the_holder() -> None:
    assert served((utilization("b", 0.9), utilization("b", 0.8, "b0")), (P, A)) == ALLOCATION


def test_what_holders_use_is_read_at_the_fast_cadence() -> None:
    """The assembler passes only that."""
    held = [Allocation(P, A, GPU, "device_plugin", share_ratio=1.0, sole=True)]

    def found(*live: Sample) -> int:
        return len(holder_samples(held, live, lambda *_: USED, allocation_energy=True))

    used = {row for row in catalog.ROWS if found(Sample(row, "a", 1.0)) > found()}
    assert {catalog.UTILIZATION, catalog.POWER, catalog.ENERGY} < used
    assert {row.cadence for row in used} == {Cadence.FAST}
