"""Devices that VFIO can pass to virtual machines: which they are, and their names."""

from collections.abc import Callable
from pathlib import Path

import pytest

from collectors import passthrough
from collectors.contract import Alias, Device
from collectors.pci import functions_of
from exporter.attribution.device_ids import AliasTable
from tests.doubles.sysfs_tree import SysfsTree

ADDRESS = "0000:3b:00.0"


@pytest.fixture
def sysfs(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path)


def give_group(sysfs: SysfsTree, address: str, group: str) -> None:
    link = sysfs.path / "bus" / "pci" / "devices" / address / "iommu_group"
    link.symlink_to(f"../../../../kernel/iommu_groups/{group}")


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ("vfio-pci", True),
        ("nvgrace_gpu_vfio_pci", True),
        ("nvidia", False),
        ("pci-stub", False),
        (None, False),
    ],
)
def test_a_function_is_passed_through_while_vfio_has_it(sysfs: SysfsTree, driver: str | None, expected: bool) -> None:  # noqa: FBT001 - a table's column
    sysfs.add_pci(ADDRESS, driver)
    assert bool(passthrough.passed_through(functions_of(sysfs.root))) is expected


def test_a_virtual_function_is_a_part_of_a_device(sysfs: SysfsTree) -> None:
    (sysfs.add_pci(ADDRESS, "vfio-pci") / "physfn").symlink_to("../0000:3b:00.4")
    assert passthrough.passed_through(functions_of(sysfs.root)) == ()


def test_the_names_are_the_address_the_group_and_the_device_of_vfio(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS, "vfio-pci")
    give_group(sysfs, ADDRESS, "12")
    sysfs.write(b"", "bus", "pci", "devices", ADDRESS, "vfio-dev", "vfio3", "dev")
    assert passthrough.aliases(sysfs.root, ADDRESS, "example.com/") == {
        Alias(ADDRESS),
        Alias(f"0000{ADDRESS}"),
        Alias("/dev/vfio/12"),
        Alias("12", "example.com/"),
        Alias("/dev/vfio/devices/vfio3"),
    }


@pytest.mark.parametrize("give", [lambda _: None, lambda sysfs: give_group(sysfs, ADDRESS, "no number")])
def test_without_a_group_only_the_address_is_known(sysfs: SysfsTree, give: Callable[[SysfsTree], None]) -> None:
    sysfs.add_pci(ADDRESS, "vfio-pci")
    give(sysfs)
    assert passthrough.aliases(sysfs.root, ADDRESS, "example.com/") == {Alias(ADDRESS), Alias(f"0000{ADDRESS}")}


# The ids are those of KubeVirt, of NVIDIA's and AMD's plugins for virtual machines, and of plugins with PCI addresses.
@pytest.mark.parametrize(
    ("resource", "device_id", "found"),
    [
        ("nvidia.com/GH100_H100_SXM5_80GB", "12", ("GPU-1", "")),
        ("nvidia.com/GH100_H100_SXM5_80GB", ADDRESS, ("GPU-1", "")),
        ("nvidia.com/GH100_H100_SXM5_80GB", "13", None),  # two devices are in this group
        ("example.com/nic", "12", None),
        ("nvidia.com/GH100_H100_SXM5_80GB", "1", None),
    ],
)
def test_the_ids_of_device_plugins_for_virtual_machines_are_resolved(
    sysfs: SysfsTree, resource: str, device_id: str, found: tuple[str, str] | None
) -> None:
    devices = []
    for index, (address, group) in enumerate([(ADDRESS, "12"), ("0000:86:00.0", "13"), ("0000:87:00.0", "13")], 1):
        sysfs.add_pci(address, "vfio-pci")
        give_group(sysfs, address, group)
        names = passthrough.aliases(sysfs.root, address, "nvidia.com/")
        devices.append(Device(f"GPU-{index}", address, "nvidia", "H100", names))
    assert AliasTable(devices, []).resolve(resource, device_id) == found
