"""The expressions of the dashboards, parsed, and the labels that the catalogue gives to the series in them."""

from functools import cache

import promql_parser

from collectors import catalog
from collectors.metric import Metric, Subject
from exporter import families
from tests.doubles.dashboards import WINDOWS
from tests.doubles.promql import nodes
from tools.dashboard_queries import filled_in

FAMILIES: dict[str, tuple[Metric, Subject]] = {
    row.name(subject): (row, subject) for row in (*catalog.ROWS, *families.ROWS) for subject in row.subjects
}
ADDED_BY_PROMETHEUS = {"instance", "job", "cluster"}


@cache
def parsed(expr: str) -> promql_parser.Expr:
    """The query with its variables replaced."""
    return promql_parser.parse(filled_in(expr, WINDOWS))


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """The selectors of series in a query."""
    return [node for node in nodes(parsed(expr)) if isinstance(node, promql_parser.VectorSelector)]


def labels_of(name: str) -> set[str]:
    """The labels that the series of a family can have in Prometheus."""
    row, subject = FAMILIES[name]
    return {*families.SUBJECT_LABELS[subject], *(label.name for label in row.labels), *ADDED_BY_PROMETHEUS}


def labels_of_selected(expr: str) -> set[str]:
    """The labels of all series that a query selects."""
    return set.union(*(labels_of(str(selector.name)) for selector in selectors(expr)))
