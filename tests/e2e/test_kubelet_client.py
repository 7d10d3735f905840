"""Client, watcher and map of the kubelet's allocations against a real gRPC server on a real socket."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from exporter.attribution.podresources import PodResourcesClient
from exporter.attribution.watcher import AttributionState, KubeletWatcher
from tests.doubles.kubelet import RATE_LIMIT, Kubelet, container, crowd, device, pod
from tests.doubles.proto.podresources_pb2 import ListPodResourcesResponse, PodResources

PATIENT_SECONDS = 15.0
GPU = "nvidia.com/gpu"


def trainers(*names: str) -> Sequence[PodResources]:
    """Pods that hold one device each: `train-1` holds `GPU-1`."""
    return [pod("ml", name, container("main", device(GPU, f"GPU-{name[-1]}"))) for name in names]


FOUR = trainers("train-1", "train-2", "train-3", "train-4")
HELD_BY_FOUR = {f"train-{k}": f"GPU-{k}" for k in range(1, 5)}


class Watched:
    """The states that a watcher publishes, as pod to device."""

    def __init__(self) -> None:
        self._states: queue.SimpleQueue[AttributionState] = queue.SimpleQueue()
        self.publish = self._states.put

    def until(self, condition: Callable[[AttributionState], bool]) -> dict[str, str] | None:
        """Wait for a state and return its allocations."""
        while not condition(state := self._states.get(timeout=PATIENT_SECONDS)):
            pass
        return held(state)


def held(state: AttributionState) -> dict[str, str] | None:
    return None if state.holdings is None else {holding.pod: holding.device_id for holding in state.holdings}


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENT_SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def up(state: AttributionState) -> bool:
    return state.up


def down(state: AttributionState) -> bool:
    return not state.up


def unknown(state: AttributionState) -> bool:
    return state.holdings is None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubelet.sock"


@pytest.fixture
def kubelet(path: Path) -> Iterator[Kubelet]:
    kubelet = Kubelet(path)
    kubelet.pods = FOUR
    yield kubelet
    kubelet.stop()


Watch = Callable[..., Watched]


@pytest.fixture
def watch(path: Path) -> Iterator[Watch]:
    watchers: list[KubeletWatcher] = []

    def start(hold_seconds: float = 60.0, timeout_seconds: float = 2.0) -> Watched:
        watched = Watched()
        client = PodResourcesClient(path, timeout_seconds)
        watchers.append(
            KubeletWatcher(client, interval_seconds=0.05, hold_seconds=hold_seconds, publish=watched.publish)
        )
        watchers[-1].start()
        return watched

    yield start
    for watcher in watchers:
        watcher.stop()


def test_no_socket_from_the_start_then_one(watch: Watch, kubelet: Kubelet) -> None:
    watched = watch()
    assert watched.until(down) is None
    kubelet.start()
    assert watched.until(up) == HELD_BY_FOUR


def test_a_kill_keeps_the_map_and_a_new_socket_updates_it(watch: Watch, kubelet: Kubelet) -> None:
    kubelet.start()
    watched = watch()
    assert watched.until(up) == HELD_BY_FOUR
    kubelet.kill()
    assert watched.until(down) == HELD_BY_FOUR
    kubelet.pods = trainers("train-1", "train-2", "train-4", "train-9")  # one finished, one started
    kubelet.start()
    assert watched.until(up) == {f"train-{k}": f"GPU-{k}" for k in (1, 2, 4, 9)}


def test_a_socket_renamed_over_one_in_use_is_connected_to(watch: Watch, path: Path) -> None:
    old, new = Kubelet(path), Kubelet(path)
    old.pods, new.pods = FOUR, trainers("train-1", "train-2", "train-3")
    with old:
        watched = watch()
        assert watched.until(up) == HELD_BY_FOUR
        with new:
            assert watched.until(lambda state: held(state) != HELD_BY_FOUR) == {
                f"train-{k}": f"GPU-{k}" for k in (1, 2, 3)
            }


def test_the_map_is_unknown_after_the_hold_time(watch: Watch, kubelet: Kubelet) -> None:
    kubelet.start()
    watched = watch(hold_seconds=0.5)
    assert watched.until(up) == HELD_BY_FOUR
    kubelet.kill()
    assert watched.until(unknown) is None
    kubelet.start()
    assert watched.until(up) == HELD_BY_FOUR


def test_nearly_empty_answers_after_a_restart_keep_the_map(watch: Watch, kubelet: Kubelet) -> None:
    kubelet.start()
    watched = watch()
    assert watched.until(up) == HELD_BY_FOUR
    kubelet.kill()
    assert watched.until(down) == HELD_BY_FOUR
    kubelet.pods = trainers("static-7")
    kubelet.start()
    assert watched.until(up) == HELD_BY_FOUR | {"static-7": "GPU-7"}
    kubelet.pods = [*trainers("static-7"), *FOUR[:3]]
    without_one = {pod: device_id for pod, device_id in HELD_BY_FOUR.items() if pod != "train-4"}
    expected = without_one | {"static-7": "GPU-7"}
    assert watched.until(lambda state: held(state) == expected) == expected


def test_a_nearly_empty_answer_after_a_restart_is_used_in_the_end(watch: Watch, kubelet: Kubelet) -> None:
    kubelet.start()
    watched = watch(hold_seconds=1.0)
    assert watched.until(up) == HELD_BY_FOUR
    kubelet.kill()
    kubelet.pods = []
    kubelet.start()
    assert watched.until(lambda state: state.holdings == ()) == {}


def test_a_slow_kubelet_is_down_until_it_is_fast_again(watch: Watch, kubelet: Kubelet) -> None:
    kubelet.start()
    watched = watch(timeout_seconds=0.3)
    assert watched.until(up) == HELD_BY_FOUR
    kubelet.delay_seconds = 3600
    assert watched.until(down) == HELD_BY_FOUR
    kubelet.delay_seconds = 0
    assert watched.until(up) == HELD_BY_FOUR


@pytest.mark.parametrize("status", [RATE_LIMIT, (grpc.StatusCode.UNAVAILABLE, "not yet")])
def test_a_refusing_kubelet_is_down_until_it_answers(
    watch: Watch, kubelet: Kubelet, status: tuple[grpc.StatusCode, str]
) -> None:
    kubelet.start()
    watched = watch()
    assert watched.until(up) == HELD_BY_FOUR
    kubelet.status = status
    assert watched.until(down) == HELD_BY_FOUR
    kubelet.status = None
    kubelet.pods = []
    assert watched.until(lambda state: state.up and state.holdings == ()) == {}


def test_one_refusal_by_the_rate_limit_is_retried(watch: Watch, kubelet: Kubelet) -> None:
    kubelet.reject_next = 1
    kubelet.start()
    watched = watch()
    assert watched.until(lambda _first: True) == HELD_BY_FOUR
    assert kubelet.calls >= 2


def test_a_finished_pod_is_removed(watch: Watch, kubelet: Kubelet) -> None:
    kubelet.start()
    watched = watch()
    assert watched.until(up) == HELD_BY_FOUR
    kubelet.pods = FOUR[:1]
    assert watched.until(lambda state: held(state) != HELD_BY_FOUR) == {"train-1": "GPU-1"}


def test_a_sidecar_and_the_main_container_have_separate_devices(path: Path, kubelet: Kubelet) -> None:
    kubelet.pods = [pod("ml", "a", container("sidecar", device(GPU, "GPU-1")), container("main", device(GPU, "GPU-2")))]
    kubelet.start()
    client = PodResourcesClient(path, PATIENT_SECONDS)
    assert [(held.container, held.device_id) for held in client.list().holdings] == [
        ("main", "GPU-2"),
        ("sidecar", "GPU-1"),
    ]
    client.close()


def test_1500_pods_in_more_than_4_mib_arrive(path: Path, kubelet: Kubelet) -> None:
    kubelet.pods = [*crowd(1500), *FOUR]
    assert len(ListPodResourcesResponse(pod_resources=kubelet.pods).SerializeToString()) > 4 * 1024 * 1024
    kubelet.start()
    client = PodResourcesClient(path, PATIENT_SECONDS)
    answer = client.list()
    assert len(answer.pods) == 1504
    assert {holding.pod: holding.device_id for holding in answer.holdings if holding.resource == GPU} == HELD_BY_FOUR
    assert client.list() == answer
    client.close()


def test_hundreds_of_calls_leave_no_descriptor_open(path: Path, kubelet: Kubelet) -> None:
    kubelet.start()
    client = PodResourcesClient(path, PATIENT_SECONDS, uniform=min)
    client.list()
    before = open_descriptors()
    for k in range(300):
        kubelet.reject_next = int(k % 10 == 0)
        client.list()
    assert client.connections == 1
    assert open_descriptors() == before
    client.close()


def test_repeated_restarts_leave_no_descriptor_open(path: Path, kubelet: Kubelet) -> None:
    client = PodResourcesClient(path, PATIENT_SECONDS)
    kubelet.start()
    client.list()
    before = open_descriptors()
    for _ in range(5):
        kubelet.kill()
        kubelet.start()
        assert len(client.list().pods) == 4
    assert client.connections == 6
    wait_until(lambda: open_descriptors() <= before)  # the server closes its descriptors later
    client.close()
