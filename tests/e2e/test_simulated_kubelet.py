"""Simulated devices with a real kubelet's socket, as anybody can try in a cluster without accelerators."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.doubles.exporter_process import ExporterProcess, Scrape, exporter, wait_until
from tests.doubles.kubelet import Kubelet, container, device, pod

SCENARIO = """
description: two whole devices, and a pod that only the scenario has
devices:
  - { profile: l40s, load: 0.25 }
  - { profile: l40s }
pods:
  - { namespace: scenario, name: own, containers: [{ name: main, devices: [1] }] }
"""


def test_simulated_devices_are_allocated_to_the_pods_of_a_real_kubelet(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(SCENARIO)
    with TemporaryDirectory(prefix="kubelet-") as folder:
        kubelet = Kubelet(Path(folder) / "kubelet.sock")
        flags = (f"--simulate={file}", "--simulate.pods=kubelet", f"--kubelet.socket={kubelet.socket_path}")
        with exporter(tmp_path, *flags, "--kubelet.interval=500ms") as running:
            first, second = wait_until(lambda: uuids(running.scrape()))
            assert running.scrape().find("accelerator_device_allocated") == []
            kubelet.pods = [pod("ml", "train-0", container("main", device("nvidia.com/gpu", first)))]
            with kubelet:
                scrape = held_by(running, "train-0")
                assert scrape.value("accelerator_exporter_attribution_up", source="podresources") == 1
                assert scrape.value("accelerator_container_utilization_ratio", pod="train-0", uuid=first) == 0.25
                assert scrape.value("accelerator_device_allocated", uuid=second) == 0
                assert b"Simulated: devices and values on this page" in running.get("/")[2]
                kubelet.pods = [pod("ml", "train-1", container("main", device("nvidia.com/gpu", f"{second}::0")))]
                scrape = held_by(running, "train-1")
                assert scrape.value("accelerator_device_allocated", uuid=first) == 0


def uuids(scrape: Scrape) -> list[str] | None:
    """The uuids of the devices, by index."""
    found = {series.labels["index"]: series.labels["uuid"] for series in scrape.find("accelerator_device_info")}
    return [found[index] for index in sorted(found)] or None


def held_by(running: ExporterProcess, name: str) -> Scrape:
    """Wait until this pod, and no other, holds a device."""

    def read() -> Scrape | None:
        scrape = running.scrape()
        held = {series.labels["pod"] for series in scrape.find("accelerator_container_utilization_ratio")}
        return scrape if held == {name} else None

    return wait_until(read)
