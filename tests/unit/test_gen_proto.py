"""The generated messages are what the .proto file gives, and a stale one is found."""

import shutil
from pathlib import Path

import pytest

from tools.gen_proto import main

ROOT = Path(__file__).parents[2]
FOLDER = Path("tests/doubles/proto")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / FOLDER, tmp_path / FOLDER, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_what_is_checked_in_is_what_the_proto_file_gives() -> None:
    assert main(["--check"]) == 0


@pytest.mark.parametrize("name", ["podresources_pb2.py", "podresources_pb2.pyi"])
def test_a_missing_file_is_stale_until_generated(copy: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / FOLDER / name).unlink()
    assert main(["--check"], copy) == 1
    assert capsys.readouterr().err == f"out of date, run `make proto`: {FOLDER / name}\n"
    assert main([], copy) == 0
    assert main(["--check"], copy) == 0


def test_a_changed_proto_file_makes_both_stale(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = copy / FOLDER / "podresources.proto"
    proto.write_text(proto.read_text().replace("string pool_name = 3;", "string pool_name = 30;\n  string more = 31;"))
    assert main(["--check"], copy) == 1
    message = capsys.readouterr().err
    assert "podresources_pb2.py," in message
    assert "podresources_pb2.pyi" in message
