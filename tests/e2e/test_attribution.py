"""Allocations from the kubelet's socket to /metrics, with every kind of behaviour of a kubelet."""

import grpc

from exporter.attribution.proto.podresources_pb2 import PodResources
from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.kubelet import RATE_LIMIT, container, crowd, device, pod
from tests.doubles.node import Node, running_exporter

GPU = "nvidia.com/gpu"
WITHIN_SECONDS = 10.0  # after the socket is back


def holders(scrape: Scrape) -> set[tuple[str, str, str, str]]:
    """(namespace, pod, container, uuid of device or partition) of every allocation."""
    return {
        (
            s.labels["namespace"],
            s.labels["pod"],
            s.labels["container"],
            s.labels.get("partition_uuid") or s.labels["uuid"],
        )
        for s in scrape.find("accelerator_allocation_info")
    }


def wait_for_holders(
    running: ExporterProcess, expected: set[tuple[str, str, str, str]], within_seconds: float = 30.0
) -> Scrape:
    """Wait until exactly these containers have devices."""

    def read() -> Scrape | None:
        scrape = running.scrape()
        return scrape if holders(scrape) == expected else None

    return wait_until(read, within_seconds)


def train(uuid: str) -> PodResources:
    return pod("research", "train-0", container("main", device(GPU, uuid)))


def test_every_kind_of_pod_has_its_allocations(node: Node) -> None:
    node.add_h100s(6)
    node.partition(5, "3g.40gb", "1g.10gb")
    u, (large, small) = node.uuids, node.mig_uuids(5)
    node.kubelet.pods = [
        pod("a", "plain", container("main", device(GPU, u[0]))),
        pod("a", "two-containers", container("left", device(GPU, u[1])), container("right")),
        pod("a", "sidecar", container("proxy"), container("warmer", device(GPU, u[2])), container("main")),
        pod("a", "two-devices", container("main", device(GPU, u[3], u[4], numa_nodes=(0, 1)))),
        pod("b", "mig", container("main", device("nvidia.com/mig-3g.40gb", large))),
        pod("b", "replicas", container("main", device("nvidia.com/mig-1g.10gb", f"{small}::0", f"{small}::3"))),
        pod("b", "none", container("main")),
        pod("b", "network", container("main", device("example.com/rdma", "hca-0"))),
        pod("b", "unmatched", container("main", device(GPU, "GPU-ffffffff-0000-0000-0000-000000000000"))),
        *crowd(1500),
    ]
    with node.kubelet, running_exporter(node) as running:
        scrape = wait_for_holders(
            running,
            {
                ("a", "plain", "main", u[0]),
                ("a", "two-containers", "left", u[1]),
                ("a", "sidecar", "warmer", u[2]),
                ("a", "two-devices", "main", u[3]),
                ("a", "two-devices", "main", u[4]),
                ("b", "mig", "main", large),
                ("b", "replicas", "main", small),
            },
        )
        assert len(scrape.find("accelerator_container_utilization_ratio", pod="two-devices")) == 2
        assert scrape.value("accelerator_container_memory_limit_bytes", pod="mig") == node.mig(5)[0].memory_total_bytes
        assert scrape.value("accelerator_allocation_share_ratio", pod="mig") == 3 / 7
        assert scrape.value("accelerator_device_allocated", uuid=u[5]) == 1
        assert scrape.value("accelerator_device_allocations", uuid=u[5]) == 0
        assert scrape.value("accelerator_exporter_unmatched_devices", resource=GPU) == 1
        assert scrape.find("accelerator_exporter_unmatched_devices", resource="example.com/rdma") == []
        for family in ("accelerator_device_utilization_ratio", "accelerator_device_power_watts"):
            assert all("pod" not in series.labels for series in scrape.find(family))


def test_a_shared_device_has_no_container_values(node: Node) -> None:
    node.add_h100s(1)
    (uuid,) = node.uuids
    node.kubelet.pods = [
        pod("serving", name, container("server", device(f"{GPU}.shared", f"{uuid}::{index}")))
        for index, name in enumerate(("chat", "embed"))
    ]
    with node.kubelet, running_exporter(node) as running:
        scrape = wait_for_holders(running, {("serving", "chat", "server", uuid), ("serving", "embed", "server", uuid)})
        assert [s for s in scrape if s.name.startswith("accelerator_container_")] == []
        assert scrape.value("accelerator_device_allocations", uuid=uuid) == 2
        assert {s.value for s in scrape.find("accelerator_allocation_share_ratio")} == {0.5}


def test_gke_and_legacy_ids_resolve(node: Node) -> None:
    node.add_h100s(2)
    node.partition(1, "1g.10gb")
    minor, cut_minor = (gpu.minor_number for gpu in node.gpus)
    (mig,) = node.mig(1)
    legacy = f"MIG-{node.uuids[1]}/{mig.gpu_instance}/{mig.compute_instance}"
    node.kubelet.pods = [
        pod("gke", "whole", container("main", device(GPU, f"nvidia{minor}"))),
        pod("gke", "part", container("main", device(GPU, f"nvidia{cut_minor}/gi{mig.gpu_instance}"))),
        pod("old", "part", container("main", device("nvidia.com/mig-1g.10gb", legacy))),
    ]
    with node.kubelet, running_exporter(node) as running:
        wait_for_holders(
            running,
            {
                ("gke", "whole", "main", node.uuids[0]),
                ("gke", "part", "main", mig.uuid),
                ("old", "part", "main", mig.uuid),
            },
        )


def test_a_finished_pod_is_removed_and_the_next_pod_starts_at_zero(node: Node) -> None:
    node.add_h100s(1)
    (uuid,) = node.uuids
    node.kubelet.pods = [train(uuid)]
    with node.kubelet, running_exporter(node) as running:
        wait_for_holders(running, {("research", "train-0", "main", uuid)})
        wait_until(lambda: (running.scrape().value("accelerator_container_observed_seconds_total") or 0) > 1)
        node.kubelet.pods = [pod("research", "train-1", container("main", device(GPU, uuid)))]
        scrape = wait_for_holders(running, {("research", "train-1", "main", uuid)})
        assert (scrape.value("accelerator_container_observed_seconds_total") or 0) < 1
        node.kubelet.pods = []
        scrape = wait_for_holders(running, set())
        assert [s for s in scrape if s.name.startswith(("accelerator_container_", "accelerator_allocation_"))] == []
        assert scrape.value("accelerator_device_allocated", uuid=uuid) == 0


def test_the_map_is_kept_while_the_kubelet_is_down_and_updated_when_it_is_back(node: Node) -> None:
    node.add_h100s(1)
    (uuid,) = node.uuids
    held = {("research", "train-0", "main", uuid)}
    node.kubelet.pods = [train(uuid)]
    with node.kubelet, running_exporter(node) as running:
        wait_for_holders(running, held)
        node.kubelet.kill()
        scrape = wait_until(lambda: _down(running.scrape()))
        assert holders(scrape) == held
        # A restarted kubelet answers before it knows its pods.
        everything, node.kubelet.pods = node.kubelet.pods, []
        node.kubelet.start()
        scrape = wait_until(lambda: _up(running.scrape()), WITHIN_SECONDS)
        assert holders(scrape) == held
        node.kubelet.pods = everything
        calls = node.kubelet.calls
        wait_until(lambda: node.kubelet.calls > calls + 1)
        assert holders(running.scrape()) == held
        # Down again, and back without the pod: this answer is used soon after.
        node.kubelet.kill()
        wait_until(lambda: _down(running.scrape()))
        node.kubelet.pods = []
        node.kubelet.start()
        assert holders(wait_until(lambda: _up(running.scrape()), WITHIN_SECONDS)) == held
        wait_for_holders(running, set(), WITHIN_SECONDS)


def test_the_map_expires_after_the_hold_time(node: Node) -> None:
    node.add_h100s(1)
    (uuid,) = node.uuids
    node.kubelet.pods = [train(uuid)]
    with node.kubelet, running_exporter(node, "--kubelet.hold=3s", "--kubelet.timeout=1s") as running:
        wait_for_holders(running, {("research", "train-0", "main", uuid)})
        node.kubelet.stop()
        scrape = wait_for_holders(running, set())
        assert scrape.find("accelerator_device_allocated") == []
        assert [s for s in scrape if s.name.startswith(("accelerator_container_", "accelerator_allocation_"))] == []
        assert scrape.value("accelerator_device_utilization_ratio", uuid=uuid) == 0
        node.kubelet.start()
        wait_for_holders(running, {("research", "train-0", "main", uuid)}, WITHIN_SECONDS)


def test_slow_answers_and_refusals_keep_the_map(node: Node) -> None:
    node.add_h100s(1)
    (uuid,) = node.uuids
    held = {("research", "train-0", "main", uuid)}
    node.kubelet.pods = [train(uuid)]
    with node.kubelet, running_exporter(node, "--kubelet.timeout=1s") as running:
        wait_for_holders(running, held)
        for trouble in ((grpc.StatusCode.UNAVAILABLE, "not now"), RATE_LIMIT):
            node.kubelet.status = trouble
            assert holders(wait_until(lambda: _down(running.scrape()))) == held
            node.kubelet.status = None
            assert holders(wait_until(lambda: _up(running.scrape()), WITHIN_SECONDS)) == held
        node.kubelet.delay_seconds = 5
        assert holders(wait_until(lambda: _down(running.scrape()))) == held
        node.kubelet.delay_seconds = 0
        assert holders(wait_until(lambda: _up(running.scrape()), WITHIN_SECONDS)) == held


def test_the_socket_may_come_later(node: Node) -> None:
    node.add_h100s(1)
    (uuid,) = node.uuids
    node.kubelet.pods = [train(uuid)]
    with running_exporter(node) as running:
        wait_until(lambda: running.scrape().find("accelerator_device_utilization_ratio", uuid=uuid))
        scrape = wait_until(lambda: _down(running.scrape()))
        assert scrape.find("accelerator_device_allocated") == []
        with node.kubelet:
            wait_for_holders(running, {("research", "train-0", "main", uuid)}, WITHIN_SECONDS)


def _up(scrape: Scrape) -> Scrape | None:
    return scrape if scrape.value("accelerator_exporter_attribution_up", source="podresources") == 1 else None


def _down(scrape: Scrape) -> Scrape | None:
    return scrape if scrape.value("accelerator_exporter_attribution_up", source="podresources") == 0 else None
