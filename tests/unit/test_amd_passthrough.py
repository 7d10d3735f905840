"""AMD GPUs that belong to virtual machines: listed without readings, and not failed."""

from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Alias, Device, Reading
from collectors.metric import Cadence
from tests.doubles.amd_cards import MI210, MI300X
from tests.doubles.amd_node import ALL, FAST, collector_of, reasons
from tests.doubles.amd_tree import AmdTree, Gpu

HOST, GUEST = "0000:63:00.0", "0000:83:00.0"


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


def give_to_vfio(gpu: Gpu, group: int) -> None:
    gpu.unbind("vfio-pci")
    (gpu.folder / "iommu_group").symlink_to(f"../../../../kernel/iommu_groups/{group}")


def by_address(reading: Reading) -> dict[str, Device]:
    found = {device.device: device for device in reading.devices}
    assert len(found) == len(reading.devices)
    return found


def families_of(reading: Reading, device: Device) -> set[str]:
    return {sample.metric.stem for sample in reading.samples if sample.device_uuid == device.uuid}


@pytest.mark.parametrize("beside", [True, False])
def test_a_gpu_of_a_virtual_machine_is_listed_with_nothing_but_its_identity(tree: AmdTree, beside: bool) -> None:  # noqa: FBT001 - a table's column
    if beside:
        tree.add(MI210, HOST)
    give_to_vfio(tree.add(MI300X, GUEST), 12)
    collector = collector_of(tree)
    reading = collector.read(ALL)
    guest = by_address(reading)[GUEST]
    assert (guest.model, guest.lost, guest.partitions_known) == ("AMD Instinct MI300X", False, True)
    assert guest.aliases == {
        Alias(guest.uuid),
        Alias(GUEST),
        Alias(f"0000{GUEST}"),
        Alias("/dev/vfio/12"),
        Alias("12", "amd.com/"),
    }
    assert families_of(reading, guest) == {catalog.INFO.stem}
    assert reading.faults == ()
    for due in (FAST, frozenset(Cadence)):
        assert GUEST in by_address(collector.read(due))


def test_a_gpu_keeps_its_identity_in_a_virtual_machine_and_loses_the_names_of_its_nodes(tree: AmdTree) -> None:
    tree.add(MI210, HOST)
    gpu = tree.add(MI300X, GUEST)
    collector = collector_of(tree)
    collector.read(ALL)
    give_to_vfio(gpu, 12)
    reading = collector.read(ALL)
    guest = by_address(reading)[GUEST]
    assert (guest.uuid, guest.lost) == (gpu.uuid, False)
    assert {alias.id for alias in guest.aliases} == {gpu.uuid, GUEST, f"0000{GUEST}", "/dev/vfio/12", "12"}
    assert families_of(reading, guest) == {catalog.INFO.stem}
    assert reading.faults == ()


def test_a_gpu_without_a_driver_beside_those_of_virtual_machines_is_a_fault(tree: AmdTree) -> None:
    give_to_vfio(tree.add(MI300X, GUEST), 12)
    tree.add(MI210, HOST).unbind()
    reading = collector_of(tree).read(ALL)
    assert by_address(reading).keys() == {GUEST}
    assert reasons(reading) == {(HOST, "driver_not_loaded")}


def test_a_gpu_that_returns_to_the_host_is_listed_once_at_once(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, GUEST)
    give_to_vfio(gpu, 12)
    collector = collector_of(tree)
    collector.read(ALL)
    gpu.bind()
    for due in (FAST, ALL):
        assert by_address(collector.read(due))[GUEST].uuid == gpu.uuid
