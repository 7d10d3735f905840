"""A board whose GPU is on no PCI bus, such as a Jetson: NVML answers, but not nvmlDeviceGetPciInfo."""

from pathlib import Path

import pytest

from collectors.contract import Reading
from exporter.attribution.device_ids import AliasTable
from tests.doubles.nvidia_collector import collector_bench
from tests.doubles.nvml import NvmlState, h100

PCI_INFO, NOT_SUPPORTED, UNKNOWN = "nvmlDeviceGetPciInfo_v3", 3, 999
UUID = "1833c8b5-9aa0-5382-b784-68b7e77eb185"


@pytest.fixture
def state(nvml: NvmlState) -> NvmlState:
    card = h100(0)
    card.uuid, card.name = UUID, "Orin (nvgpu)"
    nvml.devices = [card]
    nvml.fail(PCI_INFO, NOT_SUPPORTED)
    return nvml


def read(path: Path, state: NvmlState, *platform_devices: str) -> Reading:
    with collector_bench(path, state) as bench:
        for name in platform_devices:
            bench.tree.write(b"", "bus", "platform", "drivers", "gk20a", name)
        bench.read()
        return bench.read()


def test_it_is_one_device_with_the_name_of_the_kernel(tmp_path: Path, state: NvmlState) -> None:
    reading = read(tmp_path, state, "17000000.gpu", "bind", "uevent")

    (device,) = reading.devices
    assert (device.uuid, device.device, device.model) == (UUID, "17000000.gpu", "Orin (nvgpu)")
    assert not device.lost
    assert [fault for fault in reading.faults if "Pci" in fault.detail] == []


def test_without_the_driver_in_sysfs_it_has_its_index(tmp_path: Path, state: NvmlState) -> None:
    assert [device.device for device in read(tmp_path, state).devices] == ["gpu0"]


def test_the_id_of_the_device_plugin_is_its_own(tmp_path: Path, state: NvmlState) -> None:
    table = AliasTable(read(tmp_path, state).devices, ())

    assert table.resolve("nvidia.com/gpu", "tegra") == (UUID, "")
    assert table.resolve("nvidia.com/gpu", UUID) == (UUID, "")
    assert table.resolve("example.com/soc", "tegra") is None


def test_a_place_that_cannot_be_read_is_no_platform_device(tmp_path: Path, state: NvmlState) -> None:
    state.fail(PCI_INFO, UNKNOWN)
    reading = read(tmp_path, state, "17000000.gpu")

    assert reading.devices == ()
    assert reading.faults != ()


def test_a_gpu_on_the_bus_is_no_platform_device(tmp_path: Path, state: NvmlState) -> None:
    with collector_bench(tmp_path, state) as bench:
        bench.tree.add_pci("0000:10:00.0")
        reading = bench.read()

    assert [device.device for device in reading.devices] == []
    assert [fault.reason for fault in reading.faults if "Pci" in fault.detail] != []


def test_the_platform_device_is_named_beside_another_gpu(tmp_path: Path, state: NvmlState) -> None:
    state.heal()
    state.devices = [h100(1), h100(0)]
    state.fail(PCI_INFO, NOT_SUPPORTED, device=1)
    names = {device.device for device in read(tmp_path, state, "17000000.gpu").devices}

    assert "17000000.gpu" in names
