"""Allocations from the kubelet's socket to /metrics, with every kind of behaviour of a kubelet."""

import grpc

from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.kubelet import RATE_LIMIT, claim, claiming, container, crowd, device, pod
from tests.doubles.node import Node, running_exporter
from tests.doubles.proto.podresources_pb2 import PodResources

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


def test_shares_of_other_plugins_resolve_and_ids_that_are_not_understood_are_counted(node: Node) -> None:
    node.add_h100s(3)
    u = node.uuids
    node.kubelet.pods = [
        pod("volcano", "number", container("main", device("volcano.sh/vgpu-number", f"{u[0]}-7"))),
        pod("aliyun", "memory", container("main", device("aliyun.com/gpu-mem", f"{u[1]}-_-3"))),
        pod("other", "strange", container("main", device("example.com/gpu", f"slot0/{u[2]}"))),
    ]
    with node.kubelet, running_exporter(node) as running:
        scrape = wait_for_holders(running, {("volcano", "number", "main", u[0]), ("aliyun", "memory", "main", u[1])})
        assert scrape.value("accelerator_device_allocated", uuid=u[0]) == 1
        assert scrape.value("accelerator_device_allocated", uuid=u[1]) == 1
        assert scrape.find("accelerator_device_allocated", uuid=u[2]) == []
        assert scrape.value("accelerator_exporter_unmatched_devices", resource="example.com/gpu") == 1


def test_devices_held_by_claims_have_holders_and_what_is_not_resolved_is_not_free(node: Node) -> None:
    """Six pods hold seven of eight devices; two of them share a claim, and the kubelet repeats its devices."""
    node.add_h100s(8)
    u = node.uuids
    shared = claim("gpu.nvidia.com", "gpu-0", "gpu-1", "gpu-0", "gpu-1")
    node.kubelet.pods = [
        *(pod("ml", f"shared-{n}", claiming("main", shared), claiming("sidecar", shared)) for n in range(2)),
        *(pod("ml", f"own-{n}", claiming("main", claim("gpu.nvidia.com", f"gpu-{n + 2}"))) for n in range(4)),
        pod("ml", "own-4", claiming("main", claim("gpu.nvidia.com", "gpu-6"), claim("dra.net", "eth1"))),
    ]
    expected = {
        *(("ml", f"shared-{n}", each, u[k]) for n in range(2) for each in ("main", "sidecar") for k in range(2)),
        *(("ml", f"own-{n}", "main", u[n + 2]) for n in range(5)),
    }
    unresolved = "accelerator_exporter_unresolved_claim_devices"
    with node.kubelet, running_exporter(node) as running:
        scrape = wait_for_holders(running, expected)
        assert scrape.find(unresolved) == []
        allocated = {each.labels["uuid"]: each.value for each in scrape.find("accelerator_device_allocated")}
        assert allocated == {**dict.fromkeys(u[:7], 1), u[7]: 0}
        assert scrape.value("accelerator_device_allocations", uuid=u[0]) == 4
        (edge,) = scrape.find("accelerator_allocation_info", pod="own-0")
        assert [edge.labels[name] for name in ("resource", "source", "claim")] == [
            "gpu.nvidia.com",
            "dra",
            "claim-gpu-2",
        ]

        node.kubelet.pods = [pod("ml", "new", claiming("main", claim("gpu.nvidia.com", "gpu-17")))]
        scrape = wait_until(lambda: s if (s := running.scrape()).find(unresolved) else None)
        assert scrape.value(unresolved, driver="gpu.nvidia.com") == 1
        assert scrape.find("accelerator_device_allocated") == []

        node.kubelet.pods = [pod("ml", "network", claiming("main", claim("dra.net", "eth1")))]
        scrape = wait_until(lambda: s if not (s := running.scrape()).find(unresolved) else None)
        assert {series.value for series in scrape.find("accelerator_device_allocated")} == {0}


def test_the_labels_of_containers_have_the_configured_names(node: Node) -> None:
    node.add_h100s(1)
    node.kubelet.pods = [train(node.uuids[0])]
    flags = ("--labels.namespace=k8s_namespace_name", "--labels.pod=k8s_pod_name", "--labels.container=k8s_container")
    with node.kubelet, running_exporter(node, *flags) as running:
        scrape = wait_until(lambda: s if (s := running.scrape()).find("accelerator_container_power_watts") else None)
    for name in ("accelerator_container_power_watts", "accelerator_allocation_info"):
        [series] = scrape.find(name, k8s_namespace_name="research", k8s_pod_name="train-0", k8s_container="main")
        assert not {"namespace", "pod", "container"} & series.labels.keys()


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
        wait_until(lambda: running.scrape().find("accelerator_device_utilization_ratio", uuid=uuid) or None)
        scrape = wait_until(lambda: _down(running.scrape()))
        assert scrape.find("accelerator_device_allocated") == []
        with node.kubelet:
            wait_for_holders(running, {("research", "train-0", "main", uuid)}, WITHIN_SECONDS)


def _up(scrape: Scrape) -> Scrape | None:
    return scrape if scrape.value("accelerator_exporter_attribution_up", source="podresources") == 1 else None


def _down(scrape: Scrape) -> Scrape | None:
    return scrape if scrape.value("accelerator_exporter_attribution_up", source="podresources") == 0 else None
