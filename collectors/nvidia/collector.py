"""The NVIDIA collector: opens the session and returns one reading of all devices at each call."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from collectors import catalog
from collectors.contract import AbsentError, Fault, Node, Reading, Reason
from collectors.metric import Cadence, Metric
from collectors.nvidia.devices import DeviceTable, bound_addresses, undriven_faults
from collectors.nvidia.errors import InvalidValueError, SessionError
from collectors.nvidia.health import Health
from collectors.nvidia.nvml import Nvml
from collectors.nvidia.session import Session
from collectors.nvidia.session_reader import SUPPLIED_PARTITION_ROWS, SUPPLIED_ROWS, SessionContext, SessionReader
from collectors.nvidia.sleep import SleepPolicy, can_sleep, closed_reading, sleep_states
from collectors.pci import PciFunction, functions_of

_PCI_VENDOR = 0x10DE
_MAX_DEVICES = 256
# How soon after the last search a lost device is searched for again, where the medium interval is longer.
_SEARCH_SECONDS = 5.0

METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in SUPPLIED_ROWS)
PARTITION_METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in SUPPLIED_PARTITION_ROWS)


class NvidiaCollector:
    """Reads NVIDIA GPUs through NVML.

    Args:
        node: The machine.
        open_library: Loads and initialises NVML.
        clock: Monotonic seconds.
        wall_clock: Unix time, for the timestamps of events.
    """

    def __init__(
        self,
        node: Node,
        open_library: Callable[[], Nvml],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._node = node
        self._session = Session(open_library, self._hardware, clock)
        self._devices = DeviceTable(node)
        self._context = SessionContext(Health(clock), node.options, clock, wall_clock)
        self._sleep = SleepPolicy(partial(can_sleep, node), clock)
        self._reader: SessionReader | None = None
        self._sessions = 0
        self._clock = clock
        self._searched_at = 0.0
        self._late_faults: list[Fault] = []

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on all devices. See `Collector.read`."""
        if not self._may_be_open(due):
            self.close()
            entries = self._devices.bound_entries(self._hardware())
            reading = closed_reading(entries, self._context.health.event_samples, due)
            return replace(reading, faults=tuple(self._undriven(due)))
        try:
            reading = self._read(self._open_reader(due), due)
        except SessionError as error:
            self._close_reader()
            raise self._session.fail(error) from None
        self._sleep.record_work(reading.samples)
        return reading

    def close(self) -> None:
        """Shut NVML down; a later `read` opens it again."""
        self._close_reader()
        self._session.close()

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            self._late_faults += reader.close()

    def _may_be_open(self, due: frozenset[Cadence]) -> bool:
        """Whether the library may be open. An open library wakes sleeping devices and keeps them awake."""
        if self._node.options.wake_sleeping or (self._session.is_open and Cadence.MEDIUM not in due):
            return True
        states = sleep_states(self._node, bound_addresses(self._hardware()))
        return self._sleep.may_be_open(states, is_open=self._session.is_open)

    def _hardware(self) -> tuple[PciFunction, ...]:
        functions = functions_of(self._node.sysfs, _PCI_VENDOR)
        return tuple(function for function in functions if function.is_display)

    def _open_reader(self, due: frozenset[Cadence]) -> SessionReader:
        """The reader of the open session, or of a new one after a failure or if the bus has a new device."""
        nvml = self._session.library()
        reader = self._reader
        if reader is not None:
            if Cadence.MEDIUM not in due or not bound_addresses(self._hardware()) - reader.bound_addresses:
                return reader
            self.close()
            nvml = self._session.library()
        self._devices.new_session()
        self._sessions += 1
        self._reader = SessionReader(nvml, bound_addresses(self._hardware()), self._context)
        return self._reader

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
            processes=reader.processes(),
            faults=(*faults, *(fault for each in readings for fault in each.faults)),
            unsupported=reader.unsupported(),
            sessions={each.device.uuid: self._sessions for each in readings},
        )

    def _enumerate_devices(self, reader: SessionReader, due: frozenset[Cadence]) -> list[Fault]:
        """Enumerate if that can find a change: at first, if the count changes, or while a device fails or is lost."""
        now = self._clock()
        count = reader.nvml.device_count()
        if count > _MAX_DEVICES:
            raise InvalidValueError(f"nvmlDeviceGetCount: {count} devices")
        faults: list[Fault] = []
        soon = self._devices.any_lost and now - self._searched_at >= _SEARCH_SECONDS
        rescan = (soon or Cadence.MEDIUM in due) and self._devices.needs_rescan and not self._sleep.asleep
        if count != reader.listed_count or rescan:
            self._searched_at = now
            reader.listed_count = count
            faults = self._devices.enumerate(reader.nvml, count, self._hardware())
        if count == 0 and self._devices.empty:
            for fault in undriven_faults(self._hardware()):
                raise SessionError(f"{fault.where}: {fault.detail}", Reason.DRIVER_NOT_LOADED)
            raise AbsentError("the NVIDIA library lists no device")
        return faults

    def _undriven(self, due: frozenset[Cadence]) -> list[Fault]:
        """The devices on the bus that NVIDIA's driver does not drive, so that no library lists them."""
        return undriven_faults(self._hardware()) if Cadence.MEDIUM in due else []
