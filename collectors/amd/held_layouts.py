"""What is reported for a GPU whose partitions are unknown for a moment, because another GPU is being repartitioned.

The driver removes and creates the nodes of all GPUs when one of them is repartitioned, and numbers them again. Source:
the kernel's `drivers/gpu/drm/amd/amdkfd/kfd_topology.c`, kfd_topology_update_sysfs. A GPU that is in the same mode as
before has the same partitions: their last values are reported for a short time.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from collectors import catalog
from collectors.amd.partitions import PartitionLayout
from collectors.contract import Process, Sample
from collectors.metric import Cadence, Metric

_OF_NODES = frozenset({catalog.MEMORY_LIMIT, catalog.MEMORY_USAGE})
_LONGEST_SECONDS = 5.0
_MOST_READINGS = 3  # where readings are far apart


@dataclass(slots=True)
class HeldReading:
    """The last values of one GPU that depend on its partition layout.

    Attributes:
        layout: The layout.
        at: Monotonic seconds of the last reading with a known layout.
        samples: Samples of the GPU and of its partitions, by cadence.
        processes: Its processes.
        readings: How often it was reported since.
    """

    layout: PartitionLayout
    at: float
    samples: dict[Cadence, tuple[Sample, ...]] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()
    readings: int = 0

    def of_device(self) -> list[Sample]:
        """The samples of the GPU itself."""
        return [sample for samples in self.samples.values() for sample in samples if not sample.partition_uuid]

    def of_partitions(self) -> list[Sample]:
        """The samples of its partitions."""
        return [sample for samples in self.samples.values() for sample in samples if sample.partition_uuid]


class HeldLayouts:
    """The last known layouts and their values.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[str, HeldReading] = {}

    def remember(
        self,
        uuid: str,
        layout: PartitionLayout,
        samples: Iterable[Sample],
        processes: Iterable[Process],
        due: frozenset[Cadence],
    ) -> None:
        """Replace what is known of a GPU, whose layout is known.

        Args:
            uuid: The GPU.
            layout: Its layout.
            samples: The samples that depend on it.
            processes: The processes on the GPU.
            due: The cadences that were read; the values of others stay.
        """
        held = self._held.get(uuid)
        if held is None or held.layout.uuids != layout.uuids:
            held = self._held[uuid] = HeldReading(layout, 0.0)
        held.layout, held.at, held.readings = layout, self._clock(), 0
        found = tuple(samples)
        held.samples |= {cadence: tuple(s for s in found if s.metric.cadence is cadence) for cadence in due}
        if Cadence.MEDIUM in due:
            held.processes = tuple(processes)

    def lacks(
        self, uuid: str, samples: Iterable[Sample], impossible: Collection[tuple[Metric, str]], due: frozenset[Cadence]
    ) -> bool:
        """Whether a reading has no value of a node's own files that the last one has: the files are being removed.

        Args:
            uuid: The GPU.
            samples: The samples that depend on its layout.
            impossible: What was read and is impossible, by row and partition.
            due: The cadences that were read.
        """
        held = self._held.get(uuid)
        if held is None:
            return False
        found = {(sample.metric, sample.partition_uuid) for sample in samples} | set(impossible)
        return any(
            sample.metric in _OF_NODES and (sample.metric, sample.partition_uuid) not in found
            for cadence in due
            for sample in held.samples.get(cadence, ())
            if sample.partition_uuid in held.layout.uuids
        )

    def hold(self, uuid: str) -> HeldReading | None:
        """The last values of a GPU, if they are not too old. Counts a reading."""
        held = self._held.get(uuid)
        if held is None:
            return None
        held.readings += 1
        recent = self._clock() - held.at <= _LONGEST_SECONDS or held.readings <= _MOST_READINGS
        return held if recent else None
