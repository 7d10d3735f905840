"""`--once` with a claim that its CDI file resolves: it is written when the claim is known, and not before."""

import json
from pathlib import Path

import pytest

from tests.doubles.claims import UID
from tests.doubles.exporter_process import run_once
from tests.doubles.kubelet import claiming, pod
from tests.doubles.node import Node
from tests.doubles.proto.podresources_pb2 import CDIDevice, ClaimResource, DynamicResource

DRIVER = "qpu.invented.example"
NAME = f"{UID}-core-1"


@pytest.fixture
def cdi(tmp_path: Path) -> Path:
    """A directory with the CDI file of a driver that nobody knows."""
    folder = tmp_path / "cdi"
    folder.mkdir()
    edits = {"deviceNodes": [{"path": "/dev/inside", "hostPath": "/dev/nvidia0"}, {"path": "/dev/qpu-control"}]}
    spec = {"cdiVersion": "0.6.0", "kind": f"k8s.{DRIVER}/claim", "devices": [{"name": NAME, "containerEdits": edits}]}
    (folder / "claim.json").write_text(json.dumps(spec))
    return folder


def test_a_claim_of_an_unknown_driver_has_its_device(node: Node, cdi: Path) -> None:
    node.add_h100s(2)
    listed = ClaimResource(
        cdi_devices=[CDIDevice(name=f"k8s.{DRIVER}/claim={NAME}")],
        driver_name=DRIVER,
        pool_name="worker-1",
        device_name="core-1",
    )
    held = DynamicResource(claim_name="own", claim_namespace="ml", claim_resources=[listed])
    node.kubelet.pods = [pod("ml", "train", claiming("main", held))]
    with node.kubelet:
        result = run_once(["--once", *node.flags, f"--attribution.cdi-dirs={cdi}"], node.environment)
    edges = [line for line in result.stdout.splitlines() if line.startswith("accelerator_allocation_info{")]
    assert (result.returncode, len(edges)) == (0, 1), result.stderr
    for label in (f'uuid="{node.uuids[0]}"', 'pod="train"', f'resource="{DRIVER}"', 'source="dra"', 'claim="own"'):
        assert label in edges[0]
    assert "accelerator_exporter_unresolved_claim_devices" not in result.stdout
