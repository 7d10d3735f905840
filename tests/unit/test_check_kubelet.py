from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from collectors.contract import Device, Partition, Reading, SubjectKey
from exporter.attribution.holding import Holding, PodResourcesList
from exporter.check.facts import AllocationFacts, CallOutcome, CollectorFacts, DeviceHolders, KubeletState
from exporter.check.kubelet import allocation_facts, query_kubelet
from exporter.configuration.settings import KubeletSettings
from exporter.snapshot import Allocation, Container
from tests.doubles.collectors import gpu, part
from tests.doubles.kubelet import Kubelet, container, device, pod
from tests.doubles.proto.podresources_pb2 import ClaimResource, ContainerResources, DynamicResource

BOUND_SECONDS = 30.0
GPU = "acme.com/gpu"
A, B, SLICE_OF_B = gpu("a"), gpu("b"), part("b", "b-1")


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


def test_pods_ids_and_claims_are_counted(kubelet: Kubelet) -> None:
    claimant = ContainerResources(name="main", dynamic_resources=[claim("gpu-0", "gpu-1"), claim("gpu-2")])
    kubelet.pods = [
        pod("a", "plugin", container("main", device("acme.com/gpu", "x"))),
        pod("a", "none", container("main")),
        pod("a", "claims", claimant),
    ]
    kubelet.start()
    reply = query_kubelet(KubeletSettings(kubelet.socket_path, timeout=BOUND_SECONDS))
    assert reply.state is KubeletState.ANSWERS
    assert reply.answer is not None
    assert (len(reply.answer.pods), len(reply.answer.holdings), len(reply.answer.claim_devices)) == (3, 1, 3)
    assert kubelet.calls == 1


def test_a_missing_socket_is_distinguished_from_one_that_fails(kubelet: Kubelet) -> None:
    reply = query_kubelet(KubeletSettings(kubelet.socket_path, timeout=BOUND_SECONDS))
    assert (reply.state, reply.answer) == (KubeletState.ABSENT, None)
    assert str(kubelet.socket_path) in reply.text
    kubelet.start()
    kubelet.status = (grpc.StatusCode.INTERNAL, "no")
    reply = query_kubelet(KubeletSettings(kubelet.socket_path, timeout=BOUND_SECONDS))
    assert (reply.state, reply.answer) == (KubeletState.FAILED, None)
    assert str(kubelet.socket_path) in reply.text
    kubelet.kill()
    assert "no process listens" in query_kubelet(KubeletSettings(kubelet.socket_path, timeout=BOUND_SECONDS)).text


def test_a_kubelet_that_takes_too_long_has_failed(kubelet: Kubelet) -> None:
    kubelet.start()
    kubelet.delay_seconds = BOUND_SECONDS
    reply = query_kubelet(KubeletSettings(kubelet.socket_path, timeout=0.3))
    assert reply.state is KubeletState.FAILED
    assert "no complete answer within 0.3 s" in reply.text


def holding(device_id: str, resource: str = GPU, pod: str = "p") -> Holding:
    return Holding("ns", pod, "main", resource, device_id, "device_plugin")


def held_by(pod: str, subject: Device | Partition) -> Allocation:
    key = SubjectKey(subject.device_uuid, subject.uuid) if isinstance(subject, Partition) else SubjectKey(subject.uuid)
    return Allocation(Container("ns", pod, "main"), key, GPU, "device_plugin")


def joined(*holdings: Holding, reading: Reading | None) -> AllocationFacts:
    state = CallOutcome.OK if reading else CallOutcome.LATE
    acme = CollectorFacts("acme", state, ("acme.com/",), 0.0, reading)
    pods = frozenset((each.namespace, each.pod) for each in holdings)
    return allocation_facts(PodResourcesList(pods, tuple(sorted(holdings))), [acme])


def test_devices_and_partitions_have_their_holders() -> None:
    held = (holding("a"), holding("a", pod="q"), holding("b-1"))
    found = joined(*held, reading=Reading((A, B), (SLICE_OF_B,)))
    assert found.device_holders == (
        DeviceHolders(A, None, (held_by("p", A), held_by("q", A))),
        DeviceHolders(B, None, ()),
        DeviceHolders(B, SLICE_OF_B, (held_by("p", SLICE_OF_B),)),
    )
    assert (found.pods, found.device_ids, found.unmatched) == (2, 3, ())


def test_a_container_with_one_device_from_two_resources_is_one_holder() -> None:
    found = joined(holding("a"), holding("a", "acme.com/gpu.shared"), reading=Reading((A,)))
    assert found.device_holders == (DeviceHolders(A, None, (held_by("p", A),)),)


def test_only_ids_of_resources_of_a_collector_are_unmatched() -> None:
    strange, foreign, monitor = holding("x"), holding("hca", "example.com/rdma"), holding("all", "acme.com/monitoring")
    found = joined(strange, foreign, monitor, reading=Reading((A,)))
    assert found.unmatched == (strange,)
    assert found.other_resources == {"acme.com/monitoring": 1, "example.com/rdma": 1}


def test_a_collector_without_a_reading_has_no_devices() -> None:
    found = joined(holding("a"), reading=None)
    assert (found.device_holders, found.unmatched) == ((), (holding("a"),))
