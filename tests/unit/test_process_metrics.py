import logging
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Process, Sample
from collectors.sysfs import Root
from exporter.process_metrics import ProcessRows, no_rows


def named(path: Path, **names: str) -> Root:
    """A `/proc` in which process 7 has the name of `pid_7="python"`."""
    for pid, name in names.items():
        folder = path / pid.removeprefix("pid_")
        folder.mkdir()
        (folder / "comm").write_text(f"{name}\n")
    return Root(path)


def test_each_value_of_a_process_is_a_series(tmp_path: Path) -> None:
    rows = ProcessRows(named(tmp_path, pid_7="python", pid_8='a "b"'))
    assert rows.samples([Process(7, "GPU-0", "", 100, 0.5), Process(8, "GPU-0", "MIG-1", 5), Process(9, "GPU-1")]) == (
        Sample(catalog.PROCESS_MEMORY_USAGE, "GPU-0", 100, labels=("7", "python")),
        Sample(catalog.PROCESS_UTILIZATION, "GPU-0", 0.5, labels=("7", "python")),
        Sample(catalog.PROCESS_MEMORY_USAGE, "GPU-0", 5, "MIG-1", ("8", 'a "b"')),
    )


def test_occupancy_and_copy_time_are_series(tmp_path: Path) -> None:
    rows = ProcessRows(named(tmp_path, pid_7="python"))
    assert rows.samples([Process(7, "GPU-0", occupancy_ratio=0.25, copy_seconds=1.5)]) == (
        Sample(catalog.PROCESS_OCCUPANCY, "GPU-0", 0.25, labels=("7", "python")),
        Sample(catalog.PROCESS_COPY_SECONDS, "GPU-0", 1.5, labels=("7", "python")),
    )


def test_process_of_another_namespace_has_no_name(tmp_path: Path) -> None:
    [sample] = ProcessRows(Root(tmp_path)).samples([Process(7, "GPU-0", memory_usage_bytes=1)])
    assert sample.labels == ("7", "")


def test_name_is_read_once_and_again_after_the_pid_was_unused(tmp_path: Path) -> None:
    rows = ProcessRows(named(tmp_path, pid_7="first"))
    process = Process(7, "GPU-0", memory_usage_bytes=1)
    rows.samples([process])
    (tmp_path / "7" / "comm").write_text("second\n")
    assert rows.samples([process])[0].labels == ("7", "first")
    rows.samples([])
    assert rows.samples([process])[0].labels == ("7", "second")


def test_at_most_1000_processes_are_exported_and_one_warning_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ProcessRows(Root(tmp_path))
    many = [Process(pid, "GPU-0", memory_usage_bytes=1) for pid in range(1, 1501)]
    with caplog.at_level(logging.WARNING):
        assert len(rows.samples(many)) == len(rows.samples(many)) == 1000
    assert len(caplog.records) == 1


def test_disabled_process_series_are_empty() -> None:
    assert no_rows([Process(7, "GPU-0", memory_usage_bytes=1)]) == ()
