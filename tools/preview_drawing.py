"""Draws numbers, bars and bands as HTML, roughly like Grafana; only for a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from collectors.metric import Unit
from dashboards.src.units import GRAFANA_UNITS
from tools.dashboard_queries import Json

COLORS = ("#3871dc", "#e0752d", "#37872d", "#a352cc", "#c4162a", "#0a9bb0", "#b5860b", "#7c7f86", "#d0417e", "#5b8c00")
NAMED = {
    "green": "#37872d",
    "yellow": "#b5860b",
    "orange": "#e0752d",
    "red": "#c4162a",
    "blue": "#3871dc",
    "purple": "#8f3bb8",
    "text": "#4a5058",
}
# The multiples of each unit with their names, largest first.
SCALES: dict[str, Sequence[tuple[float, str]]] = {
    GRAFANA_UNITS[Unit.BYTES]: ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")),
    GRAFANA_UNITS[Unit.WATTS]: ((1000, "kW"), (1, "W")),
    GRAFANA_UNITS[Unit.JOULES]: ((1e9, "GJ"), (1e6, "MJ"), (1000, "kJ"), (1, "J")),
    GRAFANA_UNITS[Unit.HERTZ]: ((1e9, "GHz"), (1e6, "MHz"), (1000, "kHz"), (1, "Hz")),
    GRAFANA_UNITS[Unit.BYTES_PER_SECOND]: (
        (1 << 30, "GiB/s"),
        (1 << 20, "MiB/s"),
        (1 << 10, "KiB/s"),
        (1, "B/s"),
    ),
    GRAFANA_UNITS[Unit.CELSIUS]: ((1, "°C"),),
    GRAFANA_UNITS[Unit.SECONDS]: ((3600, "h"), (60, "min"), (1, "s")),
}
_MOST_BANDS = 8


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a panel.

    Attributes:
        name: Its name in the legend.
        points: Its values by Unix time.
        limit: Whether it is a limit, which is drawn dashed.
    """

    name: str
    points: Sequence[tuple[float, float]]
    limit: bool = False


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
    if unit in SCALES:
        size, name = next(((size, name) for size, name in SCALES[unit] if value >= size), SCALES[unit][-1])
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


def bands(panel: Json, series: Sequence[Series], span: Span) -> str:
    """A band for each series, in the colour of the state for its value."""
    if not series:
        return nothing(panel)
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    drawn = "".join(_band(one, mapping["options"], span) for one in series[:_MOST_BANDS])
    return f'{drawn}<p class="more">{_others(len(series))}</p>'


def _others(number: int) -> str:
    return f"{number - _MOST_BANDS} more on the next pages" if number > _MOST_BANDS else ""


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
