import os
from pathlib import Path

import pytest

from collectors.procfs import ProcessStat, host_processes_visible, process_name, process_stat
from collectors.sysfs import Root


def test_a_process_has_a_name_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "41" / "comm").write_text("python3\n")
    assert process_name(Root(tmp_path), 41) == "python3"
    assert process_name(Root(tmp_path), 42) is None


@pytest.mark.parametrize(("name", "visible"), [("kthreadd", True), ("sh", False), (None, False)])
def test_the_machine_is_known_by_its_kernel_threads(tmp_path: Path, name: str | None, *, visible: bool) -> None:
    if name is not None:
        (tmp_path / "2").mkdir()
        (tmp_path / "2" / "comm").write_text(f"{name}\n")
    assert host_processes_visible(Root(tmp_path)) is visible


@pytest.mark.parametrize("name", ["python3", "a b", "a) R 9 (b", ""])
def test_a_name_with_spaces_and_parentheses_moves_no_field(tmp_path: Path, name: str) -> None:
    (tmp_path / "41").mkdir()
    rest = " ".join(str(field) for field in range(8, 53))
    (tmp_path / "41" / "stat").write_text(f"41 ({name}) Z 1 40 39 {rest}\n")

    stat = process_stat(Root(tmp_path), 41)
    assert stat == ProcessStat("Z", parent=1, session=39, start_seconds=23 / os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize("text", ["", "41", "41 (python3) Z 1 40 39", "41 (python3) Z one 40 39" + " 0" * 45])
def test_a_file_that_is_not_as_expected_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "41" / "stat").write_text(text)
    assert process_stat(Root(tmp_path), 41) is None
    assert process_stat(Root(tmp_path), 42) is None
