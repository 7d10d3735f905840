from pathlib import Path

import pytest

from collectors.catalog import INFO
from collectors.contract import Alias, Fault, Node, Reason
from collectors.identity import made_uuid
from collectors.nvidia.devices import DeviceTable, bound_addresses
from collectors.nvidia.errors import SessionError
from collectors.nvidia.nvml import Nvml
from collectors.pci import functions_of
from collectors.sysfs import Root
from tests.doubles.nvml_binding import GPU_IS_LOST, FakeBinding, FakeGpu, gpus
from tests.doubles.sysfs_tree import NVIDIA, SysfsTree


class Bench:
    """A device table over a library and a PCI bus that the test sets."""

    def __init__(self, path: Path, devices: list[FakeGpu]) -> None:
        self.tree = SysfsTree(path)
        self.node = Node(self.tree.root, Root(path / "no-proc"), "machine")
        self.table = DeviceTable(self.node)
        self.binding = FakeBinding(devices)

    def enumerate(self) -> list[Fault]:
        functions = functions_of(self.tree.root, NVIDIA)
        return self.table.enumerate(Nvml(self.binding), len(self.binding.devices), functions)

    def lost(self) -> dict[str, bool]:
        return {entry.device.device: entry.device.lost for entry in self.table.entries}

    def uuids(self) -> list[str]:
        return [entry.device.uuid for entry in self.table.entries]


def info(bench: Bench) -> dict[str, str]:
    (entry,) = bench.table.entries
    return {label.name: value for label, value in zip(INFO.labels, entry.identity.info, strict=True) if value}


def test_a_device_says_who_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FakeGpu(uuid="GPU-abc", minor=3)])
    bench.tree.add_pci("0000:3b:00.0", numa_node=1)
    assert bench.enumerate() == []
    (entry,) = bench.table.entries
    assert (entry.device.uuid, entry.device.device, entry.device.vendor) == ("GPU-abc", "0000:3b:00.0", "nvidia")
    assert entry.device.model == "NVIDIA H100 80GB HBM3"
    assert info(bench) == {
        "index": "0",
        "pci_bus_id": "0000:3b:00.0",
        "serial": "1652823012345",
        "driver_version": "550.54.15",
        "firmware_version": "96.00.89.00.01",
        "architecture": "hopper",
        "numa_node": "1",
        "class": "gpu",
    }


def test_a_device_is_found_by_every_name_but_its_index(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FakeGpu(uuid="GPU-abc", minor=3)])
    bench.enumerate()
    assert bench.table.entries[0].device.aliases == {
        Alias("GPU-abc"),
        Alias("0000:3b:00.0"),
        Alias("00000000:3b:00.0"),
        Alias("nvidia3", "nvidia.com/"),
    }


@pytest.mark.parametrize(
    ("call", "label"),
    [
        ("nvmlDeviceGetSerial", "serial"),
        ("nvmlDeviceGetVbiosVersion", "firmware_version"),
        ("nvmlDeviceGetArchitecture", "architecture"),
    ],
)
def test_an_unsupported_property_is_left_out_in_silence(tmp_path: Path, call: str, label: str) -> None:
    bench = Bench(tmp_path, [FakeGpu(errors={call: 3})])
    assert bench.enumerate() == []
    assert label not in info(bench)


def test_a_property_that_fails_is_left_out_and_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FakeGpu(errors={"nvmlDeviceGetSerial": 4})])
    (fault,) = bench.enumerate()
    assert (fault.reason, fault.where) == (Reason.PERMISSION_DENIED, "0000:3b:00.0")
    assert "serial" not in info(bench)


@pytest.mark.parametrize("serial", ["", "[N/A]", "N/A", "Unknown Error", " "])
def test_text_that_says_nothing_is_left_out(tmp_path: Path, serial: str) -> None:
    bench = Bench(tmp_path, [FakeGpu(serial=serial, architecture=0xFFFFFFFF)])
    bench.enumerate()
    assert info(bench).keys() == {"index", "pci_bus_id", "driver_version", "firmware_version", "class"}


def test_without_a_minor_number_there_is_no_such_alias(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FakeGpu(errors={"nvmlDeviceGetMinorNumber": 3})])
    bench.enumerate()
    assert bench.table.entries[0].identity.minor is None
    assert {alias.scope for alias in bench.table.entries[0].device.aliases} == {""}


def test_without_a_uuid_one_is_made(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FakeGpu(errors={"nvmlDeviceGetUUID": 3})])
    bench.enumerate()
    assert bench.uuids() == [made_uuid("nvidia", "machine", "0000:3b:00.0")]


def test_a_uuid_told_twice_is_accepted_once(tmp_path: Path) -> None:
    first, second = gpus(2)
    second.uuid = first.uuid
    bench = Bench(tmp_path, [first, second])
    bench.enumerate()
    assert bench.uuids() == [first.uuid, made_uuid("nvidia", "machine", "0000:11:00.0")]


@pytest.mark.parametrize("code", [4, 15, 999])
def test_one_bad_handle_does_not_hide_the_others(tmp_path: Path, code: int) -> None:
    bench = Bench(tmp_path, gpus(4))
    bench.binding.handle_errors[1] = code
    faults = bench.enumerate()
    assert bench.uuids() == ["GPU-0", "GPU-2", "GPU-3"]
    assert [fault.where for fault in faults] == ["device at index 1"]


def test_a_device_whose_address_is_no_address_is_left_out(tmp_path: Path) -> None:
    first, second = gpus(2)
    first.bus_id = "[N/A]"
    bench = Bench(tmp_path, [first, second])
    (fault,) = bench.enumerate()
    assert fault.reason is Reason.INVALID_VALUE
    assert bench.uuids() == ["GPU-1"]


def test_a_lost_device_keeps_the_identity_it_had(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.enumerate()
    bench.binding.handle_errors[0] = GPU_IS_LOST
    (fault,) = bench.enumerate()
    assert (fault.reason, fault.where) == (Reason.DEVICE_LOST, "0000:10:00.0")
    assert bench.lost() == {"0000:10:00.0": True, "0000:11:00.0": False}
    assert bench.uuids() == ["GPU-0", "GPU-1"]
    assert bench.table.needs_rescan


def test_a_lost_device_that_answers_again_is_no_longer_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.binding.devices[0].errors["*"] = GPU_IS_LOST
    bench.tree.add_pci("0000:10:00.0")
    bench.enumerate()
    assert bench.lost() == {"0000:10:00.0": True, "0000:11:00.0": False}
    bench.binding.devices[0].errors.clear()
    assert bench.enumerate() == []
    assert bench.lost() == {"0000:10:00.0": False, "0000:11:00.0": False}
    assert not bench.table.needs_rescan


def test_a_known_device_that_may_not_be_opened_is_not_called_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.enumerate()
    bench.binding.handle_errors[0] = 4
    bench.enumerate()
    assert bench.lost() == {"0000:10:00.0": False}
    assert bench.table.entries[0].handle is None


def test_a_device_on_the_bus_that_the_library_never_listed_is_lost_and_named_by_its_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.tree.add_pci("0000:10:00.0")
    bench.tree.add_pci("0000:99:00.0", device=0x2330, numa_node=1)
    (fault,) = bench.enumerate()
    assert (fault.reason, fault.where) == (Reason.DEVICE_LOST, "0000:99:00.0")
    _, missing = bench.table.entries
    assert missing.device.lost
    assert missing.device.uuid == made_uuid("nvidia", "machine", "0000:99:00.0")
    assert missing.device.model == "10de:2330"
    assert Alias("0000:99:00.0") in missing.device.aliases


def test_a_device_the_library_forgot_over_a_new_session_keeps_its_identity(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.tree.add_pci("0000:10:00.0")
    bench.tree.add_pci("0000:11:00.0")
    bench.enumerate()
    del bench.binding.devices[0]
    bench.table.new_session()
    bench.enumerate()
    assert bench.uuids() == ["GPU-0", "GPU-1"]
    assert bench.lost() == {"0000:10:00.0": True, "0000:11:00.0": False}


@pytest.mark.parametrize("driver", ["vfio-pci", "nouveau", None])
def test_a_device_that_is_not_the_drivers_is_not_lost(tmp_path: Path, driver: str | None) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.tree.add_pci("0000:99:00.0", driver=driver)
    assert bench.enumerate() == []
    assert bench.uuids() == ["GPU-0"]


def test_a_device_handed_to_a_virtual_machine_leaves_in_silence(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(1))
    bench.tree.add_pci("0000:10:00.0")
    bench.enumerate()
    bench.binding.devices.clear()
    bench.tree.bind("0000:10:00.0", "vfio-pci")
    assert bench.enumerate() == []
    assert bench.uuids() == []


def test_virtual_functions_are_not_devices_of_this_node(tmp_path: Path) -> None:
    tree = SysfsTree(tmp_path)
    tree.add_pci("0000:10:00.0")
    (tree.add_pci("0000:10:00.4") / "physfn").symlink_to("../0000:10:00.0")
    assert bound_addresses(functions_of(tree.root, NVIDIA)) == {"0000:10:00.0"}


def test_devices_that_vanish_altogether_are_told_loudly_until_they_are_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.enumerate()
    devices = list(bench.binding.devices)
    bench.binding.devices.clear()
    for _ in range(2):
        faults = bench.enumerate()
        assert {fault.where for fault in faults} == {"0000:10:00.0", "0000:11:00.0"}
        assert {fault.reason for fault in faults} == {Reason.DEVICES_VANISHED}
        assert bench.table.entries == ()
        assert bench.table.needs_rescan
    bench.binding.devices.extend(devices)
    assert bench.enumerate() == []
    assert bench.uuids() == ["GPU-0", "GPU-1"]


def test_a_device_listed_but_unnamed_is_not_taken_for_a_lost_or_vanished_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.tree.add_pci("0000:10:00.0")
    bench.tree.add_pci("0000:11:00.0")
    bench.binding.handle_errors[0] = 4
    faults = bench.enumerate()
    assert [fault.reason for fault in faults] == [Reason.PERMISSION_DENIED]
    assert bench.lost() == {"0000:11:00.0": False}


def test_the_end_of_the_session_ends_the_enumeration(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.binding.handle_errors[0] = 1
    with pytest.raises(SessionError):
        bench.enumerate()


@pytest.mark.parametrize(("code", "reason"), [(4, Reason.PERMISSION_DENIED), (15, Reason.DEVICE_LOST)])
def test_indices_of_an_earlier_session_name_nobody(tmp_path: Path, code: int, reason: Reason) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.enumerate()
    bench.table.new_session()
    bench.binding.handle_errors[1] = code
    (fault,) = bench.enumerate()
    assert (fault.reason, fault.where) == (reason, "device at index 1")


def test_devices_that_are_not_asked_are_as_they_were_known(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FakeGpu(uuid="GPU-abc")])
    bench.tree.add_pci("0000:3b:00.0")
    bench.tree.add_pci("0000:86:00.0")
    bench.tree.add_pci("0000:d8:00.0", driver="vfio-pci")
    bench.enumerate()
    known, made = bench.table.bound_entries(functions_of(bench.tree.root, NVIDIA))
    assert (known.device, known.identity) == (bench.table.entries[0].device, bench.table.entries[0].identity)
    assert made.device.uuid == made_uuid("nvidia", "machine", "0000:86:00.0")
    assert [(entry.handle, entry.asleep, entry.device.lost) for entry in (known, made)] == [(None, True, False)] * 2


def test_a_device_that_was_never_asked_gets_its_own_uuid_when_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FakeGpu(uuid="GPU-abc")])
    bench.tree.add_pci("0000:3b:00.0")
    functions = functions_of(bench.tree.root, NVIDIA)
    assert bench.table.bound_entries(functions)[0].device.uuid == made_uuid("nvidia", "machine", "0000:3b:00.0")
    assert bench.enumerate() == []
    assert bench.table.bound_entries(functions)[0].device.uuid == "GPU-abc"


def test_who_is_asleep_is_marked_anew_each_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus(2))
    bench.enumerate()
    first, second = bench.table.entries
    bench.table.set_asleep({first.device.device})
    assert (first.asleep, second.asleep) == (True, False)
    bench.table.set_asleep({second.device.device})
    assert (first.asleep, second.asleep) == (False, True)
