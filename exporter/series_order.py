"""The series of a reading in their order, which most readings have in common, and how the value of each is checked."""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from collectors import catalog
from collectors.catalog.bounds import bounds_of
from collectors.contract import Sample, SubjectKey
from collectors.metric import Kind, Metric
from collectors.plausibility import LIMIT_ROWS

# Their bounds also depend on the device.
_OF_DEVICE = frozenset({catalog.POWER, catalog.MEMORY_USAGE, catalog.MEMORY_RESERVED})


class Bounds(NamedTuple):
    """The bounds of a gauge, if they do not depend on its device. Both are finite, so that NaN is outside of them."""

    low: float
    high: float


class SeriesOrder:
    """The order of the series in a reading that has been checked. Used by one thread.

    Args:
        samples: The samples of the reading.

    Attributes:
        samples: The samples of the last reading in this order.
        bounds: For each series, its bounds; None for a counter, and if they depend on the device.
        subjects: For each series, its device or partition.
        limits: The places of what a device's limits are learned from.
        power: The places of the power of each device.
        counted: The devices with an energy counter.
    """

    def __init__(self, samples: tuple[Sample, ...]) -> None:
        self.samples = samples
        self.bounds = [_bounds(sample.metric) for sample in samples]
        self.subjects = _shared(sample.subject for sample in samples)
        self.limits = [place for place, sample in enumerate(samples) if sample.metric in LIMIT_ROWS]
        self.power = [place for place, sample in enumerate(samples) if sample.metric is catalog.POWER]
        self.counted = frozenset(sample.device_uuid for sample in samples if sample.metric is catalog.ENERGY)

    def has_same(self, samples: tuple[Sample, ...]) -> bool:
        """Whether these have the same series in this order, with values that need no further check of their type."""
        return all(map(_is_same_series, samples, self.samples))


@lru_cache(maxsize=512)  # more than there are metrics: one object for all series of a metric
def _bounds(metric: Metric) -> Bounds | None:
    low, high = bounds_of(metric)
    fixed = metric.kind is not Kind.COUNTER and metric not in _OF_DEVICE and math.isfinite(low) and math.isfinite(high)
    return Bounds(low, high) if fixed else None


def _shared(subjects: Iterable[SubjectKey]) -> list[SubjectKey]:
    """Equal keys as one object, which is found faster in a dictionary."""
    known: dict[SubjectKey, SubjectKey] = {}
    return [known.setdefault(subject, subject) for subject in subjects]


def _is_same_series(sample: Sample, before: Sample) -> bool:
    return sample is before or (
        type(sample) is Sample
        and sample.metric is before.metric
        and type(sample.value) is float
        and sample.device_uuid == before.device_uuid
        and sample.partition_uuid == before.partition_uuid
        and sample.labels == before.labels
        and sample.width == before.width
        and type(sample.width) is float
        and (sample.value == before.value or before.metric.kind is not Kind.INFO)
    )
