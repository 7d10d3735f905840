"""Groups of samples, so that those with the same series as before are recognized without looking at each of them.

Nearly all snapshots have the same series in the same order, and other values.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from collectors.contract import Sample
from exporter.snapshot import HolderSample, SampleValues

_VALUE = attrgetter("value")
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

    def are_those_of(self, samples: Sequence[object]) -> bool:
        """Whether other samples have these series in this order."""
        columns = zip(self.shape, self.columns, strict=True)
        return all(list(map(attribute, samples)) == column for attribute, column in columns)


class SampleGroup(NamedTuple, Generic[_S]):
    """Samples that are read or computed together.

    Attributes:
        series: What they are the values of: usually the same object as that of the samples before.
        samples: The samples.
        values: Their values, in one piece of memory: a scrape, which comes much later, finds them there in a fraction
            of the time that it takes to find the samples.
    """

    series: SeriesColumns
    samples: tuple[_S, ...]
    values: "array[float]"

    @classmethod
    def of(cls, samples: Iterable[_S], series: SeriesColumns | None = None) -> "SampleGroup[_S]":
        """A group.

        Args:
            samples: The samples.
            series: Their series, if known.
        """
        every = tuple(samples)
        shape = _OF_HOLDER if every and isinstance(every[0], HolderSample) else _OF_SAMPLE
        values = array("d", list(map(_VALUE, every)))  # made of an iterator, it would take longer
        return cls(series or SeriesColumns.of(every, shape), every, values)


def samples_of(groups: Iterable[SampleGroup[_S]]) -> tuple[_S, ...]:
    """The samples of groups, in their order."""
    return tuple(chain.from_iterable(group.samples for group in groups))


class FollowedSeries:
    """Compares the series of each snapshot with those of the one before. Used by one thread."""

    def __init__(self) -> None:
        self._columns: Sequence[SeriesColumns] = []
        self._series = object()

    def of(self, *groups: SampleGroup[Sample] | SampleGroup[HolderSample]) -> SampleValues:
        """The values of a snapshot's samples.

        Args:
            groups: Its samples, its process samples, then its holder samples.
        """
        before, self._columns = self._columns, [group.series for group in groups]
        if before != self._columns:
            self._series = object()
        return SampleValues(self._series, array("d", b"".join(group.values for group in groups)))
