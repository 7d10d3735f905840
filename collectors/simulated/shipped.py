"""Finds scenarios: the shipped ones by name, any other by its file."""

from pathlib import Path

from collectors.simulated.document import read_text
from collectors.simulated.error import ScenarioError, shown, unknown
from collectors.simulated.parse import parse_scenario
from collectors.simulated.scenario import Scenario

DEFAULT_SCENARIO = "inference"

_FOLDER = Path(__file__).parent / "scenarios"
_SUFFIX = ".yaml"


def shipped_scenarios() -> tuple[str, ...]:
    """The names of the scenarios that come with the exporter, sorted."""
    return tuple(sorted(file.stem for file in _FOLDER.glob(f"*{_SUFFIX}")))


def load_scenario(name_or_path: str) -> Scenario:
    """A shipped scenario by its name, or one from a file.

    Args:
        name_or_path: A name, or a path if it has a slash or ends in `.yaml` or `.yml`.

    Raises:
        ScenarioError: There is no such scenario, or it is invalid.
    """
    if "/" in name_or_path or name_or_path.endswith((_SUFFIX, ".yml")):
        path = Path(name_or_path)
    elif name_or_path in shipped_scenarios():
        path = _FOLDER / f"{name_or_path}{_SUFFIX}"
    else:
        problem = unknown(name_or_path, "scenario", shipped_scenarios())
        raise ScenarioError(f"scenario {shown(name_or_path)}: {problem} (the name of a file must end in {_SUFFIX})")
    return parse_scenario(read_text(path, "a scenario"), str(path), path.parent)
