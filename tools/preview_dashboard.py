"""Draws the generated dashboards without Grafana, with data of a running Prometheus; Chromium makes the pictures.

`python tools/preview_dashboard.py http://localhost:9090` writes a picture of each dashboard to docs/images. They are
approximations: they show the results of the queries, not how Grafana looks.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from tools import dashboard_queries as queries
from tools import preview_drawing as drawing
from tools.dashboard_queries import Json, Target
from tools.png_palette import reduced
from tools.preview_drawing import Series, Span
from tools.preview_graph import graph
from tools.preview_table import table

_ROOT = Path(__file__).resolve().parent.parent
_DASHBOARDS = _ROOT / "dashboards"
_PICTURES = _ROOT / "docs" / "images"
_STYLE = Path(__file__).with_name("preview_dashboard.css")

_MINUTES = 10
_POINTS = 120
_RATE_SECONDS = 60  # Grafana's rate interval with the shipped scrape interval
_WIDTH = 1280
_UNIT_HEIGHT = 30  # of one unit of Grafana's grid, including the gap
_HEAD_HEIGHT = 74
_GAP = 8
_TIMEOUT_SECONDS = 30
_CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=0.75",  # the pictures are shown small, and half as many pixels are half as many bytes
    "--disable-lcd-text",  # grey edges of letters, which need fewer colours
)


class Answers:
    """The answers of a Prometheus to the queries of a dashboard.

    Args:
        base: Its address.
        span: The time range of the dashboard.
        choices: The selected value by variable name.
    """

    def __init__(self, base: str, span: Span, choices: Mapping[str, str] | None = None) -> None:
        self.span = span
        self._base = base.rstrip("/")
        self._range = round(span.end - span.start)
        self._choices = dict(choices or {})

    def now(self, target: Target) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each element at the end of the range."""
        result = self._query("query", target, {"time": self.span.end})
        return [(element["metric"], float(element["value"][1])) for element in result]

    def course(self, target: Target) -> list[Series]:
        """Each series over the range; an instant query has one point."""
        if target.instant:
            return [
                Series(queries.series_name(target, labels), ((self.span.end, value),))
                for labels, value in self.now(target)
            ]
        step = max(self.span.step, target.step_seconds)
        window = {"start": self.span.start, "end": self.span.end, "step": step}
        result = self._query("query_range", target, window)
        return [
            Series(
                queries.series_name(target, element["metric"]),
                [(float(at), float(value)) for at, value in element["values"]],
            )
            for element in result
        ]

    def _query(self, kind: str, target: Target, when: Mapping[str, float]) -> list[Json]:
        step = round(max(self.span.step, target.step_seconds))
        windows = queries.window_values(self._range, _RATE_SECONDS, step)
        fields = {"query": queries.filled_in(target.expr, windows, self._choices), **when}
        body = urllib.parse.urlencode(fields).encode()
        address = f"{self._base}/api/v1/{kind}"
        with urllib.request.urlopen(address, body, _TIMEOUT_SECONDS) as answer:  # noqa: S310 - the user names it
            result: list[Json] = json.load(answer)["data"]["result"]
        return result


def page(dashboard: Json, answers: Answers) -> str:
    """The dashboard as HTML without external resources."""
    drawn = "".join(map(_row_head, (panel for panel in dashboard["panels"] if panel["type"] == "row")))
    drawn += "".join(_panel(panel, answers) for panel in queries.panels(dashboard))
    minutes = (answers.span.end - answers.span.start) / 60
    return (
        f"<!DOCTYPE html><meta charset='utf-8'><title>{escape(dashboard['title'])}</title>"
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style>"
        f"<header><h1>{escape(dashboard['title'])}</h1><p>Preview rendered without Grafana &middot; "
        f"the last {minutes:.0f} minutes</p></header><main>{drawn}</main>"
    )


def page_height(dashboard: Json) -> int:
    """Height of the whole page, in pixels."""
    rows = max(int(panel["gridPos"]["y"] + panel["gridPos"]["h"]) for panel in dashboard["panels"])
    return _HEAD_HEIGHT + rows * _UNIT_HEIGHT + _GAP


def _place(panel: Json) -> str:
    position = panel["gridPos"]
    return (
        f"left:{position['x'] / 24 * 100:.3f}%;width:calc({position['w'] / 24 * 100:.3f}% - {_GAP}px);"
        f"top:{position['y'] * _UNIT_HEIGHT}px;height:{position['h'] * _UNIT_HEIGHT - _GAP}px"
    )


def _row_head(panel: Json) -> str:
    return f'<h2 style="{_place(panel)}">{escape(panel["title"])}</h2>'


def _panel(panel: Json, answers: Answers) -> str:
    content = _content(panel, answers)
    return f'<section style="{_place(panel)}"><h3>{escape(panel["title"])}</h3>{content}</section>'


def _content(panel: Json, answers: Answers) -> str:
    targets = list(queries.targets(panel))
    if panel["type"] == "table":
        return table(panel, [answers.now(target) for target in targets])
    limits = _limits(panel)
    series = [
        replace(one, limit=target.letter in limits)
        for target in targets
        for one in _in_order(target, answers.course(target))
    ]
    match panel["type"]:
        case "stat":
            return drawing.stat(panel, series)
        case "bargauge":
            return drawing.bars(panel, series)
        case "state-timeline":
            return drawing.bands(panel, series, answers.span)
        case "timeseries":
            return graph(panel, series, answers.span, _graph_size(panel))
    raise ValueError(f"panel {panel['title']!r}: cannot draw the type {panel['type']!r}")


def _in_order(target: Target, series: list[Series]) -> list[Series]:
    """Lines by name; current values in the order of the query."""
    return series if target.instant else sorted(series, key=lambda one: one.name)


def _limits(panel: Json) -> set[str]:
    """The letters of the queries that are drawn dashed."""
    overrides = panel["fieldConfig"]["overrides"]
    return {
        override["matcher"]["options"]
        for override in overrides
        if any(each["id"] == "custom.lineStyle" for each in override["properties"])
    }


def _graph_size(panel: Json) -> tuple[int, int]:
    """Width and height of graph and legend, without the title."""
    position = panel["gridPos"]
    return position["w"] * (_WIDTH - 2 * _GAP) // 24 - 3 * _GAP, position["h"] * _UNIT_HEIGHT - 44


def photograph(html: str, height: int, picture: Path) -> None:
    """Write the page's picture. Raises CalledProcessError if Chromium fails, FileNotFoundError if it is missing."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "preview.html"
        source.write_text(html, encoding="utf-8")
        subprocess.run(  # noqa: S603 - a fixed program, and files of our own
            [
                shutil.which(_CHROMIUM[0]) or _CHROMIUM[0],
                *_CHROMIUM[1:],
                f"--user-data-dir={folder}/profile",
                f"--window-size={_WIDTH},{height}",
                f"--screenshot={folder}/picture.png",
                source.as_uri(),
            ],
            check=True,
            capture_output=True,
        )
        picture.write_bytes(reduced((Path(folder) / "picture.png").read_bytes()))


def main(arguments: Sequence[str]) -> int:
    """Query, draw, write the pictures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prometheus", help="address of the Prometheus to query, such as http://localhost:9090")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help="length of the time range")
    parser.add_argument("--only", default="*", help="the name of one dashboard, without .json")
    parser.add_argument("--node", help="the node that is selected")
    parser.add_argument("--folder", type=Path, default=_PICTURES, help="where the PNG files are written")
    chosen = parser.parse_args(arguments)
    end = time.time()
    span = Span(end - chosen.minutes * 60, end, chosen.minutes * 60 / _POINTS)
    choices = {"node": chosen.node} if chosen.node else {}
    for path in sorted(_DASHBOARDS.glob(f"{chosen.only}.json")):
        dashboard = queries.read(path)
        html = page(dashboard, Answers(chosen.prometheus, span, choices))
        photograph(html, page_height(dashboard), chosen.folder / f"{path.stem}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
