"""A call about one device hangs in the C library: its device is stuck, the others are read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Reading, Reason, UnavailableError
from collectors.metric import Cadence
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvml import NvmlState, h100, h100_mig, process

ALL = frozenset(Cadence)
FAST = frozenset({Cadence.FAST})
POWER, COUNT, HANDLE = "nvmlDeviceGetPowerUsage", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"
SHUTDOWN, INIT, TYPES = "nvmlShutdown", "nvmlInitWithFlags", "nvmlDeviceGetSupportedEventTypes"
GPM_ALLOC, GPM_FREE = "nvmlGpmSampleAlloc", "nvmlGpmSampleFree"
UNINITIALIZED, UNKNOWN, GPU_IS_LOST = 1, 999, 15


@pytest.fixture
def bench(nvml: NvmlState, tmp_path: Path) -> Iterator[CollectorBench]:
    """Three cards: the first in MIG mode, the others whole."""
    nvml.devices = [h100(index) for index in range(3)]
    nvml.devices[0].partition([h100_mig(0, slot) for slot in range(3)])
    nvml.devices[1].processes = [process(100, 2**20)]
    with collector_bench(tmp_path, nvml) as made:
        for index in range(3):
            made.tree.add_pci(h100(index).pci_address)
        yield made
        made.release()


@pytest.fixture
def uuids(nvml: NvmlState, bench: CollectorBench) -> list[str]:
    assert bench
    return [device.uuid for device in nvml.devices if device.present]


def outcome(reading: Reading) -> tuple[set[str], set[str]]:
    """The devices that are stuck, and those that have a value of their own."""
    return set(reading.stuck), with_values(reading)


def with_values(reading: Reading) -> set[str]:
    """The devices that have a value of their own."""
    return {sample.device_uuid for sample in reading.samples if not sample.metric.persistent}


def test_the_others_are_read_while_one_device_is_stuck(bench: CollectorBench, uuids: list[str]) -> None:
    before = bench.read()
    bench.hang(POWER, 0)

    for due in (ALL, FAST, ALL):
        bench.pass_time(1)
        reading = bench.read(due)
        assert outcome(reading) == ({uuids[0]}, {*uuids[1:]})
        assert reading.faults == ()
        assert (reading.devices, reading.partitions) == (before.devices, before.partitions)
    assert bench.state.calls(POWER, device=0) == 2, "it is called again only when its call has returned"
    assert {sample.metric for sample in reading.samples if sample.device_uuid == uuids[0]} == {
        catalog.INFO,
        catalog.ERRORS,
    }
    assert {each for each in reading.unsupported if each.device_uuid == uuids[0]} == {
        each for each in before.unsupported if each.device_uuid == uuids[0]
    }


def test_a_stuck_device_is_read_again_after_its_call_has_returned(bench: CollectorBench, uuids: list[str]) -> None:
    before = bench.read()
    bench.hang(POWER, 1)
    stuck = bench.read()
    assert [process.device_uuid for process in (*before.processes, *stuck.processes)] == [uuids[1]]

    bench.release()
    bench.pass_time(1)
    after = bench.read()

    assert (after.stuck, after.faults) == (frozenset(), ())
    assert after.sessions == before.sessions
    assert [process.device_uuid for process in after.processes] == [uuids[1]]
    keys = [{(s.metric, s.subject, s.labels) for s in reading.samples} for reading in (before, after)]
    assert keys[0] <= keys[1]


def test_several_devices_can_be_stuck(bench: CollectorBench, uuids: list[str]) -> None:
    bench.read()
    bench.hang(POWER, 0, 2)

    reading = bench.read()

    assert outcome(reading) == ({uuids[0], uuids[2]}, {uuids[1]})


def test_a_device_can_be_stuck_from_the_start(bench: CollectorBench, uuids: list[str]) -> None:
    bench.hang(TYPES, 1)
    reading = bench.read()

    assert outcome(reading) == ({uuids[1]}, {uuids[0], uuids[2]})
    assert {s.metric for s in reading.samples if s.device_uuid == uuids[1]} == {catalog.INFO}

    bench.release()
    bench.pass_time(1)
    after = bench.read()
    assert outcome(after) == (set(), {*uuids})
    wait_until(lambda: {s.device_uuid for s in bench.read().samples if s.metric is catalog.ERRORS} == {*uuids})


def test_the_library_is_shut_down_when_no_call_is_out(bench: CollectorBench, uuids: list[str]) -> None:
    bench.read()
    bench.hang(POWER, 1)
    bench.read()

    bench.collector.close()
    assert bench.state.calls(SHUTDOWN) == 0
    reading = bench.read()
    assert bench.opened == 2
    assert outcome(reading) == ({uuids[1]}, {uuids[0], uuids[2]})
    allocated = bench.state.calls(GPM_ALLOC)
    bench.release()
    wait_until(lambda: bench.state.calls(SHUTDOWN) == 1)

    assert 0 < bench.state.calls(GPM_FREE) < allocated, "the samples of the first session"
    after = bench.read()
    assert outcome(after) == (set(), {*uuids})
    assert after.faults == ()
    allocated = bench.state.calls(GPM_ALLOC)
    bench.collector.close()
    assert (bench.state.calls(SHUTDOWN), bench.state.calls(GPM_FREE)) == (2, allocated)


def test_a_session_that_fails_is_shut_down_when_no_call_is_out(bench: CollectorBench) -> None:
    bench.read()
    bench.hang(POWER, 1)
    bench.read()
    bench.state.fail(COUNT, UNINITIALIZED)

    with pytest.raises(UnavailableError) as raised:
        bench.read()

    assert raised.value.reason is Reason.DRIVER_NOT_LOADED
    assert bench.state.calls(SHUTDOWN) == 0
    bench.release()
    wait_until(lambda: bench.state.calls(SHUTDOWN) == 1)


def test_only_the_stuck_device_is_not_asked_for_its_handle(bench: CollectorBench, uuids: list[str]) -> None:
    bench.state.fail(HANDLE, UNKNOWN, device=2)
    bench.read()
    bench.hang(POWER, 1)
    bench.read()
    asked = [bench.state.calls(HANDLE, device=index) for index in range(3)]
    bench.read()
    assert [bench.state.calls(HANDLE, device=index) for index in range(3)] == [asked[0] + 1, asked[1], asked[2] + 1]

    bench.state.heal()
    bench.release()
    assert with_values(bench.read()) == {*uuids}


def test_a_lost_device_is_found_again_while_another_is_stuck(bench: CollectorBench, uuids: list[str]) -> None:
    bench.read()
    bench.state.lose(2)
    bench.hang(POWER, 1)
    assert outcome(bench.read()) == ({uuids[1]}, {uuids[0]})
    bench.state.heal()
    bench.hang(POWER, 1)
    bench.pass_time(10)
    reading = bench.read()
    assert outcome(reading) == ({uuids[1]}, {uuids[0], uuids[2]})
    # The wait for events may have failed once, before or after the reading in which the device was lost.
    assert [fault for fault in reading.faults if fault.where != "events"] == []


@pytest.mark.parametrize("call", [HANDLE, "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetName"])
def test_a_device_that_hangs_when_it_is_found_hides_no_other(
    bench: CollectorBench, uuids: list[str], call: str
) -> None:
    bench.hang(call, 1)
    for _ in range(3):
        reading = bench.read()
        hung = [device for device in reading.devices if device.device == h100(1).pci_address]
        assert outcome(reading) == ({hung[0].uuid}, {uuids[0], uuids[2]})
        assert (reading.faults, len(reading.devices), hung[0].lost) == ((), 3, False)

    bench.release()
    reading = bench.read()
    assert outcome(reading) == (set(), {*uuids})
    assert {device.uuid for device in reading.devices} == {*uuids}


def test_a_known_device_that_hangs_when_it_is_found_again_is_stuck(bench: CollectorBench, uuids: list[str]) -> None:
    bench.read()
    bench.state.lose(2)
    bench.read()
    bench.hang(HANDLE, 1)
    for _ in range(2):
        bench.pass_time(10)
        reading = bench.read()
        assert outcome(reading) == ({uuids[1]}, {uuids[0]})
    bench.state.heal()
    bench.release()
    bench.pass_time(10)
    assert outcome(bench.read()) == (set(), {*uuids})


def test_a_device_that_is_removed_during_a_hang_changes_nothing_of_the_others(
    bench: CollectorBench, uuids: list[str]
) -> None:
    bench.read()
    bench.hang(POWER, 1)
    bench.read()
    bench.state.remove(0)  # the indices of the others fall
    bench.tree.remove_pci(h100(0).pci_address)
    for _ in range(2):
        reading = bench.read()
        assert outcome(reading) == ({uuids[1]}, {uuids[2]})
        assert [device.lost for device in reading.devices] == [False, False]


def test_sessions_during_a_hang_keep_no_samples(bench: CollectorBench) -> None:
    bench.read()
    bench.hang(POWER, 1)
    bench.read()
    unfreed = []
    for _ in range(5):
        bench.collector.close()
        unfreed.append(bench.state.calls(GPM_ALLOC) - bench.state.calls(GPM_FREE))
        bench.read()
    assert unfreed == [1] * 5, "that of the stuck device"


def test_a_new_device_waits_until_no_call_is_out(bench: CollectorBench, nvml: NvmlState, uuids: list[str]) -> None:
    bench.read()
    bench.hang(POWER, 1)
    bench.read()
    bench.tree.add_pci(h100(3).pci_address)
    reading = bench.read()
    assert (bench.opened, [device.uuid for device in reading.devices]) == (1, uuids)

    nvml.add(h100(3))
    bench.release()
    assert len(bench.read().devices) == 4
    assert bench.opened == 2


def test_a_device_that_is_lost_after_a_hang_is_not_stuck(bench: CollectorBench, uuids: list[str]) -> None:
    bench.read()
    bench.hang(POWER, 1)
    bench.read()
    bench.state.lose(1)
    bench.release()

    reading = bench.read()
    assert (reading.stuck, [device.uuid for device in reading.devices if device.lost]) == (frozenset(), [uuids[1]])
    assert Reason.DEVICE_LOST in {fault.reason for fault in reading.faults}


def test_the_memory_of_a_device_that_is_gone_is_freed(bench: CollectorBench) -> None:
    bench.read()
    bench.state.remove(2)
    bench.tree.remove_pci(h100(2).pci_address)
    bench.read()

    assert bench.state.calls(GPM_FREE) > 0
