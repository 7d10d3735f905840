"""The possible values of readings by unit. A row may have narrower or wider bounds of its own.

No accelerator is hotter, faster or larger. The upper bounds are below the marks that libraries return for "unknown":
255 or 65,535 degrees, 65,535 MHz, 2^32 - 1 milliwatts, 2^64 - 1.
"""

from collections.abc import Mapping

from collectors.metric import Kind, Metric, Unit

FLAG = (0.0, 1.0)
# A device without a known power limit draws no more. With one, it draws no more than `SPIKE` times its limit: short
# spikes above the limit are real.
HIGHEST_WATTS = 10_000.0
SPIKE = 3.0

_BY_UNIT: Mapping[Unit, tuple[float, float]] = {
    Unit.NONE: (0, 2**32 - 2),
    Unit.RATIO: (0, 1),
    Unit.SECONDS: (0, 2**40),
    Unit.BYTES: (0, 2**48),
    Unit.WATTS: (0, HIGHEST_WATTS),
    Unit.JOULES: (0, 2**50),
    Unit.CELSIUS: (-100, 200),
    Unit.HERTZ: (0, 5e10),
    Unit.BYTES_PER_SECOND: (0, 1e15),
}
# Counters of another unit: higher values of 64 bits are marks or negative numbers.
_COUNTERS = (0.0, 2.0**63)
# Counts of errors and the like, without a physical rate: a float counts no further.
_COUNTS = (0.0, 2.0**53)


def bounds_of(metric: Metric) -> tuple[float, float]:
    """The lowest and the highest possible value of a row."""
    if metric.bounds is not None:
        return metric.bounds
    if metric.kind is not Kind.COUNTER or metric.unit is Unit.JOULES:
        return _BY_UNIT[metric.unit]
    return _COUNTS if metric.most_per_second is None else _COUNTERS
