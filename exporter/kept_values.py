"""The values of one snapshot after the other, as long as they have the same series."""

from array import array
from collections.abc import Mapping, Sequence
from operator import attrgetter

from collectors.contract import Device, Partition
from exporter.sample_group import SeriesColumns
from exporter.series import Arrangement, OwnSample, values
from exporter.snapshot import Snapshot

_OF_OWN = (attrgetter("metric"), attrgetter("labels"))


class KeptValues:
    """The values of the exported series, in their order.

    Attributes:
        now: The values.
    """

    def __init__(self) -> None:
        self.now = array("d")
        self._series: object = None
        self._own = SeriesColumns.of((), _OF_OWN)
        self._subjects = _Subjects(Snapshot())
        self._arrangement = Arrangement([], [], [])

    def replace(self, snapshot: Snapshot, own: Sequence[OwnSample], arrangement: Arrangement) -> None:
        """Use a snapshot, whatever series it has."""
        self._series = snapshot.values and snapshot.values.series
        self._own = SeriesColumns.of(own, _OF_OWN)
        self._subjects = _Subjects(snapshot)
        self._arrangement = arrangement
        self.now = array("d", arrangement.values(values(snapshot, own)))

    def update(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> bool:
        """Use a snapshot with the same series in the same order. Return False if the series may be others."""
        if snapshot.values is None or snapshot.values.series is not self._series:
            return False
        if not (self._subjects.are_those_of(snapshot) and self._own.are_those_of(own)):
            return False
        every = [*snapshot.values.every, *(each.value for each in own)]
        self.now = array("d", self._arrangement.values(every))
        return True


class _Subjects:
    """What the series say of the devices and partitions of a snapshot, and views of which device a partition is."""

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
        {uuid: (each.device_uuid, each.profile) for uuid, each in partitions.items()},
    )
