"""Decides whether a value is possible: for its row, and for the device that it was read from.

The bounds of a row stand in the catalogue. Those of a device are its own power limits and its memory size, as far as
they are known. An impossible value is never exported and never integrated.
"""

import math
from collections.abc import Iterable

from collectors import catalog
from collectors.catalog.bounds import HIGHEST_WATTS, SPIKE, bounds_of
from collectors.contract import Sample
from collectors.metric import Kind, Metric

_MARK = 2**32 - 1
_POWER_LIMITS = frozenset({catalog.POWER_LIMIT, catalog.POWER_DEFAULT_LIMIT, catalog.POWER_MAX_LIMIT})
# The rows from which a device's limits are learned.
LIMIT_ROWS = _POWER_LIMITS | {catalog.POWER_MIN_LIMIT, catalog.MEMORY_LIMIT}
# Part of the memory of the same device or partition.
_PARTS_OF_MEMORY = frozenset({catalog.MEMORY_USAGE, catalog.MEMORY_RESERVED})


class ImplausibleError(ValueError):
    """The text says which value, and what is possible."""


def require_number(value: object) -> float:
    """A value as a float. A collector of another package may return anything.

    Raises:
        ImplausibleError: It is not a number, or too large for a float. NaN and infinity are floats, a bool is 0 or 1.
    """
    if not isinstance(value, (int, float)):
        raise ImplausibleError(f"a {type(value).__name__}, expected a number")
    try:
        return float(value)
    except OverflowError:
        raise ImplausibleError("an int that is too large for a float") from None


def require_possible(metric: Metric, value: float) -> None:
    """Check a value against the bounds of its row.

    Raises:
        ImplausibleError: It is not a finite number within them.
    """
    low, high = bounds_of(metric)
    value = require_number(value)
    if not (math.isfinite(value) and low <= value <= high):
        raise ImplausibleError(f"{value:g}, expected {low:g} to {high:g}")
    if value == _MARK and metric.kind is Kind.COUNTER and metric.most_per_second is None:
        raise ImplausibleError(f"{value:.0f}, which libraries return for an unknown count")


def is_possible(metric: Metric, value: float) -> bool:
    """Whether a value that was read is possible. Of a counter, the exporter also decides which high values are."""
    if metric.kind is Kind.COUNTER:
        return math.isfinite(value) and value >= 0
    low, high = bounds_of(metric)
    return low <= value <= high and math.isfinite(value)


class DeviceLimits:
    """What is possible on one device, from its own latest readings."""

    def __init__(self) -> None:
        self._power_limits: dict[Metric, tuple[float, float]] = {}  # the latest and the one before
        self._lowest_limit_watts = 0.0
        self._memory: dict[str, float] = {}  # by partition

    def learn(self, sample: Sample) -> None:
        """Remember a limit of the device, one of `LIMIT_ROWS`. Other samples, and limits of 0, are ignored."""
        if sample.value <= 0:
            return
        if sample.metric in _POWER_LIMITS:
            latest, _ = self._power_limits.get(sample.metric, (0.0, 0.0))
            self._power_limits[sample.metric] = (sample.value, latest)
        elif sample.metric is catalog.POWER_MIN_LIMIT:
            self._lowest_limit_watts = sample.value
        elif sample.metric is catalog.MEMORY_LIMIT:
            self._memory[sample.partition_uuid] = sample.value

    def forget_partitions(self, uuids: Iterable[str]) -> None:
        """Drop the limits of partitions."""
        for uuid in uuids:
            self._memory.pop(uuid, None)

    @property
    def highest_watts(self) -> float:
        """The most that the device can draw for a moment.

        One wrong limit must not make every power impossible: the highest of the two latest readings counts, and none
        below the lowest limit that can be set.
        """
        highest = max((watts for pair in self._power_limits.values() for watts in pair), default=0.0)
        return SPIKE * highest if highest > 0 and highest >= self._lowest_limit_watts else HIGHEST_WATTS

    def most_per_second(self, metric: Metric) -> float | None:
        """The most by which a counter of the device can rise in a second; None without a physical rate."""
        return self.highest_watts if metric is catalog.ENERGY else metric.most_per_second

    def require_possible(self, sample: Sample) -> None:
        """Check a sample against the bounds of its row and of this device.

        Raises:
            ImplausibleError: The value is impossible.
        """
        require_possible(sample.metric, sample.value)
        if sample.metric is catalog.POWER and sample.value > self.highest_watts:
            raise ImplausibleError(f"{sample.value:g}, the device can draw {self.highest_watts:g} at most")
        size = self._memory.get(sample.partition_uuid, math.inf) if sample.metric in _PARTS_OF_MEMORY else math.inf
        if sample.value > size:
            raise ImplausibleError(f"{sample.value:g}, the memory has {size:g}")
