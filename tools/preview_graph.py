"""Draws a graph with its legend as HTML and inline SVG, roughly like Grafana; only for a picture."""

from collections.abc import Callable, Sequence
from html import escape
from math import floor, log10

from tools.dashboard_queries import Json
from tools.preview_drawing import COLORS, NAMED, SCALES, Series, Span, nothing, value_text

_AXIS = 56  # pixels to the left of a graph, for numbers
_FOOT = 18  # below it, for times
_HEAD = 6  # and above it, for the upper half of a number
_GRID = 4
_ROUND = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10, 12)
_LEGEND_LINES = 5  # at most; the first has the titles
_LEGEND_LINE_HEIGHT = 15
_TITLES = {"mean": "Mean", "last": "Last", "max": "Max"}


# From Unix time and value to pixels.
_Place = Callable[[float, float], tuple[float, float]]


def graph(panel: Json, series: Sequence[Series], span: Span, size: tuple[int, int]) -> str:
    """A graph with axes, and the legend below it.

    Args:
        panel: From the dashboard.
        series: What is drawn.
        span: The time range.
        size: Width and height of graph and legend, in pixels.
    """
    if not series:
        return nothing(panel)
    defaults = panel["fieldConfig"]["defaults"]
    width, height = size[0], size[1] - min(len(series) + 1, _LEGEND_LINES) * _LEGEND_LINE_HEIGHT
    bottom, top = _ends(series, defaults)

    def place(at: float, value: float) -> tuple[float, float]:
        across = _AXIS + (at - span.start) / (span.end - span.start) * (width - _AXIS)
        return across, (height - _FOOT - _HEAD) * (1 - (value - bottom) / (top - bottom)) + _HEAD

    marks = (bottom + (top - bottom) * i / _GRID for i in range(_GRID + 1))
    grid = "".join(_grid_line(place(span.start, at)[1], width, value_text(at, defaults["unit"])) for at in marks)
    times = "".join(_time(span, i, width, height) for i in range(_GRID + 1))
    areas = _areas(defaults, place, span, (bottom, top))
    draw = _sticks if defaults["custom"].get("drawStyle") == "bars" else _line
    drawn = "".join(draw(one, span, place, _color(i)) for i, one in enumerate(series))
    return f'<svg width="{width}" height="{height}">{areas}{grid}{times}{drawn}</svg>{_legend(panel, series, span)}'


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _ends(series: Sequence[Series], defaults: Json) -> tuple[float, float]:
    """The ends of the axis: those of the panel if it has them, else round numbers around the values."""
    values = [value for one in series for _, value in one.points]
    bottom = defaults.get("min", min(0.0, *values, 0.0))
    most = max(values)
    soft = defaults["custom"].get("axisSoftMax", 0)
    if "max" in defaults or most <= soft or not most > 0:
        return bottom, defaults.get("max", soft or 1.0)
    size = next((size for size, _ in SCALES.get(defaults["unit"], ()) if most >= size), 1)
    power = 10.0 ** floor(log10(most / size))
    return bottom, size * next(power * factor for factor in _ROUND if size * power * factor >= most)


def _areas(defaults: Json, place: _Place, span: Span, ends: tuple[float, float]) -> str:
    """The colours of the steps behind the graph, if the panel shows them."""
    if "area" not in defaults["custom"].get("thresholdsStyle", {}).get("mode", ""):
        return ""
    steps = defaults["thresholds"]["steps"]
    starts = [ends[0] if step["value"] is None else step["value"] for step in steps]
    drawn = ""
    for step, low, high in zip(steps, starts, [*starts[1:], ends[1]], strict=True):
        (left, upper), (right, lower) = place(span.start, min(high, ends[1])), place(span.end, low)
        box = f'x="{left:.1f}" y="{upper:.1f}" width="{right - left:.1f}" height="{max(lower - upper, 0):.1f}"'
        drawn += f'<rect {box} fill="{NAMED[step["color"]]}" opacity="0.13"/>'
    return drawn


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
    return "".join(_run(run, color, dashed=series.limit) for run in runs)


def _run(run: Sequence[tuple[float, float]], color: str, *, dashed: bool) -> str:
    if len(run) == 1:
        return f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="1.5" fill="{color}"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
    dashes = ' stroke-dasharray="6 5"' if dashed else ""
    return f'<polyline points="{path}" stroke="{color}"{dashes}/>'


def _legend(panel: Json, series: Sequence[Series], span: Span) -> str:
    """The first lines of the legend's table: the largest series."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    calcs = panel["options"]["legend"]["calcs"]
    head = "".join(f"<th>{_TITLES[calc]}</th>" for calc in calcs)
    ordered = sorted(enumerate(series), key=lambda one: max(value for _, value in one[1].points), reverse=True)
    shown = ordered[: _LEGEND_LINES - 1]
    body = "".join(
        f'<tr><td><i style="background:{_color(i)}"></i>{escape(one.name)}</td>'
        + "".join(f"<td>{escape(_summary(one, calc, span, unit))}</td>" for calc in calcs)
        + "</tr>"
        for i, one in shown
    )
    hidden = len(ordered) - len(shown)
    more = f"Name, and {hidden} more below" if hidden else "Name"
    return f'<table class="legend"><tr><th>{more}</th>{head}</tr>{body}</table>'


def _summary(series: Series, calc: str, span: Span, unit: str) -> str:
    """The mean, the largest or the last value; a series that ended has no last value."""
    values = [value for _, value in series.points]
    if calc == "mean":
        return value_text(sum(values) / len(values), unit)
    if calc == "max":
        return value_text(max(values), unit)
    return value_text(values[-1], unit) if series.points[-1][0] > span.end - 1.5 * span.step else ""
