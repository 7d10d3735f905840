"""The wheel that users install: its content, and that it runs after installation."""

import os
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    options = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--target", str(folder))
    run("-m", "pip", "install", *options, str(wheel), cwd=folder)
    return folder


def test_wheel_contains_only_the_two_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    tops = {name.partition("/")[0] for name in names}
    (metadata,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"exporter", "collectors", metadata}
    assert {"exporter/py.typed", "collectors/py.typed", "exporter/cli.py", "collectors/catalog/load.py"} <= names
    assert "exporter/web/status_page.css" in names
    assert f"{metadata}/licenses/LICENSE" in names
    assert not [name for name in names if "test" in name.lower() or name.endswith((".pyc", ".c"))]


def test_wheel_declares_the_command_and_the_collectors(installed: Path) -> None:
    (path,) = installed.glob("accelerator_exporter-*.dist-info/entry_points.txt")
    entry_points = ConfigParser()
    entry_points.read_string(path.read_text())

    assert dict(entry_points["console_scripts"]) == {"accelerator-exporter": "exporter.cli:main"}
    assert entry_points["accelerator_exporter.collectors"]["nvidia"] == "collectors.nvidia:SPEC"


def test_installed_wheel_runs(installed: Path, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(installed)}
    where = run("-c", "import exporter; print(exporter.__file__)", cwd=tmp_path, **environment)
    assert Path(where.strip()).is_relative_to(installed)

    version = run("-m", "exporter", "--version", cwd=tmp_path, **environment)

    (metadata,) = installed.glob("accelerator_exporter-*.dist-info")
    assert metadata.name.removeprefix("accelerator_exporter-").removesuffix(".dist-info") in version
