import pytest

from exporter.attribution.claim_objects import AllocatedDevice, ClaimAllocation, parse_claim, parse_requests
from tests.doubles.kubernetes_objects import NODE, Json, claim, container, pod, result


def test_what_a_claim_allocates() -> None:
    item = claim(
        result("gpu-1", request="big/second", share="s-1", admin=True), result("gpu-0", request="big", admin=False)
    )
    assert parse_claim(item) == ClaimAllocation(
        (
            AllocatedDevice("big", "gpu.nvidia.com", NODE, "gpu-0"),
            AllocatedDevice("big", "gpu.nvidia.com", NODE, "gpu-1", "s-1", admin_access=True),
        )
    )


@pytest.mark.parametrize(
    "item",
    [{}, {"status": {}}, {"status": None}, {"status": {"allocation": {"devices": {"results": {}}}}}, claim()],
)
def test_a_claim_that_allocates_nothing_is_none(item: Json) -> None:
    assert parse_claim(item) is None


def test_only_true_is_admin_access() -> None:
    item = claim({**result("gpu-0"), "adminAccess": "true"})
    parsed = parse_claim(item)
    assert parsed is not None
    assert [each.admin_access for each in parsed.results] == [False]


def test_requests_that_containers_name() -> None:
    item = pod(
        container("one", ("own", "first")),
        container("two", ("own", "second"), ("made", "")),
        container("three", ("unknown", "first")),
        container("none"),
        claims={"own": "claim-a"},
        templates={"made": "pod-made-x7k2p", "not-made": ""},
    )
    assert parse_requests(item) == {
        ("one", "claim-a"): {"first"},
        ("two", "claim-a"): {"second"},
        ("two", "pod-made-x7k2p"): {""},
    }


def test_a_sidecar_is_a_container() -> None:
    item = pod(claims={"own": "claim-a"})
    item["spec"]["initContainers"] = [container("sidecar", ("own", "first"))]
    assert parse_requests(item) == {("sidecar", "claim-a"): {"first"}}


def test_two_names_of_one_claim_are_added_up() -> None:
    item = pod(container("one", ("a", "first"), ("b", "second")), claims={"a": "claim-a", "b": "claim-a"})
    assert parse_requests(item) == {("one", "claim-a"): {"first", "second"}}


def test_extended_resources_are_mapped_in_the_status() -> None:
    item = pod(container("one"), container("two"))
    mappings = [
        {"containerName": name, "resourceName": "nvidia.com/gpu", "requestName": request}
        for name, request in (("one", "container-0-request-0"), ("two", "container-1-request-0"))
    ]
    status = {"resourceClaimName": "train-extended-resources-x", "requestMappings": mappings}
    item["status"]["extendedResourceClaimStatus"] = status
    assert parse_requests(item) == {
        ("one", "train-extended-resources-x"): {"container-0-request-0"},
        ("two", "train-extended-resources-x"): {"container-1-request-0"},
    }


@pytest.mark.parametrize("item", [{}, {"spec": None, "status": []}, {"spec": {"containers": [None, {"resources": 1}]}}])
def test_a_pod_of_another_form_names_nothing(item: Json) -> None:
    assert parse_requests(item) == {}
