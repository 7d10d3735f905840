"""The collector: one session, the devices in it, their partitions, one reading after another."""

from collections.abc import Callable
from functools import partial

from collectors import catalog
from collectors.contract import AbsentError, Fault, Node, Reading
from collectors.metric import Cadence, Metric
from collectors.nvidia import session_reader
from collectors.nvidia.devices import DeviceTable, driven
from collectors.nvidia.errors import InvalidValueError, SessionError
from collectors.nvidia.health import Health
from collectors.nvidia.nvml import Nvml
from collectors.nvidia.session import Session
from collectors.nvidia.session_reader import Setting, Sitting
from collectors.nvidia.sleep import SleepPolicy, asleep, can_sleep, resting
from collectors.pci import PciFunction, functions_of

_PCI_VENDOR = 0x10DE
_MOST_DEVICES = 256

METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in session_reader.ROWS)
PARTITION_METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in session_reader.PARTITION_ROWS)


class NvidiaCollector:
    """Reads NVIDIA GPUs through NVML.

    Args:
        node: The machine.
        open_library: Loads and initialises NVML.
        clock: Monotonic seconds.
        wall_clock: Unix time, for when events happened.
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
        self._setting = Setting(Health(), node.wishes, clock, wall_clock)
        self._sleep = SleepPolicy(partial(can_sleep, node), clock)
        self._sitting: Sitting | None = None
        self._late_faults: list[Fault] = []

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on every device. See `Collector.read`."""
        if not self._may_be_open(due):
            self.close()
            return resting(self._devices.unasked(self._hardware()), self._setting.health.silent, due)
        try:
            reading = self._read(self._open_sitting(due), due)
        except SessionError as error:
            self._end_sitting()
            raise self._session.fail(error) from None
        self._sleep.saw(reading.samples)
        return reading

    def close(self) -> None:
        """Shut NVML down; a later `read` opens it again."""
        self._end_sitting()
        self._session.close()

    def _end_sitting(self) -> None:
        sitting, self._sitting = self._sitting, None
        if sitting is not None:
            self._late_faults += sitting.close()

    def _may_be_open(self, due: frozenset[Cadence]) -> bool:
        """Whether the library may be open, which wakes devices that are asleep and keeps them awake."""
        if self._node.wishes.wake_sleeping or (self._session.is_open and Cadence.MEDIUM not in due):
            return True
        seen = asleep(self._node, driven(self._hardware()))
        return self._sleep.may_be_open(seen, is_open=self._session.is_open)

    def _hardware(self) -> tuple[PciFunction, ...]:
        functions = functions_of(self._node.sysfs, _PCI_VENDOR)
        return tuple(function for function in functions if function.is_display)

    def _open_sitting(self, due: frozenset[Cadence]) -> Sitting:
        """The running session, or a new one: after a failure, and when the bus has a device this one can't know."""
        nvml = self._session.library()
        sitting = self._sitting
        if sitting is not None:
            if Cadence.MEDIUM not in due or not driven(self._hardware()) - sitting.driven:
                return sitting
            self.close()
            nvml = self._session.library()
        self._devices.new_session()
        self._sitting = Sitting(nvml, driven(self._hardware()), self._setting)
        return self._sitting

    def _read(self, sitting: Sitting, due: frozenset[Cadence]) -> Reading:
        faults = self._look_for_devices(sitting, due)
        self._devices.note_asleep(self._sleep.asleep)
        parts, more = sitting.read(self._devices.entries, due)
        faults += [*more, *self._late_faults]
        self._late_faults.clear()
        self._session.works()
        return Reading(
            devices=tuple(part.device for part in parts),
            partitions=tuple(partition for part in parts for partition in part.partitions),
            samples=tuple(sample for part in parts for sample in part.samples if sample.metric.cadence in due),
            processes=sitting.processes(),
            faults=(*faults, *(fault for part in parts for fault in part.faults)),
            unsupported=sitting.unsupported(),
        )

    def _look_for_devices(self, sitting: Sitting, due: frozenset[Cadence]) -> list[Fault]:
        """Enumerate where that can bring something new: at first, when the count changes, while a device is amiss."""
        count = sitting.nvml.device_count()
        if count > _MOST_DEVICES:
            raise InvalidValueError(f"nvmlDeviceGetCount: {count} devices")
        faults: list[Fault] = []
        look_again = Cadence.MEDIUM in due and self._devices.unsettled and not self._sleep.asleep
        if count != sitting.count or look_again:
            sitting.count = count
            faults = self._devices.enumerate(sitting.nvml, count, self._hardware())
        if count == 0 and self._devices.empty:
            raise AbsentError("the NVIDIA library lists no device")
        return faults
