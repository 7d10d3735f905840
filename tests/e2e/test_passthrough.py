"""GPUs that belong to virtual machines: shown as held by the pod of the machine, with no state and no readings."""

from pathlib import Path

from tests.doubles.exporter_process import parse, run_once
from tests.doubles.kubelet import Kubelet, container, device, pod
from tests.doubles.sysfs_tree import NVIDIA, SysfsTree

AMD = 0x1002
# Address, vendor, IOMMU group, and who has it as which resource: the ids of these plugins are the groups' numbers.
HELD, OF_AMD, FREE = "0000:11:00.0", "0000:83:00.0", "0000:12:00.0"
NODE = ((HELD, NVIDIA, "12"), (OF_AMD, AMD, "13"), (FREE, NVIDIA, "14"))
PODS = (
    pod("vms", "virt-launcher-a", container("compute", device("nvidia.com/GH100_H100_SXM5_80GB", "12"))),
    pod("vms", "virt-launcher-b", container("compute", device("amd.com/gpu_pf", "13"))),
)
OF_DEVICE = {"accelerator_device_info", "accelerator_device_allocated", "accelerator_device_allocations"}


def test_a_gpu_of_a_virtual_machine_is_allocated_to_its_pod_and_has_neither_status_nor_readings(tmp_path: Path) -> None:
    tree = SysfsTree(tmp_path / "sys")
    for address, vendor, group in NODE:
        folder = tree.add_pci(address, driver="vfio-pci", vendor=vendor)
        (folder / "iommu_group").symlink_to(f"../../../../kernel/iommu_groups/{group}")
    with Kubelet(tmp_path / "kubelet.sock") as kubelet:
        kubelet.pods = PODS
        answer = run_once([f"--path.sysfs={tree.path}", f"--kubelet.socket={kubelet.socket_path}", "--once"], {})
    found = parse(answer.stdout)
    held = {address: found.value("accelerator_device_allocated", device=address) for address, _, _ in NODE}
    assert held == {HELD: 1, OF_AMD: 1, FREE: 0}
    edges = {each.labels["device"]: each.labels["pod"] for each in found.find("accelerator_allocation_info")}
    assert edges == {HELD: "virt-launcher-a", OF_AMD: "virt-launcher-b"}
    assert {each.name for each in found if each.name.startswith("accelerator_device_")} == OF_DEVICE
    assert found.find("accelerator_exporter_unmatched_devices") == []
    assert found.value("accelerator_exporter_collector_up", collector="nvidia") == 1
