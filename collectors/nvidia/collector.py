"""The NVIDIA collector: opens the session and returns one reading of all devices at each call."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from collectors import catalog
from collectors.contract import AbsentError, Device, Fault, Node, Reading, Reason, UnavailableError
from collectors.device_calls import DeviceCalls
from collectors.metric import Cadence, Metric
from collectors.nvidia.context import SessionContext
from collectors.nvidia.device_reader import DeviceValues
from collectors.nvidia.devices import DeviceEntry, DeviceTable, Place, bound_addresses, undriven_faults
from collectors.nvidia.errors import InvalidValueError, SessionError
from collectors.nvidia.health import Health
from collectors.nvidia.names import PCI_VENDOR
from collectors.nvidia.session import OpenLibrary, Session
from collectors.nvidia.session_reader import SUPPLIED_PARTITION_ROWS, SUPPLIED_ROWS, SessionReader
from collectors.nvidia.sleep import SleepPolicy, can_sleep, closed_reading, sleep_states
from collectors.nvidia.unbinding import leaving
from collectors.pci import PciFunction, functions_of

_MAX_DEVICES = 256
# How soon after the last search a lost device is searched for again, where the medium interval is longer.
_SEARCH_SECONDS = 5.0
_UNKNOWN = DeviceValues(partitions_known=False)

METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in SUPPLIED_ROWS)
PARTITION_METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in SUPPLIED_PARTITION_ROWS)


class NvidiaCollector:
    """Reads NVIDIA GPUs through NVML.

    Args:
        node: The machine.
        open_library: Loads and initialises NVML.
        clock: Monotonic seconds.
        wall_clock: Unix time, for the timestamps of events.
        calls: Makes the calls about single devices.
    """

    def __init__(
        self,
        node: Node,
        open_library: OpenLibrary,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        calls: DeviceCalls,
    ) -> None:
        self._node = node
        self._calls = calls
        self._session = Session(open_library, self._hardware, clock, calls)
        self._devices = DeviceTable(node, calls)
        self._context = SessionContext(Health(clock), node.options, calls, clock, wall_clock, node.procfs)
        self._sleep = SleepPolicy(partial(can_sleep, node), clock)
        self._reader: SessionReader | None = None
        self._sessions = 0
        self._passed_through: list[DeviceEntry] = []
        self._all_passed_through = False
        self._clock = clock
        self._searched_at = 0.0
        self._late_faults: list[Fault] = []
        self._functions: tuple[PciFunction, ...] | None = None
        self._released: frozenset[str] = frozenset()
        self._last: dict[str, DeviceValues] = {}  # of earlier sessions, by uuid
        self._left: frozenset[str] = (
            frozenset()
        )  # those that were unbound while the library was open, until bound again

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on all devices. See `Collector.read`."""
        self._functions = None
        if Cadence.MEDIUM in due:
            functions = self._hardware()
            self._passed_through = self._devices.passed_through_entries(functions)
            self._all_passed_through = bool(self._passed_through) and not bound_addresses(functions)
        reading = self._read_driven(due)
        driven = {device.device for device in reading.devices}  # one that was bound again may be in both
        entries = [each for each in self._passed_through if each.device.device not in driven]
        others = closed_reading(entries, lambda _: (), due)  # events of before are not those of the virtual machine
        closed = self._closed_reading(driven | {entry.device.device for entry in entries}, due)
        return replace(
            reading,
            cpu_seconds=self._calls.cpu_seconds,
            events=self._context.health.drain_events(),
            devices=(*reading.devices, *others.devices, *closed.devices),
            partitions=(*reading.partitions, *closed.partitions),
            samples=(*reading.samples, *others.samples, *closed.samples),
        )

    def release_devices(self, addresses: frozenset[str]) -> None:
        """Shut NVML down if it concerns one of its devices; the next `read` opens it. See `ReleasesDevices`."""
        self._functions = None
        changed = addresses ^ self._released
        concerned = not changed.isdisjoint(function.address for function in self._hardware())
        if concerned and self._calls.stuck:
            raise UnavailableError("a call has not returned, so that the library cannot be shut down", Reason.LATE)
        self._released = addresses
        if concerned:
            self.close()

    def _closed_reading(self, listed: Collection[str], due: frozenset[Cadence]) -> Reading:
        """The devices that are released or were unbound, except those that are listed anyway."""
        closed = (self._released | self._left).difference(listed)
        if not closed:
            return Reading(devices=())
        entries = self._devices.closed_entries([each for each in self._hardware() if each.address in closed])
        reading = closed_reading(entries, self._context.health.event_samples, due)
        last = {device.uuid: self._last.get(device.uuid, _UNKNOWN) for device in reading.devices}
        infos = (info for values in last.values() for info in values.partition_infos if catalog.INFO.cadence in due)
        return replace(
            reading,
            devices=tuple(replace(each, partitions_known=last[each.uuid].partitions_known) for each in reading.devices),
            partitions=tuple(partition for values in last.values() for partition in values.partitions),
            samples=(*reading.samples, *infos),
        )

    def _bound(self) -> frozenset[str]:
        """The addresses of the devices to read: bound to NVIDIA's driver and not released."""
        return bound_addresses(self._hardware()) - self._released

    def _read_driven(self, due: frozenset[Cadence]) -> Reading:
        """Read the devices that are not passed through."""
        if self._all_passed_through or (self._released and not self._bound()):
            self.close()
            return Reading(devices=(), faults=tuple(self._undriven(due)))
        if not self._may_be_open(due):
            self.close()
            bound = self._bound()
            entries = self._devices.closed_entries([each for each in self._hardware() if each.address in bound])
            reading = closed_reading(entries, self._context.health.event_samples, due)
            return replace(reading, faults=tuple(self._undriven(due)), stuck=self._stuck_among(reading.devices))
        try:
            reading = self._read(self._open_reader(due), due)
        except SessionError as error:
            self.close()
            raise self._session.fail(error) from None
        if not reading.stuck:  # otherwise a device may work of which nothing is known
            self._sleep.record_work(reading.samples)
        return reading

    @property
    def closed(self) -> bool:
        """See `ClosesLate`."""
        return self._calls.none_is_out

    def close(self) -> None:
        """Shut NVML down, once no call is out; a later `read` opens it again."""
        reader, self._reader = self._reader, None
        if reader is None:
            self._session.close()
            return
        self._last |= reader.last_values()
        self._late_faults += reader.end_events()
        self._session.close(reader.free())

    def _stuck_among(self, devices: Collection[Device]) -> frozenset[str]:
        return self._calls.stuck & {device.uuid for device in devices}

    def _may_be_open(self, due: frozenset[Cadence]) -> bool:
        """Whether the library may be open. An open library wakes sleeping devices and keeps them awake."""
        if self._node.options.wake_sleeping or (self._session.is_open and Cadence.MEDIUM not in due):
            return True
        states = sleep_states(self._node, self._bound())
        return self._sleep.may_be_open(states, is_open=self._session.is_open)

    def _hardware(self) -> tuple[PciFunction, ...]:
        """NVIDIA's display functions on the bus, listed at most once in a reading."""
        if self._functions is None:
            functions = functions_of(self._node.sysfs, PCI_VENDOR)
            self._functions = tuple(function for function in functions if function.is_display)
        return self._functions

    def _open_reader(self, due: frozenset[Cadence]) -> SessionReader:
        """The reader of the open session, or of a new one after a failure or if a device is new or being unbound."""
        reader = self._reader
        if reader is not None:
            # While a call is out the library stays open, so that another session would not list more devices.
            if self._calls.stuck or not self._must_reopen(reader, due):
                return reader
            self.close()
        bound = self._bound()
        self._left -= bound
        attach = not (self._released or self._left)
        nvml = self._session.library(attach=attach)
        self._devices.new_session()
        self._sessions += 1
        self._reader = SessionReader(nvml, bound, self._context, attached=attach)
        return self._reader

    def _must_reopen(self, reader: SessionReader, due: frozenset[Cadence]) -> bool:
        """Whether a device of the session is being unbound, or was unbound, or one of the bus is not in the session."""
        left = leaving(self._node.sysfs, reader.bound_addresses)
        self._left |= left
        return bool(
            left
            or reader.unbind_events.occurred()
            or (Cadence.MEDIUM in due and self._bound() - reader.bound_addresses)
        )

    def _places(self, reader: SessionReader, count: int) -> Sequence[Place]:
        """Where to look for the devices: looking at an index would open a device that is to stay closed."""
        return range(count) if reader.attached else sorted(reader.bound_addresses)

    def _read(self, reader: SessionReader, due: frozenset[Cadence]) -> Reading:
        faults = self._enumerate_devices(reader, due)
        self._devices.set_asleep(self._sleep.asleep)
        readings, more = reader.read(self._devices.entries, due)
        faults += [*more, *self._late_faults, *self._undriven(due)]
        self._late_faults.clear()
        self._session.reset_backoff()
        return Reading(
            devices=tuple(each.device for each in readings),
            partitions=tuple(partition for each in readings for partition in each.partitions),
            samples=tuple(sample for each in readings for sample in each.samples if sample.metric.cadence in due),
            processes=tuple(process for each in readings for process in each.processes),
            faults=(*faults, *(fault for each in readings for fault in each.faults)),
            unsupported=reader.unsupported(),
            sessions={each.device.uuid: self._sessions for each in readings},
            stuck=frozenset(each.device.uuid for each in readings if each.stuck),
            incomplete=any(each.incomplete for each in readings),
            conditions={each.device.uuid: each.conditions for each in readings if each.conditions},
        )

    def _enumerate_devices(self, reader: SessionReader, due: frozenset[Cadence]) -> list[Fault]:
        """Enumerate if that can find a change: at first, if the count changes, or while a device fails or is lost.

        It asks every device, which would wake those that sleep.
        """
        now = self._clock()
        count = reader.nvml.device_count()
        if count > _MAX_DEVICES:
            raise InvalidValueError(f"nvmlDeviceGetCount: {count} devices")
        faults: list[Fault] = []
        soon = self._devices.any_missing and now - self._searched_at >= _SEARCH_SECONDS
        rescan = (soon or Cadence.MEDIUM in due) and self._devices.needs_rescan and not self._sleep.asleep
        if count != reader.listed_count or rescan:
            self._searched_at = now
            reader.listed_count = count
            places = self._places(reader, count)
            faults = self._devices.enumerate(reader.nvml, places, self._hardware(), self._released)
        if count == 0 and self._devices.empty:
            for fault in self._undriven_functions():
                raise SessionError(f"{fault.where}: {fault.detail}", Reason.DRIVER_NOT_LOADED)
            raise AbsentError("the NVIDIA library lists no device")
        return faults

    def _undriven(self, due: frozenset[Cadence]) -> list[Fault]:
        """The devices on the bus that NVIDIA's driver does not drive, so that no library lists them."""
        return self._undriven_functions() if Cadence.MEDIUM in due else []

    def _undriven_functions(self) -> list[Fault]:
        return undriven_faults(each for each in self._hardware() if each.address not in self._released)
