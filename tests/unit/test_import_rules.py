"""The import rules in `pyproject.toml` cover every vendor; the daemon does not load what only other commands need."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENTRY_POINTS: dict[str, str] = PROJECT["project"]["entry-points"]["accelerator_exporter.collectors"]
SHARED = {"catalog"}  # the folder of collectors/ that is for all of them


def protected(name: str) -> set[str]:
    """The modules that a contract keeps from being imported."""
    [contract] = [each for each in PROJECT["tool"]["importlinter"]["contracts"] if each["name"] == name]
    return set(contract["protected_modules"])


def test_every_folder_of_a_vendor_is_protected() -> None:
    folders = {f"collectors.{path.parent.name}" for path in (ROOT / "collectors").glob("*/__init__.py")}
    vendors = protected("only a vendor imports its own collector")

    assert vendors | protected("only exporter knows simulated devices") == folders - {f"collectors.{f}" for f in SHARED}
    assert vendors == {target.partition(":")[0] for target in ENTRY_POINTS.values()}


def test_the_daemon_loads_no_large_modules_that_it_does_not_need() -> None:
    script = "import sys, exporter.command, exporter.daemon; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert set(loaded.split()) & {"ssl", "http.client", "http.server", "socketserver", "prometheus_client"} == set()
