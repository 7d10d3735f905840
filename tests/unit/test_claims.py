"""Whose claims count, what is counted of the others, and which devices they may hold."""

import logging

import pytest

from collectors.contract import SubjectKey
from collectors.vendors import DRIVERS_WITHOUT_ACCELERATORS
from exporter.attribution.claim_objects import AllocatedDevice, ClaimAllocation
from exporter.attribution.claim_resolution import Lookups, UnresolvedReason, Way
from exporter.attribution.claim_users import ClaimRules, Use
from exporter.attribution.claims import Claims, ResolvedClaims
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.inventory import Inventory
from tests.doubles.claims import CdiTable, Objects, claimed, device

DRIVER = "gpu.acme.example"
DEVICES = (device("a", "gpu-0", driver=DRIVER), device("b", "gpu-1", driver=DRIVER))
OTHER = Inventory((device("c", "npu-0", driver="npu.other.example"),), ())
INVENTORIES = (Inventory(DEVICES, (), (), (), "acme"), OTHER)


def resolved(*listed: ClaimDevice, rules: ClaimRules | None = None, objects: Objects | None = None) -> ResolvedClaims:
    return Claims(rules, Lookups(CdiTable(), objects)).resolve(listed, INVENTORIES, 0.0)


def holders(found: ResolvedClaims) -> list[tuple[str, str, str]]:
    return [(claim.pod, claim.container, subject.device_uuid) for claim, subject in found.edges]


def test_each_container_of_a_claim_holds_each_of_its_devices() -> None:
    listed = [claimed(name, DRIVER, container=each) for name in ("gpu-0", "gpu-1") for each in ("main", "sidecar")]
    found = resolved(*listed)
    assert holders(found) == [("train", each, uuid) for uuid in "ab" for each in ("main", "sidecar")]
    assert (found.ways, found.unresolved, found.possibly_held) == ({Way.NAME: 2}, {}, frozenset())


def test_what_is_not_resolved_is_counted_once_for_all_containers_with_its_reason() -> None:
    listed = [
        *(claimed("gpu-7", DRIVER, pod=pod) for pod in "pqr"),
        *(claimed("gpu-8", DRIVER, share=share) for share in ("s1", "s2")),
        claimed("eth0", "net.example"),
    ]
    found = resolved(*listed)
    assert found.unresolved == {DRIVER: 3, "net.example": 1}
    assert found.reasons == {(DRIVER, "not_found"): 3, ("net.example", "not_found"): 1}
    assert found.possibly_held == {"a", "b"}
    assert [each.claimed for each in found.shown] == [listed[0], *listed[3:]]


def test_of_many_only_some_are_kept_to_be_shown() -> None:
    found = resolved(*(claimed(f"gpu-{number}", DRIVER) for number in range(2, 1002)))
    assert (found.unresolved, len(found.shown)) == ({DRIVER: 1000}, 100)


def test_of_many_drivers_some_are_counted_together() -> None:
    found = resolved(*(claimed("x", f"driver-{number:03}.example") for number in range(150)))
    for counts in (found.used, found.unresolved, {driver: count for (driver, _), count in found.reasons.items()}):
        assert (len(counts), counts["driver-099.example"], counts["other"]) == (101, 1, 50)


def test_of_very_many_devices_some_are_not_searched_and_their_devices_not_free() -> None:
    listed = [claimed(f"gpu-{number + 2}", DRIVER, uid="") for number in range(10_000)]
    found = resolved(*listed, claimed("gpu-0", DRIVER))
    assert found.reasons == {(DRIVER, "not_found"): 10_000, (DRIVER, "too_many_claims"): 1}
    assert (found.edges, found.possibly_held) == ((), frozenset("ab"))


@pytest.mark.parametrize("driver", [*sorted(DRIVERS_WITHOUT_ACCELERATORS), "own.example"])
def test_drivers_without_accelerators_are_ignored(driver: str) -> None:
    found = resolved(claimed("channel-0", driver), rules=ClaimRules(ignored_drivers=("own.example",)))
    assert (found.edges, found.unresolved, found.not_counted) == ((), {}, {Use.NO_ACCELERATOR: 1})


def test_claims_in_the_own_namespace_are_those_of_monitors() -> None:
    listed = [claimed("gpu-0", DRIVER, namespace="monitors"), claimed("gpu-9", DRIVER, namespace="monitors")]
    found = resolved(*listed, claimed("gpu-1", DRIVER), rules=ClaimRules("monitors"))
    assert holders(found) == [("train", "main", "b")]
    assert (found.unresolved, found.not_counted, found.possibly_held) == ({}, {Use.MONITORED: 2}, frozenset())


def allocated(*devices: tuple[str, str], admin: bool = False) -> ClaimAllocation:
    """The devices of a claim's requests."""
    return ClaimAllocation(
        tuple(AllocatedDevice(request, DRIVER, "node", name, "", admin) for request, name in devices)
    )


def test_a_claim_with_admin_access_holds_nothing_in_any_namespace() -> None:
    objects = Objects(claims={"own": allocated(("all", "gpu-0"), ("all", "gpu-9"), admin=True)})
    found = resolved(claimed("gpu-0", DRIVER), claimed("gpu-9", DRIVER), objects=objects)
    assert (found.edges, found.unresolved, found.not_counted) == ((), {}, {Use.MONITORED: 2})


def test_a_claim_of_the_own_namespace_without_admin_access_holds_its_devices() -> None:
    objects = Objects(claims={"own": allocated(("gpu", "gpu-0"))})
    found = resolved(claimed("gpu-0", DRIVER, namespace="monitors"), rules=ClaimRules("monitors"), objects=objects)
    assert holders(found) == [("train", "main", "a")]


def test_a_container_gets_only_the_devices_of_the_requests_that_it_names() -> None:
    objects = Objects(
        claims={"own": allocated(("big", "gpu-0"), ("small", "gpu-1"))},
        requests={("main", "big"): True, ("main", "small"): False, ("side", "big"): False, ("side", "small"): True},
    )
    listed = [claimed(name, DRIVER, container=each) for name in ("gpu-0", "gpu-1") for each in ("main", "side", "old")]
    assert holders(resolved(*listed, objects=objects)) == [
        *(("train", each, "a") for each in ("main", "old")),
        *(("train", each, "b") for each in ("side", "old")),
    ]


def test_nothing_is_said_about_a_device_whose_claim_or_pod_is_being_read() -> None:
    objects = Objects(awaited_pods={"train"})
    found = resolved(claimed("gpu-0", DRIVER), objects=objects)
    assert (found.edges, found.possibly_held) == ((), frozenset("a"))
    assert found.reasons == {(DRIVER, UnresolvedReason.CLAIM_NOT_READ): 1}

    objects.claims["own"] = allocated(("big", "gpu-0"))
    found = resolved(claimed("gpu-0", DRIVER), objects=objects)
    assert (found.edges, found.possibly_held, found.reasons) == ((), frozenset("a"), {})

    objects.awaited_pods.clear()
    assert holders(resolved(claimed("gpu-0", DRIVER), objects=objects)) == [("train", "main", "a")]


def test_a_claim_that_cannot_be_read_counts_as_without_the_api_server() -> None:
    listed = [claimed("gpu-0", DRIVER), claimed("gpu-1", DRIVER, namespace="monitors")]
    assert holders(resolved(*listed, rules=ClaimRules("monitors"), objects=Objects())) == [("train", "main", "a")]


def test_two_claims_with_shares_of_one_device_are_two_holders() -> None:
    listed = [claimed("gpu-0", DRIVER, pod=pod, claim=pod, share=share) for pod, share in (("p", "s1"), ("q", "s2"))]
    found = resolved(*listed)
    assert [(claim.claim_name, subject) for claim, subject in found.edges] == [
        ("p", SubjectKey("a")),
        ("q", SubjectKey("a")),
    ]


def test_what_stays_unresolved_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    claims = Claims()
    times = [(second, claims.resolve([claimed("gpu-9", DRIVER)], INVENTORIES, float(second))) for second in range(40)]
    assert times
    [record] = caplog.records
    assert record.getMessage() == "devices of claims not resolved: accelerator-exporter check lists them"
    assert vars(record)["fields"] == {"driver": DRIVER, "reason": "unknown_name", "devices": 1}

    claims.resolve([], INVENTORIES, 40.0)
    for second in (41.0, 60.0):
        claims.resolve([claimed("gpu-9", DRIVER)], INVENTORIES, second)
    assert len(caplog.records) == 2
