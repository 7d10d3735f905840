"""Devices on the bus that NVIDIA's driver does not drive: no library lists them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collectors.contract import Reason, UnavailableError
from collectors.metric import Cadence
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvidia_device import gpus
from tests.doubles.nvml import Device, NvmlState

FAST = frozenset({Cadence.FAST})
MEDIUM = frozenset({Cadence.FAST, Cadence.MEDIUM})

Benches = Callable[[Iterable[Device]], CollectorBench]


@pytest.fixture
def bench(tmp_path: Path, nvml: NvmlState) -> Iterator[Benches]:
    with ExitStack() as closing:

        def bench(devices: Iterable[Device]) -> CollectorBench:
            nvml.devices = devices
            return closing.enter_context(collector_bench(tmp_path, nvml))

        yield bench


def test_a_device_without_a_driver_beside_others_is_reported_with_the_medium_cadence(bench: Benches) -> None:
    asked = bench(gpus(1))
    asked.tree.add_pci("0000:10:00.0")
    asked.tree.add_pci("0000:99:00.0", driver=None)
    for due, reported in ((frozenset(Cadence), 1), (FAST, 0), (MEDIUM, 1)):
        reading = asked.read(due)
        assert [device.uuid for device in reading.devices] == ["GPU-0"]
        assert [(fault.reason, fault.where) for fault in reading.faults] == [
            (Reason.DRIVER_NOT_LOADED, "0000:99:00.0")
        ] * reported


def test_a_node_whose_devices_have_no_driver_is_not_taken_for_one_without_devices(bench: Benches) -> None:
    asked = bench([])
    asked.tree.add_pci("0000:99:00.0", driver=None)
    with pytest.raises(UnavailableError, match=r"0000:99:00\.0") as caught:
        asked.read()
    assert caught.value.reason is Reason.DRIVER_NOT_LOADED
