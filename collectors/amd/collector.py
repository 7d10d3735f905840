"""The collector: reads the GPUs that amdgpu drives, and their partitions."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from collectors import catalog
from collectors.amd import health, readings
from collectors.amd.devices import DeviceEntry, DeviceTable
from collectors.amd.gpu_metrics.model import Parse
from collectors.amd.gpu_reader import GpuContext, GpuReader, GpuValues, depends_on_layout
from collectors.amd.health import Health
from collectors.amd.held_layouts import HeldLayouts
from collectors.amd.identity import info_labels
from collectors.amd.load import MEMORY_ROWS
from collectors.amd.partitions import PartitionLayout, PartitionTable
from collectors.amd.processes import Processes, ProcessUsage, scopes_of
from collectors.amd.rocm_smi.queries import Backend
from collectors.condition import Condition
from collectors.contract import (
    Device,
    Fault,
    Node,
    Partition,
    Process,
    Reading,
    Reason,
    Sample,
    UnavailableError,
    Unsupported,
)
from collectors.device_calls import DeviceCalls, StuckError
from collectors.metric import Cadence, Metric

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
        impossible: The rows of partitions of which a value was impossible, each with the uuid of the partition.
        queried: Whether it was queried, that is, it is present and neither suspended nor stuck.
        stuck: Whether a call about it has not returned, so that nothing new is known of it.
        incomplete: Whether a failure has kept it from being read completely since it was new or back.
        conditions: Why its state is not ok; nothing if it is, or is unknown.
    """

    entry: DeviceEntry
    layout: PartitionLayout
    samples: list[Sample]
    partition_samples: list[Sample] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    impossible: set[tuple[Metric, str]] = field(default_factory=set)
    queried: bool = False
    stuck: bool = False
    incomplete: bool = False
    conditions: tuple[Condition, ...] = ()

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
                samples.append(Sample(catalog.PROCESSES, device, float(count), partition))
        self.processes = [process for process in usage.records if process.device_uuid == self.uuid]


class AmdCollector:
    """Reads AMD GPUs through the files of the kernel's amdgpu and amdkfd drivers.

    What belongs to one GPU is in its `GpuReader`, which is called in a thread of its own; while such a call is out, it
    belongs to the call. Everything here belongs to the collector's thread.

    Args:
        node: The machine.
        wall_clock: Unix time in seconds, for the times of events.
        parse: Parses the table `gpu_metrics`.
        clock: Monotonic seconds.
        calls: Makes the calls about single GPUs.
        library: Replaces the files for the readings that it supports; None to read only files.
    """

    def __init__(
        self,
        node: Node,
        wall_clock: Callable[[], float],
        parse: Parse,
        clock: Callable[[], float],
        calls: DeviceCalls,
        library: Library | None = None,
    ) -> None:
        self._calls = calls
        self._library = library
        self._devices = DeviceTable(node, calls)
        self._partitions = PartitionTable(node.sysfs, calls)
        self._health = Health(wall_clock)
        self._node, self._parse, self._clock = node, parse, clock
        self._context = self._make_context(library)
        self._uses_library = library is not None
        self._readers: dict[str, GpuReader] = {}
        self._unsupported: dict[str, tuple[Unsupported, ...]] = {}
        self._processes = Processes(node, clock, calls)
        self._were_stuck: set[str] = set()
        self._layouts: dict[str, PartitionLayout] = {}
        self._held = HeldLayouts(clock)

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on every device. See `Collector.read`."""
        full = Cadence.MEDIUM in due
        paths = self._devices.locate(full=full)
        faults = self._partitions.refresh(paths, full=full)
        faults += self._devices.identify(self._partitions.topology, full=full)
        for uuid in self._devices.changed():
            self._restart(uuid)
        gpus = [self._read(entry, due) for entry in self._devices.entries]
        if catalog.PROCESSES.cadence in due:
            faults += self._read_processes(gpus)
        changed = not self._partitions.unchanged()
        gpus = [self._settled(gpu, due, changed=changed) for gpu in gpus]
        gpus += [self._base_reading(each, self._last_layout(each)) for each in self._devices.closed()]
        self._unsupported = {gpu.uuid: self._unsupported.get(gpu.uuid, ()) for gpu in gpus}
        samples = [sample for gpu in gpus for sample in (*gpu.samples, *gpu.partition_samples)]
        driven = {gpu.device.device for gpu in gpus}  # one that was bound again may be in both
        others = [each for each in self._devices.passed_through if each.device.device not in driven]
        samples += (Sample(catalog.INFO, each.device.uuid, 1.0, labels=each.info) for each in others)
        return Reading(
            devices=(*(gpu.device for gpu in gpus), *(each.device for each in others)),
            partitions=tuple(partition for gpu in gpus for partition in gpu.partitions),
            samples=tuple(sample for sample in samples if sample.metric.cadence in due),
            processes=tuple(process for gpu in gpus for process in gpu.processes),
            faults=(*faults, *(fault for gpu in gpus for fault in gpu.faults)),
            unsupported=tuple(gap for gaps in self._unsupported.values() for gap in gaps),
            sessions=self._devices.sessions(),
            stuck=frozenset(gpu.uuid for gpu in gpus if gpu.stuck),
            incomplete=any(gpu.incomplete for gpu in gpus),
            cpu_seconds=self._calls.cpu_seconds,
            conditions={gpu.uuid: gpu.conditions for gpu in gpus if gpu.conditions},
            events=self._health.drain_events(),
        )

    @property
    def closed(self) -> bool:
        """See `ClosesLate`."""
        return self._calls.none_is_out

    def close(self) -> None:
        """End the process that calls the library, once no call is out; nothing else stays open between two reads."""
        if self._library is not None:
            self._calls.when_none_is_out(self._library.close)

    def release_devices(self, addresses: frozenset[str]) -> None:
        """Do not open the files of these GPUs. See `ReleasesDevices`.

        The library opens all GPUs, so while one of them is released, all others are read from the kernel's files.
        """
        uses = self._library is not None and not self._devices.any_of(addresses)
        if self._calls.stuck if uses != self._uses_library else self._calls.stuck & addresses:
            raise UnavailableError("a call has not returned, which has a file or the library open", Reason.LATE)
        self._devices.released = addresses
        if uses != self._uses_library:
            self._uses_library = uses
            self.close()
            self._context = self._make_context(self._library if uses else None)
            for uuid in [*self._readers]:
                self._restart(uuid)

    def _make_context(self, library: Library | None) -> GpuContext:
        queries = {row: readings.device_queries(self._node.options, row, library) for row in MEMORY_ROWS}
        return GpuContext(self._node, self._partitions, self._parse, self._clock, queries)

    def _reader_of(self, uuid: str) -> GpuReader:
        if uuid not in self._readers:
            self._readers[uuid] = GpuReader(uuid, self._context)
        return self._readers[uuid]

    def _restart(self, uuid: str) -> None:
        """Find out again what a GPU and its partitions support, because its driver has a new session."""
        self._readers[uuid] = self._reader_of(uuid).restarted(self._context, was_stuck=uuid in self._calls.stuck)
        self._unsupported.pop(uuid, None)

    def _read(self, entry: DeviceEntry, due: frozenset[Cadence]) -> _GpuReading:
        uuid = entry.identity.device.uuid
        if entry.paths is None:
            self._health.mark_lost(uuid)
            gpu = self._base_reading(entry, self._last_layout(entry))
            gpu.samples += self._health.status(uuid)
            gpu.conditions = self._health.conditions(uuid)
            return gpu
        if entry.stuck:
            return self._stuck_reading(entry)
        read = partial(self._reader_of(uuid).read, entry.identity, entry.paths, due, was_stuck=uuid in self._were_stuck)
        try:
            values = self._calls.run(entry.address, read)
        except StuckError:
            return self._stuck_reading(entry)
        self._were_stuck.discard(uuid)
        return self._combine(entry, values)

    def _stuck_reading(self, entry: DeviceEntry) -> _GpuReading:
        uuid = entry.identity.device.uuid
        self._were_stuck.add(uuid)
        gpu = self._base_reading(entry, self._last_layout(entry))
        gpu.stuck = True
        return gpu

    def _combine(self, entry: DeviceEntry, values: GpuValues) -> _GpuReading:
        """What is reported for a GPU that was read."""
        uuid = entry.identity.device.uuid
        if values.layout.known:
            self._layouts[uuid] = values.layout
        else:
            self._partitions.doubt()
        if values.health is not None:
            self._health.update(uuid, values.health, self._devices.sessions().get(uuid))
        gpu = self._base_reading(entry, values.layout)
        gpu.faults += values.faults
        gpu.incomplete = values.incomplete
        gpu.impossible = values.impossible
        gpu.queried = values.health is not None
        gpu.samples += values.samples
        gpu.partition_samples += values.partition_samples
        if values.answers:  # else its state is unknown
            gpu.samples += self._health.status(uuid)
            gpu.conditions = self._health.conditions(uuid)
        return gpu

    def _last_layout(self, entry: DeviceEntry) -> PartitionLayout:
        return self._layouts.get(entry.identity.device.uuid, PartitionLayout())

    def _base_reading(self, entry: DeviceEntry, layout: PartitionLayout) -> _GpuReading:
        """What is reported for a GPU without querying it."""
        uuid = entry.identity.device.uuid
        samples = [Sample(catalog.INFO, uuid, 1.0, labels=entry.identity.info)]
        for info in layout.partitions:
            labels = info_labels(index=str(info.node.partition), pci_bus_id=entry.identity.device.device)
            samples.append(Sample(catalog.INFO, uuid, 1.0, info.partition.uuid, labels))
        return _GpuReading(entry, layout, [samples[0], *self._health.events(uuid)], samples[1:])

    def _read_processes(self, gpus: list[_GpuReading]) -> tuple[Fault, ...]:
        """Add the processes to the readings of the GPUs. Returns why nothing is known of them."""
        located = [(gpu, gpu.entry.paths) for gpu in gpus if gpu.entry.paths is not None]
        usage = self._processes.read(
            [
                scope
                for gpu, paths in located
                if gpu.queried
                for scope in scopes_of(gpu.uuid, paths, gpu.layout, self._partitions.topology)
            ],
            [paths for _, paths in located],
        )
        for gpu in gpus:
            gpu.add_processes(usage)
        return usage.faults

    def _settled(self, gpu: _GpuReading, due: frozenset[Cadence], *, changed: bool) -> _GpuReading:
        """A reading whose values belong to the partitions that it names, or that of a GPU that has become stuck."""
        if gpu.entry.address in self._calls.stuck:
            return gpu if gpu.entry.paths is None else self._stuck_reading(gpu.entry)
        if not gpu.stuck:
            try:
                self._settle_layout(gpu, due, changed=changed)
            except StuckError:
                return self._stuck_reading(gpu.entry)
            self._unsupported[gpu.uuid] = self._reader_of(gpu.uuid).unsupported()
        return gpu

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
            certain = gpu.layout.known and not gpu.layout.partitions and self._confirms(gpu, gpu.layout)
        else:
            certain = gpu.layout.known
        values = [*filter(depends_on_layout, gpu.samples), *gpu.partition_samples]
        complete = certain and not (gpu.queried and self._held.lacks(gpu.uuid, values, gpu.impossible, due))
        held = None if complete else self._held.hold(gpu.uuid)
        if held is not None and self._confirms(gpu, held.layout):
            self._withdraw(gpu)
            gpu.layout = held.layout
            gpu.samples += held.of_device()
            gpu.partition_samples = held.of_partitions()
            gpu.processes = list(held.processes) if Cadence.MEDIUM in due else []
        elif not certain:
            self._withdraw(gpu)
        elif gpu.queried:
            self._held.remember(gpu.uuid, gpu.layout, values, gpu.processes, due)

    def _confirms(self, gpu: _GpuReading, layout: PartitionLayout) -> bool:
        """Whether a GPU is in the mode in which it had this layout.

        Raises:
            StuckError: The call has not returned.
        """
        paths = gpu.entry.paths
        return paths is not None and self._calls.run(
            gpu.entry.address, partial(self._partitions.in_mode_of, paths, layout)
        )

    def _withdraw(self, gpu: _GpuReading) -> None:
        """Remove what depends on the layout. Files that were absent for a moment are not unsupported."""
        gpu.layout = PartitionLayout(known=False)
        gpu.partition_samples = []
        gpu.processes = []
        gpu.samples = [sample for sample in gpu.samples if not depends_on_layout(sample)]
        self._reader_of(gpu.uuid).forget_partitions()
