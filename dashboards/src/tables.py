"""The table panel: each line has its labels first, then one column for each query."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_uppercase

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    TableBarGaugeCellOptions,
    TableColoredBackgroundCellOptions,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColor,
    FieldColorModeId,
    ValueMap,
    ValueMappingResult,
)

from collectors.metric import Unit
from dashboards.src.panels import About, introduced, table_target
from dashboards.src.promql import CLUSTER, Expression
from dashboards.src.units import GRAFANA_UNITS

_EMPTY_CELL = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A query of a table.

    Attributes:
        title: The title of the column.
        expression: The PromQL expression.
        label: The label that is shown; empty if the value is shown.
        colors: The colour of each value of the label.
    """

    title: str
    expression: Expression
    label: str = ""
    colors: Mapping[str, str] = field(default_factory=dict)

    def properties(self) -> list[DynamicConfigValue]:
        """How Grafana shows it: a coloured word, a bar for a ratio, a number with its unit."""
        if self.colors:
            mapping = ValueMap({value: ValueMappingResult(color=color) for value, color in self.colors.items()})
            return [
                DynamicConfigValue("mappings", [mapping]),
                DynamicConfigValue("custom.cellOptions", TableColoredBackgroundCellOptions()),
            ]
        unit = DynamicConfigValue("unit", GRAFANA_UNITS[self.expression.unit])
        if self.expression.unit is not Unit.RATIO:
            return [unit]
        return [
            unit,
            DynamicConfigValue("min", 0),
            DynamicConfigValue("max", 1),
            DynamicConfigValue("color", FieldColor(FieldColorModeId.FIXED, "blue")),
            DynamicConfigValue("custom.cellOptions", TableBarGaugeCellOptions(BarGaugeDisplayMode.BASIC)),
        ]


def rows(
    about: About, labels: Mapping[str, str], columns: tuple[Column, ...], hidden: tuple[str, ...] = ()
) -> table.Panel:
    """A table.

    Args:
        about: Its title and description.
        labels: The shown labels, which every query has, with the titles of their columns.
        columns: The queries.
        hidden: Labels that distinguish the lines and are not shown.
    """
    panel = table.Panel().filterable(filterable=True)
    for letter, column in zip(ascii_uppercase, columns, strict=False):
        panel.with_target(table_target(letter, column.expression))
        panel.override_by_name(column.title, column.properties())
    for transformation in _one_table(labels, columns, hidden):
        panel.with_transformation(transformation)
    return introduced(panel, about, Unit.NONE).no_value(_EMPTY_CELL)


def _one_table(
    labels: Mapping[str, str], columns: tuple[Column, ...], hidden: tuple[str, ...]
) -> tuple[DataTransformerConfig, ...]:
    """Join the results of the queries by their labels; name, order and hide columns."""
    titles = {CLUSTER: "Cluster", **labels}
    unseen = ["Time", *hidden]
    for value, column in zip(_value_fields(len(columns)), columns, strict=True):
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
