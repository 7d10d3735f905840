"""The arithmetic of the soak: falls of counters, slopes with their errors, and what has grown."""

import math
from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import NamedTuple

_FITTED = 2  # parameters of a straight line


class Slope(NamedTuple):
    """A straight line through measurements.

    Attributes:
        per_hour: The slope, in units of the measurements per hour.
        error: Its standard error; infinite if there are too few measurements to know it.
    """

    per_hour: float
    error: float


class Fall(NamedTuple):
    """A counter that fell.

    Attributes:
        series: Its name and labels, as in the exposition.
        before: The earlier value.
        now: The lower value.
    """

    series: str
    before: float
    now: float

    @property
    def of_container(self) -> bool:
        """Whether it is a counter of a container, which must never fall."""
        return is_of_container(self.series)


def slope(hours: Sequence[float], values: Sequence[float]) -> Slope:
    """The slope of the line with the least squares.

    Args:
        hours: When the values were measured.
        values: As many values.
    """
    if len(set(hours)) < _FITTED:
        return Slope(0.0, math.inf)
    middle, mean = math.fsum(hours) / len(hours), math.fsum(values) / len(values)
    spread = math.fsum((hour - middle) ** 2 for hour in hours)
    per_hour = math.fsum((hour - middle) * (y - mean) for hour, y in zip(hours, values, strict=True)) / spread
    residuals = [y - mean - per_hour * (hour - middle) for hour, y in zip(hours, values, strict=True)]
    free = len(hours) - _FITTED
    error = math.sqrt(math.fsum(each**2 for each in residuals) / free / spread) if free else math.inf
    return Slope(per_hour, error)


def counters(exposition: str) -> dict[str, float]:
    """The value of every counter in an exposition, by its name and labels."""
    found = {}
    for line in exposition.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0].endswith("_total") and not line.startswith("#"):
            found[series] = float(value)
    return found


def is_of_container(series: str) -> bool:
    """Whether a series belongs to a container."""
    return series.startswith(("accelerator_container_", "accelerator_allocation_"))


def falls(before: Mapping[str, float], now: Mapping[str, float]) -> list[Fall]:
    """The counters of both that have fallen."""
    return [Fall(series, before[series], value) for series, value in now.items() if value < before.get(series, value)]


def has_grown(numbers: Sequence[int]) -> bool:
    """Whether a number that is the same after most disturbances is larger at the end than before.

    Args:
        numbers: In the order in which they were measured. The first quarter is ignored: the exporter warms up in it.
    """
    quarter = len(numbers) // 4
    return quarter > 0 and median_low(numbers[-quarter:]) > median_low(numbers[quarter : 2 * quarter])
