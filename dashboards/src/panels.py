"""The kinds of panels. Each has its queries and its description as arguments; its appearance is defined only here."""

from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from collectors.metric import Unit
from dashboards.src.promql import Expression
from dashboards.src.units import GRAFANA_UNITS
from dashboards.src.variables import SOURCE

NOTHING_REPORTED = "Nothing reported"
_FEW = 4  # smallest upper end of an axis for events, so that it has whole numbers


@dataclass(frozen=True, slots=True)
class About:
    """Title, description and size of a panel.

    Attributes:
        title: The title above the panel.
        description: How to read it, and what to do about a problem that it shows.
        width: Number of the page's 24 columns.
        height: Height in Grafana's units of about 38 pixels.
    """

    title: str
    description: str
    width: int = 12
    height: int = 8


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and the names of its series.

    Attributes:
        expression: The PromQL expression.
        legend: The name of a series, with labels in double braces.
    """

    expression: Expression
    legend: str


@dataclass(frozen=True, slots=True)
class Step:
    """The colour from a value on. The first of several steps also applies to all smaller values.

    Attributes:
        value: The value in the unit of the panel.
        color: One of Grafana's colour names.
    """

    value: float
    color: str


class _PanelBuilder(Protocol):
    """The common methods of the library's panel builders."""

    def build(self) -> Panel: ...
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def with_target(self, target: Builder[Any]) -> Self: ...


_AnyBuilder = TypeVar("_AnyBuilder", bound=_PanelBuilder)


def number(about: About, expression: Expression, *steps: Step) -> stat.Panel:
    """One current number, coloured by steps if there are any."""
    panel = (
        stat.Panel()
        .reduce_options(_newest())
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE if steps else BigValueColorMode.NONE)
        .thresholds(thresholds(*steps))
        .with_target(_target("A", expression).instant().legend_format(about.title))
    )
    return introduced(panel, about, expression.unit)


def lines(about: About, *queries: Query) -> timeseries.Panel:
    """A line over time for each series. Ratios are drawn from 0 to 1; a gap in the data is a gap in the line."""
    unit = _one_unit(queries)
    panel = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(8)
        .show_points(VisibilityMode.AUTO)
        .min(0)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if unit is Unit.RATIO:
        panel.axis_soft_max(1)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(_target(letter, query.expression).range().legend_format(query.legend))
    return introduced(panel, about, unit)


def events(about: About, query: Query) -> timeseries.Panel:
    """Rare events: a bar for each point with events, in whole numbers."""
    return lines(about, query).draw_style(GraphDrawStyle.BARS).fill_opacity(60).decimals(0).axis_soft_max(_FEW)


def bars(about: About, query: Query, *steps: Step) -> bargauge.Panel:
    """A bar for the current value of each series."""
    panel = (
        bargauge.Panel()
        .reduce_options(_newest())
        .orientation(VizOrientation.HORIZONTAL)
        .min(0)
        .thresholds(thresholds(*steps))
        .with_target(_target("A", query.expression).instant().legend_format(query.legend))
    )
    return introduced(panel, about, query.expression.unit)


def states(about: About, *queries: Query) -> statetimeline.Panel:
    """A band over time for each series of 0 and 1."""
    up = ValueMappingResult(text="up", color="green", index=0)
    down = ValueMappingResult(text="down", color="red", index=1)
    panel = (
        statetimeline.Panel()
        .mappings([ValueMap({"1": up, "0": down})])
        .merge_values(merge_values=True)
        .show_value(VisibilityMode.AUTO)
        .row_height(0.7)
        .legend(common.VizLegendOptions().show_legend(show_legend=False))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(_target(letter, query.expression).range().legend_format(query.legend))
    return introduced(panel, about, _one_unit(queries))


def introduced(panel: _AnyBuilder, about: About, unit: Unit) -> _AnyBuilder:
    """The panel with the settings that all panels have."""
    return (
        panel.title(about.title)
        .description(about.description)
        .datasource(SOURCE)
        .unit(GRAFANA_UNITS[unit])
        .span(about.width)
        .height(about.height)
        .no_value(NOTHING_REPORTED)
    )


def thresholds(*steps: Step) -> ThresholdsConfig:
    """Grafana's form of the steps; one neutral colour if there are none."""
    rising = steps or (Step(0, "text"),)
    base, *others = rising
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=None, color=base.color), *(Threshold(step.value, step.color) for step in others)])
    )


def table_target(letter: str, expression: Expression) -> prometheus.Dataquery:
    """A query whose labels become columns."""
    return _target(letter, expression).instant().format(PromQueryFormat.TABLE)


def _target(letter: str, expression: Expression) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(expression.text)


def _one_unit(queries: tuple[Query, ...]) -> Unit:
    (unit,) = {query.expression.unit for query in queries}
    return unit


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
