"""Reads the devices of one session, each by a call of its own, and combines what they return."""

from dataclasses import dataclass, field, replace
from functools import partial

from collectors import catalog
from collectors.condition import Condition
from collectors.contract import Device, DeviceLostError, Fault, Partition, Process, Sample, Unsupported
from collectors.device_calls import StuckError
from collectors.metric import Cadence, Metric, MetricSet
from collectors.nvidia.activity import GPM_ROWS
from collectors.nvidia.context import SessionContext
from collectors.nvidia.device_reader import DeviceReader, DeviceValues
from collectors.nvidia.devices import DeviceEntry
from collectors.nvidia.errors import fault_of
from collectors.nvidia.events import EventWatch
from collectors.nvidia.health import HEALTH_ROWS
from collectors.nvidia.nvml import Handle, Nvml
from collectors.nvidia.readings import DEVICE_ROWS, MEMORY_QUERIES
from collectors.nvidia.unbinding import UnbindEvents
from collectors.query import rows_of

# Rows that are read in any case, for the status, and returned only with the set `diagnostics`.
_FOR_STATUS = frozenset({catalog.FABRIC_CONDITION})
SUPPLIED_ROWS = {catalog.INFO, catalog.PARTITIONS} | DEVICE_ROWS | HEALTH_ROWS
SUPPLIED_PARTITION_ROWS = (
    {catalog.INFO, catalog.COMPUTE_RATIO} | rows_of(MEMORY_QUERIES) | GPM_ROWS | {catalog.PROCESSES}
)


@dataclass(slots=True)
class DeviceReading:
    """The part of a reading that concerns one device.

    Attributes:
        device: Its identity, and whether it is lost.
        partitions: Its partitions.
        samples: Values of any cadence.
        faults: The failures.
        processes: The processes on it.
        stuck: Whether a call about it has not returned, so that nothing new is known of it.
        incomplete: Whether a failure has kept it from being read completely since it was new or back.
        conditions: Why its state is not ok; nothing if it is, or is unknown.
    """

    device: Device
    partitions: tuple[Partition, ...] = ()
    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    processes: tuple[Process, ...] = ()
    stuck: bool = False
    incomplete: bool = False
    conditions: tuple[Condition, ...] = ()


class SessionReader:
    """Reads the devices of one session. A new session has a new reader.

    Used by the collector's thread. What belongs to one device is in its `DeviceReader`; while a call about the device
    is out, that belongs to the call, and what the last call has returned is used here.

    Args:
        nvml: The open library.
        bound_addresses: The addresses bound to NVIDIA's driver when the session was opened, without those of released
            devices. The library does not list devices that were bound later.
        attached: Whether the library has opened all devices. Otherwise it opens those whose handles are looked up.
        context: The objects that it shares with readers of other sessions.
    """

    def __init__(
        self, nvml: Nvml, bound_addresses: frozenset[str], context: SessionContext, *, attached: bool = True
    ) -> None:
        self.nvml = nvml
        self.bound_addresses = bound_addresses
        self.attached = attached
        self.unbind_events = UnbindEvents(nvml)
        self.unbind_events.register()
        self.listed_count: int | None = None  # number of devices at the last enumeration; None before the first one
        self._context = context
        self._health = context.health
        self._unexported: frozenset[Metric] = (
            frozenset() if MetricSet.DIAGNOSTICS in context.options.sets else _FOR_STATUS
        )
        self._unexported_ids = frozenset(map(id, self._unexported))  # a row is hashed slowly
        self._events = EventWatch(nvml, context.calls, context.clock, context.wall_clock)
        self._readers: dict[str, DeviceReader] = {}
        self._last: dict[str, DeviceValues] = {}  # without what is exported once
        self._gaps: dict[str, tuple[tuple[Unsupported, ...] | None, frozenset[Metric]]] = {}
        self._unsupported: tuple[Unsupported, ...] = ()
        self._unsupported_parts: list[tuple[Unsupported, ...]] = []
        self._were_lost: set[str] = set()
        self._were_stuck: set[str] = set()
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
        self._drop_others(entries)
        if Cadence.SLOW in due:
            self._events.retry_refused()
        self._events.watch(
            {entry.device.uuid: entry.handle for entry in entries if entry.handle is not None and not entry.lost}
        )
        reports = self._events.drain()
        faults = self._health.apply_reports(reports, late=self._events.late)
        return [self._read_device(entry, due) for entry in entries], faults

    def unsupported(self) -> tuple[Unsupported, ...]:
        """All rows that were read so far and are unsupported. The same object until they change."""
        parts = [values.unsupported for values in self._last.values()]
        parts.append(tuple(self._health.unsupported(self._events.refused)))
        if parts != self._unsupported_parts:
            gaps = (gap for part in parts for gap in part)
            self._unsupported = tuple(gap for gap in gaps if gap.metric not in self._unexported)
            self._unsupported_parts = parts
        return self._unsupported

    def last_values(self) -> dict[str, DeviceValues]:
        """What the last call about each device has returned, by uuid, without what is exported once."""
        return dict(self._last)

    def end_events(self) -> list[Fault]:
        """Free the event sets, which is necessary before the library is shut down.

        Returns:
            The failures since the last read.
        """
        self.unbind_events.close()
        return self._health.apply_reports(self._events.close())

    def free(self) -> list[DeviceReader]:
        """Free the samples of all devices, before the library is shut down.

        Returns:
            The readers of the stuck devices, to be closed when no call is out.
        """
        stuck = self._context.calls.stuck
        for uuid, reader in self._readers.items():
            if uuid not in stuck:
                reader.close()
        return [reader for uuid, reader in self._readers.items() if uuid in stuck]

    def _drop_others(self, entries: tuple[DeviceEntry, ...]) -> None:
        """Drop the state of devices that do not exist any more."""
        gone = self._readers.keys() - {entry.device.uuid for entry in entries} - self._context.calls.stuck
        for uuid in gone:
            self._readers.pop(uuid).close()
            self._last.pop(uuid, None)
            self._gaps.pop(uuid, None)

    def _read_device(self, entry: DeviceEntry, due: frozenset[Cadence]) -> DeviceReading:
        uuid = entry.device.uuid
        if entry.lost or entry.asleep or entry.handle is None:
            return self._report_unread(entry, stuck=entry.stuck)
        if uuid in self._context.calls.stuck:
            return self._report_unread(entry, stuck=True)
        try:
            values = self._context.calls.run(uuid, self._call(entry, entry.handle, due))
        except StuckError:
            self._were_stuck.add(uuid)
            return self._report_unread(entry, stuck=True)
        except DeviceLostError as error:
            entry.lost = True
            reading = self._report_unread(entry)
            reading.faults.append(fault_of(error, entry.identity.device.device))
            return reading
        self._last[uuid] = DeviceValues(
            values.partitions, values.partition_infos, values.partitions_known, unsupported=values.unsupported
        )
        self._were_lost.discard(uuid)
        self._were_stuck.discard(uuid)
        if values.answers:
            gaps = self._gaps_of(uuid, values.unsupported)
            health = self._health.update(uuid, values.samples, gaps, unknown_action=values.unknown_action)
        else:
            health = self._health.event_samples(uuid)
        exported = values.samples
        if self._unexported:
            exported = [sample for sample in values.samples if id(sample.metric) not in self._unexported_ids]
        samples = [_info_sample(entry), *values.partition_infos, *exported, *health]
        device = _with_partitions_known(entry.device, known=values.partitions_known)
        reading = DeviceReading(device, values.partitions, samples, values.faults, values.processes)
        reading.incomplete = values.incomplete
        reading.conditions = self._health.conditions(uuid) if values.answers else ()
        return reading

    def _gaps_of(self, uuid: str, unsupported: tuple[Unsupported, ...]) -> frozenset[Metric]:
        """The unsupported rows of a device itself."""
        known, gaps = self._gaps.get(uuid, (None, frozenset()))
        if known is not unsupported:
            gaps = frozenset(gap.metric for gap in unsupported if not gap.partition_uuid)
            self._gaps[uuid] = (unsupported, gaps)
        return gaps

    def _call(self, entry: DeviceEntry, handle: Handle, due: frozenset[Cadence]) -> "partial[DeviceValues]":
        """The call that reads a device. It is not given the entry, which belongs to the collector's thread."""
        uuid = entry.device.uuid
        if uuid not in self._readers:
            self._readers[uuid] = DeviceReader(self.nvml, entry.identity, self._context)
        found_again, was_stuck = uuid in self._were_lost, uuid in self._were_stuck
        return partial(self._readers[uuid].read, handle, due, found_again=found_again, was_stuck=was_stuck)

    def _report_unread(self, entry: DeviceEntry, *, stuck: bool = False) -> DeviceReading:
        """The reading of a device that is lost, asleep or stuck, or listed by the library but cannot be opened."""
        uuid = entry.device.uuid
        if entry.lost:
            self._were_lost.add(uuid)
        health = self._health.mark_lost(uuid) if entry.lost else self._health.event_samples(uuid)
        last = self._last.get(uuid) or DeviceValues()
        device = _with_partitions_known(entry.device, known=last.partitions_known)
        samples = [_info_sample(entry), *last.partition_infos, *health]
        conditions = self._health.conditions(uuid) if entry.lost else ()
        return DeviceReading(device, last.partitions, samples, stuck=stuck, conditions=conditions)


def _with_partitions_known(device: Device, *, known: bool) -> Device:
    return device if device.partitions_known is known else replace(device, partitions_known=known)


def _info_sample(entry: DeviceEntry) -> Sample:
    return Sample(catalog.INFO, entry.identity.device.uuid, 1.0, labels=entry.identity.info)
