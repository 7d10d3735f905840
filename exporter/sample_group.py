"""Groups of samples, so that those with the same series as before are recognized without looking at each of them.

Nearly all snapshots have the same series in the same order, and other values.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from collectors.contract import Sample
from exporter.snapshot import HolderSample

Shape: TypeAlias = tuple[Callable[[object], object], ...]
# What determines the series of a sample: column by column, because a tuple for each sample takes three times as long to
# make, and four times as long to compare.
_OF_SAMPLE: Shape = tuple(map(attrgetter, ("metric", "device_uuid", "partition_uuid", "labels")))
_OF_HOLDER: Shape = tuple(map(attrgetter, ("metric", "container", "subject", "labels")))

_S = TypeVar("_S", Sample, HolderSample)


class SeriesColumns(NamedTuple):
    """What the series of some samples are, in their order. Equal to that of others with the same series.

    Attributes:
        shape: Returns what determines the series of a sample.
        columns: What each of these has returned, for each sample.
    """

    shape: Shape
    columns: Sequence[Sequence[object]]

    @classmethod
    def of(cls, samples: Sequence[object], shape: Shape = _OF_SAMPLE) -> "SeriesColumns":
        """That of samples."""
        return cls(shape, [list(map(attribute, samples)) for attribute in shape])

    def are_those_of(self, samples: Sequence[object], first: int = 0) -> bool:
        """Whether other samples have these series in this order.

        Args:
            samples: The samples.
            first: The first one to look at. Those before are known to have the same series.
        """
        found = samples[first:]
        columns = zip(self.shape, self.columns, strict=True)
        return all(list(map(attribute, found)) == column[first:] for attribute, column in columns)


class SampleGroup(NamedTuple, Generic[_S]):
    """Samples that are read or computed together.

    Attributes:
        series: What they are the values of: usually the same object as that of the samples before.
        samples: The samples.
    """

    series: SeriesColumns
    samples: tuple[_S, ...]

    @classmethod
    def of(cls, samples: Iterable[_S], series: SeriesColumns | None = None) -> "SampleGroup[_S]":
        """A group.

        Args:
            samples: The samples.
            series: Their series, if known.
        """
        every = tuple(samples)
        shape = _OF_HOLDER if every and isinstance(every[0], HolderSample) else _OF_SAMPLE
        return cls(series or SeriesColumns.of(every, shape), every)


def samples_of(groups: Iterable[SampleGroup[_S]]) -> tuple[_S, ...]:
    """The samples of groups, in their order."""
    return tuple(chain.from_iterable(group.samples for group in groups))


class FollowedSeries:
    """Compares the series of each snapshot with those of the one before. Used by one thread."""

    def __init__(self) -> None:
        self._series: Sequence[SeriesColumns] = []
        self._stands_for: object = None

    def of(self, series: Sequence[SeriesColumns]) -> object:
        """The same object as for the snapshot before, if all series and their order are the same."""
        before, self._series = self._series, series
        if self._stands_for is None or before != series:
            self._stands_for = object()
        return self._stands_for
