"""The table panel: a line for each combination of labels, one column for each label and each query."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    TableBarGaugeCellOptions,
    TableColoredBackgroundCellOptions,
    TableColorTextCellOptions,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColor,
    FieldColorModeId,
)

from collectors.metric import Unit
from dashboards.src.links import CELL_LINKS
from dashboards.src.panels import About, Step, introduced, table_target, thresholds, value_map
from dashboards.src.promql import CLUSTER, Expression, largest_first
from dashboards.src.status import STATE_LOOKS, Look
from dashboards.src.units import GRAFANA_UNITS

_EMPTY_CELL = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A query of a table.

    Attributes:
        title: The title of the column.
        expression: The PromQL expression.
        label: The label that is shown; empty if the value is shown.
        looks: The word and the colour for each value; empty if the number is shown.
        steps: The colours of the number or the bar.
    """

    title: str
    expression: Expression
    label: str = ""
    looks: Mapping[int, Look] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    def properties(self) -> list[DynamicConfigValue]:
        """How Grafana shows it: a coloured word, a bar for a ratio, a number with its unit."""
        if self.looks:
            return [
                DynamicConfigValue("mappings", [value_map(self.looks)]),
                DynamicConfigValue("custom.cellOptions", TableColoredBackgroundCellOptions()),
            ]
        unit = DynamicConfigValue("unit", GRAFANA_UNITS[self.expression.unit])
        if self.expression.unit is Unit.RATIO:
            return [unit, *_bar(self.steps)]
        return [unit, *_coloured(self.steps)] if self.steps else [unit]


def state(expression: Expression) -> Column:
    """The column that a table is sorted by: the worst state first."""
    return Column("State", largest_first(expression), looks=STATE_LOOKS)


def rows(
    about: About,
    first: Column,
    labels: Mapping[str, str],
    *columns: Column,
    hidden: tuple[str, ...] = (),
) -> table.Panel:
    """A table, sorted by its first column, the largest value first.

    Grafana joins the results of the queries by the labels that all of them have. The first query can have more labels
    than the others, such as the pods of a device: their values are then repeated in each of its lines.

    Args:
        about: Its title and description.
        first: The query that the lines are sorted by.
        labels: The shown labels of the first query, with the titles of their columns.
        columns: The other queries.
        hidden: Labels that distinguish the lines and are not shown.
    """
    queries = (first, *columns)
    panel = table.Panel().filterable(filterable=True).sort_by([_by(first)])
    for letter, column in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(table_target(letter, column.expression))
        panel.override_by_name(column.title, column.properties())
    for label, title in labels.items():
        if label in CELL_LINKS:
            panel.override_by_name(title, [DynamicConfigValue("links", [CELL_LINKS[label].value()])])
    for transformation in _one_table(labels, queries, hidden):
        panel.with_transformation(transformation)
    return introduced(panel, about, Unit.NONE).no_value(_EMPTY_CELL)


def _by(first: Column) -> common.TableSortByFieldState:
    return common.TableSortByFieldState().display_name(first.title).desc(desc=True)


def _bar(steps: tuple[Step, ...]) -> list[DynamicConfigValue]:
    """A bar from 0 to 1."""
    color = FieldColor(FieldColorModeId.THRESHOLDS if steps else FieldColorModeId.FIXED, None if steps else "blue")
    return [
        DynamicConfigValue("min", 0),
        DynamicConfigValue("max", 1),
        DynamicConfigValue("color", color),
        *([DynamicConfigValue("thresholds", thresholds(*steps).build())] if steps else []),
        DynamicConfigValue("custom.cellOptions", TableBarGaugeCellOptions(BarGaugeDisplayMode.BASIC)),
    ]


def _coloured(steps: tuple[Step, ...]) -> list[DynamicConfigValue]:
    """A number in the colour of its step."""
    return [
        DynamicConfigValue("color", FieldColor(FieldColorModeId.THRESHOLDS)),
        DynamicConfigValue("thresholds", thresholds(*steps).build()),
        DynamicConfigValue("custom.cellOptions", TableColorTextCellOptions()),
    ]


def _one_table(
    labels: Mapping[str, str], queries: tuple[Column, ...], hidden: tuple[str, ...]
) -> tuple[DataTransformerConfig, ...]:
    """Join the results of the queries by their labels; name, order and hide columns."""
    values = _value_fields(len(queries))
    titles = {values[0]: queries[0].title, CLUSTER: "Cluster", **labels}
    unseen = ["Time", *hidden]
    for value, column in zip(values[1:], queries[1:], strict=True):
        titles[column.label or value] = column.title
        if column.label:
            unseen.append(value)
    options = {
        "excludeByName": dict.fromkeys(unseen, True),
        "indexByName": {name: index for index, name in enumerate(titles)},
        "renameByName": titles,
    }
    return (
        DataTransformerConfig("merge", options={}),
        DataTransformerConfig("organize", options=options),
    )


def _value_fields(queries: int) -> list[str]:
    """Grafana's names of the value columns: with the letter of the query if there are several."""
    return [f"Value #{letter}" for letter in ascii_uppercase[:queries]] if queries > 1 else ["Value"]
