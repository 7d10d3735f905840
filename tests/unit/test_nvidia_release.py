"""One NVIDIA device is released, by request or because it is unbound: it is closed, and the others are read."""

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from collectors import catalog
from collectors.contract import Reading, UnavailableError
from collectors.metric import Cadence
from collectors.nvidia.errors import NvmlCode
from exporter.poller import CallEnded, DevicesReleased, Poller, PollerEvent
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvml import NvmlState, h100, h100_mig
from tests.doubles.open_devices import open_devices

FAST = frozenset({Cadence.FAST})
GENEROUS_SECONDS = 30.0


@pytest.fixture
def bench(tmp_path: Path, nvml: NvmlState) -> Iterator[CollectorBench]:
    """A collector that has read two cards."""
    nvml.devices = [h100(0), h100(1)]
    with collector_bench(tmp_path, nvml) as made:
        for card in (made.state.devices[0], made.state.devices[1]):
            made.tree.add_pci(card.pci_address)
        made.read()
        yield made


def released(bench: CollectorBench, *slots: int) -> Reading:
    bench.collector.release_devices(frozenset(bench.state.devices[slot].pci_address for slot in slots))
    return bench.read()


def rows(reading: Reading, uuid: str) -> set[str]:
    return {sample.metric.stem for sample in reading.samples if sample.device_uuid == uuid}


def test_a_released_device_is_closed_and_listed_and_the_other_is_read(bench: CollectorBench) -> None:
    first, second = bench.state.devices[0].uuid, bench.state.devices[1].uuid
    assert open_devices() == ["nvidia0", "nvidia1"]
    reading = released(bench, 0)
    assert open_devices() == ["nvidia1"]
    assert {device.uuid: device.lost for device in reading.devices} == {first: False, second: False}
    assert rows(reading, first) == {"info", "errors_total"}
    assert catalog.UTILIZATION.stem in rows(reading, second)
    assert reading.faults == ()
    assert bench.state.calls("nvmlDeviceGetHandleByPciBusId_v2", device=0) == 0
    assert catalog.UTILIZATION.stem in rows(released(bench), first)
    assert open_devices() == ["nvidia0", "nvidia1"]


def test_a_device_in_a_session_without_the_other_keeps_its_identity(bench: CollectorBench) -> None:
    before = {sample.labels for sample in bench.read().samples if sample.metric is catalog.INFO}
    assert {sample.labels for sample in released(bench, 0).samples if sample.metric is catalog.INFO} == before


def test_with_all_devices_released_the_library_is_closed(bench: CollectorBench) -> None:
    reading = released(bench, 0, 1)
    assert open_devices() == []
    assert bench.state.calls("nvmlShutdown") == 1
    assert len(reading.devices) == 2
    assert reading.faults == ()
    assert bench.opened == 1


def test_the_address_of_another_vendor_does_not_end_the_session(bench: CollectorBench) -> None:
    bench.collector.release_devices(frozenset({"0000:ff:00.0"}))
    bench.read()
    assert bench.opened == 1


def test_partitions_of_a_released_device_stay_listed(bench: CollectorBench) -> None:
    bench.state.devices[0].partition([h100_mig(0, 0)])
    before = bench.read()
    reading = released(bench, 0)
    assert reading.partitions == before.partitions != ()
    assert rows(reading, reading.partitions[0].device_uuid) == {"info", "errors_total"}
    assert catalog.INFO in {sample.metric for sample in reading.samples if sample.partition_uuid}


def test_a_released_device_is_unbound_without_a_failure_and_belongs_to_a_virtual_machine(bench: CollectorBench) -> None:
    address = bench.state.devices[0].pci_address
    released(bench, 0)
    for driver in (None, "vfio-pci"):
        bench.tree.bind(address, driver)
        reading = bench.read()
        assert [device.device for device in reading.devices].count(address) == 1
        assert reading.faults == ()
    bench.tree.bind(address, "nvidia")
    assert catalog.UTILIZATION.stem in rows(released(bench), bench.state.devices[0].uuid)


def test_while_a_call_is_out_nothing_is_released_and_the_library_stays_as_it_is(bench: CollectorBench) -> None:
    address = frozenset({bench.state.devices[0].pci_address})
    bench.hang("nvmlDeviceGetPowerUsage", 1)
    assert bench.read().stuck == {bench.state.devices[1].uuid}
    with pytest.raises(UnavailableError):
        bench.collector.release_devices(address)
    assert catalog.UTILIZATION.stem in rows(bench.read(), bench.state.devices[0].uuid)
    assert bench.opened == 1
    bench.release()
    bench.collector.release_devices(address)
    bench.read()
    assert open_devices() == ["nvidia1"]


def test_a_device_that_begins_to_be_unbound_is_closed_by_the_next_poll(bench: CollectorBench) -> None:
    gone, other = bench.state.devices[0], bench.state.devices[1]
    bench.tree.bind(gone.pci_address, None)
    reading = bench.read(FAST)
    assert open_devices() == ["nvidia1"]
    assert rows(reading, gone.uuid) == {"errors_total"}  # the identity is exported at another cadence
    assert {device.uuid for device in reading.devices} == {gone.uuid, other.uuid}
    assert catalog.UTILIZATION.stem in rows(reading, other.uuid)
    bench.read()
    assert bench.opened == 2
    bench.tree.bind(gone.pci_address, "nvidia")
    assert catalog.UTILIZATION.stem in rows(bench.read(), gone.uuid)
    assert open_devices() == ["nvidia0", "nvidia1"]


def test_an_event_shows_a_device_that_was_unbound_and_bound_again(bench: CollectorBench) -> None:
    bench.state.system_events_supported = 1
    released(bench, 0)
    released(bench)
    opened = bench.opened
    bench.state.begin_to_unbind(0)
    bench.read(FAST)
    assert bench.opened == opened + 1
    bench.read(FAST)
    assert bench.opened == opened + 1


@pytest.mark.parametrize("call", ["nvmlSystemEventSetCreate", "nvmlSystemRegisterEvents", "nvmlSystemEventSetWait"])
@pytest.mark.parametrize("code", [NvmlCode.NO_PERMISSION, NvmlCode.FUNCTION_NOT_FOUND, NvmlCode.UNKNOWN])
def test_unbind_events_that_are_not_supported_are_no_failure(bench: CollectorBench, call: str, code: int) -> None:
    bench.state.system_events_supported = 1
    bench.state.fail(call, code)
    bench.collector.close()
    for _ in range(3):
        assert bench.read().faults == ()
    bench.collector.close()
    assert bench.state.calls("nvmlSystemEventSetFree") == bench.state.calls("nvmlSystemRegisterEvents")


def test_100_releases_leave_no_descriptor_and_no_poll_of_the_other_device_is_missed(bench: CollectorBench) -> None:
    events: SimpleQueue[PollerEvent] = SimpleQueue()
    poller = Poller("nvidia", bench.collector, dict.fromkeys(Cadence, 0.01), lambda: bench.now, events.put)
    address, other = bench.state.devices[0].pci_address, bench.state.devices[1].uuid

    def next_reading() -> Reading:
        while not isinstance(event := events.get(timeout=GENEROUS_SECONDS), CallEnded):
            continue
        assert event.reading is not None, event.text
        assert catalog.UTILIZATION.stem in rows(event.reading, other)
        return event.reading

    def wait_for_release() -> None:
        while not isinstance(event := events.get(timeout=GENEROUS_SECONDS), DevicesReleased):
            assert not isinstance(event, CallEnded) or event.reading is not None

    poller.start()
    for _ in range(100):
        next_reading()
        poller.release(frozenset({address}))
        wait_for_release()
        assert "nvidia0" not in open_devices()
        next_reading()
        assert "nvidia0" not in open_devices()
        poller.resume()
        wait_for_release()
    next_reading()
    assert open_devices() == ["nvidia0", "nvidia1"]
    poller.stop()
    assert poller.join(GENEROUS_SECONDS)
    assert open_devices() == []
