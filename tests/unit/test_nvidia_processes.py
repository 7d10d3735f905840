"""Processes, as counts and as records."""

from collections.abc import Callable

import pytest

from collectors import catalog
from collectors.contract import CollectOptions, Process, SubjectKey
from collectors.metric import Cadence
from collectors.nvidia.processes import Processes
from collectors.nvidia.readings import device_queries
from collectors.query_runner import QueryResult
from tests.doubles.nvidia_device import QueriedDevice, reasons, values
from tests.doubles.nvml import NvmlState, ProcessKind, h100, process
from tests.doubles.nvml import Process as Entry

MEDIUM, EVERY = frozenset({Cadence.MEDIUM}), frozenset(Cadence)
COMPUTE, GRAPHICS = "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3"
MPS = "nvmlDeviceGetMPSComputeRunningProcesses_v3"
OLD_COMPUTE = "nvmlDeviceGetComputeRunningProcesses_v2"
UTILIZATION = "nvmlDeviceGetProcessUtilization"
NOT_SUPPORTED, NO_PERMISSION, INSUFFICIENT_SIZE, FUNCTION_NOT_FOUND = 3, 4, 7, 13
OF_THE_DEVICE, OF_A_PARTITION = SubjectKey("GPU-0"), SubjectKey("GPU-0", "MIG-1")


class Bench:
    """A device whose processes are queried."""

    def __init__(self, state: NvmlState, subject: SubjectKey, *entries: Entry) -> None:
        state.devices = [h100(0)]
        state.devices[0].processes = entries
        self.state = state
        self.now = 1_700_000_000.0
        self.processes = Processes(lambda: self.now)
        of_device = self.processes.of_device(subject.device_uuid)
        queries = self.processes.of_partition(subject) if subject.partition_uuid else of_device
        self.device = QueriedDevice(state, queries, subject)

    def query(self) -> QueryResult:
        return self.device.query(MEDIUM)

    def count(self) -> float | None:
        return values(self.query(), catalog.PROCESSES).get(())

    def utilization(self) -> dict[int, float | None]:
        """The recorded utilization of each process."""
        assert self.query().faults == []
        return {record.pid: record.utilization_ratio for record in self.processes.drain()}


@pytest.fixture
def bench(nvml: NvmlState) -> Callable[..., Bench]:
    def bench(*entries: Entry, subject: SubjectKey = OF_THE_DEVICE) -> Bench:
        return Bench(nvml, subject, *entries)

    return bench


Benches = Callable[..., Bench]


def gb10(state: NvmlState, *entries: Entry) -> float | None:
    """The memory of the host that a device without memory of its own uses."""
    state.devices = [h100(0)]
    card = state.devices[0]
    card.memory_total_bytes = card.bar1_total_bytes = None
    card.processes = entries
    result = QueriedDevice(state, device_queries(CollectOptions())).query(EVERY)
    assert values(result, catalog.MEMORY_USAGE) == values(result, catalog.MEMORY_LIMIT) == {}
    return values(result, catalog.HOST_MEMORY_USAGE).get(())


def test_device_without_memory_of_its_own_uses_what_its_processes_use(nvml: NvmlState) -> None:
    both = (process(7, 2**30, ProcessKind.COMPUTE), process(7, 2**20, ProcessKind.GRAPHICS))
    assert gb10(nvml, *both, process(8, 2**29, ProcessKind.COMPUTE)) == 2**30 + 2**29


def test_host_memory_is_unknown_without_processes_or_their_memory(nvml: NvmlState) -> None:
    assert gb10(nvml) is None
    assert gb10(nvml, process(7, None, ProcessKind.COMPUTE), process(8, 5, ProcessKind.COMPUTE)) is None


@pytest.mark.parametrize("unsupported", ["memory_total_bytes", "bar1_total_bytes"])
def test_processes_use_no_host_memory_on_a_device_with_memory_of_its_own(nvml: NvmlState, unsupported: str) -> None:
    nvml.devices = [h100(0)]
    setattr(nvml.devices[0], unsupported, None)
    nvml.devices[0].processes = (process(7, 2**30, ProcessKind.COMPUTE),)
    result = QueriedDevice(nvml, device_queries(CollectOptions())).query(EVERY)
    assert values(result, catalog.HOST_MEMORY_USAGE) == {}


def entry(pid: int, used: int | None = None, kind: ProcessKind = ProcessKind.COMPUTE, instance: int = -1) -> Entry:
    made = process(pid, used, kind)
    if instance >= 0:
        made.gpu_instance = instance
    return made


def sample(pid: int, at: int, percent: int) -> Entry:
    made = entry(pid, kind=ProcessKind.NONE)
    made.utilization_at_microseconds, made.utilization_percent = at, percent
    return made


def test_a_process_in_several_lists_is_one_process_with_all_known_values(bench: Benches) -> None:
    graphics = ProcessKind.GRAPHICS
    lists = bench(
        entry(7), entry(8, 100), entry(7, 50, graphics), entry(9, kind=graphics), entry(10, 3, ProcessKind.MPS)
    )
    assert lists.count() == 4
    assert lists.processes.drain() == (
        Process(7, "GPU-0", memory_usage_bytes=50),
        Process(8, "GPU-0", memory_usage_bytes=100),
        Process(9, "GPU-0"),
        Process(10, "GPU-0", memory_usage_bytes=3),
    )
    assert lists.processes.drain() == ()


def test_a_process_on_a_mig_device_is_counted_for_the_device_and_recorded_for_the_partition(bench: Benches) -> None:
    device = bench(entry(7, 1, instance=3), entry(8, 2))
    assert device.count() == 2
    assert [record.pid for record in device.processes.drain()] == [8]
    calls = device.state.calls(UTILIZATION)
    part = bench(entry(7, 1, instance=3), subject=OF_A_PARTITION)
    assert part.count() == 1
    assert part.processes.drain() == (Process(7, "GPU-0", "MIG-1", 1),)
    assert part.state.calls(UTILIZATION) == calls


def test_utilization_is_the_newest_sample_of_each_process_since_the_last_query(bench: Benches) -> None:
    garbage = sample(9, 99, 808_334_905)
    reader = bench(
        entry(7), entry(8), entry(9), sample(7, 10, 30), sample(7, 20, 50), sample(7, 15, 90), sample(8, 12, 0), garbage
    )
    assert reader.utilization() == {7: 0.5, 8: 0.0, 9: None}
    assert reader.utilization() == {7: None, 8: None, 9: None}  # no valid sample is newer than 20
    reader.device.card.processes = [entry(7), sample(7, 20, 60), sample(7, 21, 70)]
    assert reader.utilization() == {7: 0.7}


def test_utilization_goes_on_after_the_clock_was_set_back(bench: Benches) -> None:
    hour = 3600 * 1_000_000
    reader = bench(entry(7), sample(7, 1_700_000_000_000_000, 50))
    assert reader.utilization() == {7: 0.5}
    reader.now -= 3600
    reader.device.card.processes = [entry(7), sample(7, 1_700_000_005_000_000 - hour, 60)]
    assert reader.utilization() == {7: 0.6}


def test_a_sample_from_the_future_is_not_used_and_hides_no_later_one(bench: Benches) -> None:
    reader = bench(entry(7), entry(8), sample(7, 1_700_000_000_000_000, 50), sample(8, 2**63 - 1, 3))
    assert reader.utilization() == {7: 0.5, 8: None}
    reader.device.card.processes = [entry(7), sample(7, 1_700_000_001_000_000, 60)]
    assert reader.utilization() == {7: 0.6}


def test_no_sample_of_utilization_is_no_fault(bench: Benches) -> None:
    assert bench(entry(7)).utilization() == {7: None}


def test_unsupported_utilization_is_queried_once_and_processes_are_still_counted(bench: Benches) -> None:
    reader = bench(entry(7))
    reader.state.fail(UTILIZATION, NOT_SUPPORTED)
    assert [reader.count() for _ in range(3)] == [1, 1, 1]
    assert reader.state.calls(UTILIZATION) == 1
    assert reader.device.gaps() == {}


@pytest.mark.parametrize("call", [GRAPHICS, MPS])
def test_processes_are_counted_without_the_lists_a_card_does_not_support(bench: Benches, call: str) -> None:
    reader = bench(entry(7), entry(8, kind=ProcessKind.GRAPHICS), entry(9, kind=ProcessKind.MPS))
    reader.state.fail(call, NOT_SUPPORTED)
    assert reader.count() == 2


def test_an_old_driver_is_called_by_the_second_version(bench: Benches) -> None:
    reader = bench(entry(7, 5))
    for call in (COMPUTE, GRAPHICS, MPS):
        reader.state.fail(call, FUNCTION_NOT_FOUND)
    assert reader.count() == 1
    assert reader.processes.drain() == (Process(7, "GPU-0", memory_usage_bytes=5),)


@pytest.mark.parametrize("wrong", [entry(0, 4096), entry(1 << 30), entry(7, 1, instance=4711)])
def test_a_list_with_an_impossible_entry_is_refused(bench: Benches, wrong: Entry) -> None:
    reader = bench(entry(7, 5), wrong)
    result = reader.query()
    assert values(result, catalog.PROCESSES) == {}
    assert reasons(result) == ["invalid_value"]
    assert reader.processes.drain() == ()


@pytest.mark.parametrize(("processes", "counted"), [(4096, 4096), (4097, None)])
def test_more_processes_than_a_node_can_have_are_refused(bench: Benches, processes: int, counted: int | None) -> None:
    many = entry(1)
    many.present = processes
    reader = bench(many)
    result = reader.query()
    assert values(result, catalog.PROCESSES).get(()) == counted
    assert reasons(result) == ([] if counted else ["invalid_value"])


def test_an_empty_list_means_no_processes(bench: Benches) -> None:
    assert bench().count() == 0


@pytest.mark.parametrize(("times", "counted", "calls"), [(4, 1, 6), (6, None, 6)])
def test_a_list_that_grew_is_read_up_to_three_times(
    bench: Benches, times: int, counted: int | None, calls: int
) -> None:
    """The binding makes two calls each time."""
    reader = bench(entry(7))
    reader.state.fail(COMPUTE, INSUFFICIENT_SIZE, times=times)
    result = reader.query()
    assert values(result, catalog.PROCESSES).get(()) == counted
    assert reasons(result) == ([] if counted else ["unavailable"])
    assert reader.state.calls(COMPUTE) == calls


def test_a_missing_permission_is_reported_once_for_each_version_of_the_call(bench: Benches) -> None:
    reader = bench(entry(7))
    reader.state.fail(COMPUTE, NO_PERMISSION)
    reader.state.fail(OLD_COMPUTE, NO_PERMISSION)
    assert [reason for _ in range(3) for reason in reasons(reader.query())] == ["permission_denied"] * 2
