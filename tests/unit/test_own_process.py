import shutil
import time
from pathlib import Path

import psutil
import pytest

from collectors.sysfs import Root
from exporter import families
from exporter.own_process import OwnProcess
from tests.doubles.exporter_process import PROCESS_FAMILIES

PROC = Path("/proc")


def values(procfs: Path) -> dict[str, float]:
    samples = OwnProcess(Root(procfs)).samples()
    return {sample.metric.name(sample.metric.subjects[0]): sample.value for sample in samples}


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
    """The used files of /proc/self, with a descriptor."""
    process = folder / "self"
    (process / "fd" / "0").mkdir(parents=True)
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
