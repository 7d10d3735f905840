"""How the client handles the kubelet's answers and failures."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from exporter.attribution.holding import ClaimDevice, Holding
from exporter.attribution.podresources import KubeletError, PodResourcesClient, SocketAbsentError
from exporter.attribution.rpc_error import ConnectError
from tests.doubles import wire
from tests.doubles.http2_peer import Conversation, Peer, answering
from tests.doubles.kubelet import RATE_LIMIT, Kubelet, claim, claiming, container, device, grouped, pod
from tests.doubles.proto.podresources_pb2 import ListPodResourcesResponse, PodResources

PATIENT_SECONDS = 15.0
GPU = "nvidia.com/gpu"


class Naps:
    """A sleep that only records, with a wait that is always the longest allowed."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.bounds: list[tuple[float, float]] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def longest(self, low: float, high: float) -> float:
        self.bounds.append((low, high))
        return high


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubelet.sock"


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def client(path: Path, naps: Naps) -> Iterator[PodResourcesClient]:
    client = PodResourcesClient(path, PATIENT_SECONDS, sleep=naps.sleep, uniform=naps.longest)
    yield client
    client.close()


@pytest.fixture
def kubelet(path: Path) -> Iterator[Kubelet]:
    with Kubelet(path) as kubelet:
        yield kubelet


def held(name: str, owner: str, device_id: str, resource: str = GPU) -> Holding:
    return Holding("ml", name, owner, resource, device_id, "device_plugin")


def claimed(name: str, claim_name: str, *devices: str, share: str = "", owner: str = "main") -> ClaimDevice:
    """The last of the devices of a claim."""
    cdi_devices = tuple(f"k8s.gpu.example.com/claim=5f0c1b7a-{device}" for device in devices)
    return ClaimDevice(
        "ml", name, "gpu.example.com", "worker-1", devices[-1], share, "ml", claim_name, cdi_devices, owner
    )


class TestAnswer:
    @pytest.mark.parametrize(
        ("pods", "holdings"),
        [
            pytest.param([], [], id="nothing"),
            pytest.param([pod("ml", "idle", container("main"))], [], id="a pod without devices"),
            pytest.param([pod("ml", "empty")], [], id="a pod without containers"),
            pytest.param(
                [pod("ml", "a", container("main", device(GPU, "GPU-1")))], [held("a", "main", "GPU-1")], id="one device"
            ),
            pytest.param(
                [pod("ml", "a", container("main", device(GPU, "GPU-2", "GPU-1")))],
                [held("a", "main", "GPU-1"), held("a", "main", "GPU-2")],
                id="several devices",
            ),
            pytest.param(
                [pod("ml", "a", container("main", device(GPU, "GPU-1")), container("other", device(GPU, "GPU-2")))],
                [held("a", "main", "GPU-1"), held("a", "other", "GPU-2")],
                id="several containers",
            ),
            pytest.param(
                [pod("ml", "a", container("main", device(GPU, "GPU-1", numa_nodes=(0, 1))))],
                [held("a", "main", "GPU-1")],
                id="one device on two NUMA nodes",
            ),
            pytest.param(
                [pod("ml", "a", container("main", grouped(GPU, "GPU-1", "GPU-2")))],
                [held("a", "main", "GPU-1"), held("a", "main", "GPU-2")],
                id="several ids in one entry",
            ),
            pytest.param(
                [
                    pod("ml", "a", container("main", device(GPU, "GPU-1::0"))),
                    pod("ml", "b", container("main", device(GPU, "GPU-1::1"))),
                ],
                [held("a", "main", "GPU-1::0"), held("b", "main", "GPU-1::1")],
                id="replicas of one device",
            ),
            pytest.param(
                [pod("ml", "a", container("main", device("nvidia.com/mig-1g.10gb", "MIG-1"), device(GPU, "GPU-2")))],
                [held("a", "main", "GPU-2"), held("a", "main", "MIG-1", "nvidia.com/mig-1g.10gb")],
                id="a partition and a device",
            ),
        ],
    )
    def test_lists_every_pod_and_each_allocated_device_once(
        self, client: PodResourcesClient, kubelet: Kubelet, pods: Sequence[PodResources], holdings: list[Holding]
    ) -> None:
        kubelet.pods = pods
        answer = client.list()
        assert answer.pods == {(listed.namespace, listed.name) for listed in pods}
        assert list(answer.holdings) == holdings

    def test_is_the_same_in_any_order(self, client: PodResourcesClient, kubelet: Kubelet) -> None:
        kubelet.pods = [
            pod("ml", f"pod-{k}", container("main", device(GPU, f"GPU-{k}a", f"GPU-{k}b"))) for k in range(20)
        ]
        answers = [client.list() for _ in range(5)]
        assert len(answers[0].holdings) == 40
        assert all(answer == answers[0] for answer in answers)

    def test_lists_each_device_of_a_claim_once_for_each_container(
        self, client: PodResourcesClient, kubelet: Kubelet
    ) -> None:
        """Containers list all devices of a claim, and the kubelet repeats them for pods that start together."""
        whole = claim("gpu.example.com", "gpu-2", "gpu-3", "gpu-2", "gpu-3")
        part = claim("gpu.example.com", "gpu-7", share="share-1")
        kubelet.pods = [
            pod("ml", "a", claiming("main", whole, devices=device(GPU, "GPU-1")), claiming("sidecar", whole)),
            pod("ml", "b", claiming("main", whole, part)),
        ]
        answer = client.list()
        assert answer.holdings == (held("a", "main", "GPU-1"),)
        assert answer.claim_devices == (
            claimed("a", "claim-gpu-2", "gpu-2"),
            claimed("a", "claim-gpu-2", "gpu-2", owner="sidecar"),
            claimed("a", "claim-gpu-2", "gpu-2", "gpu-3"),
            claimed("a", "claim-gpu-2", "gpu-2", "gpu-3", owner="sidecar"),
            claimed("b", "claim-gpu-2", "gpu-2"),
            claimed("b", "claim-gpu-2", "gpu-2", "gpu-3"),
            claimed("b", "claim-gpu-7", "gpu-7", share="share-1"),
        )

    def test_skips_fields_of_later_kubelets(self, client: PodResourcesClient, path: Path) -> None:
        listed = pod("ml", "a", container("main", device(GPU, "GPU-1"))).SerializeToString()
        listed += b"\xfa\x01\x05later"  # field 31, which no version has yet
        message = b"\x0a" + bytes([len(listed)]) + listed + b"\xf8\x01\x07"
        with Peer(path, answering(message)):
            assert client.list().holdings == (held("a", "main", "GPU-1"),)
            client.close()

    def test_calls_again_over_the_same_connection(self, client: PodResourcesClient, kubelet: Kubelet) -> None:
        for _ in range(3):
            client.list()
        assert kubelet.calls == 3
        assert client.connections == 1


class TestUnusableAnswer:
    @pytest.mark.parametrize(
        "message", [b"\xff" * 20, b"\x0a\xff\x01", ListPodResourcesResponse().SerializeToString() + b"\x0a\x02\x0a\x05"]
    )
    def test_garbage_is_one_line(self, client: PodResourcesClient, path: Path, message: bytes) -> None:
        with Peer(path, answering(message)):
            with pytest.raises(KubeletError, match="cannot be decoded: check that the kubelet listens there"):
                client.list()
            client.close()

    def test_its_error_does_not_keep_what_was_decoded(self, client: PodResourcesClient, path: Path) -> None:
        with Peer(path, answering(b"\xff" * 20)):
            with pytest.raises(KubeletError) as caught:
                client.list()
            client.close()
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)

    def test_it_ends_the_call_and_the_next_one_succeeds(self, client: PodResourcesClient, path: Path) -> None:
        listed = ListPodResourcesResponse(pod_resources=[pod("ml", "a")]).SerializeToString()
        with Peer(path, answering(b"\xff" * 20), answering(listed)):
            with pytest.raises(KubeletError, match="cannot be decoded"):
                client.list()
            assert client.list().pods == {("ml", "a")}
            client.close()

    def test_an_answer_that_would_take_too_much_memory_is_refused(self, client: PodResourcesClient, path: Path) -> None:
        with Peer(path, answering(b"\x0a\x00" * 1_000_000)):
            with pytest.raises(KubeletError, match="lists too many pods, containers and devices"):
                client.list()
            client.close()

    def test_more_than_16_mib_are_refused(self, client: PodResourcesClient, path: Path) -> None:
        def script(peer: Conversation) -> None:
            stream = peer.request()
            peer.respond(stream)
            peer.data(stream, b"\0" + (16 * 1024 * 1024 + 1).to_bytes(4))
            peer.until_closed()

        with Peer(path, script), pytest.raises(KubeletError, match="16777217 bytes, more than the 16777216 allowed"):
            client.list()

    @pytest.mark.parametrize(
        ("message", "refused"),
        [
            pytest.param(b"".join(wire.pod("a" * 1000) for _ in range(38)), "", id="of nearly the largest size"),
            pytest.param(wire.pod("a" * 40_000), "the answer has 40012 bytes, more than the 40000", id="too large"),
            pytest.param(wire.pod("a" * 10_000), "a pod of 10007 bytes, more than the 10000", id="a pod too large"),
            pytest.param(b"\x0a\x00" * 2000, "more than 120000 bytes of memory", id="too many objects"),
        ],
    )
    def test_all_limits_follow_from_the_largest_answer(self, path: Path, message: bytes, refused: str) -> None:
        client = PodResourcesClient(path, PATIENT_SECONDS, max_answer_bytes=40_000)
        with Peer(path, answering(message)):
            if refused:
                with pytest.raises(KubeletError, match=rf"{refused}.*, or raise kubelet\.max_answer_size$"):
                    client.list()
            else:
                assert client.list().pods == {("ml", "a" * 1000)}
            client.close()


class TestRateLimit:
    def test_one_refusal_is_retried_after_a_short_wait(
        self, client: PodResourcesClient, kubelet: Kubelet, naps: Naps
    ) -> None:
        kubelet.pods = [pod("ml", "a")]
        kubelet.reject_next = 1
        assert client.list().pods == {("ml", "a")}
        assert kubelet.calls == 2
        assert naps.bounds == [(0.05, 0.2)]
        assert naps.slept == [0.2]
        assert client.connections == 1

    def test_a_second_refusal_is_an_error(self, client: PodResourcesClient, kubelet: Kubelet, naps: Naps) -> None:
        kubelet.status = RATE_LIMIT
        with pytest.raises(KubeletError, match="rate limit, which all clients of the node share: find the client"):
            client.list()
        assert kubelet.calls == 2
        assert naps.slept == [0.2]

    def test_the_same_status_for_another_reason_is_not_retried(
        self, client: PodResourcesClient, kubelet: Kubelet, naps: Naps
    ) -> None:
        kubelet.status = (grpc.StatusCode.RESOURCE_EXHAUSTED, "trying to send message larger than max")
        with pytest.raises(KubeletError, match="RESOURCE_EXHAUSTED: trying to send message larger than max"):
            client.list()
        assert kubelet.calls == 1
        assert naps.slept == []

    def test_no_wait_exceeds_the_deadline(self, path: Path, kubelet: Kubelet, naps: Naps) -> None:
        kubelet.status = RATE_LIMIT
        client = PodResourcesClient(path, 2.0, sleep=naps.sleep, uniform=lambda _low, _high: 2.0)
        with pytest.raises(KubeletError, match="rate limit"):
            client.list()
        client.close()
        assert kubelet.calls == 1
        assert naps.slept == []


class TestFailure:
    def test_the_error_for_a_missing_socket_advises_to_mount_the_directory(
        self, client: PodResourcesClient, path: Path
    ) -> None:
        with pytest.raises(SocketAbsentError) as caught:
            client.list()
        assert str(caught.value) == (
            f"no kubelet socket at {path}: mount the kubelet's pod-resources directory (not the socket file), "
            "or set kubelet.socket"
        )

    def test_a_missing_folder_is_reported_as_a_missing_socket(self, path: Path) -> None:
        path.touch()
        client = PodResourcesClient(path / "kubelet.sock", PATIENT_SECONDS)
        with pytest.raises(SocketAbsentError):
            client.list()
        client.close()

    def test_a_socket_left_by_a_dead_kubelet_has_its_own_error(
        self, client: PodResourcesClient, kubelet: Kubelet, path: Path
    ) -> None:
        kubelet.kill()
        with pytest.raises(KubeletError, match=f"no process listens on {path}: the kubelet is down") as caught:
            client.list()
        assert not isinstance(caught.value, SocketAbsentError)

    def test_the_error_for_a_denied_permission_names_the_needed_user(self, client: PodResourcesClient) -> None:
        explained = client._explained(ConnectError("cannot connect", errno.EACCES))
        assert "needs uid 0" in str(explained)

    def test_a_path_that_cannot_be_a_socket_is_an_error(self, tmp_path: Path) -> None:
        client = PodResourcesClient(tmp_path / ("x" * 200), PATIENT_SECONDS)
        with pytest.raises(KubeletError, match="check that the path is the kubelet's socket"):
            client.list()
        client.close()

    def test_a_slow_kubelet_is_late(self, path: Path, kubelet: Kubelet) -> None:
        kubelet.delay_seconds = 3600
        client = PodResourcesClient(path, 0.3)
        with pytest.raises(KubeletError, match=r"gave no complete answer within 0\.3 s: check whether the node"):
            client.list()
        client.close()

    @pytest.mark.parametrize(
        ("code", "text"),
        [
            (grpc.StatusCode.UNIMPLEMENTED, "has no PodResources API v1, which Kubernetes has since 1.20"),
            (grpc.StatusCode.DEADLINE_EXCEEDED, "gave no complete answer within 15 s"),
            (grpc.StatusCode.UNKNOWN, "failed: UNKNOWN: why: see the kubelet's log"),
            (grpc.StatusCode.UNAVAILABLE, "failed: UNAVAILABLE: why: see the kubelet's log"),
        ],
    )
    def test_a_status_is_reported_and_the_connection_kept(
        self, client: PodResourcesClient, kubelet: Kubelet, code: grpc.StatusCode, text: str
    ) -> None:
        kubelet.status = (code, "why")
        with pytest.raises(KubeletError, match=text) as caught:
            client.list()
        assert str(caught.value).isprintable()
        kubelet.status = None
        client.list()
        assert client.connections == 1

    def test_a_closed_client_fails(self, client: PodResourcesClient, kubelet: Kubelet) -> None:
        client.list()
        client.close()
        client.close()
        with pytest.raises(KubeletError, match="closed"):
            client.list()
        assert kubelet.calls == 1
