"""The values of one snapshot after the other. Only samples that are other objects than before are looked at.

Collectors give the same sample again while what they read does not change, and most of it changes seldom.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, compress
from operator import attrgetter, is_not, ne

from collectors.contract import Device, Partition
from exporter.series import OwnSample, Valued, sample_groups
from exporter.snapshot import Snapshot

_OF_SAMPLE = ("metric", "device_uuid", "partition_uuid", "labels")
_OF_HOLDER = ("metric", "container", "subject", "labels")
# What determines the series of a sample, for each group of samples: column by column, because a tuple for each sample
# takes three times as long to make, and four times as long to compare.
_SHAPES = tuple(tuple(map(attrgetter, names)) for names in (_OF_SAMPLE, _OF_SAMPLE, _OF_HOLDER, ("metric", "labels")))
_VALUE = attrgetter("value")


class KeptValues:
    """The values of all samples, in the order of `series.values`.

    Attributes:
        every: The values.
        bits: The bits of each value. They are compared, because 0 equals -0, whose text is another, and NaN does not
            equal itself.
    """

    def __init__(self) -> None:
        self.every = array("d")
        self.bits: list[int] = []
        self._groups: list[_Group] = []
        self._subjects = _Subjects(Snapshot())

    def replace(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Take a snapshot, whatever series it has."""
        groups = sample_groups(snapshot, own)
        self._groups = [_Group(shape, samples) for shape, samples in zip(_SHAPES, groups, strict=True)]
        self._subjects = _Subjects(snapshot)
        self.every = array("d", map(_VALUE, chain(*groups)))
        self.bits = _bits_of(self.every)

    def update(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> list[int] | None:
        """Take a snapshot with the same series in the same order.

        Returns:
            The positions of the values that are not the same; None if the series are not: then nothing is taken.
        """
        if not (self._groups and self._subjects.are_those_of(snapshot)):
            return None
        positions: list[int] = []
        values = array("d")
        first = 0
        for group, samples in zip(self._groups, sample_groups(snapshot, own), strict=True):
            places = group.new_places(samples)
            if places is None:
                return None
            positions += map(first.__add__, places)
            values.extend(map(_VALUE, map(samples.__getitem__, places)))
            first += len(samples)
        for group, samples in zip(self._groups, sample_groups(snapshot, own), strict=True):
            group.samples = samples
        return self._take(positions, values)

    def _take(self, positions: Sequence[int], values: "array[float]") -> list[int]:
        """Take values; return the positions of those that are not the same."""
        bits = _bits_of(values)
        is_other = list(map(ne, bits, map(self.bits.__getitem__, positions)))
        changed = list(compress(positions, is_other))
        new = zip(changed, compress(values, is_other), compress(bits, is_other), strict=True)
        for position, value, value_bits in new:
            self.every[position] = value
            self.bits[position] = value_bits
        return changed


class _Group:
    """The samples of one kind, and what determines their series."""

    def __init__(self, shape: Sequence[Callable[[object], object]], samples: Sequence[Valued]) -> None:
        self.samples = samples
        self._shape = [(attribute, list(map(attribute, samples))) for attribute in shape]

    def new_places(self, samples: Sequence[Valued]) -> list[int] | None:
        """The places of other objects; None if not all of them have the series of those before."""
        if len(samples) != len(self.samples):
            return None
        places = list(compress(range(len(samples)), map(is_not, samples, self.samples)))
        found = list(map(samples.__getitem__, places))
        for attribute, column in self._shape:
            if list(map(attribute, found)) != list(map(column.__getitem__, places)):
                return None
        return places


class _Subjects:
    """The labels of the devices and partitions of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._devices, self._partitions = snapshot.devices, snapshot.partitions
        self._labels = _labels(self._devices, self._partitions)

    def are_those_of(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot has the same."""
        if snapshot.devices is self._devices and snapshot.partitions is self._partitions:
            return True
        return _labels(snapshot.devices, snapshot.partitions) == self._labels


def _labels(devices: Mapping[str, Device], partitions: Mapping[str, Partition]) -> tuple[object, object]:
    return (
        {uuid: (each.device, each.vendor, each.model) for uuid, each in devices.items()},
        {uuid: partition.profile for uuid, partition in partitions.items()},
    )


def _bits_of(values: "array[float]") -> list[int]:
    return memoryview(values).cast("B").cast("Q").tolist()
