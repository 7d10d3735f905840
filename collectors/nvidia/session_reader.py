"""Reads the devices of one session, and keeps the state that is valid while the library is open."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from collectors import catalog
from collectors.contract import (
    CollectOptions,
    Device,
    DeviceLostError,
    Fault,
    Partition,
    Process,
    Sample,
    SubjectKey,
    Unsupported,
)
from collectors.metric import Cadence, Metric
from collectors.nvidia.activity import GPM_ROWS, Activity
from collectors.nvidia.devices import DeviceEntry
from collectors.nvidia.errors import fault_of
from collectors.nvidia.events import EventWatch
from collectors.nvidia.gpm import Gpm
from collectors.nvidia.health import HEALTH_ROWS, Health
from collectors.nvidia.identity import info_labels
from collectors.nvidia.nvml import Handle, Nvml, Queries, QueryRunner
from collectors.nvidia.partitions import PartitionInfo, PartitionTable
from collectors.nvidia.processes import Processes
from collectors.nvidia.readings import DEVICE_ROWS, MEMORY_QUERIES, device_queries
from collectors.query import rows_of

# Rows that are read in any case, for the status, and exported only with `collect.diagnostics`.
_FOR_STATUS = frozenset({catalog.FABRIC_CONDITION})
SUPPLIED_ROWS = {catalog.INFO, catalog.PARTITIONS} | DEVICE_ROWS | HEALTH_ROWS
SUPPLIED_PARTITION_ROWS = (
    {catalog.INFO, catalog.COMPUTE_RATIO} | rows_of(MEMORY_QUERIES) | GPM_ROWS | {catalog.PROCESSES}
)


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The objects that all readers of a collector share.

    Attributes:
        health: The health of all devices, over all sessions.
        options: The optional readings to make.
        clock: Monotonic seconds.
        wall_clock: Unix time.
    """

    health: Health
    options: CollectOptions
    clock: Callable[[], float]
    wall_clock: Callable[[], float]


@dataclass(slots=True)
class DeviceReading:
    """The part of a reading that concerns one device.

    Attributes:
        device: Its identity, and whether it is lost.
        partitions: Its partitions.
        samples: Values of any cadence.
        faults: The failures.
    """

    device: Device
    partitions: tuple[Partition, ...] = ()
    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class SessionReader:
    """Reads the devices of one session. A new session has a new reader.

    Args:
        nvml: The open library.
        bound_addresses: The addresses bound to NVIDIA's driver when the session was opened. The library does not list
            devices that were bound later.
        context: The objects that it shares with readers of other sessions.
    """

    def __init__(self, nvml: Nvml, bound_addresses: frozenset[str], context: SessionContext) -> None:
        self.nvml = nvml
        self.bound_addresses = bound_addresses
        self.listed_count: int | None = None  # number of devices at the last enumeration; None before the first one
        self._health = context.health
        self._options = context.options
        self._unexported: frozenset[Metric] = frozenset() if context.options.diagnostics else _FOR_STATUS
        self._events = EventWatch(nvml, context.clock, context.wall_clock)
        self._gpm = Gpm(nvml, context.clock)
        self._activity = Activity(self._gpm)
        self._processes = Processes(context.wall_clock)
        self._query_runner = QueryRunner(nvml, context.clock)
        self._partitions = PartitionTable(nvml)
        self._queries: dict[str, Queries] = {}
        self._partition_queries: dict[str, tuple[tuple[object, ...], Queries]] = {}
        self._partition_info_samples: dict[str, list[Sample]] = {}
        self._lost: set[str] = set()
        context.health.new_session()

    def read(
        self, entries: tuple[DeviceEntry, ...], due: frozenset[Cadence]
    ) -> tuple[list[DeviceReading], list[Fault]]:
        """Read the rows of all devices and their partitions whose cadence is due.

        Returns:
            The reading of each device, and failures that do not concern one device.

        Raises:
            SessionError: The session is no longer usable.
        """
        if Cadence.SLOW in due:
            self._partitions.forget_properties()
            self._events.retry_refused()
        self._events.watch(
            {entry.device.uuid: entry.handle for entry in entries if entry.handle is not None and not entry.lost}
        )
        faults = self._health.apply_reports(self._events.drain(), late=self._events.late)
        readings = [self._read_device(entry, due) for entry in entries]
        self._gpm.keep(
            [each.device.uuid for each in readings] + [part.uuid for each in readings for part in each.partitions]
        )
        return readings, faults

    def processes(self) -> tuple[Process, ...]:
        """The processes that were found since the last call."""
        return self._processes.drain()

    def unsupported(self) -> tuple[Unsupported, ...]:
        """All rows that were read so far and are unsupported."""
        return (
            *(gap for gap in self._query_runner.unsupported() if gap.metric not in self._unexported),
            *self._health.unsupported(self._events.refused),
        )

    def close(self) -> list[Fault]:
        """Free the samples and the event set, which is necessary before the library is shut down.

        Returns:
            The failures since the last read.
        """
        faults = self._health.apply_reports(self._events.close())
        self._gpm.close()
        return faults

    def _read_device(self, entry: DeviceEntry, due: frozenset[Cadence]) -> DeviceReading:
        partitions = self._partitions.last_partitions(entry.device.uuid)
        if entry.lost or entry.asleep or entry.handle is None:
            return self._report_unreadable(entry, partitions)
        try:
            return self._query_device(entry, entry.handle, due)
        except DeviceLostError as error:
            entry.lost = True
            reading = self._report_unreadable(entry, partitions)
            reading.faults.append(fault_of(error, entry.identity.device.device))
            return reading

    def _query_device(self, entry: DeviceEntry, handle: Handle, due: frozenset[Cadence]) -> DeviceReading:
        uuid = entry.device.uuid
        if uuid in self._lost:
            self._lost.discard(uuid)
            self._query_runner.retry(uuid)  # what it refused before it was lost
        layout = self._partitions.read(entry.identity, handle)
        if layout.changed:
            self._query_runner.forget(uuid)
            self._partition_queries.clear()
        result = self._query_runner.run(SubjectKey(uuid), handle, self._queries_for(uuid), due)
        samples = [_info_sample(entry), *(s for s in result.samples if s.metric not in self._unexported)]
        device = replace(entry.device, partitions_known=layout.known)
        reading = DeviceReading(device, layout.partitions, samples, [*layout.faults, *result.faults])
        if result.succeeded or not result.failed:  # otherwise its state is unknown
            reading.samples += self._health.update(uuid, result.samples)
        else:
            reading.samples += self._health.event_samples(uuid)
        if layout.complete:
            reading.samples.append(Sample(catalog.PARTITIONS, uuid, len(layout.infos)))
        self._partition_info_samples[uuid] = [_partition_info_sample(uuid, info) for info in layout.infos]
        reading.samples += self._partition_info_samples[uuid]
        for info in layout.infos:
            self._query_partition(SubjectKey(uuid, info.mig.uuid), handle, info, reading, due)
        return reading

    def _queries_for(self, uuid: str) -> Queries:
        if uuid not in self._queries:
            queries = device_queries(self._options, self._activity.of_device(uuid))
            self._queries[uuid] = (*queries, *self._processes.of_device(uuid))
        return self._queries[uuid]

    def _queries_for_partition(self, subject: SubjectKey, parent: Handle, info: PartitionInfo) -> Queries:
        """The queries of a partition. They stay the same object while nothing changes, for the query runner."""
        uuid, instance = subject.partition_uuid, info.mig.gpu_instance
        now = (parent, instance, info.reports_memory, info.is_whole_instance)
        known, queries = self._partition_queries.get(uuid, ((), ()))
        if known != now:
            activity = self._activity.of_partition(uuid, parent, instance, whole=info.is_whole_instance)
            memory = MEMORY_QUERIES if info.reports_memory else ()
            queries = (*memory, *self._processes.of_partition(subject), *activity)
            self._partition_queries[uuid] = (now, queries)
        return queries

    def _report_unreadable(self, entry: DeviceEntry, partitions: tuple[Partition, ...]) -> DeviceReading:
        """The reading of a device that is lost, asleep, or listed by the library but cannot be opened."""
        uuid = entry.device.uuid
        if entry.lost:
            self._lost.add(uuid)
            self._queries.pop(uuid, None)  # they keep the counts of its links, which may start again
        health = self._health.mark_lost(uuid) if entry.lost else self._health.event_samples(uuid)
        infos = self._partition_info_samples.get(uuid, ())
        return DeviceReading(entry.device, partitions, [_info_sample(entry), *infos, *health])

    def _query_partition(
        self, subject: SubjectKey, parent: Handle, info: PartitionInfo, reading: DeviceReading, due: frozenset[Cadence]
    ) -> None:
        mig = info.mig
        if mig.compute_ratio is not None:
            reading.samples.append(Sample(catalog.COMPUTE_RATIO, subject.device_uuid, mig.compute_ratio, mig.uuid))
        queries = self._queries_for_partition(subject, parent, info)
        try:
            result = self._query_runner.run(subject, info.handle, queries, due)
        except DeviceLostError as error:  # its device just answered, so this partition was just removed
            reading.faults.append(fault_of(error, mig.uuid))
            return
        reading.samples += result.samples
        reading.faults += result.faults


def _info_sample(entry: DeviceEntry) -> Sample:
    return Sample(catalog.INFO, entry.identity.device.uuid, 1, labels=entry.identity.info)


def _partition_info_sample(uuid: str, info: PartitionInfo) -> Sample:
    mig = info.mig
    instances = info_labels(gpu_instance_id=str(mig.gpu_instance), compute_instance_id=str(mig.compute_instance))
    return Sample(catalog.INFO, uuid, 1, mig.uuid, instances)
