"""Rules and scenarios for a time that runs faster, so that a test need not wait for minutes."""

import re
from pathlib import Path
from typing import Any

import yaml

_DURATION = re.compile(r"(?<=\[)\d+[smhd](?=[\]:])|(?<= for: )\d+[smhd]$", re.MULTILINE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def compressed_rules(text: str, factor: int) -> str:
    """A file of rules in which every window and every `for` is divided."""
    return _DURATION.sub(lambda found: _divided(found[0], factor), text)


def _divided(duration: str, factor: int) -> str:
    return f"{int(duration[:-1]) * _SECONDS[duration[-1]] * 1000 // factor}ms"


def compressed_scenario(path: Path, factor: int, start: int) -> str:
    """A scenario whose times are divided, to whole seconds, and which does not repeat; rates rise accordingly.

    Args:
        path: The scenario's file.
        factor: How much faster its time runs.
        start: Seconds before its time begins.
    """
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    del content["repeat"]
    for fault in content["faults"]:
        fault["at"] = start + round(fault["at"] / factor)
        for key in fault.keys() & {"for", "delay"}:
            fault[key] = max(1, round(fault[key] / factor))
        for key in fault.keys() & {"corrected_per_second", "uncorrected_per_second"}:
            fault[key] *= factor
    return yaml.safe_dump(content)
