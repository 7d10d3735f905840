"""Installs nvitop-exporter in its own environment outside the tree, to measure it at the same time as ours."""

import os
import re
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path

from bench.process import BenchError, Process

PACKAGE = "nvitop-exporter"
_INSTALL_SECONDS = 300


def install(folder: Path) -> Path:
    """Create the environment.

    Returns:
        Its folder of programs.

    Raises:
        BenchError: The installation failed; the text is its output.
    """
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    done = subprocess.run(  # noqa: S603 - the environment's own pip
        [programs / "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE],
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"{PACKAGE} could not be installed:\n{done.stderr}")
    return programs


def versions(programs: Path) -> str:
    """The installed versions, for the report."""
    names = (PACKAGE, "nvidia-ml-py")
    code = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {names!r}))"
    done = subprocess.run(  # noqa: S603 - the environment's own interpreter
        [programs / "python", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def start(programs: Path, environment: Mapping[str, str], log: Path) -> Process:
    """Run it at its default interval of one second.

    Raises:
        BenchError: It ended or does not answer; the text is its output.
    """
    command = (str(programs / PACKAGE), "--bind-address", "127.0.0.1", "--port", "{port}")
    return Process(command, {**os.environ, **environment}, log, "/metrics")


def complaints(log: Path) -> list[str]:
    """The lines of its log that report a warning or an error, each kind once, without memory addresses."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (line for line in lines if line.startswith(("ERROR", "WARNING", "CRITICAL")))
    return list(dict.fromkeys(re.sub(r" at 0x[0-9a-f]+", "", line) for line in found))
