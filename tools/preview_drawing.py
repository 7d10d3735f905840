"""Draws the data of a panel as HTML and inline SVG, roughly like Grafana; only for a picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

from collectors.metric import Unit
from dashboards.src.units import GRAFANA_UNITS
from tools.dashboard_queries import Json

COLORS = ("#3871dc", "#e0752d", "#37872d", "#a352cc", "#c4162a", "#0a9bb0", "#b5860b", "#7c7f86", "#d0417e", "#5b8c00")
NAMED = {"green": "#37872d", "yellow": "#b5860b", "orange": "#e0752d", "red": "#c4162a", "blue": "#3871dc"}
# The multiples of each unit with their names, largest first.
_SCALES: dict[str, Sequence[tuple[int, str]]] = {
    GRAFANA_UNITS[Unit.BYTES]: ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")),
    GRAFANA_UNITS[Unit.WATTS]: ((1000, "kW"), (1, "W")),
    GRAFANA_UNITS[Unit.CELSIUS]: ((1, "°C"),),
    GRAFANA_UNITS[Unit.SECONDS]: ((3600, "h"), (60, "min"), (1, "s")),
}
_AXIS = 56  # pixels to the left of a graph, for numbers
_FOOT = 18  # below it, for times
_HEAD = 6  # and above it, for the upper half of a number
_GRID = 4
_ROUND = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10, 12)
_CHARACTER_WIDTH = 6.2
_MARK_WIDTH = 26
_LINE_HEIGHT = 15
_LEGEND_LINES = 4


# From Unix time and value to pixels.
_Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """The name of one series of a panel, and its values by Unix time."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """A time range.

    Attributes:
        start: Its first second, Unix time.
        end: Its last second, Unix time.
        step: Seconds between two points.
    """

    start: float
    end: float
    step: float


def value_text(value: float, unit: str) -> str:
    """A value as text; the unit is Grafana's."""
    if unit == GRAFANA_UNITS[Unit.RATIO]:
        return f"{value * 100:.3g}%"
    if unit in _SCALES:
        size, name = next(((size, name) for size, name in _SCALES[unit] if value >= size), _SCALES[unit][-1])
        return f"{value / size:.3g} {name}"
    return f"{value:.3g}"


def stat(panel: Json, series: Sequence[Series]) -> str:
    """One large number, in the colour of its step."""
    defaults = panel["fieldConfig"]["defaults"]
    if not series:
        return nothing(panel)
    value = series[0].points[-1][1]
    color = step_color(defaults["thresholds"]["steps"], value)
    return f'<div class="stat" style="color:{color}">{escape(value_text(value, defaults["unit"]))}</div>'


def nothing(panel: Json) -> str:
    """The panel's text if there is no data."""
    return f'<div class="nothing">{escape(panel["fieldConfig"]["defaults"]["noValue"])}</div>'


def step_color(steps: Sequence[Json], value: float) -> str:
    """The colour of the last step that the value reaches."""
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED.get(reached[-1], "inherit")


def bars(panel: Json, series: Sequence[Series]) -> str:
    """A bar for each series."""
    defaults = panel["fieldConfig"]["defaults"]
    if not series:
        return nothing(panel)
    most = max(one.points[-1][1] for one in series) or 1
    return "".join(_bar(one, defaults, most) for one in series)


def _bar(series: Series, defaults: Json, most: float) -> str:
    value = series.points[-1][1]
    look = f"width:{value / most * 45:.1f}%;background:{step_color(defaults['thresholds']['steps'], value)}"
    text = escape(value_text(value, defaults["unit"]))
    return f'<div class="bar"><span>{escape(series.name)}</span><i style="{look}"></i><b>{text}</b></div>'


def lines(panel: Json, series: Sequence[Series], span: Span, size: tuple[int, int]) -> str:
    """A graph with axes, and the legend below it."""
    if not series:
        return nothing(panel)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    width, height = size[0], size[1] - _legend_height(series, size[0])
    custom = panel["fieldConfig"]["defaults"]["custom"]
    top = _top(series, unit, custom.get("axisSoftMax", 0))

    def place(at: float, value: float) -> tuple[float, float]:
        across = _AXIS + (at - span.start) / (span.end - span.start) * (width - _AXIS)
        return across, (height - _FOOT - _HEAD) * (1 - value / top) + _HEAD

    grid = "".join(
        _grid_line(place(span.start, top * i / _GRID)[1], width, value_text(top * i / _GRID, unit))
        for i in range(_GRID + 1)
    )
    times = "".join(_time(span, i, width, height) for i in range(_GRID + 1))
    draw = _sticks if custom.get("drawStyle") == "bars" else _line
    drawn = "".join(draw(one, span, place, COLORS[i % len(COLORS)]) for i, one in enumerate(series))
    legend = "".join(
        f'<span><i style="background:{COLORS[i % len(COLORS)]}"></i>{escape(one.name)}</span>'
        for i, one in enumerate(series)
    )
    return f'<svg width="{width}" height="{height}">{grid}{times}{drawn}</svg><div class="legend">{legend}</div>'


def _legend_height(series: Sequence[Series], width: int) -> int:
    """Height of the legend in pixels, with wrapped lines; at most four lines are shown."""
    lines_needed, across = 1, 0.0
    for one in series:
        needed = len(one.name) * _CHARACTER_WIDTH + _MARK_WIDTH
        if across and across + needed > width:
            lines_needed, across = lines_needed + 1, 0.0
        across += needed
    return min(lines_needed, _LEGEND_LINES) * _LINE_HEIGHT


def _top(series: Sequence[Series], unit: str, soft: float) -> float:
    """The upper end of the axis: a round number of the unit's multiples, at least the panel's soft maximum."""
    most = max(value for one in series for _, value in one.points)
    if most <= soft or not most:
        return soft or 1.0
    size = next((size for size, _ in _SCALES.get(unit, ()) if most >= size), 1)
    power = 10.0 ** floor(log10(most / size))
    return size * next(power * factor for factor in _ROUND if size * power * factor >= most)


def _grid_line(y: float, width: int, label: str) -> str:
    return (
        f'<line class="grid" x1="{_AXIS}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_AXIS - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>'
    )


def _time(span: Span, index: int, width: int, height: int) -> str:
    ago = (span.end - span.start) * (1 - index / _GRID) / 60
    anchor = "start" if index == 0 else "end" if index == _GRID else "middle"
    across = _AXIS + (width - _AXIS) * index / _GRID
    label = "now" if index == _GRID else f"-{ago:.3g} min"
    return f'<text x="{across:.0f}" y="{height - 2}" text-anchor="{anchor}">{label}</text>'


def _sticks(series: Series, span: Span, place: _Place, color: str) -> str:
    """A bar from the axis to each point."""
    floor_y = place(span.start, 0)[1]
    corners = (place(*point) for point in series.points)
    return "".join(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="2" height="{floor_y - y:.1f}" fill="{color}"/>' for x, y in corners
    )


def _line(series: Series, span: Span, place: _Place, color: str) -> str:
    """A line for each run of points without a gap; a single point is a dot."""
    runs: list[list[tuple[float, float]]] = []
    for before, point in zip([None, *series.points], series.points, strict=False):
        if before is None or point[0] - before[0] > 1.5 * span.step:
            runs.append([])
        runs[-1].append(place(*point))
    return "".join(_run(run, color) for run in runs)


def _run(run: Sequence[tuple[float, float]], color: str) -> str:
    if len(run) == 1:
        return f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="1.5" fill="{color}"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
    return f'<polyline points="{path}" stroke="{color}"/>'


def bands(panel: Json, series: Sequence[Series], span: Span) -> str:
    """A band for each series, in the colour of the state for its value."""
    if not series:
        return nothing(panel)
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    return "".join(_band(one, mapping["options"], span) for one in series)


def _band(series: Series, states: Json, span: Span) -> str:
    length = span.end - span.start
    pieces = "".join(
        f'<i style="left:{(at - span.start) / length * 100:.2f}%;width:{span.step / length * 100 + 0.1:.2f}%;'
        f'background:{NAMED[states[f"{value:.0f}"]["color"]]}"></i>'
        for at, value in series.points
        if at + span.step <= span.end
    )
    last = states[f"{series.points[-1][1]:.0f}"]["text"]
    return f'<div class="band"><span>{escape(series.name)}</span><div>{pieces}<b>{escape(last)}</b></div></div>'
