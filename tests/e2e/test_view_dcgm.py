"""The view dcgm of a real process, from NVML and the kubelet to /metrics."""

from tests.doubles.exporter_process import Scrape, run_once, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, running_exporter

PIPE = "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"


def test_devices_and_mig_instances_have_their_names_and_pods(node: Node) -> None:
    node.add_h100s(2)
    node.partition(1, "3g.40gb", "1g.10gb")
    node.set_utilization(0, 40)
    whole, (large, _) = node.uuids[0], node.mig_uuids(1)
    node.kubelet.pods = [
        pod("ml", "train", container("main", device("nvidia.com/gpu", whole))),
        pod("ml", "serve", container("main", device("nvidia.com/mig-3g.40gb", large))),
    ]
    with node.kubelet, running_exporter(node, "--metrics.views=dcgm", "--node.name=worker-1") as running:

        def settled() -> Scrape | None:
            scrape = running.scrape()
            return (
                scrape if scrape.find(PIPE, pod="serve") and scrape.find("DCGM_FI_DEV_SM_CLOCK", pod="train") else None
            )

        scrape = wait_until(settled)
        [utilization] = scrape.find("DCGM_FI_DEV_GPU_UTIL")
        assert (utilization.labels["gpu"], utilization.labels["UUID"], utilization.value) == ("0", whole, 40.0)
        assert {utilization.labels[name] for name in ("Hostname", "hostname")} == {"worker-1"}
        instances = {s.labels["GPU_I_PROFILE"]: s for s in scrape.find("DCGM_FI_DEV_FB_USED", gpu="1")}
        assert {profile: s.labels.get("pod") for profile, s in instances.items()} == {
            "3g.40gb": "serve",
            "1g.10gb": None,
        }
        assert {s.labels["device"] for s in instances.values()} == {"nvidia1"}
        # Of the set pipes, which is not exported by default: the view has it read.
        assert len(scrape.find(PIPE, gpu="1")) == 2
        assert scrape.find("accelerator_exporter_build_info")
        assert scrape.find("accelerator_device_info") == []


def test_once_shows_the_views(node: Node) -> None:
    node.add_h100s(1)
    with node.kubelet:
        arguments = ["--once", *node.flags, "--metrics.views=native,dcgm", "--metrics.dcgm-vendors=all"]
        shown = run_once(arguments, node.environment).stdout

    assert "\nDCGM_FI_DEV_POWER_USAGE{" in shown
    assert "\naccelerator_device_power_watts{" in shown
