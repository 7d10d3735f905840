"""The values of one snapshot after the other, as long as they have the same series."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from operator import attrgetter, is_not

from collectors.contract import Device, Partition
from exporter.series import Arrangement, OwnSample, Valued, sample_groups, values
from exporter.snapshot import Snapshot

_OF_SAMPLE = ("metric", "device_uuid", "partition_uuid", "labels")
_OF_HOLDER = ("metric", "container", "subject", "labels")
# What determines the series of a sample, for each group of samples: column by column, because a tuple for each sample
# takes three times as long to make, and four times as long to compare.
_SHAPES = tuple(tuple(map(attrgetter, names)) for names in (_OF_SAMPLE, _OF_SAMPLE, _OF_HOLDER, ("metric", "labels")))


class KeptValues:
    """The values of the exported series, in their order.

    Attributes:
        now: The values.
    """

    def __init__(self) -> None:
        self.now = array("d")
        self._every: list[float] = []
        self._groups: list[_Group] = []
        self._subjects = _Subjects(Snapshot())
        self._arrangement = Arrangement([], [], [])

    def replace(self, snapshot: Snapshot, own: Sequence[OwnSample], arrangement: Arrangement) -> None:
        """Use a snapshot, whatever series it has."""
        groups = sample_groups(snapshot, own)
        self._groups = [_Group(shape, samples) for shape, samples in zip(_SHAPES, groups, strict=True)]
        self._subjects = _Subjects(snapshot)
        self._arrangement = arrangement
        self._every = values(snapshot, own)
        self.now = array("d", arrangement.values(self._every))

    def update(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> bool:
        """Use a snapshot with the same series in the same order. Return False if the series are others."""
        if not (self._groups and self._subjects.are_those_of(snapshot)):
            return False
        first = 0
        for group, samples in zip(self._groups, sample_groups(snapshot, own), strict=True):
            places = group.update(samples)
            if places is None:
                return False
            for place in places:
                self._every[first + place] = samples[place].value
            first += len(samples)
        self.now = array("d", self._arrangement.values(self._every))
        return True


class _Group:
    """What determines the series of the samples of one kind."""

    def __init__(self, shape: Sequence[Callable[[object], object]], samples: Sequence[Valued]) -> None:
        self._samples = samples
        self._shape = [(attribute, list(map(attribute, samples))) for attribute in shape]

    def update(self, samples: Sequence[Valued]) -> Sequence[int] | None:
        """Use other samples.

        Collectors give the same sample again until they read it again, so only the others are looked at.

        Returns:
            The places of the samples that are other objects; None if not all have the series of those before.
        """
        if len(samples) != len(self._samples):
            return None
        places = list(compress(range(len(samples)), map(is_not, samples, self._samples)))
        self._samples = samples
        if len(places) == len(samples):
            found, shape = samples, self._shape
        else:
            found = list(map(samples.__getitem__, places))
            shape = [(attribute, list(map(column.__getitem__, places))) for attribute, column in self._shape]
        return places if all(list(map(attribute, found)) == column for attribute, column in shape) else None


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
