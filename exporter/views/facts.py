"""What a snapshot says, in the form that views ask for. Made only when the series change."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from collectors import catalog
from collectors.contract import Device, Partition, SubjectKey
from collectors.metric import Metric
from exporter import families
from exporter.snapshot import Container, Holder, Snapshot
from exporter.views.table import Key


class Point(NamedTuple):
    """One native sample.

    Attributes:
        labels: The values of its own labels, in the order of its metric.
        position: The position of its value among all values of the snapshot, see `exporter.series.values`.
    """

    labels: tuple[str, ...]
    position: int


class SnapshotFacts:
    """The samples of a snapshot by what they describe, the properties of devices, and who holds them.

    Args:
        snapshot: The snapshot.

    Attributes:
        snapshot: The same.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        points: dict[tuple[Metric, Key], dict[tuple[str, ...], Point]] = {}
        self._holders: dict[SubjectKey, dict[Container, None]] = {}
        for metric, key, point in chain(_of_subjects(snapshot), _of_holders(snapshot)):
            # Of a series that a collector gives twice the first counts, as for native names.
            points.setdefault((metric, key), {}).setdefault(point.labels, point)
        self._points = {about: tuple(found.values()) for about, found in points.items()}
        for held in snapshot.holder_samples:
            if held.metric is families.ALLOCATION_INFO:
                self._holders.setdefault(held.subject, {})[held.container] = None

    def points(self, metric: Metric, key: Key) -> Sequence[Point]:
        """The samples of a metric about one thing."""
        return self._points.get((metric, key), ())

    def properties(self, key: SubjectKey) -> Mapping[str, str]:
        """The properties that are known of a device or partition, by the names of the labels of `catalog.INFO`."""
        named = (label.name for label in catalog.INFO.labels)
        known = self.points(catalog.INFO, key)
        return dict(zip(named, known[0].labels, strict=True)) if known else {}

    def devices(self) -> Iterator[tuple[Device, Sequence[Partition]]]:
        """Each device in the order of the addresses, with its partitions in the order of their uuids."""
        partitions: dict[str, list[Partition]] = {}
        for partition in sorted(self.snapshot.partitions.values(), key=lambda each: each.uuid):
            partitions.setdefault(partition.device_uuid, []).append(partition)
        for device in sorted(self.snapshot.devices.values(), key=lambda each: (each.device, each.uuid)):
            yield device, partitions.get(device.uuid, ())

    def holders(self, key: SubjectKey) -> tuple[Container, ...]:
        """The containers to which a device or partition itself is allocated."""
        return tuple(self._holders.get(key, ()))


def _of_subjects(snapshot: Snapshot) -> Iterator[tuple[Metric, Key, Point]]:
    for position, sample in enumerate(snapshot.samples):
        yield sample.metric, sample.subject, Point(sample.labels, position)


def _of_holders(snapshot: Snapshot) -> Iterator[tuple[Metric, Key, Point]]:
    before = len(snapshot.samples) + len(snapshot.process_samples)
    for position, held in enumerate(snapshot.holder_samples, before):
        yield held.metric, Holder(held.container, held.subject), Point(held.labels, position)
