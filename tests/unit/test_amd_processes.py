from pathlib import Path

import pytest

from collectors import catalog
from collectors.amd import kfd_processes
from collectors.amd.collector import AmdCollector
from collectors.contract import CollectOptions, Process, Reading
from exporter.validation import Validator
from tests.doubles.amd_cards import GIB, MI210, MI300X
from tests.doubles.amd_node import ALL, FAST, collector_of, value, values
from tests.doubles.amd_processes import AmdProcesses, engine, vram
from tests.doubles.amd_tree import AmdTree, Gpu

SECOND = 1_000_000_000


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    return tree.add(MI300X, "0000:05:00.0")


@pytest.fixture
def other(tree: AmdTree, gpu: Gpu) -> Gpu:  # noqa: ARG001, comes after it
    return tree.add(MI210, "0000:63:00.0")


@pytest.fixture
def processes(tree: AmdTree, tmp_path: Path) -> AmdProcesses:
    return AmdProcesses(tree, tmp_path / "proc")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def collector(tree: AmdTree, processes: AmdProcesses, clock: Clock) -> AmdCollector:
    return collector_of(tree, procfs=processes.root, clock=clock)


def count(reading: Reading, gpu: Gpu, partition: str = "") -> float | None:
    return value(reading, catalog.PROCESSES, gpu.uuid, partition=partition)


def test_no_process_is_a_count_of_0(collector: AmdCollector, gpu: Gpu) -> None:
    reading = collector.read(ALL)
    assert count(reading, gpu) == 0
    assert reading.processes == ()
    assert reading.faults == ()


def test_a_computing_process_is_reported_with_its_memory(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, other: Gpu
) -> None:
    processes.compute(10, gpu, memory=3 * GIB, queues=2)
    processes.compute(10, other)  # may use it, but does not
    processes.compute(11, other, memory=5)
    reading = collector.read(ALL)
    assert (count(reading, gpu), count(reading, other)) == (1, 1)
    assert reading.processes == (Process(10, gpu.uuid, "", 3 * GIB), Process(11, other.uuid, "", 5))


@pytest.mark.parametrize(
    ("memory", "queues", "expected"),
    [
        (0, 0, []),
        (0, 1, [0]),  # as on an APU
        (7, 0, [7]),
        ("", 0, []),
        ("", 1, [None]),
        ("-4096", 1, [None]),
        (2**64 - 4096, 1, [None]),  # a negative count
        ("9" * 5000, 1, [None]),
        ("1_0", 1, [None]),
    ],
)
def test_an_impossible_amount_of_memory_is_unknown(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, memory: int | str, queues: int, expected: list[int]
) -> None:
    processes.compute(10, gpu, memory=memory, queues=queues)
    reading = collector.read(ALL)
    assert [process.memory_usage_bytes for process in reading.processes] == expected
    assert count(reading, gpu) == len(expected)
    assert reading.faults == ()


def test_a_process_that_opens_the_driver_twice_is_counted_once(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu
) -> None:
    processes.compute(10, gpu, memory=3)
    processes.compute(10, gpu, memory=4, context="context_0")
    assert collector.read(ALL).processes == (Process(10, gpu.uuid, "", 7),)


def test_names_that_are_not_process_ids_are_ignored(collector: AmdCollector, processes: AmdProcesses, gpu: Gpu) -> None:
    processes.compute(10, gpu, memory=3)
    folder = processes.kfd / "10"
    for name in ("0", "x", "99999999", "-1", "\N{ARABIC-INDIC DIGIT THREE}"):
        (processes.kfd / name).symlink_to(folder)
    (folder / "vram_").write_text("5\n")
    (folder / "vram_424242").write_text("5\n")
    assert collector.read(ALL).processes == (Process(10, gpu.uuid, "", 3),)


def test_the_number_of_processes_is_bounded(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kfd_processes, "_MAX_PROCESSES", 2)
    for pid in range(10, 15):
        processes.compute(pid, gpu, memory=1)
    assert count(collector.read(ALL), gpu) == 2


def test_a_drawing_process_is_reported_with_its_utilization(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, clock: Clock
) -> None:
    processes.open(20, 5, gpu, 7, vram(1024), engine("gfx", 0))
    processes.open(20, 6, gpu, 7, vram(1024), engine("gfx", 0))
    processes.open(20, 7, gpu, 8, vram(2048), engine("gfx", 0))
    (first,) = collector.read(ALL).processes
    assert first == Process(20, gpu.uuid, "", 3 << 20)
    clock.now += 10
    processes.open(20, 5, gpu, 7, vram(1024), engine("gfx", 2 * SECOND), engine("compute", SECOND))
    processes.open(20, 6, gpu, 7, vram(1024), engine("gfx", 2 * SECOND), engine("compute", SECOND))
    processes.open(20, 7, gpu, 8, vram(2048), engine("gfx", 3 * SECOND))
    assert collector.read(ALL).processes == (Process(20, gpu.uuid, "", 3 << 20, 0.5),)


def test_a_closed_client_does_not_reduce_the_utilization(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, clock: Clock
) -> None:
    processes.open(20, 5, gpu, 7, vram(1), engine("gfx", 50 * SECOND))
    processes.open(20, 6, gpu, 8, vram(1), engine("gfx", 10 * SECOND))
    collector.read(ALL)
    clock.now += 10
    (processes.path / "20" / "fd" / "5").unlink()
    processes.open(20, 6, gpu, 8, vram(1), engine("gfx", 14 * SECOND))
    assert collector.read(ALL).processes == (Process(20, gpu.uuid, "", 1024, 0.4),)


def test_the_utilization_of_parallel_rings_is_at_most_1(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, clock: Clock
) -> None:
    processes.open(20, 5, gpu, 7, vram(1), engine("compute", 0))
    collector.read(ALL)
    clock.now += 1
    processes.open(20, 5, gpu, 7, vram(1), engine("compute", 3 * SECOND))
    assert [process.utilization_ratio for process in collector.read(ALL).processes] == [1]


@pytest.mark.parametrize(("compute_kib", "client_kib"), [(5120, 6144), (6144, 4)])
def test_a_process_of_both_drivers_is_counted_once_and_its_memory_too(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, clock: Clock, compute_kib: int, client_kib: int
) -> None:
    processes.compute(10, gpu, memory=compute_kib << 10)
    for time in (SECOND, 2 * SECOND):
        processes.open(10, 5, gpu, 7, vram(client_kib), engine("gfx", time))
        clock.now += 2.0
        reading = collector.read(ALL)
        assert count(reading, gpu) == 1
        assert reading.processes == (Process(10, gpu.uuid, "", 6144 << 10),)  # no engine time of its queues


def test_a_process_that_only_opens_a_gpu_is_not_counted(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, other: Gpu
) -> None:
    processes.open(20, 5, gpu, 7, vram(0))
    processes.open(20, 6, other, 8, vram(4))
    reading = collector.read(ALL)
    assert (count(reading, gpu), count(reading, other)) == (0, 1)


def test_memory_is_unknown_if_one_client_does_not_report_it(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu
) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 1))
    processes.open(20, 6, gpu, 8, vram(4))
    assert collector.read(ALL).processes == (Process(20, gpu.uuid),)


def test_processes_of_a_partitioned_gpu_are_those_of_its_partitions(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, other: Gpu
) -> None:
    gpu.set_partition_mode("DPX")
    processes.compute(10, gpu, 0, memory=3)
    processes.compute(10, gpu, 1, memory=4)
    processes.compute(11, gpu, 1, queues=1)
    processes.open(12, 5, gpu, 7, vram(4))  # on an unknown partition
    processes.open(13, 5, other, 8, vram(4))
    reading = collector.read(ALL)
    first, second = (partition.uuid for partition in reading.partitions)
    assert reading.processes == (
        Process(10, gpu.uuid, first, 3),
        Process(10, gpu.uuid, second, 4),
        Process(11, gpu.uuid, second, 0),
        Process(13, other.uuid, "", 4096),
    )
    assert [count(reading, gpu, each) for each in ("", first, second)] == [2, 1, 2]


def test_an_unknown_partition_layout_has_no_processes(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu
) -> None:
    gpu.set_partition_mode("DPX")
    processes.compute(10, gpu, 0, memory=3)
    gpu.write("current_compute_partition", "QPX")
    reading = collector.read(ALL)
    assert reading.processes == ()
    assert values(reading, catalog.PROCESSES, gpu.uuid) == {}


def test_partitions_that_change_during_the_read_have_no_processes(
    tree: AmdTree, processes: AmdProcesses, gpu: Gpu
) -> None:
    gpu.set_partition_mode("DPX")
    processes.compute(10, gpu, 0, memory=3)

    def clock() -> float:
        tree.write_topology()
        return 0

    processes.open(20, 5, tree.add(MI210, "0000:63:00.0"), 7, vram(4))
    reading = collector_of(tree, procfs=processes.root, clock=clock).read(ALL)
    assert [process.pid for process in reading.processes] == [20]
    assert values(reading, catalog.PROCESSES, gpu.uuid) == {}


def test_without_the_hosts_processes_computing_processes_are_reported(
    tree: AmdTree, processes: AmdProcesses, gpu: Gpu
) -> None:
    processes.compute(10, gpu, memory=3)
    reading = collector_of(tree).read(ALL)
    assert reading.processes == (Process(10, gpu.uuid, "", 3),)
    assert count(reading, gpu) == 1


@pytest.mark.parametrize("kept", ["proc", "gpu_id", "node"])
def test_without_the_compute_driver_drawing_processes_are_reported(
    tree: AmdTree, processes: AmdProcesses, gpu: Gpu, kept: str
) -> None:
    if kept == "proc":
        processes.kfd.rename(tree.path / "elsewhere")
    else:
        (tree.node(gpu) / ("gpu_id" if kept == "gpu_id" else "properties")).write_bytes(b"")
    processes.open(20, 5, gpu, 7, vram(4))
    reading = collector_of(tree, procfs=processes.root).read(ALL)
    assert reading.processes == (Process(20, gpu.uuid, "", 4096),)
    reading = collector_of(tree).read(ALL)
    assert reading.processes == ()
    assert values(reading, catalog.PROCESSES, gpu.uuid) == {}


def test_processes_are_read_at_their_own_cadence(collector: AmdCollector, processes: AmdProcesses, gpu: Gpu) -> None:
    processes.compute(10, gpu, memory=3)
    collector.read(ALL)
    reading = collector.read(FAST)
    assert reading.processes == ()
    assert values(reading, catalog.PROCESSES, gpu.uuid) == {}


def test_a_suspended_gpu_and_a_lost_gpu_have_no_processes(
    collector: AmdCollector, processes: AmdProcesses, gpu: Gpu, other: Gpu
) -> None:
    processes.compute(10, gpu, memory=3)
    processes.compute(10, other, memory=3)
    collector.read(ALL)
    gpu.write("power/runtime_status", "suspended")
    other.unbind()
    reading = collector.read(ALL)
    assert reading.processes == ()
    assert [values(reading, catalog.PROCESSES, each.uuid) for each in (gpu, other)] == [{}, {}]


def test_an_ended_process_is_not_reported(collector: AmdCollector, processes: AmdProcesses, gpu: Gpu) -> None:
    processes.compute(10, gpu, memory=3)
    processes.open(10, 5, gpu, 7, vram(4))
    assert count(collector.read(ALL), gpu) == 1
    processes.end(10)
    assert count(collector.read(ALL), gpu) == 0


@pytest.fixture
def curious(tree: AmdTree, processes: AmdProcesses, clock: Clock) -> AmdCollector:
    """A collector with the option for expensive values."""
    return collector_of(tree, CollectOptions(processes=True), procfs=processes.root, clock=clock)


def test_expensive_values_are_read_only_on_request(
    collector: AmdCollector, curious: AmdCollector, processes: AmdProcesses, gpu: Gpu
) -> None:
    processes.compute(10, gpu, memory=GIB)
    [record] = collector.read(ALL).processes
    assert (record.occupancy_ratio, record.copy_seconds) == (None, None)
    [record] = curious.read(ALL).processes
    # 7 of 304 compute units, 1,200 microseconds.
    assert (record.occupancy_ratio, record.copy_seconds) == (7 / 304, 0.0012)


def test_the_occupancy_of_a_partition_is_relative_to_its_own_units(
    curious: AmdCollector, processes: AmdProcesses, gpu: Gpu
) -> None:
    gpu.set_partition_mode("CPX")
    processes.compute(10, gpu, 3, memory=GIB)
    [record] = curious.read(ALL).processes
    assert record.occupancy_ratio == 7 / 38


def test_values_of_several_contexts_of_a_process_are_summed(
    curious: AmdCollector, processes: AmdProcesses, gpu: Gpu
) -> None:
    for context in ("", "context_0"):
        processes.compute(10, gpu, memory=GIB, context=context)
    [record] = curious.read(ALL).processes
    assert (record.occupancy_ratio, record.copy_seconds) == (14 / 304, 0.0024)


def test_a_process_with_the_id_of_an_ended_one_has_a_counter_of_its_own(
    curious: AmdCollector, processes: AmdProcesses, gpu: Gpu, tree: AmdTree
) -> None:
    validator = Validator()
    processes.compute(10, gpu, memory=GIB)
    gpu_id = (tree.node(gpu) / "gpu_id").read_text().strip()
    (processes.kfd / "10" / f"sdma_{gpu_id}").write_text("5000000\n")
    first = validator.validate(curious.read(ALL), 1.0).processes
    (processes.kfd / "10").rename(processes.kfd.parent / "ended")
    processes.compute(10, gpu, memory=GIB)
    second = validator.validate(curious.read(ALL), 11.0)
    assert [record.copy_seconds for record in (*first, *second.processes)] == [5.0, 0.0012]
    assert second.faults == ()


@pytest.mark.parametrize("text", ["", "garbage", "-1", str(2**64 - 1)])
def test_impossible_values_are_absent(
    curious: AmdCollector, processes: AmdProcesses, gpu: Gpu, tree: AmdTree, text: str
) -> None:
    processes.compute(10, gpu, memory=GIB)
    gpu_id = (tree.node(gpu) / "gpu_id").read_text().strip()
    (processes.kfd / "10" / f"stats_{gpu_id}" / "cu_occupancy").write_text(text)
    (processes.kfd / "10" / f"sdma_{gpu_id}").write_text(text)
    [record] = curious.read(ALL).processes
    assert (record.occupancy_ratio, record.copy_seconds) == (None, None)
    assert record.memory_usage_bytes == GIB


def test_the_occupancy_is_at_most_1(curious: AmdCollector, processes: AmdProcesses, gpu: Gpu, tree: AmdTree) -> None:
    processes.compute(10, gpu, memory=GIB)
    gpu_id = (tree.node(gpu) / "gpu_id").read_text().strip()
    (processes.kfd / "10" / f"stats_{gpu_id}" / "cu_occupancy").write_text("305")
    assert curious.read(ALL).processes[0].occupancy_ratio == 1
