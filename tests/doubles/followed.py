"""Snapshots that say whether they have the series of the one before, as those of the assembler do."""

from dataclasses import replace

from exporter.sample_group import FollowedSeries, SampleGroup
from exporter.snapshot import Snapshot


class FollowedSnapshots:
    """Snapshots that follow each other."""

    def __init__(self) -> None:
        self._followed = FollowedSeries()

    def after_the_last(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot with its `values`."""
        of_devices = [SampleGroup.of(each) for each in (snapshot.samples, snapshot.process_samples)]
        return replace(snapshot, values=self._followed.of(*of_devices, SampleGroup.of(snapshot.holder_samples)))
