import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SUITE = """
import pytest

@pytest.mark.gpu
def test_with_device():
    pass

def test_without():
    pass
"""


def run_suite(folder: Path, *arguments: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs a device\n")
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "--strict-markers", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120).stdout


def test_tests_that_need_a_device_are_left_out_and_named(tmp_path: Path) -> None:
    output = run_suite(tmp_path)

    assert "1 passed, 1 deselected" in output
    named = output.partition("left out, for what they need")[2]
    assert "test_suite.py::test_with_device: a real device, run with -m gpu\n" in named
    assert "test_without" not in named


def test_they_are_named_by_several_processes_too(tmp_path: Path) -> None:
    output = run_suite(tmp_path, "--numprocesses=2")

    assert "1 passed" in output
    named = output.partition("left out, for what they need")[2]
    assert named.count("test_suite.py::test_with_device: a real device, run with -m gpu\n") == 1


@pytest.mark.parametrize(("expression", "closing"), [("gpu", "1 passed, 1 deselected"), ("gpu or not gpu", "2 passed")])
def test_a_marker_expression_brings_them_back(tmp_path: Path, expression: str, closing: str) -> None:
    output = run_suite(tmp_path, "-m", expression)

    assert closing in output
    assert "left out" not in output
