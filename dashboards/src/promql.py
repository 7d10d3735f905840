"""PromQL made of catalogue rows: its unit is derived from the rows and from what is done with them."""

from dataclasses import dataclass
from typing import Self

from collectors.metric import Unit

# Windows that Grafana replaces: a few scrapes for a point of a graph, the whole time range for a table.
POINT = "$__rate_interval"
RANGE = "$__range"
# What is called "now" where one moment says too little: long enough for the rate of a job with a scrape each minute.
RECENT = "5m"
# The distance between two points of a graph, so that each event is in one window only.
STEP = "$__interval"

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
        """Only the values that meet a condition, such as `> 0`; with `> bool 0`, 1 for those and 0 for the others."""
        return type(self)(f"{self.part()} {condition}", self.unit, whole=False)

    def as_unit(self, unit: Unit) -> Self:
        """The same numbers in another unit: shares of devices that add up to a number of devices."""
        return type(self)(self.text, unit, self.whole)

    def times(self, factor: str, unit: Unit) -> Self:
        """The product with a number, which has the given unit."""
        return type(self)(f"{self.part()} * {factor}", unit, whole=False)

    def plus(self, other: Self) -> Self:
        """The sum; both sides have the same labels."""
        return type(self)(f"{self.text}\n+ {other.part()}", self.unit, whole=False)

    def minus(self, other: Self) -> Self:
        """The difference; both sides have the same labels."""
        return type(self)(f"{self.part()} - {other.part()}", self.unit, whole=False)

    def smaller_than(self, other: Self) -> Self:
        """The elements that are smaller than the other's with the same labels."""
        return type(self)(f"{self.part()} < {other.part()}", self.unit, whole=False)

    def over(self, other: Self) -> Self:
        """The quotient; it is a ratio if both have the same unit."""
        unit = Unit.RATIO if self.unit is other.unit else self.unit
        return type(self)(f"{self.part()}\n/ {other.part()}", unit, whole=False)

    def times_one_of(self, other: Self, *on: str, adding: tuple[str, ...] = ()) -> Self:
        """The product with the largest element of the other that has the same labels; it has the other's unit, if any.

        Args:
            other: The side of which one element for each combination of labels is used, where this side may have many.
            on: The labels to compare, in addition to the cluster.
            adding: Labels to copy from the other.
        """
        unit = self.unit if other.unit is Unit.NONE else other.unit
        return self._with_one_of("*", other, on, adding, unit)

    def plus_one_of(self, other: Self, *on: str) -> Self:
        """The sum with the one element of the other that has the same labels."""
        return self._with_one_of("+", other, on, (), self.unit)

    def equal_to_one_of(self, other: Self, *on: str) -> Self:
        """The elements whose value is that of the one element of the other that has the same labels."""
        return self._with_one_of("==", other, on, (), self.unit)

    def those_in(self, other: Self, *on: str) -> Self:
        """The elements whose labels also exist in the other."""
        return type(self)(f"{self.part()}\nand on ({_list(CLUSTER, *on)})\n{other.part()}", self.unit, whole=False)

    def those_not_in(self, other: Self, *on: str) -> Self:
        """The elements whose labels do not exist in the other; without `on`, all labels are compared."""
        return type(self)(f"{self.part()}\nunless{_on(on)}\n{other.part()}", self.unit, whole=False)

    def or_else(self, other: Self, *on: str) -> Self:
        """These elements, and those of the other whose labels do not exist here; without `on`, all labels are compared.

        The result is the same with parentheses around either side and without, so a chain stays flat.
        """
        return type(self)(f"{self.text}\nor{_on(on)}\n{other.part()}", self.unit, whole=False)

    def _with_one_of(
        self, operator: str, other: Self, on: tuple[str, ...], adding: tuple[str, ...], unit: Unit
    ) -> Self:
        matching = f"on ({_list(CLUSTER, *on)}) group_left ({_list(*adding)})"
        return type(self)(f"{self.part()}\n{operator} {matching}\n{other._one_of(*on, *adding)}", unit, whole=False)

    def _one_of(self, *by: str) -> str:
        """The largest element of each combination of labels, as the one side of a join.

        Usually there is only one. A device that is exported twice has several, and so has, within the range of a rate,
        one whose labels have changed. Without this, one such device would make the whole query an error.
        """
        aggregation = f"max by ({_list(CLUSTER, *by)}) ("
        return self.text if self.text.startswith(aggregation) else f"{aggregation}{self.text})"


def rate(counter: Expression, window: str) -> Expression:
    """The increase of a counter per second."""
    return Expression(f"rate({counter.text}[{window}])", _PER_SECOND[counter.unit])


def increase(counter: Expression, window: str) -> Expression:
    """The increase of a counter over the window."""
    return Expression(f"increase({counter.text}[{window}])", counter.unit)


def before(series: Expression, window: str) -> Expression:
    """The series as they were one window ago."""
    return Expression(f"{series.text} offset {window}", series.unit)


def latest_in_range(series: Expression) -> Expression:
    """The last value of each series in the dashboard's time range, also of those that ended."""
    return Expression(f"last_over_time({series.text}[{RANGE}])", series.unit)


def part_of_time(states: Expression, window: str) -> Expression:
    """The fraction of the window in which a state of 0 or 1 was 1."""
    return Expression(f"avg_over_time({states.text}[{window}])", Unit.RATIO)


def ever_in_range(states: Expression) -> Expression:
    """1 if a state of 0 or 1 was 1 at any time in the dashboard's time range, else 0; the same at every point."""
    return Expression(f"max_over_time({states.text}[{RANGE}] @ end())", states.unit)


def energy_in_range(power: Expression) -> Expression:
    """Joules over the dashboard's time range: the power at each step of it, times the seconds of a step."""
    steps = Expression(f"sum_over_time(({power.text})[{RANGE}:{STEP}])", power.unit)
    return steps.times("$__interval_ms / 1000", Unit.JOULES)


def total(expression: Expression, *by: str) -> Expression:
    """The sum of all elements, or of each group with equal labels."""
    return _aggregated("sum", expression, by)


def largest(expression: Expression, *by: str) -> Expression:
    """The largest element of each group with equal labels. For groups of one element it only drops the other labels."""
    return _aggregated("max", expression, by)


def smallest(expression: Expression, *by: str) -> Expression:
    """The smallest element of each group with equal labels."""
    return _aggregated("min", expression, by)


def count(expression: Expression, *by: str) -> Expression:
    """The number of elements, of all or of each group with equal labels."""
    return _aggregated("count", expression, by).as_unit(Unit.NONE)


def ranking(number: int, expression: Expression) -> Expression:
    """The largest elements in falling order, at most this many."""
    return largest_first(Expression(f"topk({number}, {expression.text})", expression.unit))


def largest_first(expression: Expression) -> Expression:
    """The elements in falling order, as a table shows them."""
    return Expression(f"sort_desc({expression.text})", expression.unit)


def complement(states: Expression) -> Expression:
    """1 for each 0 and 0 for each 1; the rest to 1 of each ratio."""
    return Expression(f"1 - {states.part()}", states.unit, whole=False)


def limited_to_one(ratio: Expression) -> Expression:
    """A ratio of counted time that a rate estimates slightly above 1."""
    return Expression(f"clamp_max({ratio.text}, 1)", ratio.unit)


def since(timestamps: Expression) -> Expression:
    """Seconds since a Unix time."""
    return Expression(f"time() - {timestamps.part()}", Unit.SECONDS, whole=False)


def _aggregated(operator: str, expression: Expression, by: tuple[str, ...]) -> Expression:
    grouping = f" by ({_list(CLUSTER, *by)}) " if by else ""
    return Expression(f"{operator}{grouping}({expression.text})", expression.unit)


def _on(labels: tuple[str, ...]) -> str:
    return f" on ({_list(CLUSTER, *labels)})" if labels else ""


def _list(*items: str) -> str:
    return ", ".join(items)
