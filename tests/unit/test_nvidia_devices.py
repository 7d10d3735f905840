from pathlib import Path

import pytest

from collectors.catalog import INFO
from collectors.contract import Alias, Fault, Node, Reason
from collectors.device_calls import DeviceCalls
from collectors.identity import made_uuid
from collectors.nvidia.devices import DeviceTable, bound_addresses, undriven_faults
from collectors.nvidia.errors import SessionError
from collectors.pci import functions_of
from collectors.sysfs import Root
from tests.doubles.nvidia_device import gpus
from tests.doubles.nvml import Device, NvmlState, h100
from tests.doubles.nvml_loaded import open_nvml
from tests.doubles.sysfs_tree import NVIDIA, SysfsTree

HANDLE, UUID, SERIAL = "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID", "nvmlDeviceGetSerial"
UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, GPU_IS_LOST, UNKNOWN = 1, 3, 4, 15, 999
INSUFFICIENT_POWER, IRQ_ISSUE, CORRUPTED_INFOROM = 8, 11, 14


def a_gpu() -> list[Device]:
    """The card GPU-abc at 0000:3b:00.0, with the device file nvidia3."""
    card = h100(3)
    card.uuid, card.pci_address, card.serial = "GPU-abc", "0000:3b:00.0", "1652823012345"
    return [card]


class Bench:
    """A device table over a library and a PCI bus that the test controls."""

    def __init__(self, path: Path, state: NvmlState) -> None:
        self.tree = SysfsTree(path / "sys")
        self.node = Node(self.tree.root, Root(path / "no-proc"), "machine")
        self.table = DeviceTable(self.node, DeviceCalls("test"))
        self.state = state
        self.library = open_nvml()

    def enumerate(self) -> list[Fault]:
        functions = functions_of(self.tree.root, NVIDIA)
        return self.table.enumerate(self.library, range(self.library.device_count()), functions)

    def lost(self) -> dict[str, bool]:
        return {entry.device.device: entry.device.lost for entry in self.table.entries}

    def uuids(self) -> list[str]:
        return [entry.device.uuid for entry in self.table.entries]


@pytest.fixture
def bench(tmp_path: Path, nvml: NvmlState) -> Bench:
    return Bench(tmp_path, nvml)


def info(bench: Bench) -> dict[str, str]:
    (entry,) = bench.table.entries
    return {label.name: value for label, value in zip(INFO.labels, entry.identity.info, strict=True) if value}


def test_the_identity_of_a_device(bench: Bench) -> None:
    bench.state.devices = a_gpu()
    bench.tree.add_pci("0000:3b:00.0", numa_node=1)
    assert bench.enumerate() == []
    (entry,) = bench.table.entries
    assert (entry.device.uuid, entry.device.device, entry.device.vendor) == ("GPU-abc", "0000:3b:00.0", "nvidia")
    assert entry.device.model == "NVIDIA H100 80GB HBM3"
    assert info(bench) == {
        "index": "0",
        "pci_bus_id": "0000:3b:00.0",
        "serial": "1652823012345",
        "driver_version": "570.124.06",
        "firmware_version": "96.00.61.00.01",
        "architecture": "hopper",
        "numa_node": "1",
        "class": "gpu",
    }


def test_the_aliases_of_a_device_do_not_include_its_index(bench: Bench) -> None:
    bench.state.devices = a_gpu()
    bench.enumerate()
    assert bench.table.entries[0].device.aliases == {
        Alias("GPU-abc"),
        Alias("0000:3b:00.0"),
        Alias("00000000:3b:00.0"),
        Alias("nvidia3", "nvidia.com/"),
        Alias("/dev/nvidia3"),
        Alias("gpu-3", "gpu.nvidia.com"),
    }


@pytest.mark.parametrize(
    ("call", "label"),
    [
        (SERIAL, "serial"),
        ("nvmlDeviceGetVbiosVersion", "firmware_version"),
        ("nvmlDeviceGetArchitecture", "architecture"),
    ],
)
def test_an_unsupported_property_is_omitted_without_a_fault(bench: Bench, call: str, label: str) -> None:
    bench.state.devices = a_gpu()
    bench.state.fail(call, NOT_SUPPORTED)
    assert bench.enumerate() == []
    assert label not in info(bench)


def test_a_property_that_fails_is_omitted_with_a_fault(bench: Bench) -> None:
    bench.state.devices = a_gpu()
    bench.state.fail(SERIAL, NO_PERMISSION)
    (fault,) = bench.enumerate()
    assert (fault.reason, fault.where) == (Reason.PERMISSION_DENIED, "0000:3b:00.0")
    assert "serial" not in info(bench)


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION, UNKNOWN])
def test_a_known_device_keeps_what_can_no_longer_be_read(bench: Bench, code: int) -> None:
    bench.state.devices = a_gpu()
    bench.enumerate()
    (before,) = bench.table.entries
    for call in (UUID, SERIAL, "nvmlDeviceGetName", "nvmlDeviceGetMinorNumber", "nvmlDeviceGetArchitecture"):
        bench.state.fail(call, code)
    bench.enumerate()
    (now,) = bench.table.entries
    assert now.identity == before.identity
    bench.state.heal()
    bench.state.devices[0].uuid = "GPU-other"  # another card in the same slot
    bench.enumerate()
    assert bench.uuids() == ["GPU-other"]


@pytest.mark.parametrize("serial", ["[N/A]", "N/A", "Unknown Error", " "])
def test_placeholder_texts_are_omitted(bench: Bench, serial: str) -> None:
    bench.state.devices = a_gpu()
    bench.state.devices[0].serial, bench.state.devices[0].architecture = serial, 0xFFFFFFFF
    bench.enumerate()
    assert info(bench).keys() == {"index", "pci_bus_id", "driver_version", "firmware_version", "class"}


def test_a_device_without_a_minor_number_has_no_alias_for_it(bench: Bench) -> None:
    bench.state.devices = a_gpu()
    bench.state.fail("nvmlDeviceGetMinorNumber", NOT_SUPPORTED)
    bench.enumerate()
    assert bench.table.entries[0].identity.minor is None
    assert {alias.scope for alias in bench.table.entries[0].device.aliases} == {""}


def test_a_device_without_a_uuid_gets_a_derived_one(bench: Bench) -> None:
    bench.state.devices = a_gpu()
    bench.state.fail(UUID, NOT_SUPPORTED)
    bench.enumerate()
    assert bench.uuids() == [made_uuid("nvidia", "machine", "0000:3b:00.0")]


def test_a_duplicate_uuid_is_replaced(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.state.devices[1].uuid = "GPU-0"
    bench.enumerate()
    assert bench.uuids() == ["GPU-0", made_uuid("nvidia", "machine", "0000:11:00.0")]


@pytest.mark.parametrize("code", [NO_PERMISSION, GPU_IS_LOST, UNKNOWN])
def test_a_failing_handle_does_not_hide_other_devices(bench: Bench, code: int) -> None:
    bench.state.devices = gpus(4)
    bench.state.fail(HANDLE, code, device=1)
    faults = bench.enumerate()
    assert bench.uuids() == ["GPU-0", "GPU-2", "GPU-3"]
    assert [fault.where for fault in faults] == ["device at index 1"]


def test_a_device_with_an_invalid_address_is_omitted(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.state.devices[0].pci_bus = 0x1000  # 00000000:1000:00.0
    (fault,) = bench.enumerate()
    assert fault.reason is Reason.INVALID_VALUE
    assert bench.uuids() == ["GPU-1"]


def test_a_lost_device_keeps_its_identity(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.enumerate()
    bench.state.fail(HANDLE, GPU_IS_LOST, device=0)
    (fault,) = bench.enumerate()
    assert (fault.reason, fault.where) == (Reason.DEVICE_LOST, "0000:10:00.0")
    assert bench.lost() == {"0000:10:00.0": True, "0000:11:00.0": False}
    assert bench.uuids() == ["GPU-0", "GPU-1"]
    assert bench.table.needs_rescan


def test_a_lost_device_that_works_again_is_not_lost(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.state.fail("nvmlDeviceGetPciInfo_v3", GPU_IS_LOST, device=0)
    bench.tree.add_pci("0000:10:00.0")
    bench.enumerate()
    assert bench.lost() == {"0000:10:00.0": True, "0000:11:00.0": False}
    bench.state.heal()
    assert bench.enumerate() == []
    assert bench.lost() == {"0000:10:00.0": False, "0000:11:00.0": False}
    assert not bench.table.needs_rescan


def test_a_known_device_without_permission_is_not_lost(bench: Bench) -> None:
    bench.state.devices = gpus(1)
    bench.enumerate()
    bench.state.fail(HANDLE, NO_PERMISSION, device=0)
    bench.enumerate()
    assert bench.lost() == {"0000:10:00.0": False}
    assert bench.table.entries[0].handle is None


def test_a_device_that_only_the_bus_lists_is_lost_and_identified_by_its_address(bench: Bench) -> None:
    bench.state.devices = gpus(1)
    bench.tree.add_pci("0000:10:00.0")
    bench.tree.add_pci("0000:99:00.0", device=0x2330, numa_node=1)
    (fault,) = bench.enumerate()
    assert (fault.reason, fault.where) == (Reason.DEVICE_LOST, "0000:99:00.0")
    _, missing = bench.table.entries
    assert missing.device.lost
    assert missing.device.uuid == made_uuid("nvidia", "machine", "0000:99:00.0")
    assert missing.device.model == "10de:2330"
    assert Alias("0000:99:00.0") in missing.device.aliases


def test_a_device_missing_from_a_new_session_keeps_its_identity(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.tree.add_pci("0000:10:00.0")
    bench.tree.add_pci("0000:11:00.0")
    bench.enumerate()
    bench.state.remove(0)
    bench.table.new_session()
    bench.enumerate()
    assert bench.uuids() == ["GPU-0", "GPU-1"]
    assert bench.lost() == {"0000:10:00.0": True, "0000:11:00.0": False}


@pytest.mark.parametrize("driver", ["vfio-pci", "nouveau", None])
def test_a_device_bound_to_another_driver_is_not_lost(bench: Bench, driver: str | None) -> None:
    bench.state.devices = gpus(1)
    bench.tree.add_pci("0000:99:00.0", driver=driver)
    assert bench.enumerate() == []
    assert bench.uuids() == ["GPU-0"]


@pytest.mark.parametrize("code", [INSUFFICIENT_POWER, IRQ_ISSUE, CORRUPTED_INFOROM, UNKNOWN])
def test_a_device_that_the_driver_refused_at_the_start_has_failed_and_is_named_by_its_address(
    bench: Bench, code: int
) -> None:
    bench.state.devices = gpus(3)
    for address in ("0000:10:00.0", "0000:11:00.0", "0000:12:00.0"):
        bench.tree.add_pci(address)
    bench.state.fail(HANDLE, code, device=1)
    faults = bench.enumerate()
    assert bench.lost() == {"0000:10:00.0": False, "0000:11:00.0": True, "0000:12:00.0": False}
    assert bench.uuids() == ["GPU-0", made_uuid("nvidia", "machine", "0000:11:00.0"), "GPU-2"]
    assert [(fault.reason, fault.where) for fault in faults] == [
        (Reason.UNAVAILABLE, "device at index 1"),
        (Reason.DEVICE_LOST, "0000:11:00.0"),
    ]


def test_a_device_that_answered_before_and_can_no_longer_be_opened_has_failed_with_its_own_identity(
    bench: Bench,
) -> None:
    bench.state.devices = gpus(1)
    bench.enumerate()
    bench.state.fail(HANDLE, UNKNOWN, device=0)
    bench.enumerate()
    assert (bench.uuids(), bench.lost()) == (["GPU-0"], {"0000:10:00.0": True})


@pytest.mark.parametrize(("driver", "named"), [(None, "without a driver"), ("nouveau", "bound to nouveau")])
def test_a_device_without_its_driver_is_a_fault(bench: Bench, driver: str | None, named: str) -> None:
    bench.tree.add_pci("0000:10:00.0")
    bench.tree.add_pci("0000:11:00.0", driver="vfio-pci")
    bench.tree.add_pci("0000:99:00.0", driver=driver)
    (fault,) = undriven_faults(functions_of(bench.tree.root, NVIDIA))
    assert (fault.reason, fault.where) == (Reason.DRIVER_NOT_LOADED, "0000:99:00.0")
    assert named in fault.detail


def test_a_device_passed_to_a_virtual_machine_is_removed_without_a_fault(bench: Bench) -> None:
    bench.state.devices = gpus(1)
    bench.tree.add_pci("0000:10:00.0")
    bench.enumerate()
    bench.state.devices = ()
    bench.tree.bind("0000:10:00.0", "vfio-pci")
    assert bench.enumerate() == []
    assert bench.uuids() == []


def test_virtual_functions_are_not_devices_of_this_node(tmp_path: Path) -> None:
    tree = SysfsTree(tmp_path)
    tree.add_pci("0000:10:00.0")
    (tree.add_pci("0000:10:00.4") / "physfn").symlink_to("../0000:10:00.0")
    assert bound_addresses(functions_of(tree.root, NVIDIA)) == {"0000:10:00.0"}


def test_vanished_devices_are_faults_until_they_return(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.enumerate()
    bench.state.devices = ()
    for _ in range(2):
        faults = bench.enumerate()
        assert {fault.where for fault in faults} == {"0000:10:00.0", "0000:11:00.0"}
        assert {fault.reason for fault in faults} == {Reason.DEVICES_VANISHED}
        assert bench.table.entries == ()
        assert bench.table.needs_rescan
    bench.state.devices = gpus(2)
    assert bench.enumerate() == []
    assert bench.uuids() == ["GPU-0", "GPU-1"]


def test_a_listed_device_without_permission_is_neither_lost_nor_vanished(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.tree.add_pci("0000:10:00.0")
    bench.tree.add_pci("0000:11:00.0")
    bench.state.fail(HANDLE, NO_PERMISSION, device=0)
    faults = bench.enumerate()
    assert [fault.reason for fault in faults] == [Reason.PERMISSION_DENIED]
    assert bench.lost() == {"0000:11:00.0": False}


def test_the_end_of_the_session_ends_the_enumeration(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.state.fail(HANDLE, UNINITIALIZED, device=0)
    with pytest.raises(SessionError):
        bench.enumerate()


@pytest.mark.parametrize(
    ("code", "reason"), [(NO_PERMISSION, Reason.PERMISSION_DENIED), (GPU_IS_LOST, Reason.DEVICE_LOST)]
)
def test_indices_of_an_earlier_session_do_not_identify_devices(bench: Bench, code: int, reason: Reason) -> None:
    bench.state.devices = gpus(2)
    bench.enumerate()
    bench.table.new_session()
    bench.state.fail(HANDLE, code, device=1)
    (fault,) = bench.enumerate()
    assert (fault.reason, fault.where) == (reason, "device at index 1")


def test_closed_entries_have_known_or_derived_identities(bench: Bench) -> None:
    bench.state.devices = a_gpu()
    bench.tree.add_pci("0000:3b:00.0")
    bench.tree.add_pci("0000:86:00.0")
    bench.enumerate()
    known, made = bench.table.closed_entries(functions_of(bench.tree.root, NVIDIA))
    assert (known.device, known.identity) == (bench.table.entries[0].device, bench.table.entries[0].identity)
    assert made.device.uuid == made_uuid("nvidia", "machine", "0000:86:00.0")
    assert [(entry.handle, entry.asleep, entry.device.lost) for entry in (known, made)] == [(None, True, False)] * 2


def test_a_derived_uuid_is_replaced_when_the_device_is_enumerated(bench: Bench) -> None:
    bench.state.devices = a_gpu()
    bench.tree.add_pci("0000:3b:00.0")
    functions = functions_of(bench.tree.root, NVIDIA)
    assert bench.table.closed_entries(functions)[0].device.uuid == made_uuid("nvidia", "machine", "0000:3b:00.0")
    assert bench.enumerate() == []
    assert bench.table.closed_entries(functions)[0].device.uuid == "GPU-abc"


def test_the_set_of_sleeping_devices_is_replaced_by_each_call(bench: Bench) -> None:
    bench.state.devices = gpus(2)
    bench.enumerate()
    first, second = bench.table.entries
    bench.table.set_asleep({first.device.device})
    assert (first.asleep, second.asleep) == (True, False)
    bench.table.set_asleep({second.device.device})
    assert (first.asleep, second.asleep) == (False, True)
