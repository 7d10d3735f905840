"""Edges of resource claims beside those of device plugins, and what is known of the devices that a claim may hold."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from collectors.contract import Alias, SubjectKey
from exporter.attribution.claims import Claims
from exporter.attribution.finished_pods import CurrentHolders
from exporter.attribution.holding import ClaimDevice, Holding
from exporter.attribution.inventory import Inventory
from exporter.attribution.join import JoinResult, join, occupancy, with_shares
from exporter.snapshot import Allocation, Container
from tests.doubles.collectors import gpu, part

GPU = "acme.example/gpu"
DRIVER = "gpu.acme.example"
DEVICES = (gpu("a"), gpu("b"))
PARTITIONS = (part("b", "b0"), part("b", "b1"))
PREFIXES = ("acme.example/",)
P = Container("ns", "p", "c")
A, B = SubjectKey("a"), SubjectKey("b")
B0, B1 = SubjectKey("b", "b0"), SubjectKey("b", "b1")


def holding(device_id: str, container: Container = P) -> Holding:
    return Holding(*container, GPU, device_id, "device_plugin")


C = SubjectKey("c")
ACME = Inventory(DEVICES, PARTITIONS, PREFIXES, (DRIVER,))
OTHER_VENDOR = Inventory((gpu("c"),), (), ("other.example/",), ("gpu.other.example",))


def claimed(device: str, pod: str = "p", driver: str = DRIVER, share: str = "") -> ClaimDevice:
    return ClaimDevice("ns", pod, driver, "worker-1", device, share, "ns", "claim")


def joined_with(held: Sequence[Holding], *claims: ClaimDevice) -> JoinResult:
    inventories = [ACME, OTHER_VENDOR]
    return join(held, Claims().resolve(claims, inventories, 0.0), inventories)


def known_of(result: JoinResult) -> set[SubjectKey]:
    """The subjects whose `allocated` and `allocations` are exported."""
    devices, partitions = (*DEVICES, gpu("c")), PARTITIONS
    samples = occupancy(devices, partitions, result)
    subjects = [sample.subject for sample in samples]
    assert all(subjects.count(subject) == 2 for subject in subjects)
    return set(subjects)


def test_devices_that_a_claim_may_hold_are_not_free() -> None:
    found = joined_with((), claimed("gpu-0"))
    assert known_of(found) == {C}
    assert found.unresolved_claims == {"gpu.acme.example": 1}


def test_a_device_or_partition_that_a_device_plugin_allocated_is_known_beside_claims() -> None:
    assert known_of(joined_with([holding("a")], claimed("gpu-1"))) == {A, C}
    assert known_of(joined_with([holding("b0")], claimed("gpu-1"))) == {B, B0, C}
    assert known_of(joined_with([holding("b")], claimed("gpu-1"))) == {B, B0, B1, C}


def test_a_claimed_device_or_share_counts_once_for_all_its_pods() -> None:
    devices = [
        *(claimed("gpu-0", pod) for pod in "pqr"),
        claimed("gpu-1"),
        *(claimed("gpu-2", share=share) for share in ("s1", "s2")),
        claimed("gpu-0", driver="gpu.other.example"),
    ]
    found = joined_with((), *devices)
    assert found.unresolved_claims == {"gpu.acme.example": 4, "gpu.other.example": 1}
    assert known_of(found) == set()


def test_a_driver_that_no_collector_knows_is_counted_and_affects_no_device() -> None:
    found = joined_with((), claimed("eth1", driver="gpu.acme.example.com"))
    assert known_of(found) == {A, B, B0, B1, C}
    assert found.unresolved_claims == {"gpu.acme.example.com": 1}


NAMED = Inventory(
    (replace(gpu("a"), aliases=frozenset({Alias("a"), Alias("gpu-0", DRIVER)})), gpu("b")),
    PARTITIONS,
    PREFIXES,
    (DRIVER,),
)


def edges(*claims: ClaimDevice, held: Sequence[Holding] = ()) -> tuple[Allocation, ...]:
    return with_shares(join(held, Claims().resolve(claims, [NAMED], 0.0), [NAMED]).allocations, {})


def by_claim(name: str, container: Container = P, share: str = "") -> ClaimDevice:
    return ClaimDevice(
        container.namespace, container.pod, DRIVER, "node", "gpu-0", share, "ns", name, container=container.container
    )


def test_a_claim_is_an_edge_with_the_driver_and_the_name_of_the_claim() -> None:
    assert edges(by_claim("own")) == (Allocation(P, A, DRIVER, "dra", "own", 1.0, sole=True),)


@pytest.mark.parametrize(
    "order", list(itertools.permutations([by_claim("two"), by_claim("one", share="s1"), by_claim("one", share="s2")]))
)
def test_a_device_held_by_two_claims_is_one_edge_with_the_names_of_both(order: tuple[ClaimDevice, ...]) -> None:
    assert edges(*order) == (Allocation(P, A, DRIVER, "dra", "one,two", 1.0, sole=True),)


def test_a_device_held_by_claim_and_device_plugin_is_one_edge_of_the_claim() -> None:
    assert edges(by_claim("own"), held=[holding("a")]) == (Allocation(P, A, DRIVER, "dra", "own", 1.0, sole=True),)


def test_claim_and_device_plugin_of_one_container_for_two_devices_are_two_edges() -> None:
    found = edges(by_claim("own"), held=[holding("b0")])
    assert [(each.subject, each.source) for each in found] == [(A, "dra"), (B0, "device_plugin")]


@pytest.mark.parametrize(
    "other", [Container("ns", "p", "sidecar"), Container("ns", "q", "c")], ids=["one pod", "two pods"]
)
def test_containers_of_one_claim_share_its_device_and_none_is_its_sole_holder(other: Container) -> None:
    found = edges(by_claim("shared"), by_claim("shared", other))
    assert [(each.container, each.share_ratio, each.sole) for each in found] == [(P, 0.5, False), (other, 0.5, False)]


def test_a_pod_that_shares_a_claim_is_a_holder_however_long_the_other_one_is_listed() -> None:
    current, inventory = CurrentHolders(), NAMED
    for pods in ("p", "pq", "q"):
        claims = [by_claim("shared", Container("ns", pod, "c")) for pod in pods]
        found = join((), Claims().resolve(claims, [inventory], 0.0), [inventory], None, None, current)
        assert [each.container.pod for each in found.allocations] == list(pods)


def test_the_number_of_holders_is_unknown_if_a_claim_may_hold_a_shared_device_too() -> None:
    """A device that is held alone is not another claim's."""
    shared = [holding("a"), holding("a", P._replace(pod="q")), holding("b")]
    samples = occupancy(DEVICES, (), joined_with(shared, claimed("gpu-7")))
    assert {(each.metric.stem, each.device_uuid, each.value) for each in samples} == {
        ("allocated", "a", 1),
        ("allocated", "b", 1),
        ("allocations", "b", 1),
    }
