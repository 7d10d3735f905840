from pathlib import Path

import pytest

from collectors.procfs import host_processes_visible, process_name
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
