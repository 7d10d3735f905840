"""The reader of claims and pods, against a real server over TLS."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.attribution.api_health import ApiHealth, ApiState
from exporter.attribution.claim_objects import AllocatedDevice
from exporter.attribution.claim_reader import ClaimReader
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.kubernetes_api import KubernetesApi
from exporter.attribution.resource_api import ResourceApi
from tests.doubles.exporter_process import wait_until
from tests.doubles.kubernetes_api import ApiServerDouble, Refusal
from tests.doubles.kubernetes_objects import NODE, claim, container, pod, result

GPU = "gpu.nvidia.com"


def listed(device: str, claim_name: str = "one", pod_name: str = "train", uid: str = "uid-1") -> ClaimDevice:
    return ClaimDevice("ml", pod_name, GPU, NODE, device, "", "ml", claim_name, (f"vendor/claim={uid}-{device}",))


@pytest.fixture
def double(tmp_path: Path) -> Iterator[ApiServerDouble]:
    with ApiServerDouble(tmp_path) as server:
        yield server


class Reader:
    """A running reader, whose pauses after failures are short.

    Attributes:
        changes: How often a change was reported.
    """

    def __init__(self, double: ApiServerDouble) -> None:
        self.changes = 0
        self.claims, self.pods = (
            ApiHealth(what, f"get {what}", lambda _low, _high: 0.001) for what in ("resourceclaims", "pods")
        )
        self._api = KubernetesApi(double.server)
        self.reader = ClaimReader(
            self._api, ResourceApi(self._api), claims=self.claims, pods=self.pods, changed=self._count
        )
        self.reader.start()

    def _count(self) -> None:
        self.changes += 1

    def results(self, name: str = "one") -> tuple[AllocatedDevice, ...] | None:
        """What a claim allocates; None while unknown."""
        found = self.reader.claim("ml", name)
        return None if found is None else found.results

    def uses(self, container_name: str, request: str) -> bool | None:
        """Whether a container of the pod uses a request of the claim."""
        return self.reader.names_request("ml", "train", container_name, "one", request)

    def stop(self) -> None:
        self._api.close()
        self.reader.stop(5.0)


@pytest.fixture
def reader(double: ApiServerDouble) -> Iterator[Reader]:
    started = Reader(double)
    yield started
    started.stop()


def test_a_listed_claim_is_got_once(double: ApiServerDouble, reader: Reader) -> None:
    double.claims["ml", "one"] = claim(result("gpu-0", admin=True))
    for _ in range(3):
        reader.reader.follow([listed("gpu-0")])
        wait_until(lambda: reader.results() is not None)
    assert reader.results() == (AllocatedDevice("gpu", GPU, NODE, "gpu-0", admin_access=True),)
    assert [call.path for call in double.of_kind("claim")] == [
        "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims/one"
    ]
    assert double.of_kind("pod") == []  # one request: every container has all of it
    assert reader.uses("main", "gpu") is True
    assert reader.changes == 1


def test_claims_are_read_in_every_served_version(double: ApiServerDouble, reader: Reader) -> None:
    double.versions = ("v1beta1",)
    double.claims["ml", "one"] = claim(result("gpu-0"))
    reader.reader.follow([listed("gpu-0")])
    wait_until(lambda: reader.results() is not None)


def test_nothing_is_known_of_a_claim_that_is_not_listed_or_not_there(double: ApiServerDouble, reader: Reader) -> None:
    reader.reader.follow([listed("gpu-0")])
    assert reader.reader.awaited("ml", "train", "one") is True
    wait_until(lambda: not reader.reader.awaited("ml", "train", "one"))
    assert reader.results() is None
    assert reader.uses("main", "gpu") is None
    assert reader.claims.state is ApiState.UP
    assert len(double.of_kind("claim")) == 1


def test_a_claim_is_forgotten_when_it_is_no_longer_listed(double: ApiServerDouble, reader: Reader) -> None:
    double.claims["ml", "one"] = claim(result("gpu-0"))
    reader.reader.follow([listed("gpu-0")])
    wait_until(lambda: reader.results() is not None)
    reader.reader.follow([])
    assert reader.results() is None
    assert reader.changes == 2


def test_a_new_claim_of_the_same_name_is_not_taken_for_the_old_one(double: ApiServerDouble, reader: Reader) -> None:
    double.claims["ml", "one"] = claim(result("gpu-0", admin=True))
    reader.reader.follow([listed("gpu-0")])
    wait_until(lambda: reader.results() is not None)
    double.claims["ml", "one"] = claim(result("gpu-0"))
    reader.reader.follow([listed("gpu-0", uid="uid-2")])
    wait_until(lambda: reader.results() == (AllocatedDevice("gpu", GPU, NODE, "gpu-0"),))


def test_a_container_uses_the_requests_that_it_names(double: ApiServerDouble, reader: Reader) -> None:
    double.claims["ml", "one"] = claim(result("gpu-0", request="first"), result("gpu-1", request="second"))
    double.pods["ml", "train"] = pod(
        container("a", ("own", "first")),
        container("b", ("own", "second")),
        container("c", ("own", "")),
        claims={"own": "one"},
    )
    reader.reader.follow([listed("gpu-0"), listed("gpu-1")])
    wait_until(lambda: reader.uses("a", "first") is not None)
    used = {name: [reader.uses(name, request) for request in ("first", "second")] for name in "abc"}
    assert used == {"a": [True, False], "b": [False, True], "c": [True, True]}
    assert reader.uses("unknown", "first") is None
    assert [call.path for call in double.of_kind("pod")] == ["/api/v1/namespaces/ml/pods/train"]


def test_without_the_right_to_get_pods_claims_are_known(
    double: ApiServerDouble, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    double.claims["ml", "one"] = claim(result("gpu-0", request="first"), result("gpu-1", request="second"))
    double.refused["pod"] = Refusal(403)
    reader.reader.follow([listed("gpu-0"), listed("gpu-1")])
    wait_until(lambda: len(double.of_kind("pod")) > 1)  # the pause of five minutes is short here
    assert reader.results() is not None
    assert reader.uses("a", "first") is None
    assert not reader.reader.awaited("ml", "train", "one")
    assert (reader.claims.state, reader.pods.state) == (ApiState.UP, ApiState.FORBIDDEN)
    assert len([line for line in caplog.messages if "without the right to get pods" in line]) == 1


@pytest.mark.parametrize("status", [403, 500])
def test_after_a_failure_nothing_is_awaited_and_the_claim_is_got_later(
    double: ApiServerDouble, reader: Reader, status: int
) -> None:
    double.claims["ml", "one"] = claim(result("gpu-0"))
    double.refused["claim"] = Refusal(status)
    reader.reader.follow([listed("gpu-0")])
    wait_until(lambda: not reader.reader.awaited("ml", "train", "one"))
    assert reader.results() is None
    assert reader.claims.state is (ApiState.FORBIDDEN if status == 403 else ApiState.DOWN)
    double.refused.clear()
    wait_until(lambda: reader.results() is not None)
    wait_until(lambda: reader.claims.state is ApiState.UP)


def test_names_are_escaped(double: ApiServerDouble, reader: Reader) -> None:
    reader.reader.follow([listed("gpu-0", claim_name="../../secrets/x?y#z")])
    wait_until(lambda: len(double.calls) == 2)
    assert double.calls[1].path.endswith("/namespaces/ml/resourceclaims/..%2F..%2Fsecrets%2Fx%3Fy%23z")


def test_a_node_with_very_many_claims_is_followed_in_part(double: ApiServerDouble, reader: Reader) -> None:
    double.claims["ml", "one"] = claim(result("gpu-0"))
    reader.reader.follow([listed("gpu-0")])
    wait_until(lambda: reader.results() is not None)
    double.refused["claim"] = Refusal(500)
    many = [listed("gpu-0", claim_name=f"c{number}", pod_name=f"p{number}") for number in range(5_000)]
    reader.reader.follow([*many, listed("gpu-0")])
    assert reader.results() is not None
    assert len(reader.reader._claims.table.names) == 1_024
    assert len(reader.reader._pods_with_claims) == 1_024


def test_at_most_ten_objects_are_got_in_a_second(double: ApiServerDouble, reader: Reader) -> None:
    began = time.monotonic()
    reader.reader.follow([listed("gpu-0", claim_name=f"c{number}") for number in range(6)])
    wait_until(lambda: len(double.of_kind("claim")) == 6)
    assert time.monotonic() - began >= 0.5
