from pathlib import Path

import pytest

from collectors.pci import PciAddress, PciFunction, functions_of, numa_node, parse_address, spellings
from tests.doubles.sysfs_tree import COMPUTE_CARD, NVIDIA, SysfsTree


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path)


def test_all_properties_of_a_function_are_read(tree: SysfsTree) -> None:
    tree.add_pci("0000:3b:00.0", driver="nvidia", device=0x2330)
    assert functions_of(tree.root, NVIDIA) == (
        PciFunction("0000:3b:00.0", NVIDIA, 0x2330, COMPUTE_CARD, "nvidia", virtual=False),
    )


def test_functions_are_ordered_by_address(tree: SysfsTree) -> None:
    for address in ("0001:01:00.0", "0000:86:00.0", "0000:3b:00.0"):
        tree.add_pci(address)
    addresses = [function.address for function in functions_of(tree.root, NVIDIA)]
    assert addresses == ["0000:3b:00.0", "0000:86:00.0", "0001:01:00.0"]


def test_functions_of_other_vendors_are_not_listed(tree: SysfsTree) -> None:
    tree.add_pci("0000:03:00.0", vendor=0x1002)
    assert functions_of(tree.root, NVIDIA) == ()
    assert [function.vendor for function in functions_of(tree.root)] == [0x1002]


def test_without_a_pci_bus_there_are_no_functions(tree: SysfsTree) -> None:
    assert functions_of(tree.root, NVIDIA) == ()


@pytest.mark.parametrize("attribute", ["vendor", "device", "class"])
@pytest.mark.parametrize("content", [b"", b"rubbish\n"])
def test_a_function_with_unreadable_attributes_is_not_listed(tree: SysfsTree, attribute: str, content: bytes) -> None:
    folder = tree.add_pci("0000:3b:00.0")
    (folder / attribute).write_bytes(content)
    assert functions_of(tree.root, NVIDIA) == ()


@pytest.mark.parametrize(
    ("pci_class", "expected"), [(0x030000, True), (0x030200, True), (0x040300, False), (0x068000, False)]
)
def test_display_and_3d_controllers_are_distinguished_from_audio_and_bridges(
    tree: SysfsTree, pci_class: int, *, expected: bool
) -> None:
    tree.add_pci("0000:3b:00.0", pci_class=pci_class)
    (function,) = functions_of(tree.root, NVIDIA)
    assert function.is_display is expected


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ("vfio-pci", True),
        ("nvgrace_gpu_vfio_pci", True),
        ("pci-stub", True),
        ("pciback", True),
        ("nvidia", False),
        ("nouveau", False),
        ("gim", False),
        (None, False),
    ],
)
def test_a_function_is_passed_through_according_to_its_driver(
    tree: SysfsTree, driver: str | None, *, expected: bool
) -> None:
    tree.add_pci("0000:3b:00.0", driver=driver)
    (function,) = functions_of(tree.root, NVIDIA)
    assert function.driver == driver
    assert function.passed_through is expected


def test_a_function_with_a_physical_function_is_virtual(tree: SysfsTree) -> None:
    folder = tree.add_pci("0000:3b:00.4")
    (folder / "physfn").symlink_to("../0000:3b:00.0")
    (function,) = functions_of(tree.root, NVIDIA)
    assert function.virtual


@pytest.mark.parametrize(("written", "expected"), [(0, 0), (1, 1), (-1, None)])
def test_the_numa_node_is_absent_if_the_platform_does_not_report_it(
    tree: SysfsTree, written: int, expected: int | None
) -> None:
    tree.add_pci("0000:3b:00.0", numa_node=written)
    assert numa_node(tree.root, "0000:3b:00.0") == expected


def test_an_unknown_address_has_no_numa_node(tree: SysfsTree) -> None:
    assert numa_node(tree.root, "0000:99:00.0") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("00000000:3B:00.0", "0000:3b:00.0"),
        ("0000:3b:00.0", "0000:3b:00.0"),
        ("00010000:AF:1F.7", "10000:af:1f.7"),
        ("0000000A:01:00.0", "000a:01:00.0"),
        ("[N/A]", None),
        ("", None),
        ("3b:00.0", None),
        ("0000:3b:00.8", None),
    ],
)
def test_addresses_are_written_as_the_kernel_does(given: str, expected: str | None) -> None:
    parsed = parse_address(given)
    assert (None if parsed is None else str(parsed)) == expected


def test_the_parts_of_an_address_are_parsed() -> None:
    assert parse_address("00010000:AF:1F.7") == PciAddress(0x10000, 0xAF, 0x1F, 7)


def test_an_address_has_two_spellings() -> None:
    assert spellings("0000:3b:00.0") == {"0000:3b:00.0", "00000000:3b:00.0"}
    assert spellings("10000:e1:1f.7") == {"10000:e1:1f.7", "00010000:e1:1f.7"}
    assert spellings("card0") == {"card0"}
