"""Reads loads: a number, a shape, or a trace in a CSV file in the folder of the scenario."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

from collectors.simulated import fields
from collectors.simulated.document import Node, Scalar, read_text
from collectors.simulated.error import ScenarioError, shown
from collectors.simulated.fields import Reader, ScenarioSection
from collectors.simulated.load import Constant, Load, Shape, Sine, Square, Trace
from collectors.simulated.scenario import Work

WORK_KEYS = ("load", "memory_ratio", "processes")

LONGEST_SECONDS = 7 * 86_400
_MOST_POINTS = 10_000
_MOST_PROCESSES = 64
_RATIO = fields.number(0.0, 1.0)
_PERIOD = fields.number(1.0, LONGEST_SECONDS)
_POINT = re.compile(r"\s*([0-9]{1,7}(?:\.[0-9]{1,6})?)\s*,\s*([0-9](?:\.[0-9]{1,9})?)\s*", re.ASCII)
_TITLES = "seconds,load"

_KEYS: Mapping[str, tuple[str, ...]] = {
    "sine": ("low", "high", "period"),
    "square": ("low", "high", "period", "duty"),
    "trace": ("file",),
}


def work_of(section: ScenarioSection, folder: Path, default: Work) -> Work:
    """The work from the keys of `WORK_KEYS` in a section.

    Args:
        section: A device, a partition or a container.
        folder: The folder of the traces.
        default: The values for missing keys.
    """
    return Work(
        load=section.get("load", reader(folder), default.load),
        memory_ratio=section.get("memory_ratio", _RATIO, default.memory_ratio),
        processes=section.get("processes", fields.whole(0, _MOST_PROCESSES), default.processes),
    )


def reader(folder: Path) -> Reader[Load]:
    """A reader of a load.

    Args:
        folder: The folder of the traces.
    """

    def read(node: Node) -> Load:
        if isinstance(node, Scalar):
            return Load(Constant(_RATIO(node)))
        every = ("shape", "stagger", *dict.fromkeys(key for keys in _KEYS.values() for key in keys))
        section = ScenarioSection(node, every, "a number from 0 to 1, or a shape with its keys")
        shape = section.need("shape", fields.one_of("shape", _KEYS))
        for key in every[2:]:
            if key in section and key not in _KEYS[shape]:
                raise section.error(key, f"not a key of {shape}, expected one of {', '.join(_KEYS[shape])}")
        return Load(_SHAPES[shape](section, folder), section.get("stagger", fields.number(0, LONGEST_SECONDS), 0.0))

    return read


def _low_and_high(section: ScenarioSection) -> tuple[float, float]:
    low, high = section.need("low", _RATIO), section.need("high", _RATIO)
    if low > high:
        raise section.error("low", f"found {low:g}, expected at most high, which is {high:g}")
    return low, high


def _sine(section: ScenarioSection, _folder: Path) -> Shape:
    return Sine(*_low_and_high(section), section.need("period", _PERIOD))


def _square(section: ScenarioSection, _folder: Path) -> Shape:
    return Square(*_low_and_high(section), section.need("period", _PERIOD), section.get("duty", _RATIO, 0.5))


def _trace(section: ScenarioSection, folder: Path) -> Shape:
    expected = "the name of a CSV file in the scenario's own folder"
    name = section.need("file", fields.matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", expected))
    if not (folder / name).exists():
        raise section.error("file", f"{name} is not in the folder of the scenario; copy it together with the scenario")
    return read_trace(folder / name)


_SHAPES: Mapping[str, Callable[[ScenarioSection, Path], Shape]] = {"sine": _sine, "square": _square, "trace": _trace}


def read_trace(path: Path) -> Trace:
    """A trace of lines `SECONDS,LOAD`; the first line may be the titles.

    Raises:
        ScenarioError: The file cannot be read or has other lines.
    """
    lines = read_text(path, "a trace").splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if numbered and numbered[0][1].replace(" ", "") == _TITLES:
        del numbered[0]
    if not 1 <= len(numbered) <= _MOST_POINTS:
        raise ScenarioError(f"{path}: found {len(numbered)} points, expected 1 to {_MOST_POINTS} lines SECONDS,LOAD")
    points = [_point(line, f"{path}:{number}") for number, line in numbered]
    for index, (before, after) in enumerate(pairwise(points), 1):
        if after[0] <= before[0]:
            place = f"{path}:{numbered[index][0]}"
            raise ScenarioError(f"{place}: found second {after[0]:g}, expected more than {before[0]:g}")
    return Trace(tuple(second for second, _ in points), tuple(load for _, load in points))


def _point(line: str, place: str) -> tuple[float, float]:
    found = _POINT.fullmatch(line)
    if found is None or float(found[2]) > 1:
        raise ScenarioError(f"{place}: found {shown(line)}, expected SECONDS,LOAD with a load from 0 to 1")
    return float(found[1]), float(found[2])
