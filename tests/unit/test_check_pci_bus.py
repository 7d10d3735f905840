from pathlib import Path

import pytest

from collectors.contract import Device, Reading
from collectors.vendors import VENDORS, vendor_of
from exporter.check.facts import CallOutcome, CollectorFacts, PciFacts, PciState
from exporter.check.pci_bus import accelerators_on_bus, pci_facts
from tests.doubles.sysfs_tree import SysfsTree

ADDRESS = "0000:1b:00.0"
AMD, ASPEED, INTEL, STRANGER = 0x1002, 0x1A03, 0x8086, 0xBEEF
VGA, COMPUTE_CARD, OTHER_DISPLAY, PROCESSING, NETWORK = 0x030000, 0x030200, 0x038000, 0x120000, 0x020000


@pytest.fixture
def sysfs(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path / "sys")


def collector(name: str, *devices: Device, state: CallOutcome = CallOutcome.OK) -> CollectorFacts:
    reading = Reading(devices) if state is CallOutcome.OK else None
    return CollectorFacts(name, state, (), 0.0, reading)


def found(sysfs: SysfsTree, *collectors: CollectorFacts) -> PciFacts:
    (facts,) = pci_facts(accelerators_on_bus(sysfs.root), collectors)
    return facts


def test_a_device_whose_collector_is_not_to_run_is_excluded(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS)
    (facts,) = pci_facts(accelerators_on_bus(sysfs.root), (), frozenset({"nvidia"}))
    assert (facts.state, facts.collector) == (PciState.EXCLUDED, "")


@pytest.mark.parametrize(
    ("vendor", "pci_class", "shown"),
    [
        (STRANGER, COMPUTE_CARD, True),
        (STRANGER, PROCESSING, True),
        (STRANGER, VGA, False),
        (ASPEED, VGA, False),
        (STRANGER, OTHER_DISPLAY, False),
        (AMD, VGA, True),
        (AMD, OTHER_DISPLAY, True),
        (INTEL, NETWORK, False),
    ],
)
def test_what_counts_as_an_accelerator(sysfs: SysfsTree, vendor: int, pci_class: int, *, shown: bool) -> None:
    sysfs.add_pci(ADDRESS, vendor=vendor, pci_class=pci_class)
    assert [f.address for f in accelerators_on_bus(sysfs.root)] == ([ADDRESS] if shown else [])


def test_accelerators_of_all_vendors_are_sorted_by_address(sysfs: SysfsTree) -> None:
    sysfs.add_pci("0000:c1:00.0", vendor=AMD)
    sysfs.add_pci("0000:a1:00.0")
    sysfs.add_pci("0000:b1:00.0", vendor=STRANGER)
    addresses = [function.address for function in accelerators_on_bus(sysfs.root)]
    assert addresses == ["0000:a1:00.0", "0000:b1:00.0", "0000:c1:00.0"]


def test_a_device_that_a_collector_lists_is_read(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS)
    facts = found(sysfs, collector("nvidia", Device("GPU-1", ADDRESS, "nvidia", "H100")))
    assert facts == PciFacts(ADDRESS, "NVIDIA", "10de:2330", "nvidia", PciState.READ, "nvidia")


def test_a_device_that_no_longer_answers_is_lost(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS)
    lost = Device("GPU-1", ADDRESS, "nvidia", "H100", lost=True)
    assert found(sysfs, collector("nvidia", lost)).state is PciState.LOST


def test_a_vendor_without_a_collector_is_named(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS, "amdgpu", AMD, 0x74A1, PROCESSING)
    facts = found(sysfs, collector("nvidia"))
    assert facts == PciFacts(ADDRESS, "AMD", "1002:74a1", "amdgpu", PciState.NO_COLLECTOR)


def test_an_unknown_vendor_is_named_by_its_id(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS, None, STRANGER)
    facts = found(sysfs, collector("nvidia"))
    assert (facts.vendor, facts.driver, facts.state) == ("vendor 0xbeef", None, PciState.NO_COLLECTOR)


def test_a_third_party_collector_reads_the_devices_that_it_lists(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS, vendor=STRANGER)
    facts = found(sysfs, collector("beef", Device("B-1", ADDRESS, "beef", "B")))
    assert (facts.state, facts.collector) == (PciState.READ, "beef")


def test_a_device_whose_collector_is_down_or_does_not_list_it_is_not_read(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS)
    for state in (CallOutcome.OK, CallOutcome.FAILED, CallOutcome.LATE):
        facts = found(sysfs, collector("nvidia", state=state))
        assert (facts.state, facts.collector) == (PciState.NOT_READ, "nvidia")


def test_a_device_reserved_for_a_virtual_machine_is_passed_through(sysfs: SysfsTree) -> None:
    sysfs.add_pci(ADDRESS, "vfio-pci")
    listing = collector("nvidia", Device("GPU-1", ADDRESS, "nvidia", "H100"))
    assert [found(sysfs, each).state for each in (collector("nvidia"), listing)] == [PciState.PASSED_THROUGH] * 2


def test_a_virtual_function_is_reported_as_such(sysfs: SysfsTree) -> None:
    folder = sysfs.add_pci(ADDRESS)
    (folder / "physfn").symlink_to("../0000:1a:00.0")
    assert found(sysfs, collector("nvidia")).state is PciState.VIRTUAL


def test_no_bus_and_unreadable_functions_show_nothing(sysfs: SysfsTree) -> None:
    assert accelerators_on_bus(sysfs.root) == ()
    sysfs.write(b"not a number\n", "bus", "pci", "devices", ADDRESS, "vendor")
    (sysfs.path / "bus" / "pci" / "devices" / "0000:1c:00.0").mkdir()
    assert accelerators_on_bus(sysfs.root) == ()


def test_names_and_ids_of_vendors_are_unique() -> None:
    assert len({vendor.name for vendor in VENDORS}) == len({vendor.pci_id for vendor in VENDORS}) == len(VENDORS)
    assert all(vendor.name == vendor.name.lower() and vendor.name.isalpha() for vendor in VENDORS)
    assert all(vendor_of(vendor.pci_id) is vendor for vendor in VENDORS)
