from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import AbsentError, Reason, UnavailableError
from tests.doubles.amd_cards import APU, MI210, MI250X, MI250X_SECOND_DIE, MI300X, RX_7900_XTX, AmdCard
from tests.doubles.amd_node import ALL, FAST, collector_of, meaning, reasons, value, values
from tests.doubles.amd_tree import AmdTree, eight_of


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


def test_a_node_without_amd_is_absent(tree: AmdTree) -> None:
    with pytest.raises(AbsentError):
        collector_of(tree).read(ALL)


def test_an_empty_sys_is_absent(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    tree.root.path.rename(tmp_path / "gone")
    with pytest.raises(AbsentError):
        collector_of(tree).read(ALL)


def test_cards_are_sorted_by_address_and_not_by_number(tree: AmdTree) -> None:
    tree.add(RX_7900_XTX, "0000:43:00.0", card=8)
    tree.add(APU, "0001:03:00.0", card=9)
    tree.add(MI210, "0000:23:00.0", card=40)
    reading = collector_of(tree).read(ALL)
    assert [(device.device, device.model) for device in reading.devices] == [
        ("0000:23:00.0", "AMD Instinct MI210"),
        ("0000:43:00.0", "AMD Radeon RX 7900 XT/XTX/GRE"),
        ("0001:03:00.0", "1002:15bf"),
    ]
    assert reading.faults == ()


def test_a_uuid_is_the_unique_id_or_derived_from_the_slot(tree: AmdTree) -> None:
    own, made = tree.add(MI210, "0000:63:00.0"), tree.add(APU, "0000:e3:00.0")
    first = collector_of(tree).read(ALL)
    assert first.devices[0].uuid == own.uuid == "GPU-9246000000063000"
    assert first.devices[1].uuid.startswith("amd-")
    assert [each.uuid for each in collector_of(tree).read(ALL).devices] == [each.uuid for each in first.devices]
    assert made.address == first.devices[1].device


@pytest.mark.parametrize("text", ["0000000000000000", "ffffffffffffffff", "12345", "not a number"])
def test_an_invalid_unique_id_is_not_used(tree: AmdTree, text: str) -> None:
    tree.add(MI210, "0000:63:00.0").write("unique_id", text)
    (device,) = collector_of(tree).read(ALL).devices
    assert device.uuid.startswith("amd-")


def test_two_cards_with_the_same_id_have_different_uuids(tree: AmdTree) -> None:
    first, second = tree.add(MI210, "0000:63:00.0"), tree.add(MI210, "0000:83:00.0")
    second.write("unique_id", f"{first.unique_id:016x}")
    uuids = [device.uuid for device in collector_of(tree).read(ALL).devices]
    assert uuids[0] == first.uuid
    assert uuids[1].startswith("amd-")


def test_a_card_keeps_its_uuid_while_its_id_cannot_be_read(tree: AmdTree) -> None:
    gpu = tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    collector.read(ALL)
    gpu.unbind()
    collector.read(ALL)
    gpu.fail("unique_id")
    gpu.bind()
    (device,) = collector.read(ALL).devices
    assert device.uuid == gpu.uuid


_FIXED = ("unique_id", "product_name", "device", "serial_number", "vbios_version")


def test_an_identity_that_could_not_be_read_at_first_is_read_again(tree: AmdTree) -> None:
    gpu = tree.add(MI210, "0000:63:00.0")
    right = collector_of(tree).read(ALL).devices
    texts = {name: gpu.path(name).read_text() for name in _FIXED}
    for name in _FIXED:
        gpu.fail(name)
    collector = collector_of(tree)
    assert collector.read(ALL).devices[0].uuid.startswith("amd-")
    for name, text in texts.items():
        gpu.path(name).unlink()
        gpu.write(name, text.strip())
    assert collector.read(ALL).devices == right


def test_an_identity_that_can_no_longer_be_read_is_kept(tree: AmdTree) -> None:
    gpu = tree.add(MI210, "0000:63:00.0")
    tree.node(gpu).rename(tree.path / "no-topology")  # so the architecture is looked for at each full reading
    collector = collector_of(tree)
    before = collector.read(ALL)
    for name in _FIXED:
        gpu.fail(name)
    now = collector.read(ALL)
    assert now.devices == before.devices
    assert values(now, catalog.INFO, gpu.uuid) == values(before, catalog.INFO, gpu.uuid)
    assert (gpu.uuid, "unavailable") in reasons(now) or ("0000:63:00.0", "unavailable") in reasons(now)


def test_a_virtual_function_without_a_name_is_named_by_its_pci_id(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, "0000:05:00.0")
    gpu.write("device", "0x74b5")
    gpu.write("product_name", "")
    (device,) = collector_of(tree).read(ALL).devices
    assert device.model == "AMD Instinct MI300X VF"


def test_a_card_has_an_alias_for_every_name_in_allocations(tree: AmdTree) -> None:
    gpu = tree.add(MI210, "0000:63:00.0", card=3)
    reading = collector_of(tree).read(ALL)
    for name in (gpu.uuid, "0000:63:00.0", "00000000:63:00.0"):
        assert meaning(reading, name) == {gpu.uuid}
    assert meaning(reading, "gpu-3-128", "gpu.amd.com") == {gpu.uuid}
    assert meaning(reading, "gpu-3-128", "amd.com/") == set()


def test_fixed_properties_are_in_the_info(tree: AmdTree) -> None:
    gpu = tree.add(MI300X, "0000:05:00.0")
    reading = collector_of(tree).read(ALL)
    ((labels, one),) = values(reading, catalog.INFO, gpu.uuid).items()
    assert one == 1
    assert dict(zip([label.name for label in catalog.INFO.labels], labels, strict=True)) == {
        "index": "",
        "pci_bus_id": "0000:05:00.0",
        "serial": "PCB000000-0001",
        "driver_version": "6.12.12",
        "firmware_version": "113-M3000100-102",
        "architecture": "gfx942",
        "numa_node": "0",
        "class": "gpu",
        "gpu_instance_id": "",
        "compute_instance_id": "",
        "simulated": "",
    }


@pytest.mark.parametrize(("kind", "expected"), [(MI210, "gfx90a"), (RX_7900_XTX, "gfx1100"), (APU, "gfx1103")])
def test_the_architecture_is_written_as_in_compilers(tree: AmdTree, kind: AmdCard, expected: str) -> None:
    gpu = tree.add(kind, "0000:05:00.0")
    reading = collector_of(tree).read(ALL)
    labels = next(iter(values(reading, catalog.INFO, reading.devices[0].uuid)))
    assert labels[5] == expected
    assert gpu.address in labels


def test_the_dies_of_a_package_are_devices_and_power_is_reported_once(tree: AmdTree) -> None:
    first, second = tree.add(MI250X, "0000:2e:00.0"), tree.add(MI250X_SECOND_DIE, "0000:2f:00.0")
    reading = collector_of(tree).read(ALL)
    assert value(reading, catalog.POWER, first.uuid) == 412
    assert value(reading, catalog.POWER, second.uuid) is None
    assert value(reading, catalog.UTILIZATION, second.uuid) == 0.63
    assert reading.faults == ()


def test_the_range_of_power_limits_is_absent_on_a_die_whose_limit_cannot_be_set(tree: AmdTree) -> None:
    first, second = tree.add(MI250X, "0000:2e:00.0"), tree.add(MI250X_SECOND_DIE, "0000:2f:00.0")
    reading = collector_of(tree).read(ALL)
    limits = (catalog.POWER_LIMIT, catalog.POWER_DEFAULT_LIMIT, catalog.POWER_MAX_LIMIT, catalog.POWER_MIN_LIMIT)
    assert [value(reading, limit, first.uuid) for limit in limits] == [560, 560, 560, 0]
    assert [value(reading, limit, second.uuid) for limit in limits] == [None] * 4
    assert reading.faults == ()


def test_without_sensors_a_die_that_does_not_measure_power_has_none(tree: AmdTree) -> None:
    second = tree.add(MI250X_SECOND_DIE, "0000:2f:00.0")
    second.remove("hwmon/name")
    assert value(collector_of(tree, parse=parse).read(ALL), catalog.POWER, second.uuid) is None


_MI300A = replace(MI300X, device=0x74A0)
_MI250 = replace(MI250X, device=0x740C)


@pytest.mark.parametrize(
    ("kind", "shared"),
    [
        (MI250X, True),
        (MI250X_SECOND_DIE, True),
        (_MI250, True),
        (_MI300A, True),
        (APU, True),
        (MI210, False),
        (MI300X, False),
        (RX_7900_XTX, False),
        (replace(RX_7900_XTX, hwmon={}), False),
    ],
)
def test_power_is_shared_with_the_other_die_or_the_processor_of_the_package(
    tree: AmdTree, kind: AmdCard, *, shared: bool
) -> None:
    tree.add(kind, "0000:2e:00.0")
    assert [device.power_shared for device in collector_of(tree).read(ALL).devices] == [shared]


def test_an_unbound_card_is_lost_until_it_is_bound_again(tree: AmdTree) -> None:
    gone, stays = tree.add(MI210, "0000:63:00.0"), tree.add(MI210, "0000:83:00.0")
    collector = collector_of(tree)
    collector.read(ALL)
    gone.unbind()
    reading = collector.read(FAST)
    assert {device.uuid: device.lost for device in reading.devices} == {gone.uuid: True, stays.uuid: False}
    assert reasons(reading) == {("0000:63:00.0", "device_lost")}
    assert value(reading, catalog.STATUS_STATE, gone.uuid, "failed") == 1
    assert value(reading, catalog.UTILIZATION, gone.uuid) is None
    assert value(reading, catalog.UTILIZATION, stays.uuid) == 0.37
    assert collector.read(FAST).faults == ()  # reported once, and again with the next full read
    gone.bind()
    reading = collector.read(ALL)
    assert not any(device.lost for device in reading.devices)
    assert value(reading, catalog.STATUS_STATE, gone.uuid, "ok") == 1
    assert value(reading, catalog.UTILIZATION, gone.uuid) == 0.37


def test_losing_all_cards_is_not_a_missing_driver(tree: AmdTree) -> None:
    gpu = tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    collector.read(ALL)
    gpu.unbind()
    (device,) = collector.read(ALL).devices
    assert device.lost


def test_a_card_bound_to_another_driver_disappears_without_a_fault(tree: AmdTree) -> None:
    given, _ = tree.add(MI210, "0000:63:00.0"), tree.add(MI210, "0000:83:00.0")
    collector = collector_of(tree)
    collector.read(ALL)
    given.unbind("radeon")
    reading = collector.read(ALL)
    assert [device.device for device in reading.devices] == ["0000:83:00.0"]
    assert reading.faults == ()


def test_a_card_removed_from_the_bus_has_vanished(tree: AmdTree) -> None:
    gone, _ = tree.add(MI210, "0000:63:00.0"), tree.add(MI210, "0000:83:00.0")
    collector = collector_of(tree)
    collector.read(ALL)
    gone.unplug()
    reading = collector.read(ALL)
    assert [device.device for device in reading.devices] == ["0000:83:00.0"]
    assert reasons(reading) == {("0000:63:00.0", "devices_vanished")}


def test_a_card_without_a_driver_is_reported(tree: AmdTree) -> None:
    tree.add(MI210, "0000:63:00.0").unbind()
    with pytest.raises(UnavailableError, match=r"0000:63:00\.0") as caught:
        collector_of(tree).read(ALL)
    assert caught.value.reason is Reason.DRIVER_NOT_LOADED


def test_cards_that_gim_splits_for_virtual_machines_are_reported(tree: AmdTree) -> None:
    tree.add(MI300X, "0000:05:00.0").unbind("gim")
    with pytest.raises(UnavailableError, match=r"0000:05:00\.0: an AMD GPU bound to gim") as caught:
        collector_of(tree).read(ALL)
    assert caught.value.reason is Reason.DRIVER_NOT_LOADED


@pytest.mark.parametrize(("driver", "named"), [(None, "without a driver"), ("gim", "bound to gim")])
def test_a_card_without_amdgpu_beside_one_with_it_is_a_fault_at_each_full_read(
    tree: AmdTree, driver: str | None, named: str
) -> None:
    tree.add(MI210, "0000:63:00.0").unbind(driver)
    tree.add(MI210, "0000:83:00.0")
    collector = collector_of(tree)
    for _ in range(2):
        reading = collector.read(ALL)
        assert [device.device for device in reading.devices] == ["0000:83:00.0"]
        assert reasons(reading) == {("0000:63:00.0", "driver_not_loaded")}
        assert named in reading.faults[0].detail
    assert collector.read(FAST).faults == ()


def test_a_card_that_was_given_to_gim_is_no_longer_listed_and_is_reported(tree: AmdTree) -> None:
    given, _ = tree.add(MI210, "0000:63:00.0"), tree.add(MI210, "0000:83:00.0")
    collector = collector_of(tree)
    collector.read(ALL)
    given.unbind("gim")
    reading = collector.read(ALL)
    assert [device.device for device in reading.devices] == ["0000:83:00.0"]
    assert reasons(reading) == {("0000:63:00.0", "driver_not_loaded")}


@pytest.mark.parametrize("driver", ["pci-stub", "radeon"])
def test_a_card_bound_to_another_driver_by_choice_is_not_a_fault(tree: AmdTree, driver: str) -> None:
    tree.add(MI210, "0000:63:00.0").unbind(driver)
    with pytest.raises(AbsentError):
        collector_of(tree).read(ALL)
    tree.add(MI210, "0000:83:00.0")
    reading = collector_of(tree).read(ALL)
    assert [device.device for device in reading.devices] == ["0000:83:00.0"]
    assert reading.faults == ()


def test_a_card_that_comes_later_is_found(tree: AmdTree) -> None:
    tree.add(MI210, "0000:63:00.0")
    collector = collector_of(tree)
    collector.read(ALL)
    late = tree.add(RX_7900_XTX, "0000:03:00.0")
    reading = collector.read(FAST)
    assert value(reading, catalog.UTILIZATION, late.uuid) == 0.81


def test_eight_cards_have_separate_readings(tree: AmdTree) -> None:
    gpus = eight_of(tree, MI300X)
    for percent, gpu in enumerate(gpus):
        gpu.write("gpu_busy_percent", str(percent))
    reading = collector_of(tree).read(ALL)
    assert [value(reading, catalog.UTILIZATION, gpu.uuid) for gpu in gpus] == [percent / 100 for percent in range(8)]
    assert reading.faults == ()
