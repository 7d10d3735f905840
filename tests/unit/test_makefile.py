"""What the targets of the Makefile do before and beside their own command."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


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
