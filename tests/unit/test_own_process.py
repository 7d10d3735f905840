import os
import shutil
import time
from contextlib import closing
from pathlib import Path
from socket import socketpair

import psutil
import pytest

from collectors.sysfs import Root
from exporter import families
from exporter.own_process import OwnProcess
from tests.doubles.exporter_process import PROCESS_FAMILIES
from tests.doubles.open_files import most_descriptors, next_descriptor, open_below

PROC = Path("/proc")
# Before Linux 6.2 the size of the folder of descriptors is 0, and it does not stay open.
KEPT = ("fd", "statm") if (PROC / "self" / "fd").stat().st_size else ("statm",)


def values_of(process: OwnProcess) -> dict[str, float]:
    return {sample.metric.name(sample.metric.subjects[0]): sample.value for sample in process.samples()}


def values(procfs: Path) -> dict[str, float]:
    return values_of(OwnProcess(Root(procfs)))


def test_the_values_are_those_of_this_process() -> None:
    found, known = values(PROC), psutil.Process()

    assert found.keys() == PROCESS_FAMILIES
    assert 0 < found["process_resident_memory_bytes"] < found["process_virtual_memory_bytes"]
    assert found["process_resident_memory_bytes"] == pytest.approx(known.memory_info().rss, rel=0.2)
    assert found["process_virtual_memory_bytes"] == pytest.approx(known.memory_info().vms, rel=0.2)
    assert 0 < found["process_cpu_seconds_total"] <= time.process_time()
    assert found["process_start_time_seconds"] == pytest.approx(known.create_time(), abs=2)
    assert 3 <= found["process_open_fds"] <= found["process_max_fds"]


def copied(folder: Path) -> Path:
    """The used files of /proc/self, with a descriptor and that of its listing."""
    process = folder / "self"
    for descriptor in ("0", "1"):
        (process / "fd" / descriptor).mkdir(parents=True)
    for name in ("stat", "statm"):
        shutil.copyfile(PROC / "self" / name, process / name)
    return process


@pytest.mark.parametrize("content", ["", "zero zero", "12 (python) S 1"])
@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("stat", {families.PROCESS_START_TIME}),
        ("statm", {families.PROCESS_RESIDENT_MEMORY, families.PROCESS_VIRTUAL_MEMORY}),
    ],
)
def test_what_cannot_be_read_is_absent(tmp_path: Path, name: str, absent: set[object], content: str) -> None:
    file = copied(tmp_path) / name
    rows = {sample.metric for sample in OwnProcess(Root(tmp_path)).samples()}
    assert len(rows) == len(PROCESS_FAMILIES)

    file.write_text(content)
    assert {sample.metric for sample in OwnProcess(Root(tmp_path)).samples()} == rows - absent


def test_without_procfs_only_what_system_calls_tell_is_known(tmp_path: Path) -> None:
    assert values(tmp_path).keys() == {"process_cpu_seconds_total", "process_max_fds"}


def test_the_time_of_the_start_stays_the_same() -> None:
    process = OwnProcess(Root(PROC))

    def start() -> list[float]:
        return [sample.value for sample in process.samples() if sample.metric is families.PROCESS_START_TIME]

    first = start()
    time.sleep(0.01)  # a difference of two clocks would have changed by now
    assert start() == first != []


def test_every_open_descriptor_is_counted_and_that_of_the_counting_is_not() -> None:
    process = OwnProcess(Root(PROC))
    for _ in range(3):  # listed first, then known without a list
        counted = values_of(process)["process_open_fds"]
        assert counted == psutil.Process().num_fds() - 1  # which counts the descriptor that lists them
        one, other = socketpair()
        with closing(one), closing(other):
            assert values_of(process)["process_open_fds"] == counted + 2
        assert values_of(process)["process_open_fds"] == counted


def test_where_the_size_of_the_folder_is_not_their_number_descriptors_are_listed(tmp_path: Path) -> None:
    descriptors = copied(tmp_path) / "fd"
    process = OwnProcess(Root(tmp_path))
    for number in range(2, 5):
        (descriptors / str(number)).mkdir()
        assert values_of(process)["process_open_fds"] == number
    assert str(descriptors) not in open_below(tmp_path)


def test_the_memory_is_read_anew_from_a_file_that_stays_open(tmp_path: Path) -> None:
    file = copied(tmp_path) / "statm"
    process = OwnProcess(Root(tmp_path))
    for pages in (10, 9, 12345):
        file.write_text(f"{2 * pages} {pages} 3 4 0 5 0\n")
        found = values_of(process)
        assert found["process_resident_memory_bytes"] == pages * os.sysconf("SC_PAGESIZE")
        assert found["process_virtual_memory_bytes"] == 2 * pages * os.sysconf("SC_PAGESIZE")
        assert open_below(tmp_path) == [str(file)]


@pytest.mark.parametrize("content", ["", "12\n", "none\n"])
def test_memory_that_was_absent_is_read_again_from_a_new_file(tmp_path: Path, content: str) -> None:
    file = copied(tmp_path) / "statm"
    process = OwnProcess(Root(tmp_path))
    complete = values_of(process).keys()

    file.write_text(content)
    assert complete - values_of(process).keys() == {"process_resident_memory_bytes", "process_virtual_memory_bytes"}
    assert open_below(tmp_path) == []

    file.unlink()
    assert len(values_of(process)) == len(complete) - 2
    file.write_text("20 10 3 4 0 5 0\n")
    assert values_of(process).keys() == complete


def test_what_is_open_is_the_same_after_each_reading_and_closed_with_its_owner() -> None:
    folder = PROC / "self"
    before = open_below(folder)
    process = OwnProcess(Root(PROC))
    for _ in range(3):
        process.samples()
        assert sorted([*before, *(str(folder.resolve() / name) for name in KEPT)]) == open_below(folder)
    del process
    assert open_below(folder) == before


def open_numbers() -> set[int]:
    return {int(link.name) for link in (PROC / "self" / "fd").iterdir() if link.exists()}  # not that of the listing


def opened_by(process: OwnProcess) -> set[int]:
    """The descriptors that a process keeps from its first reading on."""
    before = open_numbers()
    process.samples()
    return open_numbers() - before


def test_descriptors_that_something_else_has_closed_are_replaced() -> None:
    process = OwnProcess(Root(PROC))
    kept = opened_by(process)
    complete = values_of(process).keys()
    for number in kept:
        os.close(number)

    process.samples()
    assert values_of(process).keys() == complete


def test_a_program_that_is_started_inherits_no_descriptor() -> None:
    process = OwnProcess(Root(PROC))
    kept = opened_by(process)
    assert len(kept) == len(KEPT)
    assert not any(map(os.get_inheritable, kept))


def test_without_a_free_descriptor_only_what_is_open_is_read() -> None:
    early, late = OwnProcess(Root(PROC)), OwnProcess(Root(PROC))
    complete = values_of(early).keys()
    with most_descriptors(next_descriptor()):
        assert values_of(early).keys() == complete
        assert values_of(late).keys() == {"process_cpu_seconds_total", "process_max_fds"}
    assert values_of(late).keys() == complete
