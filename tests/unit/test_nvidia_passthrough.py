"""NVIDIA GPUs that belong to virtual machines: listed without readings, and not failed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Alias, Device, Reading, Reason
from collectors.identity import made_uuid
from collectors.metric import Cadence
from tests.doubles import nvml as cards
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvidia_device import gpus
from tests.doubles.nvml import NvmlState

FAST = frozenset({Cadence.FAST})
MEDIUM = frozenset({Cadence.FAST, Cadence.MEDIUM})
HOST, GUEST = "0000:10:00.0", "0000:11:00.0"

Benches = Callable[[Iterable[cards.Device]], CollectorBench]


@pytest.fixture
def bench(tmp_path: Path, nvml: NvmlState) -> Iterator[Benches]:
    with ExitStack() as closing:

        def bench(devices: Iterable[cards.Device]) -> CollectorBench:
            nvml.devices = devices
            return closing.enter_context(collector_bench(tmp_path, nvml))

        yield bench


def give_to_vfio(asked: CollectorBench, address: str, group: int) -> None:
    folder = asked.tree.add_pci(address, driver="vfio-pci", numa_node=1)
    (folder / "iommu_group").symlink_to(f"../../../../kernel/iommu_groups/{group}")


def by_address(reading: Reading) -> dict[str, Device]:
    found = {device.device: device for device in reading.devices}
    assert len(found) == len(reading.devices)
    return found


def families_of(reading: Reading, device: Device) -> set[str]:
    return {sample.metric.stem for sample in reading.samples if sample.device_uuid == device.uuid}


def test_a_gpu_of_a_virtual_machine_is_listed_beside_others_with_nothing_but_its_identity(bench: Benches) -> None:
    asked = bench(gpus(1))
    asked.tree.add_pci(HOST)
    give_to_vfio(asked, GUEST, 12)
    reading = asked.read()
    guest = by_address(reading)[GUEST]
    assert (guest.uuid, guest.model, guest.lost) == (made_uuid("nvidia", "machine", GUEST), "10de:2330", False)
    assert guest.aliases == {
        Alias(guest.uuid),
        Alias(GUEST),
        Alias(f"0000{GUEST}"),
        Alias("/dev/vfio/12"),
        Alias("12", "nvidia.com/"),
    }
    assert families_of(reading, guest) == {catalog.INFO.stem}
    assert reading.faults == ()
    assert catalog.STATUS_STATE.stem in families_of(reading, by_address(reading)[HOST])


def test_a_node_whose_gpus_all_belong_to_virtual_machines_lists_them_without_the_library(bench: Benches) -> None:
    asked = bench([])
    for address, group in ((HOST, 12), (GUEST, 13)):
        give_to_vfio(asked, address, group)
    for due in (frozenset(Cadence), FAST, MEDIUM):
        reading = asked.read(due)
        assert by_address(reading).keys() == {HOST, GUEST}
        assert reading.faults == ()
    assert asked.opened == 0


def test_a_gpu_without_a_driver_beside_those_of_virtual_machines_is_a_fault(bench: Benches) -> None:
    asked = bench([])
    give_to_vfio(asked, GUEST, 12)
    asked.tree.add_pci("0000:99:00.0", driver=None)
    reading = asked.read()
    assert by_address(reading).keys() == {GUEST}
    assert [(fault.reason, fault.where) for fault in reading.faults] == [(Reason.DRIVER_NOT_LOADED, "0000:99:00.0")]


def test_a_gpu_keeps_its_identity_in_a_virtual_machine_and_loses_the_names_of_its_device_file(bench: Benches) -> None:
    asked = bench(gpus(2))
    asked.tree.add_pci(HOST)
    asked.tree.add_pci(GUEST)
    assert Alias("gpu-1", "gpu.nvidia.com") in by_address(asked.read())[GUEST].aliases
    asked.state.remove(1)
    give_to_vfio(asked, GUEST, 12)
    reading = asked.read()
    guest = by_address(reading)[GUEST]
    assert (guest.uuid, guest.lost) == ("GPU-1", False)
    assert {alias.id for alias in guest.aliases} == {"GPU-1", GUEST, f"0000{GUEST}", "/dev/vfio/12", "12"}
    assert families_of(reading, guest) == {catalog.INFO.stem}
    assert reading.faults == ()


def test_a_library_that_still_lists_a_gpu_of_a_virtual_machine_is_opened_anew(bench: Benches) -> None:
    asked = bench(gpus(2))
    asked.tree.add_pci(HOST)
    asked.tree.add_pci(GUEST)
    asked.read()
    asked.state.lose(1)
    give_to_vfio(asked, GUEST, 12)
    asked.state.remove(1)
    assert not by_address(asked.read(MEDIUM))[GUEST].lost
    assert asked.opened == 2


def test_a_gpu_that_returns_to_the_host_is_read_again(bench: Benches) -> None:
    asked = bench(gpus(1))
    asked.tree.add_pci(HOST)
    give_to_vfio(asked, GUEST, 12)
    asked.read()
    asked.state.add(gpus(2)[1])
    asked.tree.bind(GUEST, "nvidia")
    reading = asked.read()
    guest = by_address(reading)[GUEST]
    assert guest.uuid == "GPU-1"
    assert catalog.STATUS_STATE.stem in families_of(reading, guest)
