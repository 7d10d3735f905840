"""Simulated devices with a real kubelet's socket, as anybody can try in a cluster without accelerators."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.doubles.cdi_folder import CdiFolder
from tests.doubles.exporter_process import ExporterProcess, Scrape, exporter, wait_until
from tests.doubles.kubelet import Kubelet, container, device, pod
from tests.doubles.kubelet_claims import AMD, NVIDIA, Claim, Driver, Result, claim_pod, using

SCENARIO = """
description: devices of three drivers, and a pod that only the scenario has
devices:
  - { profile: l40s, load: 0.25 }
  - { profile: l40s }
  - profile: mi300x
    partitions: [{ profile: cpx_nps1, count: 8, memory: 24GiB, compute: 1/8 }]
  - { profile: npu, resource: example.com/gpu }
pods:
  - { namespace: scenario, name: own, containers: [{ name: main, devices: [1] }] }
"""
EXAMPLE = Driver("gpu.example.com", "k8s.gpu.example.com/gpu")


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    with TemporaryDirectory(prefix="kubelet-") as folder:
        yield Kubelet(Path(folder) / "kubelet.sock")


@contextmanager
def simulated(tmp_path: Path, kubelet: Kubelet) -> Iterator[ExporterProcess]:
    """The simulated devices, with the kubelet, which is not started yet, and a directory of CDI specs."""
    file = tmp_path / "scenario.yaml"
    file.write_text(SCENARIO)
    source = ("--simulate.pods=kubelet", f"--kubelet.socket={kubelet.socket_path}", "--kubelet.interval=500ms")
    with exporter(tmp_path, f"--simulate={file}", *source, f"--attribution.cdi-dirs={tmp_path / 'cdi'}") as running:
        wait_until(lambda: len(uuids(running.scrape())) == 4)
        yield running


def uuids(scrape: Scrape) -> dict[str, str]:
    """The uuids of the devices, by PCI address."""
    return {series.labels["device"]: series.labels["uuid"] for series in scrape.find("accelerator_device_info")}


def held(scrape: Scrape) -> dict[str, str]:
    """The uuid of the device or partition that each pod holds."""
    infos = scrape.find("accelerator_allocation_info")
    return {each.labels["pod"]: each.labels.get("partition_uuid") or each.labels["uuid"] for each in infos}


def wait_for_holders(running: ExporterProcess, expected: dict[str, str]) -> Scrape:
    return wait_until(lambda: s if held(s := running.scrape()) == expected else None)


def test_simulated_devices_are_allocated_to_the_pods_of_a_real_kubelet(tmp_path: Path, kubelet: Kubelet) -> None:
    with simulated(tmp_path, kubelet) as running:
        first, second, *_ = (uuid for _, uuid in sorted(uuids(running.scrape()).items()))
        assert running.scrape().find("accelerator_device_allocated") == []
        kubelet.pods = [pod("ml", "train-0", container("main", device("nvidia.com/gpu", first)))]
        with kubelet:
            scrape = wait_for_holders(running, {"train-0": first})
            assert scrape.value("accelerator_exporter_attribution_up", source="podresources") == 1
            assert scrape.value("accelerator_container_utilization_ratio", pod="train-0", uuid=first) == 0.25
            assert scrape.value("accelerator_device_allocated", uuid=second) == 0
            assert b"Simulated: devices and values on this page" in running.get("/")[2]
            kubelet.pods = [pod("ml", "train-1", container("main", device("nvidia.com/gpu", f"{second}::0")))]
            scrape = wait_for_holders(running, {"train-1": second})
            assert scrape.value("accelerator_device_allocated", uuid=first) == 0


def test_simulated_devices_are_held_by_the_claims_of_a_real_kubelet(tmp_path: Path, kubelet: Kubelet) -> None:
    claims = {
        "by-name": Claim("by-name", [Result(NVIDIA, "gpu-1")]),
        "by-file": Claim("by-file", [Result(AMD, "gpu-0-cpx-nps1", share="one")]),
        "example": Claim("example", [Result(EXAMPLE, "gpu-3")]),
    }
    CdiFolder(tmp_path / "cdi").prepare(claims["by-file"], {"gpu-0-cpx-nps1": ("/dev/dri/renderD132",)}, ("/dev/kfd",))
    kubelet.pods = [claim_pod("ml", name, using("main", claim)) for name, claim in claims.items()]
    with kubelet, simulated(tmp_path, kubelet) as running:
        _, second, cut, npu = (uuid for _, uuid in sorted(uuids(running.scrape()).items()))
        wait_for_holders(running, {"by-name": second, "by-file": f"{cut}-cpx_nps1-2", "example": npu})
