"""Reads one device of one session, and keeps all state of this device that is valid while the library is open.

An object belongs to the thread that makes the device's call. So it shares nothing with those of other devices, and the
collector's thread uses it only while no call of the device is out: to close it.
"""

from dataclasses import dataclass, field

from collectors import catalog
from collectors.contract import DeviceLostError, Fault, Partition, Process, Reason, Sample, SubjectKey, Unsupported
from collectors.metric import Cadence, MetricSet
from collectors.nvidia.activity import Activity
from collectors.nvidia.context import SessionContext
from collectors.nvidia.errors import fault_of
from collectors.nvidia.gpm import Gpm
from collectors.nvidia.identity import Identity, info_labels
from collectors.nvidia.nvml import Handle, Nvml, Queries, QueryRunner
from collectors.nvidia.partitions import MigDevice, PartitionInfo, PartitionLayout, PartitionTable
from collectors.nvidia.processes import Processes
from collectors.nvidia.readings import MEMORY_QUERIES, device_queries
from collectors.nvidia.reliability import RecoveryAction
from collectors.nvidia.throttle_time import ThrottleTime

_ALL = frozenset(Cadence)


@dataclass(slots=True)
class DeviceValues:
    """What one call has read of a device.

    Attributes:
        partitions: Its partitions.
        partition_infos: The fixed properties of its partitions.
        partitions_known: Whether it can have no other partitions.
        samples: Values of any cadence, of the device and its partitions.
        faults: The failures.
        processes: The processes on it.
        unsupported: All rows that were read so far and are unsupported.
        answers: Whether the device has answered, so that its state is known.
        incomplete: Whether a failure has kept it from being read completely since it was new or back.
        unknown_action: Whether the driver requires a recovery action that is not in the list.
    """

    partitions: tuple[Partition, ...] = ()
    partition_infos: tuple[Sample, ...] = ()
    partitions_known: bool = True
    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    processes: tuple[Process, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    answers: bool = False
    incomplete: bool = False
    unknown_action: bool = False


class DeviceReader:
    """Reads one device.

    Args:
        nvml: The open library.
        identity: The device.
        context: What all sessions share.
    """

    def __init__(self, nvml: Nvml, identity: Identity, context: SessionContext) -> None:
        self._identity = identity
        self._uuid = identity.device.uuid
        self._options = context.options
        self._clock = context.clock
        self._answered = context.answered
        self._throttle_seconds = context.throttle_seconds.setdefault(self._uuid, {})
        self._gpm = Gpm(nvml, context.clock)
        self._activity = Activity(self._gpm, context.options.sets)
        self._processes = Processes(context.wall_clock)
        own = nvml.for_one_device()
        self._fields = own.fields
        self._query_runner = QueryRunner(own, context.clock, context.answered.get(self._uuid, {}))
        self._unread = _ALL  # the cadences of which something has failed ever since it is new or back
        self._partitions = PartitionTable(nvml, context.procfs)
        self._queries: Queries | None = None
        self._recovery = RecoveryAction()
        self._reported_action: int | None = None
        self._partition_infos: dict[str, tuple[MigDevice, Sample]] = {}
        self._partition_queries: dict[str, tuple[tuple[object, ...], Queries]] = {}

    def read(self, handle: Handle, due: frozenset[Cadence], *, found_again: bool, was_stuck: bool) -> DeviceValues:
        """Read the rows of the device and its partitions whose cadence is due.

        Args:
            handle: The device.
            due: The cadences to read.
            found_again: Whether it was lost since it was last read.
            was_stuck: Whether a call about it had not returned since.

        Raises:
            DeviceLostError: The device no longer answers.
            SessionError: The session is no longer usable.
        """
        self._processes.drain()  # of a call that failed
        if Cadence.SLOW in due:
            self._partitions.forget_properties()
        if found_again:
            self._recovery = RecoveryAction()
            self._queries = None  # they keep the counts of links and time, which may have started again
            self._query_runner.retry(self._uuid)  # what it refused before it was lost
        if found_again or was_stuck:
            self._unread = _ALL
        layout = self._partitions.read(self._identity, handle)
        if layout.changed:
            self._query_runner.forget(self._uuid)
            self._partition_queries.clear()
            self._partition_infos.clear()
        infos = tuple(map(self._partition_info, layout.infos))
        values = DeviceValues(layout.partitions, infos, layout.known, faults=layout.faults)
        self._query_device(handle, layout, values, due)
        for info in layout.infos:
            self._query_partition(handle, info, values, due)
        self._gpm.keep([self._uuid, *(partition.uuid for partition in layout.partitions)])
        values.processes = self._processes.drain()
        values.unsupported = self._query_runner.unsupported()
        self._record_completeness(layout, values, due)
        return values

    def close(self) -> None:
        """Free the samples, which is necessary before the library is shut down. May be called twice."""
        self._gpm.close()

    def _record_completeness(self, layout: PartitionLayout, values: DeviceValues, due: frozenset[Cadence]) -> None:
        self._answered[self._uuid] = self._query_runner.answered()
        failed = not (layout.complete and layout.sized) or self._query_runner.is_waiting(self._uuid)
        self._unread = self._unread if failed else self._unread - due
        values.incomplete = bool(self._unread)

    def _query_device(
        self, handle: Handle, layout: PartitionLayout, values: DeviceValues, due: frozenset[Cadence]
    ) -> None:
        if self._queries is None:
            diagnosed = MetricSet.DIAGNOSTICS in self._options.sets
            throttle = ThrottleTime(self._throttle_seconds, self._clock) if diagnosed else None
            activity = self._activity.of_device(self._uuid)
            queries = device_queries(self._options, activity, throttle, self._recovery)
            self._queries = (*queries, *self._processes.of_device(self._uuid))
        self._fields.begin(due)
        result = self._query_runner.run(SubjectKey(self._uuid), handle, self._queries, due)
        self._fields.end()
        values.answers = bool(result.succeeded or not result.failed)
        values.samples += result.samples
        values.faults += result.faults
        self._report_unknown_action(values)
        if layout.complete:
            values.samples.append(Sample(catalog.PARTITIONS, self._uuid, float(len(layout.infos))))

    def _report_unknown_action(self, values: DeviceValues) -> None:
        """An unknown recovery action is a fault once, and not at each poll."""
        action = self._recovery.unknown
        values.unknown_action = action is not None
        if action is not None and action != self._reported_action:
            detail = f"recovery action {action}: this version of the exporter does not know it"
            values.faults.append(Fault(Reason.INVALID_VALUE, self._uuid, detail))
        self._reported_action = action

    def _query_partition(
        self, parent: Handle, info: PartitionInfo, values: DeviceValues, due: frozenset[Cadence]
    ) -> None:
        mig = info.mig
        subject = SubjectKey(self._uuid, mig.uuid)
        if mig.compute_ratio is not None and catalog.COMPUTE_RATIO.cadence in due:
            values.samples.append(Sample(catalog.COMPUTE_RATIO, self._uuid, mig.compute_ratio, mig.uuid))
        queries = self._queries_for_partition(subject, parent, info)
        try:
            result = self._query_runner.run(subject, info.handle, queries, due)
        except DeviceLostError as error:  # its device just answered, so this partition was just removed
            values.faults.append(fault_of(error, mig.uuid))
            return
        values.samples += result.samples
        values.faults += result.faults

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

    def _partition_info(self, info: PartitionInfo) -> Sample:
        mig = info.mig
        known, sample = self._partition_infos.get(mig.uuid, (None, None))
        if sample is None or known is not mig:
            gpu_instance, compute_instance = str(mig.gpu_instance), str(mig.compute_instance)
            instances = info_labels(gpu_instance_id=gpu_instance, compute_instance_id=compute_instance)
            sample = Sample(catalog.INFO, self._uuid, 1.0, mig.uuid, instances)
            self._partition_infos[mig.uuid] = (mig, sample)
        return sample
