"""Ids can be many: what is kept of them is little, and more allocations than can be exported are unknown."""

from collectors.contract import SubjectKey
from exporter.attribution.claims import ClaimEdge, ResolvedClaims
from exporter.attribution.holding import ClaimDevice, Holding, Holdings
from exporter.attribution.inventory import Inventory
from exporter.attribution.join import MOST_ALLOCATIONS, JoinResult, join, occupancy
from tests.doubles.collectors import gpu

DEVICES = (gpu("a"), gpu("b"))
INVENTORY = Inventory(DEVICES, (), ("acme.example/",))


def holding(device_id: str, pod: str = "p") -> Holding:
    return Holding("ns", pod, "c", "acme.example/gpu", device_id, "device_plugin")


def joined(*held: Holding) -> JoinResult:
    return join(held, ResolvedClaims(), [INVENTORY])


def replicas(containers: int, each: int = 3) -> list[Holding]:
    """So many containers that each hold replicas of the devices."""
    pods = [f"pod-{number}" for number in range(containers)]
    return [holding(f"{uuid}::{n}", pod) for pod in pods for uuid in ("a", "b") for n in range(each)]


def test_replicas_are_kept_together_for_each_container_and_device() -> None:
    found = joined(*replicas(10, each=50))
    assert len(found.allocations) == len(found.subjects) == 20
    assert sum(len(group.split()) for group in found.subjects) == 1000


def test_ids_that_all_mean_the_same_or_match_nothing_are_not_copied() -> None:
    held = Holdings.of([*(holding(f"a::{n}") for n in range(3)), *(holding(f"z-{n}", "q") for n in range(3))])
    found = join(held, ResolvedClaims(), [INVENTORY])
    assert next(iter(found.subjects)).ids is held.groups[0].ids
    assert found.unmatched.groups[0].ids is held.groups[1].ids


def test_more_allocations_than_are_exported_are_unknown() -> None:
    most = joined(*replicas(MOST_ALLOCATIONS // 2, each=1))
    assert (len(most.allocations), most.excess) == (MOST_ALLOCATIONS, 0)

    strange = holding("z1")
    found = joined(*replicas(MOST_ALLOCATIONS // 2 + 1, each=1), strange)
    assert found.excess == MOST_ALLOCATIONS + 2
    assert (found.allocations, dict(found.subjects)) == ((), {})
    assert found.unmatched == (strange,)
    assert occupancy(DEVICES, (), found) == []


def test_the_edges_of_claims_are_among_those_that_can_be_too_many() -> None:
    claimed = ClaimDevice("ns", "p", "gpu.acme.example", "node", "gpu-0", "", "ns", "claim", (), "c")
    claims = ResolvedClaims((ClaimEdge(claimed, SubjectKey("a")),))
    held = replicas(MOST_ALLOCATIONS // 2, each=1)
    assert join(held[1:], claims, [INVENTORY]).excess == 0
    found = join(held, claims, [INVENTORY])
    assert found.excess == MOST_ALLOCATIONS + 1
    assert (found.allocations, occupancy(DEVICES, (), found)) == ((), [])
