"""What the targets of the Makefile do before and beside their own command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKE_VENV = ROOT / "tools" / "make-venv"


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def python_with(path: Path, version: str) -> Path:
    """A Python that says it is of another version, and makes its environments like the one of this test."""
    path.write_text(
        f"#!/bin/sh\n"
        f'case "$*" in *python_version*) echo "{version} {path.parent}" ;; '
        f'*) exec "{sys.executable}" "$@" ;; esac\n'
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("lint", "layout", "status"), [(0, 0, 0), (1, 0, 2), (0, 1, 2)])
def test_fix_formats_whatever_lint_finds_and_fails_if_either_does(
    tmp_path: Path, lint: int, layout: int, status: int
) -> None:
    ruff = tmp_path / ".venv" / "bin" / "ruff"
    ruff.parent.mkdir(parents=True)
    ruff.write_text(f'#!/bin/sh\necho "$1" >>calls\ncase $1 in check) exit {lint} ;; format) exit {layout} ;; esac\n')
    ruff.chmod(0o755)

    done = run("make", "--directory", tmp_path, "--makefile", ROOT / "Makefile", "--old-file", ".venv/.ready", "fix")

    assert (tmp_path / "calls").read_text().split() == ["check", "format"]
    assert done.returncode == status


@pytest.mark.parametrize(
    ("ready", "recipe"), [(False, "requirements/run.txt --requirement requirements/build.txt"), (True, "")]
)
def test_run_needs_the_run_time_set_only(tmp_path: Path, *, ready: bool, recipe: str) -> None:
    arguments = [
        "make",
        "--dry-run",
        "--makefile",
        str(ROOT / "Makefile"),
        "--directory",
        str(ROOT),
        f"VENV={tmp_path}",
    ]
    if ready:
        arguments += ["--old-file", str(tmp_path / ".runnable")]

    installs = [line for line in run(*arguments, "run").stdout.splitlines() if "--require-hashes" in line]

    assert [line.partition("--requirement ")[2] for line in installs] == ([recipe] if recipe else [])


def test_the_environment_stays_while_the_python_does_and_is_made_anew_by_another(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    assert run(MAKE_VENV, sys.executable, venv).returncode == 0
    (venv / "left").touch()
    made = (venv / ".python").stat().st_mtime_ns

    again = run(MAKE_VENV, sys.executable, venv)
    assert (again.returncode, again.stderr, (venv / ".python").stat().st_mtime_ns) == (0, "", made)
    from_within = run(MAKE_VENV, venv / "bin" / "python", venv)
    assert (from_within.returncode, from_within.stderr, (venv / "left").exists()) == (0, "", True)

    other = run(MAKE_VENV, python_with(tmp_path / "python", "3.99.1"), venv)
    assert (other.returncode, other.stderr) == (0, f"Replacing {venv} with Python 3.99.1 in {tmp_path}\n")
    assert (venv / ".python").read_text() == f"3.99.1 {tmp_path}\n"
    assert (venv / "bin" / "python").exists()
    assert not (venv / "left").exists()


def test_a_python_that_is_too_old_leaves_the_environment_alone(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\ncase "$*" in --version) echo Python 3.9.1 ;; *) exit 1 ;; esac\n')
    old.chmod(0o755)
    (tmp_path / "left").touch()

    done = run(MAKE_VENV, old, tmp_path)

    assert (done.returncode, done.stderr) == (
        1,
        (
            f"{old} is Python 3.9.1, which is too old: "
            "install Python 3.11 or newer, or name one: make PYTHON=python3.12 ...\n"
        ),
    )
    assert (tmp_path / "left").exists()


def exporter_with(folder: Path, devices: int) -> Path:
    """A command that reads so many devices, refuses `--wrong`, and writes its arguments to the file `calls`."""
    command = folder / "exporter"
    command.write_text(
        f"#!/bin/sh\n"
        f'echo "$*" >>"{folder}/calls"\n'
        f'case "$*" in\n'
        f'*--wrong*) echo "--wrong: unknown flag" >&2; exit 2 ;;\n'
        f"--once*) echo 'accelerator_exporter_collector_devices{{collector=\"acme\"}} {devices}' ;;\n"
        f"esac\n"
    )
    command.chmod(0o755)
    return command


@pytest.mark.parametrize(
    ("devices", "arguments", "started"),
    [
        (0, [], "--simulate"),
        (0, ["--web.listen-address=:1"], "--simulate --web.listen-address=:1"),
        (0, ["--once", "--log.level=error"], "--simulate --once --log.level=error"),
        (2, [], ""),
        (2, ["--once"], "--once"),
        (0, ["--simulate=failing"], "--simulate=failing"),
        (0, ["--once", "--simulate"], "--once --simulate"),
        (0, ["check", "--json"], "check --json"),
        (0, ["--help"], "--help"),
        (0, ["-h"], "-h"),
        (0, ["--version"], "--version"),
        (0, ["--check-config"], "--check-config"),
        (0, ["--list-metrics"], "--list-metrics"),
    ],
)
def test_run_simulates_where_there_is_no_accelerator_and_the_arguments_need_one(
    tmp_path: Path, devices: int, arguments: list[str], started: str
) -> None:
    command = exporter_with(tmp_path, devices)

    done = run(ROOT / "tools" / "run-exporter", command, *arguments)

    added = "--simulate" in started and started != " ".join(arguments)
    given = "".join(f" {argument}" for argument in arguments)
    line = "No accelerator found: adding --simulate for a simulated node. For this machine itself: "
    assert (done.returncode, done.stderr) == (0, f"{line}{command}{given}\n" if added else "")
    assert (tmp_path / "calls").read_text().split("\n")[-2] == started


def test_run_with_a_wrong_argument_prints_only_its_error(tmp_path: Path) -> None:
    command = exporter_with(tmp_path, 0)

    done = run(ROOT / "tools" / "run-exporter", command, "--wrong=1")

    assert (done.returncode, done.stdout, done.stderr) == (2, "", "--wrong: unknown flag\n")
    assert (tmp_path / "calls").read_text() == "--check-config --wrong=1\n"
