"""The collector: reads the GPUs that amdgpu drives, and their partitions."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from collectors import catalog
from collectors.amd import health, readings
from collectors.amd.devices import DeviceEntry, DeviceTable
from collectors.amd.gpu_files import GpuFiles
from collectors.amd.gpu_metrics.model import Parse
from collectors.amd.gpu_paths import GpuPaths
from collectors.amd.health import Health
from collectors.amd.held_layouts import HeldLayouts
from collectors.amd.identity import info_labels
from collectors.amd.load import MEMORY_ROWS, memory_row
from collectors.amd.partitions import PartitionInfo, PartitionLayout, PartitionTable
from collectors.amd.processes import Processes, ProcessUsage, scopes_of
from collectors.amd.readings import PartitionFiles
from collectors.amd.rocm_smi.queries import Backend
from collectors.amd.tables import Tables
from collectors.amd.throttle_time import ThrottleTime
from collectors.contract import Device, Fault, Node, Partition, Process, Reading, Reason, Sample, SubjectKey
from collectors.metric import Cadence, Kind, Metric
from collectors.query_runner import QueryResult, QueryRunner
from collectors.sysfs import Root

_ROWS = {catalog.INFO, catalog.PROCESSES} | health.ROWS | readings.DEVICE_ROWS
_PARTITION_ROWS = {catalog.INFO, catalog.COMPUTE_RATIO, catalog.PROCESSES} | readings.PARTITION_ROWS
METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in _ROWS)
PARTITION_METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in _PARTITION_ROWS)


class Library(Backend, Protocol):
    """Reads from the vendor's library."""

    def close(self) -> None:
        """Close it; a later query opens it again."""
        ...


@dataclass(slots=True)
class _GpuReading:
    """One GPU's part of a reading.

    Attributes:
        entry: The GPU.
        layout: Its partition layout.
        samples: Samples of the GPU, of any cadence.
        partition_samples: Samples of its partitions.
        processes: Processes on the GPU.
        faults: The readings that failed.
        queried: Whether it was queried, that is, it is present and not suspended.
    """

    entry: DeviceEntry
    layout: PartitionLayout
    samples: list[Sample]
    partition_samples: list[Sample] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    queried: bool = False

    @property
    def uuid(self) -> str:
        return self.entry.identity.device.uuid

    @property
    def device(self) -> Device:
        """The device, with the names that mean the whole GPU."""
        return replace(self.layout.device(self.entry.identity), lost=self.entry.paths is None)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return tuple(info.partition for info in self.layout.partitions)

    def add_processes(self, usage: ProcessUsage) -> None:
        """Add the processes on it, and their number."""
        for (device, partition), count in usage.counts.items():
            if device == self.uuid:
                samples = self.partition_samples if partition else self.samples
                samples.append(Sample(catalog.PROCESSES, device, count, partition))
        self.processes = [process for process in usage.records if process.device_uuid == self.uuid]


_FROM_LIST_OF_PAGES = (catalog.MEMORY_RETIRED_PAGES, catalog.MEMORY_REPAIR_PENDING)


class AmdCollector:
    """Reads AMD GPUs through the files of the kernel's amdgpu and amdkfd drivers.

    Args:
        node: The machine.
        wall_clock: Unix time in seconds, for the times of events.
        parse: Parses the table `gpu_metrics`.
        clock: Monotonic seconds.
        library: Replaces the files for the readings that it supports; None to read only files.
    """

    def __init__(
        self,
        node: Node,
        wall_clock: Callable[[], float],
        parse: Parse,
        clock: Callable[[], float],
        library: Library | None = None,
    ) -> None:
        self._node = node
        self._library = library
        self._parse = parse
        self._devices = DeviceTable(node)
        self._partitions = PartitionTable(node.sysfs)
        self._health = Health(node.sysfs, wall_clock)
        self._query_runner: QueryRunner[Root, GpuFiles] = QueryRunner(node.sysfs, clock=clock)
        self._partition_query_runner: QueryRunner[Root, PartitionFiles] = QueryRunner(node.sysfs, clock=clock)
        self._processes = Processes(node, clock)
        self._layouts: dict[str, PartitionLayout] = {}
        self._held = HeldLayouts(clock)
        self._throttle_times: dict[str, ThrottleTime] = {}
        self._queries = {row: readings.device_queries(node.options, row, library) for row in MEMORY_ROWS}
        self._tables: dict[str, Tables] = {}
        self._answered: dict[str, set[Cadence]] = {}  # cadences at which a GPU has had values

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on every device. See `Collector.read`."""
        full = Cadence.MEDIUM in due
        paths = self._devices.locate(full=full)
        self._partitions.refresh(paths, full=full)
        faults = self._devices.identify(self._partitions.topology, full=full)
        for uuid in self._devices.changed():
            self._restart(uuid)
        gpus = [self._read(entry, due) for entry in self._devices.entries]
        if catalog.PROCESSES.cadence in due:
            self._read_processes([gpu for gpu in gpus if gpu.queried])
        changed = not self._partitions.unchanged()
        for gpu in gpus:
            self._settle_layout(gpu, due, changed=changed)
        samples = [sample for gpu in gpus for sample in (*gpu.samples, *gpu.partition_samples)]
        return Reading(
            devices=tuple(gpu.device for gpu in gpus),
            partitions=tuple(partition for gpu in gpus for partition in gpu.partitions),
            samples=tuple(sample for sample in samples if sample.metric.cadence in due),
            processes=tuple(process for gpu in gpus for process in gpu.processes),
            faults=(*faults, *(fault for gpu in gpus for fault in gpu.faults)),
            unsupported=(*self._query_runner.unsupported(), *self._partition_query_runner.unsupported()),
            sessions=self._devices.sessions(),
        )

    def close(self) -> None:
        """End the process that calls the library; nothing else stays open between two reads."""
        if self._library is not None:
            self._library.close()

    def _read(self, entry: DeviceEntry, due: frozenset[Cadence]) -> _GpuReading:
        uuid = entry.identity.device.uuid
        if entry.paths is None:
            self._health.mark_lost(uuid)
            gpu = self._base_reading(entry, self._layouts.get(uuid, PartitionLayout()))
            gpu.samples += self._health.status(uuid)
            return gpu
        layout = self._partitions.read(entry.identity, entry.paths)
        if layout.known:
            self._update_layout(uuid, layout)
        gpu = self._base_reading(entry, layout)
        gpu.faults += layout.faults
        if self._node.options.wake_sleeping or not _sleeps(entry.paths):
            self._query(entry.paths, gpu, due)
        return gpu

    def _base_reading(self, entry: DeviceEntry, layout: PartitionLayout) -> _GpuReading:
        """What is reported for a GPU without querying it."""
        uuid = entry.identity.device.uuid
        samples = [Sample(catalog.INFO, uuid, 1, labels=entry.identity.info)]
        for info in layout.partitions:
            labels = info_labels(index=str(info.node.partition), pci_bus_id=entry.identity.device.device)
            samples.append(Sample(catalog.INFO, uuid, 1, info.partition.uuid, labels))
        return _GpuReading(entry, layout, [samples[0], *self._health.events(uuid)], samples[1:])

    def _query(self, paths: GpuPaths, gpu: _GpuReading, due: frozenset[Cadence]) -> None:
        gpu.queried = True
        uuid = gpu.uuid
        throttle_time = self._throttle_times.setdefault(uuid, ThrottleTime())
        architecture = gpu.entry.identity.architecture
        tables = self._tables.setdefault(uuid, Tables())
        files = GpuFiles(paths, gpu.layout, self._parse, throttle_time, tables, architecture)
        result = self._query_runner.run(SubjectKey(uuid), files, self._queries[memory_row(architecture)], due)
        gpu.faults += dict.fromkeys(result.faults)  # one failing file causes the same fault in several queries
        memory = (sample.value for sample in result.samples if sample.metric is catalog.MEMORY_LIMIT)
        self._health.update(uuid, files, next(memory, None), self._devices.sessions().get(uuid))
        gpu.samples = [gpu.samples[0], *result.samples, *self._health.events(uuid)]
        if self._answers(uuid, result, due):  # else its state is unknown
            gpu.samples += self._health.status(uuid)
        for info in gpu.layout.partitions:
            self._query_partition(gpu, info, files, due)
        gpu.faults += [Fault(Reason.INVALID_VALUE, uuid, str(error)) for error in tables.newly_not_understood()]

    def _answers(self, uuid: str, result: QueryResult, due: frozenset[Cadence]) -> bool:
        """Whether a GPU has values in this poll; also if it never has any at these cadences, but has at others."""
        answered = self._answered.setdefault(uuid, set())
        now = {sample.metric.cadence for sample in result.samples if _is_answer(sample)}
        answered |= now
        return bool(now) or (bool(answered) and answered.isdisjoint(due) and not result.failed)

    def _query_partition(self, gpu: _GpuReading, info: PartitionInfo, files: GpuFiles, due: frozenset[Cadence]) -> None:
        device, partition = gpu.uuid, info.partition.uuid
        count = files.partition_count()
        handle = PartitionFiles(info.node, info.folder, count, files)
        result = self._partition_query_runner.run(
            SubjectKey(device, partition), handle, readings.PARTITION_QUERIES, due
        )
        ratio = gpu.layout.compute_ratio(info, count)
        gpu.partition_samples.append(Sample(catalog.COMPUTE_RATIO, device, ratio, partition))
        gpu.partition_samples += result.samples
        gpu.faults += result.faults

    def _read_processes(self, gpus: list[_GpuReading]) -> None:
        scopes = [
            scope
            for gpu in gpus
            if gpu.entry.paths is not None
            for scope in scopes_of(gpu.uuid, gpu.entry.paths, gpu.layout, self._partitions.topology)
        ]
        usage = self._processes.read(scopes)
        for gpu in gpus:
            gpu.add_processes(usage)

    def _update_layout(self, uuid: str, layout: PartitionLayout) -> None:
        if uuid in self._layouts and self._layouts[uuid].uuids != layout.uuids:
            self._forget(uuid)
        self._layouts[uuid] = layout

    def _forget(self, uuid: str) -> None:
        """Query all readings of a GPU and its partitions again."""
        self._query_runner.forget(uuid)
        self._partition_query_runner.forget(uuid)

    def _restart(self, uuid: str) -> None:
        """Forget what a GPU and its partitions support, because its driver has a new session."""
        self._tables.pop(uuid, None)
        self._answered.pop(uuid, None)
        self._query_runner.restart(uuid)
        self._partition_query_runner.restart(uuid)

    def _settle_layout(self, gpu: _GpuReading, due: frozenset[Cadence], *, changed: bool) -> None:
        """Replace what may belong to another partition by the last values, if the GPU is in the same mode as before.

        Args:
            gpu: The reading of the GPU.
            due: The cadences that were read.
            changed: Whether the nodes changed while they were read.
        """
        paths = gpu.entry.paths
        if paths is None or not gpu.layout.partitionable:
            return
        if changed or not gpu.layout.intact:
            certain = gpu.layout.known and not gpu.layout.partitions and self._partitions.still_whole(paths)
        else:
            certain = gpu.layout.known
        values = [*filter(_depends_on_layout, gpu.samples), *gpu.partition_samples]
        complete = certain and not (gpu.queried and self._held.lacks(gpu.uuid, values, due))
        held = None if complete else self._held.hold(gpu.uuid)
        if held is not None and self._partitions.in_mode_of(paths, held.layout):
            self._withdraw(gpu)
            gpu.layout = held.layout
            gpu.samples += held.of_device()
            gpu.partition_samples = held.of_partitions()
            gpu.processes = list(held.processes) if Cadence.MEDIUM in due else []
        elif not certain:
            self._withdraw(gpu)
        elif gpu.queried:
            self._held.remember(gpu.uuid, gpu.layout, values, gpu.processes, due)

    def _withdraw(self, gpu: _GpuReading) -> None:
        """Remove what depends on the layout. Files that were absent for a moment are not unsupported."""
        gpu.layout = PartitionLayout(known=False)
        gpu.partition_samples = []
        gpu.processes = []
        gpu.samples = [sample for sample in gpu.samples if not _depends_on_layout(sample)]
        self._partition_query_runner.forget(gpu.uuid)


def _depends_on_layout(sample: Sample) -> bool:
    by_metric = sample.metric in (catalog.PARTITIONS, catalog.PROCESSES)
    return by_metric or sample.labels == readings.PARTITIONING


def _is_answer(sample: Sample) -> bool:
    """Whether a value shows that the GPU answers.

    The list of bad pages may be empty for either reason, and counters are judged by the exporter.
    """
    of_device = not _depends_on_layout(sample) and sample.metric not in _FROM_LIST_OF_PAGES
    return of_device and sample.metric.kind is not Kind.COUNTER


def _sleeps(paths: GpuPaths) -> bool:
    """Whether the kernel has suspended an idle GPU: reading it would wake it."""
    return Root(paths.folder).text("power", "runtime_status") == "suspended"
