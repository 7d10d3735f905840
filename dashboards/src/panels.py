"""The kinds of panels. Each has its queries and its description as arguments; its appearance is defined only here."""

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from collectors.metric import Unit
from dashboards.src.links import Link
from dashboards.src.promql import Expression
from dashboards.src.scope import SOURCE
from dashboards.src.status import Look
from dashboards.src.units import GRAFANA_UNITS

NOTHING_REPORTED = "Nothing reported"
# The last value is that of the end of the range: a series that ended has none.
LEGEND_VALUES = ("mean", "last", "max")
_GRAPH_HEIGHT = 9  # with room for a few lines of the legend
_FEW = 4  # smallest upper end of an axis for events, so that it has whole numbers
_EVENTS_INTERVAL = "1m"  # smallest distance between two points, which is at least a scrape interval
_BANDS = 20  # bands of a timeline at once; the others are on its next pages


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
    height: int = _GRAPH_HEIGHT


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and the names of its series.

    Attributes:
        expression: The PromQL expression.
        legend: The name of a series, with labels in double braces.
        limit: Whether it is a limit of the device, which is drawn dashed.
    """

    expression: Expression
    legend: str
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """The colour from a value on. The first of several steps also applies to all smaller values.

    Attributes:
        value: The value in the unit of the panel.
        color: One of Grafana's colour names.
    """

    value: float
    color: str


BAD_FROM_ONE = (Step(0, "green"), Step(1, "red"))


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
    def data_links(self, links: list[Builder[dashboard.DashboardLink]]) -> Self: ...


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


def lines(about: About, *queries: Query, link: Link | None = None) -> timeseries.Panel:
    """A line over time for each series. Ratios are drawn from 0 to 1; a gap in the data is a gap in the line.

    Args:
        about: Its title and description.
        queries: All of one unit.
        link: Where a click on a line leads.
    """
    panel = _graph(about, queries, link).min(0)
    return panel.max(1) if _one_unit(queries) is Unit.RATIO else panel


def quotients(about: About, *queries: Query, link: Link | None = None) -> timeseries.Panel:
    """Lines of quotients that can be above 1; the axis ends at 1 where none is."""
    return _graph(about, queries, link).min(0).axis_soft_max(1)


def margins(about: About, query: Query, *steps: Step, link: Link | None = None) -> timeseries.Panel:
    """Lines of what is left before a limit, with the steps as areas; they can be below 0."""
    return (
        _graph(about, (query,), link)
        .axis_soft_min(0)
        .thresholds(thresholds(*steps))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED_AND_AREA))
    )


def events(about: About, *queries: Query, link: Link | None = None) -> timeseries.Panel:
    """Rare events: a bar for each point with events, in whole numbers."""
    return (
        lines(about, *queries, link=link)
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(60)
        .decimals(0)
        .axis_soft_max(_FEW)
        .interval(_EVENTS_INTERVAL)
        .legend(_legend("max"))
    )


def bars(about: About, query: Query, *steps: Step, link: Link | None = None) -> bargauge.Panel:
    """A bar for the current value of each series."""
    panel = (
        bargauge.Panel()
        .reduce_options(_newest())
        .orientation(VizOrientation.HORIZONTAL)
        .min(0)
        .thresholds(thresholds(*steps))
        .with_target(_target("A", query.expression).instant().legend_format(query.legend))
    )
    return introduced(_linked(panel, link), about, query.expression.unit)


def states(about: About, looks: Mapping[int, Look], *queries: Query, link: Link | None = None) -> statetimeline.Panel:
    """A band over time for each series of states, in the colour of each state."""
    panel = (
        statetimeline.Panel()
        .mappings([value_map(looks)])
        .merge_values(merge_values=True)
        .show_value(VisibilityMode.AUTO)
        .row_height(0.7)
        .per_page(_BANDS)
        .legend(common.VizLegendOptions().show_legend(show_legend=False))
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(_target(letter, query.expression).range().legend_format(query.legend))
    return introduced(_linked(panel, link), about, _one_unit(queries))


def value_map(looks: Mapping[int, Look]) -> ValueMap:
    """Grafana's form of the looks: a word and a colour for each value."""
    return ValueMap(
        {
            str(value): ValueMappingResult(text=look.text, color=look.color, index=index)
            for index, (value, look) in enumerate(looks.items())
        }
    )


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


def _graph(about: About, queries: tuple[Query, ...], link: Link | None) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(8)
        .show_points(VisibilityMode.AUTO)
        .legend(_legend(*LEGEND_VALUES))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(_target(letter, query.expression).range().legend_format(query.legend))
        if query.limit:
            panel.override_by_query(letter, _dashed())
    return introduced(_linked(panel, link), about, _one_unit(queries))


def _dashed() -> list[DynamicConfigValue]:
    return [
        DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}),
        DynamicConfigValue("custom.fillOpacity", 0),
    ]


def _linked(panel: _AnyBuilder, link: Link | None) -> _AnyBuilder:
    return panel if link is None else panel.data_links([DashboardLink(link.title).url(link.url)])


def _one_unit(queries: tuple[Query, ...]) -> Unit:
    (unit,) = {query.expression.unit for query in queries}
    return unit


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _legend(*values: str) -> common.VizLegendOptions:
    """A table below the graph, the series with the largest value first."""
    return (
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .calcs(list(values))
        .sort_by("Max")
        .sort_desc(sort_desc=True)
    )
