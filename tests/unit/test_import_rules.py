"""The import rules in `pyproject.toml` cover every vendor."""

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
