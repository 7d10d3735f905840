"""The queries of a generated dashboard, with its variables replaced as in Grafana."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]  # of a dashboard

EVERYTHING = ".*"  # the value of a variable with "All"

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_LEGEND_LABEL = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel.

    Attributes:
        panel: The panel's number.
        title: The panel's title.
        letter: The query's letter.
        expr: The PromQL with variables.
        legend: The name of a series; empty for tables.
        instant: True if only the current value is queried.
        step_seconds: The smallest distance between two points.
    """

    panel: int
    title: str
    letter: str
    expr: str
    legend: str
    instant: bool
    step_seconds: int


def read(path: Path) -> Json:
    """A dashboard's file."""
    dashboard: Json = json.loads(path.read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: Json) -> list[Json]:
    """Its panels in order, without the row headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(panel: Json) -> Iterator[Target]:
    """The queries of a panel."""
    for target in panel["targets"]:
        legend = target.get("legendFormat", "")
        step = int(panel.get("interval", "0m").removesuffix("m")) * 60
        yield Target(panel["id"], panel["title"], target["refId"], target["expr"], legend, target["instant"], step)


def series_name(target: Target, labels: Mapping[str, str]) -> str:
    """The name of a series in a legend. As in Grafana, a label that the series lacks is left out."""
    return _LEGEND_LABEL.sub(lambda found: labels.get(found.group(1), ""), target.legend).strip()


def window_values(range_seconds: int, rate_seconds: int, step_seconds: int) -> dict[str, str]:
    """Grafana's own variables for a time range, the window of a rate, and the distance between two points."""
    return {
        "__range": f"{range_seconds}s",
        "__range_s": str(range_seconds),
        "__rate_interval": f"{rate_seconds}s",
        "__interval": f"{step_seconds}s",
        "__interval_ms": str(step_seconds * 1000),
    }


def filled_in(expr: str, windows: Mapping[str, str], choices: Mapping[str, str] | None = None) -> str:
    """The query with its variables replaced.

    Args:
        expr: PromQL with variables.
        windows: The result of `window_values`.
        choices: The selected value by variable name; a variable that is not given selects everything.
    """
    values = {**windows, **(choices or {})}
    return _VARIABLE.sub(lambda found: values.get(found.group(1), EVERYTHING), expr)
