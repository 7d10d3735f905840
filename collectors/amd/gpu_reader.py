"""Reads one GPU, and keeps all state of this GPU that is valid while its driver has the same session.

An object belongs to the thread that makes the GPU's call. It shares two things with those of other GPUs: the table of
partitions, which it only reads, and the library, which takes one call at a time. The collector's thread uses it only
while no call of the GPU is out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from collectors import catalog
from collectors.amd import readings
from collectors.amd.gpu_files import GpuFiles, GpuState, Queries
from collectors.amd.gpu_metrics.model import Parse
from collectors.amd.gpu_paths import GpuPaths
from collectors.amd.health import HealthReading, read_health
from collectors.amd.identity import Identity
from collectors.amd.load import memory_row
from collectors.amd.partitions import PartitionInfo, PartitionLayout, PartitionTable
from collectors.amd.readings import PartitionFiles
from collectors.amd.throttle_time import ThrottleTime
from collectors.contract import CollectorError, Device, Fault, Node, Reason, Sample, SubjectKey, Unsupported
from collectors.metric import Cadence, Kind, Metric
from collectors.query_runner import QueryResult, QueryRunner
from collectors.sysfs import Root

_ALL = frozenset(Cadence)
_RUNTIME_STATUS = "power/runtime_status"
_FROM_LIST_OF_PAGES = (catalog.MEMORY_RETIRED_PAGES, catalog.MEMORY_REPAIR_PENDING)


@dataclass(slots=True)
class GpuValues:
    """What one call has read of a GPU.

    Attributes:
        layout: Its partition layout.
        samples: Values of the GPU, of any cadence.
        partition_samples: Values of its partitions.
        faults: The readings that failed.
        impossible: The rows of partitions of which a value was impossible, each with the uuid of the partition.
        health: What its health is derived from; None if it was not queried, because it is suspended.
        answers: Whether it has values, so that its state is known.
        incomplete: Whether a failure has kept it from being read completely since it was new or back.
    """

    layout: PartitionLayout
    samples: list[Sample] = field(default_factory=list)
    partition_samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    impossible: set[tuple[Metric, str]] = field(default_factory=set)
    health: HealthReading | None = None
    answers: bool = False
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class GpuContext:
    """What the readers of all GPUs use; none of it changes.

    Attributes:
        node: The machine.
        partitions: Finds the partitions of a GPU.
        parse: Parses the table `gpu_metrics`.
        clock: Monotonic seconds.
        queries: The queries of a GPU, by the family of what it reports about its memory.
    """

    node: Node
    partitions: PartitionTable
    parse: Parse
    clock: Callable[[], float]
    queries: Mapping[Metric, Queries]


class GpuReader:
    """Reads one GPU, with its files kept open between two reads.

    Args:
        device: The GPU.
        context: What all of them use.
        throttle_time: Its time in throttling so far.
        expected: The queries that answered in the last session.
    """

    def __init__(
        self,
        device: Device,
        context: GpuContext,
        throttle_time: ThrottleTime | None = None,
        expected: Mapping[SubjectKey, frozenset[str]] = MappingProxyType({}),
    ) -> None:
        self.device = device
        self._uuid = device.uuid
        self._context = context
        self._state = GpuState(throttle_time or ThrottleTime())
        sysfs = context.node.sysfs
        clock = context.clock
        self._query_runner: QueryRunner[Root, GpuFiles] = QueryRunner(sysfs, clock=clock, expected=expected)
        self._partition_query_runner: QueryRunner[Root, PartitionFiles] = QueryRunner(
            sysfs, clock=clock, expected=expected
        )
        self._expected = expected
        self._unread = _ALL  # the cadences of which something has failed ever since it is new or back
        self._partition_uuids: frozenset[str] | None = None
        self._answered: set[Cadence] = set()  # the cadences at which it has had values

    def restarted(self, device: Device, context: GpuContext, *, was_stuck: bool) -> "GpuReader":
        """The reader for a new session of the driver, which may support other readings.

        Args:
            device: The GPU, as it is identified now.
            context: What the new reader uses.
            was_stuck: Whether a call about the GPU is out, to which this reader still belongs.
        """
        expected = self._expected
        if not was_stuck:
            expected = {**self._query_runner.answered(), **self._partition_query_runner.answered()}
        return GpuReader(device, context, self._state.throttle_time, expected)

    def read(self, identity: Identity, paths: GpuPaths, due: frozenset[Cadence], *, was_stuck: bool) -> GpuValues:
        """Read the rows of the GPU and its partitions whose cadence is due.

        Args:
            identity: The GPU.
            paths: Where its files are.
            due: The cadences to read.
            was_stuck: Whether a call about it had not returned since it was last read.
        """
        if was_stuck:
            self._unread = _ALL
        self._state.kept.keep(new=Cadence.SLOW not in due)  # what is read rarely is not worth it
        values = GpuValues(self._context.partitions.read(identity, paths, self._state.kept))
        values.faults += values.layout.faults
        if values.layout.known:
            self._follow_layout(values.layout)
        if self._context.node.options.wake_sleeping or not self._sleeps(paths):
            self._query(identity, paths, values, due)
            self._record_completeness(values, due)
        return values

    def unsupported(self) -> tuple[Unsupported, ...]:
        """All rows of the GPU and its partitions that were read so far and are unsupported."""
        return (*self._query_runner.unsupported(), *self._partition_query_runner.unsupported())

    def forget_partitions(self) -> None:
        """Query its partitions again: files that were absent for a moment are not unsupported."""
        self._partition_query_runner.forget(self._uuid)

    def in_mode_of(self, paths: GpuPaths, layout: PartitionLayout) -> bool:
        """Whether the GPU is in the mode in which it had this layout. Called in a call of the GPU."""
        return self._context.partitions.in_mode_of(paths, layout, self._state.kept)

    def close(self) -> None:
        """Close its files; a later read opens them again. Called while no call of the GPU is out."""
        self._state.kept.close()

    def _sleeps(self, paths: GpuPaths) -> bool:
        """Whether the kernel has suspended an idle GPU: reading it would wake it."""
        try:
            return self._state.kept.read_text(paths.folder, _RUNTIME_STATUS) == "suspended"
        except CollectorError:
            return False

    def _record_completeness(self, values: GpuValues, due: frozenset[Cadence]) -> None:
        runners = (self._query_runner, self._partition_query_runner)
        failed = not values.layout.known or any(runner.is_waiting(self._uuid) for runner in runners)
        self._unread = self._unread if failed else self._unread - due
        values.incomplete = bool(self._unread)

    def _follow_layout(self, layout: PartitionLayout) -> None:
        if self._partition_uuids not in (None, layout.uuids):
            self._query_runner.forget(self._uuid)
            self.forget_partitions()
        self._partition_uuids = layout.uuids

    def _query(self, identity: Identity, paths: GpuPaths, values: GpuValues, due: frozenset[Cadence]) -> None:
        context, architecture = self._context, identity.architecture
        files = GpuFiles(paths, values.layout, context.parse, self._state, architecture)
        queries = context.queries[memory_row(architecture)]
        result = self._query_runner.run(SubjectKey(self._uuid), files, queries, due)
        values.samples += result.samples
        values.faults += dict.fromkeys(result.faults)  # one failing file causes the same fault in several queries
        memory = (sample.value for sample in result.samples if sample.metric is catalog.MEMORY_LIMIT)
        values.health = read_health(context.node.sysfs, files, next(memory, None))
        values.answers = self._answers(result, due)
        for info in values.layout.partitions:
            self._query_partition(values, info, files, due)
        new = self._state.tables.newly_not_understood()
        values.faults += [Fault(Reason.INVALID_VALUE, self._uuid, str(error)) for error in new]

    def _answers(self, result: QueryResult, due: frozenset[Cadence]) -> bool:
        """Whether the GPU has values in this poll; also if it never has any at these cadences, but has at others."""
        now = {sample.metric.cadence for sample in result.samples if _is_answer(sample)}
        self._answered |= now
        return bool(now) or (bool(self._answered) and self._answered.isdisjoint(due) and not result.failed)

    def _query_partition(
        self, values: GpuValues, info: PartitionInfo, files: GpuFiles, due: frozenset[Cadence]
    ) -> None:
        partition = info.partition.uuid
        count = files.partition_count()
        handle = PartitionFiles(info.node, info.folder, count, files)
        subject = SubjectKey(self._uuid, partition)
        result = self._partition_query_runner.run(subject, handle, readings.PARTITION_QUERIES, due)
        ratio = values.layout.compute_ratio(info, count)
        if ratio is not None:
            values.partition_samples.append(Sample(catalog.COMPUTE_RATIO, self._uuid, ratio, partition))
        if info.node.simd_count is None and catalog.COMPUTE_RATIO.cadence in due:
            values.faults.append(
                Fault(Reason.INVALID_VALUE, partition, "properties: no simd_count, or an impossible one")
            )
        values.partition_samples += result.samples
        values.faults += result.faults
        values.impossible |= {(row, partition) for row in result.impossible}


def depends_on_layout(sample: Sample) -> bool:
    """Whether a value of a GPU is about its partition layout, or about its processes, which are found by it."""
    by_metric = sample.metric in (catalog.PARTITIONS, catalog.PROCESSES)
    return by_metric or sample.labels == readings.PARTITIONING


def _is_answer(sample: Sample) -> bool:
    """Whether a value shows that the GPU answers.

    The list of bad pages may be empty for either reason, and counters are judged by the exporter.
    """
    of_device = not depends_on_layout(sample) and sample.metric not in _FROM_LIST_OF_PAGES
    return of_device and sample.metric.kind is not Kind.COUNTER
