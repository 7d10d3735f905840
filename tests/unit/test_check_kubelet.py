from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from exporter.attribution.proto.podresources_pb2 import ClaimResource, ContainerResources, DynamicResource
from exporter.check.facts import KubeletState
from exporter.check.kubelet import query_kubelet
from tests.doubles.kubelet import Kubelet, container, device, pod

BOUND_SECONDS = 30.0


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    with TemporaryDirectory(prefix="kubelet-") as folder:
        made = Kubelet(Path(folder) / "kubelet.sock")
        try:
            yield made
        finally:
            made.stop()


def claim(*devices: str) -> DynamicResource:
    resources = [ClaimResource(driver_name="gpu.example.com", pool_name="n", device_name=name) for name in devices]
    return DynamicResource(claim_name="c", claim_namespace="ns", claim_resources=resources)


def test_pods_ids_and_claims_are_told(kubelet: Kubelet) -> None:
    claimant = ContainerResources(name="main", dynamic_resources=[claim("gpu-0", "gpu-1"), claim("gpu-2")])
    kubelet.pods = [
        pod("a", "plugin", container("main", device("acme.com/gpu", "x"))),
        pod("a", "none", container("main")),
        pod("a", "claims", claimant),
    ]
    kubelet.start()
    reply = query_kubelet(kubelet.socket_path, BOUND_SECONDS)
    assert reply.state is KubeletState.ANSWERS
    assert reply.answer is not None
    assert (len(reply.answer.pods), len(reply.answer.holdings), reply.claim_devices) == (3, 1, 3)


def test_no_socket_is_told_apart_from_one_that_fails(kubelet: Kubelet) -> None:
    reply = query_kubelet(kubelet.socket_path, BOUND_SECONDS)
    assert (reply.state, reply.answer) == (KubeletState.ABSENT, None)
    assert str(kubelet.socket_path) in reply.text
    kubelet.start()
    kubelet.status = (grpc.StatusCode.INTERNAL, "no")
    reply = query_kubelet(kubelet.socket_path, BOUND_SECONDS)
    assert (reply.state, reply.answer) == (KubeletState.FAILED, None)
    assert str(kubelet.socket_path) in reply.text
    kubelet.kill()
    assert "nobody listens" in query_kubelet(kubelet.socket_path, BOUND_SECONDS).text


def test_a_kubelet_that_takes_too_long_has_failed(kubelet: Kubelet) -> None:
    kubelet.start()
    kubelet.delay_seconds = BOUND_SECONDS
    reply = query_kubelet(kubelet.socket_path, 0.3)
    assert reply.state is KubeletState.FAILED
    assert "no whole answer within 0.3 s" in reply.text
