"""The machine, the software and the date of the bench."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = ("prometheus-client", "h2", "nvidia-ml-py")


def machine() -> str:
    """A list for the head of the report."""
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    cores = f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB of memory"
    return (
        f"- Date: {datetime.now(UTC):%Y-%m-%d}\n"
        f"- Machine: {_cpu_model()}, {cores}, Linux {platform.release()}\n"
        f"- Python {platform.python_version()}, accelerator-exporter {version('accelerator-exporter')}\n"
        f"- {packages}\n"
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
