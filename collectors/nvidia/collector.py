"""The collector: one session, the devices in it, their partitions, one reading after another."""

from collections.abc import Callable

from collectors import catalog
from collectors.contract import AbsentError, Fault, Node, Reading
from collectors.metric import Cadence, Metric
from collectors.nvidia import sitting as sittings
from collectors.nvidia.devices import DeviceTable, driven
from collectors.nvidia.errors import InvalidValueError, SessionError
from collectors.nvidia.nvml import Nvml
from collectors.nvidia.session import Session
from collectors.nvidia.sitting import Sitting
from collectors.pci import PciFunction, functions_of

_PCI_VENDOR = 0x10DE
_MOST_DEVICES = 256

METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in sittings.ROWS)
PARTITION_METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in sittings.PARTITION_ROWS)


class NvidiaCollector:
    """Reads NVIDIA GPUs through NVML.

    Args:
        node: The machine.
        open_library: Loads and initialises NVML.
        clock: Monotonic seconds, for the back-off of sessions.
    """

    def __init__(self, node: Node, open_library: Callable[[], Nvml], clock: Callable[[], float]) -> None:
        self._node = node
        self._session = Session(open_library, self._hardware, clock)
        self._devices = DeviceTable(node)
        self._sitting: Sitting | None = None

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on every device. See `Collector.read`."""
        try:
            return self._read(self._open_sitting(due), due)
        except SessionError as error:
            raise self._session.fail(error) from None

    def close(self) -> None:
        """Shut NVML down; a later `read` opens it again."""
        self._session.close()

    def _hardware(self) -> tuple[PciFunction, ...]:
        functions = functions_of(self._node.sysfs, _PCI_VENDOR)
        return tuple(function for function in functions if function.is_display)

    def _open_sitting(self, due: frozenset[Cadence]) -> Sitting:
        """The running session, or a new one: after a failure, and when the bus has a device this one can't know."""
        nvml = self._session.library()
        sitting = self._sitting
        if sitting is not None and sitting.nvml is nvml:
            if Cadence.MEDIUM not in due or not driven(self._hardware()) - sitting.driven:
                return sitting
            self._session.close()
            nvml = self._session.library()
        self._devices.new_session()
        self._sitting = Sitting(nvml, driven(self._hardware()))
        return self._sitting

    def _read(self, sitting: Sitting, due: frozenset[Cadence]) -> Reading:
        faults = self._look_for_devices(sitting, due)
        if Cadence.SLOW in due:
            sitting.partitions.reread()
        parts = [sitting.read(entry, due) for entry in self._devices.entries]
        self._session.works()
        return Reading(
            devices=tuple(part.device for part in parts),
            partitions=tuple(partition for part in parts for partition in part.partitions),
            samples=tuple(sample for part in parts for sample in part.samples if sample.metric.cadence in due),
            faults=(*faults, *(fault for part in parts for fault in part.faults)),
            unsupported=tuple(sitting.asker.unsupported()),
        )

    def _look_for_devices(self, sitting: Sitting, due: frozenset[Cadence]) -> list[Fault]:
        """Enumerate where that can bring something new: at first, when the count changes, while a device is amiss."""
        count = sitting.nvml.device_count()
        if count > _MOST_DEVICES:
            raise InvalidValueError(f"nvmlDeviceGetCount: {count} devices")
        faults: list[Fault] = []
        if count != sitting.count or (Cadence.MEDIUM in due and self._devices.unsettled):
            sitting.count = count
            faults = self._devices.enumerate(sitting.nvml, count, self._hardware())
        if count == 0 and self._devices.empty:
            raise AbsentError("the NVIDIA library lists no device")
        return faults
