"""Processes, as counts and as records."""

from collections.abc import Mapping
from types import SimpleNamespace

import pynvml
import pytest

from collectors import catalog
from collectors.contract import Process, Reason, SubjectKey
from collectors.metric import Cadence
from collectors.nvidia.nvml import Handle, Nvml, QueryRunner
from collectors.nvidia.processes import Processes
from collectors.query_runner import QueryResult
from tests.doubles.nvml_binding import FakeBinding, FakeGpu, border

MEDIUM = frozenset({Cadence.MEDIUM})
COMPUTE, GRAPHICS = "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3"
MPS = "nvmlDeviceGetMPSComputeRunningProcesses_v3"
OLD_COMPUTE = "nvmlDeviceGetComputeRunningProcesses_v2"
UTILIZATION = "nvmlDeviceGetProcessUtilization"
NO_INSTANCE = 0xFFFFFFFF
SUCCESS, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, INSUFFICIENT_SIZE, FUNCTION_NOT_FOUND = 0, 3, 4, 6, 7, 13


def entry(pid: int, used: int | None = None, instance: int = NO_INSTANCE) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used, gpuInstanceId=instance)


class ListBinding(FakeBinding):
    """Lists by the function's name; a number is an error, a callable makes the list."""

    def __init__(self, lists: Mapping[str, object]) -> None:
        super().__init__([])
        self.lists = {GRAPHICS: NOT_SUPPORTED, "nvmlDeviceGetMPSComputeRunningProcesses_v3": NOT_SUPPORTED} | dict(
            lists
        )

    def __getattr__(self, name: str) -> object:  # type: ignore[override]  # whatever is asked for here is a list
        def answer(*arguments: object) -> object:
            self.calls[name] += 1
            found = self.lists.get(name, FUNCTION_NOT_FOUND)
            found = found(*arguments) if callable(found) else found
            if isinstance(found, int):
                raise pynvml.NVMLError(found)
            return found

        return answer


class Bench:
    """A device that is asked about its processes."""

    def __init__(self, lists: Mapping[str, object], subject: SubjectKey = SubjectKey("GPU-0")) -> None:  # noqa: B008 - fixed
        self.binding = ListBinding(lists)
        self.runner = QueryRunner(Nvml(self.binding))
        self.processes = Processes()
        self.subject = subject

    def ask(self) -> QueryResult:
        whole = self.processes.of_device(self.subject.device_uuid)
        questions = self.processes.of_partition(self.subject) if self.subject.partition_uuid else whole
        return self.runner.run(self.subject, Handle(FakeGpu()), questions, MEDIUM)


def count(findings: QueryResult) -> float | None:
    values = [sample.value for sample in findings.samples if sample.metric is catalog.PROCESSES]
    return values[0] if values else None


def test_a_process_in_several_lists_is_one_with_the_most_that_is_known_of_it() -> None:
    bench = Bench({COMPUTE: [entry(7, None), entry(8, 100)], GRAPHICS: [entry(7, 50), entry(9)]})
    assert count(bench.ask()) == 3
    assert bench.processes.drain() == (
        Process(7, "GPU-0", memory_usage_bytes=50),
        Process(8, "GPU-0", memory_usage_bytes=100),
        Process(9, "GPU-0"),
    )
    assert bench.processes.drain() == ()


def test_a_process_on_a_mig_device_is_counted_for_the_device_and_recorded_for_the_partition() -> None:
    device = Bench({COMPUTE: [entry(7, 1, instance=3), entry(8, 2)]})
    assert count(device.ask()) == 2
    assert [record.pid for record in device.processes.drain()] == [8]
    part = Bench({COMPUTE: [entry(7, 1, instance=3)]}, SubjectKey("GPU-0", "MIG-1"))
    assert count(part.ask()) == 1
    assert part.processes.drain() == (Process(7, "GPU-0", "MIG-1", 1),)
    assert part.binding.calls[UTILIZATION] == 0


def test_utilization_is_the_newest_sample_of_each_process_and_asked_from_the_last_on() -> None:
    samples = [
        SimpleNamespace(pid=7, timeStamp=10, smUtil=30),
        SimpleNamespace(pid=7, timeStamp=20, smUtil=50),
        SimpleNamespace(pid=7, timeStamp=15, smUtil=90),
        SimpleNamespace(pid=8, timeStamp=12, smUtil=0),
        SimpleNamespace(pid=9, timeStamp=99, smUtil=808_334_905),
    ]
    since: list[int] = []

    def utilization(_: object, last: int) -> object:
        since.append(last)
        return samples

    bench = Bench({COMPUTE: [entry(7), entry(8), entry(9)], UTILIZATION: utilization})
    assert bench.ask().faults == []
    assert {record.pid: record.utilization_ratio for record in bench.processes.drain()} == {7: 0.5, 8: 0.0, 9: None}
    bench.ask()
    assert since == [0, 20]


@pytest.mark.parametrize("code", [SUCCESS, NOT_FOUND])
def test_no_sample_of_utilization_is_no_fault(code: int) -> None:
    bench = Bench({COMPUTE: [entry(7)], UTILIZATION: code})
    assert bench.ask().faults == []
    assert [record.utilization_ratio for record in bench.processes.drain()] == [None]


def test_utilization_that_is_not_supported_is_asked_once_and_the_count_is_not_missing() -> None:
    bench = Bench({COMPUTE: [entry(7)], UTILIZATION: NOT_SUPPORTED})
    for _ in range(3):
        assert count(bench.ask()) == 1
    assert bench.binding.calls[UTILIZATION] == 1
    assert list(bench.runner.unsupported()) == []


def test_an_old_driver_is_asked_by_the_second_version() -> None:
    bench = Bench({COMPUTE: FUNCTION_NOT_FOUND, OLD_COMPUTE: [entry(7, 5)]})
    assert count(bench.ask()) == 1
    assert bench.processes.drain() == (Process(7, "GPU-0", memory_usage_bytes=5),)


@pytest.mark.parametrize("wrong", [entry(0, 4096), entry(1 << 30), entry(7, 1, instance=4711)])
def test_entries_read_in_the_wrong_places_are_refused_as_a_whole(wrong: SimpleNamespace) -> None:
    bench = Bench({COMPUTE: [entry(7, 5), wrong]})
    findings = bench.ask()
    assert count(findings) is None
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]
    assert bench.processes.drain() == ()


def test_more_processes_than_a_node_can_have_are_refused() -> None:
    findings = Bench({COMPUTE: [entry(pid) for pid in range(1, 5000)]}).ask()
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]


def test_an_empty_list_that_the_binding_raises_as_success_is_empty() -> None:
    assert count(Bench({COMPUTE: SUCCESS}).ask()) == 0


def test_a_list_that_grew_meanwhile_is_asked_again() -> None:
    answers = iter([INSUFFICIENT_SIZE, INSUFFICIENT_SIZE, [entry(7)]])
    assert count(Bench({COMPUTE: lambda _: next(answers)}).ask()) == 1


def test_a_list_that_never_fits_is_given_up() -> None:
    bench = Bench({COMPUTE: INSUFFICIENT_SIZE})
    assert [fault.reason for fault in bench.ask().faults] == [Reason.UNAVAILABLE]
    assert bench.binding.calls[COMPUTE] == 3


def test_a_missing_permission_is_told_once() -> None:
    bench = Bench({COMPUTE: NO_PERMISSION})
    assert [fault.reason for _ in range(3) for fault in bench.ask().faults] == [Reason.PERMISSION_DENIED]


def test_the_fake_card_of_other_tests_is_counted_too() -> None:
    gpu = FakeGpu(compute_pids=(7, 8), graphics_pids=(8, 9))
    findings = QueryRunner(border(gpu)).run(SubjectKey("GPU-0"), Handle(gpu), Processes().of_device("GPU-0"), MEDIUM)
    assert count(findings) == 3
