"""`check` as a real process on a healthy node, and on nodes with every kind of problem."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.doubles.exporter_process import exporter, run_once
from tests.doubles.kubelet import claim, claiming, container, device, pod
from tests.doubles.node import Node
from tests.doubles.nvml import h100
from tests.doubles.procfs_tree import ProcfsTree, mount_line

GPU = "nvidia.com/gpu"
AMD = 0x1002
HABANA = 0x1DA3
PROCESSING_ACCELERATOR = 0x120000
NO_PERMISSION = 4
NOT_SUPPORTED = 3
DRIVER_NOT_LOADED = 9
ELSEWHERE = {"KUBERNETES_SERVICE_HOST": ""}
IN_POD = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "NODE_NAME": "worker-1", "NVIDIA_VISIBLE_DEVICES": "all"}
ANY_ADDRESS = "--web.listen-address=127.0.0.1:0"
WELL_WITHIN_SECONDS = 20.0  # of deadlines that add up to 5


class Checked(NamedTuple):
    """The result of the command."""

    code: int
    report: dict[str, Any]
    errors: str

    def codes(self, severity: str) -> list[str]:
        """The findings of one severity."""
        return [finding["code"] for finding in self.report["findings"] if finding["severity"] == severity]

    def finding(self, code: str) -> dict[str, str]:
        """The only finding of this code."""
        (found,) = [finding for finding in self.report["findings"] if finding["code"] == code]
        return dict(found)


@pytest.fixture
def procfs(node: Node, tmp_path: Path) -> ProcfsTree:
    """The procfs of a pod that has the kubelet's directory mounted."""
    tree = ProcfsTree(tmp_path / "proc")
    tree.set_mounts(mount_line("/pod-resources", str(node.kubelet.socket_path.parent)))
    return tree


@pytest.fixture
def pods(node: Node, procfs: ProcfsTree) -> Iterator[Node]:
    """The node with its kubelet running."""
    assert procfs.path.exists()
    with node.kubelet:
        yield node


def check(node: Node, *arguments: str, environment: dict[str, str] | None = None) -> Checked:
    """Run `check` in a pod and parse its JSON."""
    place = f"--path.procfs={node.path / 'proc'}"
    flags = ["check", "--json", *node.flags, place, ANY_ADDRESS, *arguments]
    result = run_once(flags, {**node.environment, **(IN_POD if environment is None else environment)})
    assert result.stdout, result.stderr
    return Checked(result.returncode, json.loads(result.stdout), result.stderr)


def test_a_healthy_node(pods: Node) -> None:
    pods.add_h100s(2)
    pods.partition(1, "3g.40gb", "1g.10gb")
    (large, small) = pods.mig_uuids(1)
    pods.kubelet.pods = [
        pod("research", "train-0", container("main", device(GPU, pods.uuids[0]))),
        pod("serving", "chat-0", container("server", device("nvidia.com/mig-3g.40gb", large))),
        pod("network", "cni-0", container("main", device("example.com/rdma", "hca-0"))),
    ]
    checked = check(pods)
    assert (checked.code, checked.errors) == (0, "")
    assert {finding["severity"] for finding in checked.report["findings"]} == {"ok"}
    assert (checked.report["node"], checked.report["verdict"]) == ("worker-1", "ok")
    whole, partitioned = checked.report["devices"]
    assert (whole["uuid"], whole["address"]) == (pods.uuids[0], pods.gpus[0].pci_address)
    assert (whole["model"], whole["status"]) == ("NVIDIA H100 80GB HBM3", "ok")
    assert whole["holders"] == [{"namespace": "research", "pod": "train-0", "container": "main", "resource": GPU}]
    assert [(part["uuid"], len(part["holders"])) for part in partitioned["partitions"]] == [(large, 1), (small, 0)]
    assert [function["state"] for function in checked.report["pci"]] == ["read", "read"]
    kubelet = checked.report["kubelet"]
    assert (kubelet["state"], kubelet["mounted"]) == ("answers", "directory")
    assert kubelet["mount_point"] == str(pods.kubelet.socket_path.parent)
    assert (kubelet["answer"]["pods"], kubelet["answer"]["unmatched"]) == (3, [])
    assert kubelet["answer"]["other_resources"] == {"example.com/rdma": 1}


def test_the_text_report_of_a_healthy_node(pods: Node) -> None:
    pods.add_h100s(1)
    pods.kubelet.pods = [pod("research", "train-0", container("main", device(GPU, pods.uuids[0])))]
    flags = ["check", *pods.flags, f"--path.procfs={pods.path / 'proc'}", ANY_ADDRESS]
    result = run_once(flags, {**pods.environment, **IN_POD})
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[-1] == "0 errors, 0 warnings, 0 notes"
    assert any(pods.uuids[0] in line and "NVIDIA H100 80GB HBM3" in line for line in lines)
    assert any(line.endswith(f"research/train-0/main ({GPU})") for line in lines)
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in result.stdout


def test_a_node_without_accelerators_is_no_error(pods: Node) -> None:
    pods.sysfs.add_pci("0000:01:00.0", "ast", 0x1A03, 0x2000, 0x030000)
    checked = check(pods)
    assert checked.code == 0
    assert checked.report["verdict"] == "note"
    assert sorted(checked.codes("note")) == ["collector_absent", "collector_absent", "no_accelerator"]
    assert (checked.report["devices"], checked.report["pci"]) == ([], [])


def test_a_missing_library_is_an_error_and_its_consequence_a_note(pods: Node) -> None:
    pods.add_h100s(2)
    pods.remove_library()
    pods.kubelet.pods = [pod("research", "train-0", container("main", device(GPU, pods.uuids[0])))]
    checked = check(pods)
    assert (checked.code, checked.codes("error"), checked.codes("note")) == (1, ["collector_failed"], ["unmatched_ids"])
    text = checked.finding("collector_failed")["text"]
    assert text.startswith("library_missing: ")
    assert pods.gpus[0].pci_address in text
    assert {function["state"] for function in checked.report["pci"]} == {"not_read"}


def test_a_driver_that_is_not_loaded(pods: Node) -> None:
    pods.add_h100s(1)
    pods.fail_driver(DRIVER_NOT_LOADED)
    checked = check(pods)
    assert (checked.code, checked.codes("error")) == (1, ["collector_failed"])
    [nvidia] = [each for each in checked.report["collectors"] if each["name"] == "nvidia"]
    assert nvidia["reason"] == "driver_not_loaded"


def test_a_device_whose_opening_is_denied(pods: Node) -> None:
    pods.add_h100s(2)
    pods.nvml.fail("nvmlDeviceGetHandleByIndex_v2", NO_PERMISSION, device=1)
    checked = check(pods)
    assert checked.code == 1
    refused, unlisted = (f for f in checked.report["findings"] if f["code"] == "device_not_read")
    assert (refused["severity"], refused["text"].partition(":")[0]) == ("error", "permission_denied")
    assert (unlisted["severity"], unlisted["subject"]) == ("warning", f"device {pods.gpus[1].pci_address}")
    assert [each["uuid"] for each in checked.report["devices"]] == [pods.uuids[0]]


def test_a_device_that_fell_off_its_bus(pods: Node) -> None:
    pods.add_h100s(2)
    pods.lose(1)
    checked = check(pods)
    assert checked.code == 1
    assert checked.finding("device_lost")["subject"] == f"device {pods.gpus[1].pci_address}"
    assert [each["status"] for each in checked.report["devices"]] == ["ok", "failed"]


@pytest.mark.parametrize("call", ["nvmlDeviceGetUtilizationRates", "nvmlInitWithFlags"])
def test_a_call_that_hangs_is_late_and_nothing_is_left_running(pods: Node, call: str) -> None:
    pods.add_h100s(2)
    pods.nvml.delay(call, 600_000)
    pods.kubelet.pods = [pod("research", "train-0", container("main", device(GPU, pods.uuids[0])))]
    began = time.monotonic()
    checked = check(pods, "--poll.deadline=1s")
    assert time.monotonic() - began < WELL_WITHIN_SECONDS
    assert (checked.code, checked.codes("error")) == (1, ["collector_late"])
    assert "within 1 s" in checked.finding("collector_late")["text"]
    assert checked.report["kubelet"]["state"] == "answers"
    assert pods.nvml.calls(call) >= 1


def test_a_call_about_one_device_that_hangs_is_an_error_of_this_device(pods: Node) -> None:
    pods.add_h100s(3)
    pods.hang("nvmlDeviceGetUtilizationRates", 1)
    checked = check(pods)
    assert (checked.code, checked.codes("error")) == (1, ["device_not_read"])
    assert checked.finding("device_not_read")["subject"] == f"device {pods.gpus[1].pci_address}"
    assert [each["status"] for each in checked.report["devices"]] == ["ok", None, "ok"]


def test_unsupported_metrics_are_listed_and_are_not_a_finding(pods: Node) -> None:
    pods.add_h100s(3)
    for index in (0, 2):
        pods.nvml.fail("nvmlDeviceGetTotalEnergyConsumption", NOT_SUPPORTED, device=index)
    checked = check(pods)
    assert checked.code == 0
    family = "accelerator_device_energy_joules_total"
    found = [gap for gap in checked.report["unsupported"] if gap["family"] == family]
    assert [gap["uuid"] for gap in found] == [pods.uuids[0], pods.uuids[2]]
    assert all("nvmlDeviceGetTotalEnergyConsumption" in gap["why"] for gap in found)

    printed = run_once(["check", *pods.flags, ANY_ADDRESS], {**pods.environment, **IN_POD}).stdout
    section = printed.partition("UNSUPPORTED METRICS\n")[2].partition("\n\nPCI BUS")[0]
    assert f"  {pods.gpus[0].pci_address}, {pods.gpus[2].pci_address}:\n" in section
    assert section.count(family) == 1


def test_an_accelerator_of_a_vendor_without_a_collector_is_named(pods: Node) -> None:
    pods.add_h100s(1)
    pods.sysfs.add_pci("0000:a1:00.0", "habanalabs", HABANA, 0x1020, PROCESSING_ACCELERATOR)
    checked = check(pods)
    assert (checked.code, checked.codes("warning")) == (0, ["no_collector"])
    assert "1da3:1020" in checked.finding("no_collector")["text"]


def test_privileges_are_needed_on_a_node_with_an_amd_gpu(pods: Node, procfs: ProcfsTree) -> None:
    procfs.set_status(capabilities=(1 << 41) - 1)
    without_amd = check(pods)
    assert without_amd.finding("more_rights_than_needed")["text"] == "has 41 capabilities and needs none on most nodes"
    pods.sysfs.add_pci("0000:c1:00.0", "amdgpu", AMD, 0x74A1, PROCESSING_ACCELERATOR)
    privileged = check(pods)
    assert "more_rights_than_needed" not in privileged.codes("note")
    states = {each["name"]: each["state"] for each in privileged.report["permissions"]}
    assert (states["capabilities"], states["hostPID"]) == ("given", "missing")


def test_allocated_ids_that_match_no_device_are_listed_with_their_containers(pods: Node) -> None:
    pods.add_h100s(1)
    unknown = h100(9).uuid
    pods.kubelet.pods = [pod("lost", "pod-0", container("main", device(GPU, unknown)))]
    checked = check(pods)
    assert (checked.code, checked.codes("error"), checked.codes("warning")) == (0, [], ["unmatched_ids"])
    assert checked.report["kubelet"]["answer"]["unmatched"] == [
        {"resource": GPU, "id": unknown, "namespace": "lost", "pod": "pod-0", "container": "main"}
    ]


def test_devices_of_claims_have_holders_and_the_others_are_listed_with_the_reason(pods: Node) -> None:
    pods.add_h100s(1)
    shared = claim("gpu.nvidia.com", "gpu-0", "gpu-0")
    pods.kubelet.pods = [
        *(pod("a", f"claimant-{n}", claiming("main", shared), claiming("sidecar", shared)) for n in range(3)),
        pod("a", "network", claiming("main", claim("dra.net", "eth1"), claim("gpu.nvidia.com", "gpu-9"))),
    ]
    checked = check(pods, "--attribution.cdi-dirs=/no/cdi")
    answer = checked.report["kubelet"]["answer"]
    assert (checked.code, checked.codes("warning")) == (0, ["claims_unresolved"])
    assert (answer["claim_devices_by_driver"], answer["claims_found_by"]) == ({"gpu.nvidia.com": 2}, {"name": 1})
    assert [(each["device"], each["pod"], each["why"]) for each in answer["claims_unresolved"]] == [
        ("gpu-9", "network", "no_entry")
    ]
    (holders,) = [each["holders"] for each in checked.report["devices"]]
    assert [(each["pod"], each["container"]) for each in holders] == [
        (f"claimant-{n}", name) for n in range(3) for name in ("main", "sidecar")
    ]


@pytest.mark.usefixtures("procfs")
def test_an_absent_socket_is_an_error_in_a_pod_and_a_note_elsewhere(node: Node) -> None:
    node.add_h100s(1)
    in_pod = check(node)
    assert (in_pod.code, in_pod.codes("error")) == (1, ["kubelet_absent"])
    assert in_pod.report["devices"][0]["holders"] is None
    elsewhere = check(node, environment=ELSEWHERE)
    assert (elsewhere.code, elsewhere.codes("note")) == (0, ["kubelet_absent"])


def test_a_mounted_socket_file_is_a_warning_while_it_works(pods: Node, procfs: ProcfsTree) -> None:
    pods.add_h100s(1)
    socket = str(pods.kubelet.socket_path)
    procfs.set_mounts(mount_line("/pod-resources/kubelet.sock", socket))
    checked = check(pods)
    assert (checked.code, checked.codes("warning")) == (0, ["socket_file_mounted"])
    # The kubelet has been restarted, and the mounted file is the old one.
    procfs.set_mounts(mount_line("/pod-resources/kubelet.sock//deleted", socket))
    pods.kubelet.kill()
    checked = check(pods)
    assert (checked.code, checked.codes("error")) == (1, ["kubelet_failed"])
    assert checked.report["kubelet"]["mount_replaced"] is True


def test_a_kubelet_that_takes_too_long(pods: Node) -> None:
    pods.add_h100s(1)
    pods.kubelet.delay_seconds = 600
    began = time.monotonic()
    checked = check(pods, "--kubelet.timeout=1s")
    assert time.monotonic() - began < WELL_WITHIN_SECONDS
    assert (checked.code, checked.codes("error")) == (1, ["kubelet_failed"])
    assert len(checked.report["devices"]) == 1


def test_the_address_of_a_running_exporter_is_ok(pods: Node) -> None:
    pods.add_h100s(1)
    with exporter(pods.path, *pods.flags, environment=pods.environment) as running:
        place = [f"--path.procfs={pods.path / 'proc'}", f"--web.listen-address={running.address}"]
        result = run_once(["check", "--json", *pods.flags, *place], {**pods.environment, **IN_POD})
    assert result.returncode == 0, result.stdout
    assert json.loads(result.stdout)["listen_address"] == {"address": running.address, "state": "served"}


def test_a_configuration_mistake_is_exit_code_2_and_no_report() -> None:
    for arguments in (["check", "--log.level=loud"], ["check", "--simulate=no-such-scenario"], ["--json"]):
        result = run_once(arguments, {})
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
