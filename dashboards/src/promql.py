"""PromQL made of catalogue rows: a query cannot name an unknown family, and its unit is derived from the rows."""

from dataclasses import dataclass
from typing import Self

from collectors.metric import Metric, Subject, Unit
from dashboards.src.variables import SCOPES

# Windows that Grafana replaces: a few scrapes for a point of a graph, the whole time range for a table.
POINT = "$__rate_interval"
RANGE = "$__range"

# The label `cluster` is for users with several clusters. Grouping by a label that the series lack changes nothing.
CLUSTER = "cluster"

_PER_SECOND = {
    Unit.NONE: Unit.NONE,
    Unit.SECONDS: Unit.RATIO,
    Unit.BYTES: Unit.BYTES_PER_SECOND,
    Unit.JOULES: Unit.WATTS,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A piece of PromQL.

    Attributes:
        text: The PromQL.
        unit: The unit of its values.
        whole: False if it needs parentheses as part of another expression.
    """

    text: str
    unit: Unit
    whole: bool = True

    def part(self) -> str:
        """The text as an operand."""
        return self.text if self.whole else f"({self.text})"

    def where(self, condition: str) -> Self:
        """Only the values that meet a condition, such as `> 0`."""
        return type(self)(f"{self.part()} {condition}", self.unit, whole=False)

    def as_count(self) -> Self:
        """The same numbers, read as a count: shares of devices that add up to devices."""
        return type(self)(self.text, Unit.NONE, self.whole)

    def over(self, other: Self) -> Self:
        """The quotient; it is a ratio if both have the same unit."""
        unit = Unit.RATIO if self.unit is other.unit else self.unit
        return type(self)(f"{self.part()}\n/ {other.part()}", unit, whole=False)

    def times_one_of(self, other: Self, *on: str, adding: tuple[str, ...] = ()) -> Self:
        """The product with the one element of the other that has the same labels; it has the other's unit, if any.

        Args:
            other: The side with one element for each combination of labels, where this side may have many.
            on: The labels to compare, in addition to the cluster.
            adding: Labels to copy from the other.
        """
        unit = self.unit if other.unit is Unit.NONE else other.unit
        matching = f"on ({_list(CLUSTER, *on)}) group_left ({_list(*adding)})"
        return type(self)(f"{self.part()}\n* {matching}\n{other.part()}", unit, whole=False)

    def those_in(self, other: Self, *on: str) -> Self:
        """The elements whose labels also exist in the other."""
        return type(self)(f"{self.part()}\nand on ({_list(CLUSTER, *on)})\n{other.part()}", self.unit, whole=False)

    def or_else(self, other: Self) -> Self:
        """These elements, and those of the other that are not among them."""
        return type(self)(f"{self.part()}\nor\n{other.part()}", self.unit, whole=False)


def series(row: Metric, subject: Subject, *matchers: str) -> Expression:
    """The family's series in the scope of the dashboard's variables.

    Args:
        row: The catalogue's row.
        subject: The subject of the family.
        matchers: More matchers, such as `sensor="core"`.
    """
    return Expression(f"{row.name(subject)}{{{_list(*SCOPES[subject], *matchers)}}}", row.unit)


def rate(counter: Expression, window: str) -> Expression:
    """The increase of a counter per second."""
    return Expression(f"rate({counter.text}[{window}])", _PER_SECOND[counter.unit])


def increase(counter: Expression, window: str) -> Expression:
    """The increase of a counter over the window."""
    return Expression(f"increase({counter.text}[{window}])", counter.unit)


def part_of_time(states: Expression, window: str) -> Expression:
    """The fraction of the window in which a state of 0 or 1 was 1."""
    return Expression(f"avg_over_time({states.text}[{window}])", Unit.RATIO)


def total(expression: Expression, *by: str) -> Expression:
    """The sum of all elements, or of each group with equal labels."""
    return _aggregated("sum", expression, by)


def largest(expression: Expression, *by: str) -> Expression:
    """The largest element of each group with equal labels. For groups of one element it only drops the other labels."""
    return _aggregated("max", expression, by)


def count(expression: Expression) -> Expression:
    """The number of elements."""
    return Expression(f"count({expression.text})", Unit.NONE)


def complement(states: Expression) -> Expression:
    """1 for each 0 and 0 for each 1."""
    return Expression(f"1 - {states.part()}", states.unit, whole=False)


def since(timestamps: Expression) -> Expression:
    """Seconds since a Unix time."""
    return Expression(f"time() - {timestamps.part()}", Unit.SECONDS, whole=False)


def _aggregated(operator: str, expression: Expression, by: tuple[str, ...]) -> Expression:
    grouping = f" by ({_list(CLUSTER, *by)}) " if by else ""
    return Expression(f"{operator}{grouping}({expression.text})", expression.unit)


def _list(*items: str) -> str:
    return ", ".join(items)
