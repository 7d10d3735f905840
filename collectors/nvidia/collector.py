"""The collector: one session, the devices in it, their partitions, one reading after another."""

from collections.abc import Callable
from dataclasses import dataclass, field

from collectors import catalog, labels
from collectors.contract import AbsentError, Device, DeviceLostError, Fault, Node, Partition, Reading, Sample
from collectors.metric import Cadence, Metric
from collectors.nvidia.asking import Asker, Subject
from collectors.nvidia.devices import DeviceTable, Entry, driven
from collectors.nvidia.errors import InvalidValueError, SessionError, fault_of
from collectors.nvidia.identity import info_labels
from collectors.nvidia.nvml import Handle, Nvml
from collectors.nvidia.partitions import Found, PartitionTable
from collectors.nvidia.query import rows_of
from collectors.nvidia.readings import DEVICE_QUERIES, MEMORY_QUERIES, PROCESS_QUERY
from collectors.nvidia.session import Session
from collectors.pci import PciFunction, functions_of

_PCI_VENDOR = 0x10DE
_MOST_DEVICES = 256

_PARTITION_QUERIES = (*MEMORY_QUERIES, PROCESS_QUERY)
_OF_DEVICES = {catalog.INFO, catalog.STATUS_STATE, catalog.PARTITIONS} | rows_of(DEVICE_QUERIES)
_OF_PARTITIONS = {catalog.INFO, catalog.COMPUTE_RATIO} | rows_of(_PARTITION_QUERIES)
METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in _OF_DEVICES)
PARTITION_METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in _OF_PARTITIONS)


@dataclass(slots=True)
class _Sitting:
    """What lives as long as one session.

    Attributes:
        nvml: The open library.
        asker: Remembers what is unsupported.
        partitions: The MIG devices.
        driven: Addresses bound to NVIDIA's driver when the session was opened: the library fixes its list then.
        count: How many devices it listed last; None before the first look.
    """

    nvml: Nvml
    asker: Asker
    partitions: PartitionTable
    driven: frozenset[str]
    count: int | None = None


@dataclass(slots=True)
class _Part:
    """One device's part of a reading."""

    device: Device
    partitions: tuple[Partition, ...] = ()
    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


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
        self._sitting: _Sitting | None = None

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

    def _open_sitting(self, due: frozenset[Cadence]) -> _Sitting:
        """The running session, or a new one: after a failure, and when the bus has a device this one can't know."""
        nvml = self._session.library()
        sitting = self._sitting
        if sitting is not None and sitting.nvml is nvml:
            if Cadence.MEDIUM not in due or not driven(self._hardware()) - sitting.driven:
                return sitting
            self._session.close()
            nvml = self._session.library()
        self._devices.new_session()
        self._sitting = _Sitting(nvml, Asker(nvml), PartitionTable(nvml), driven(self._hardware()))
        return self._sitting

    def _read(self, sitting: _Sitting, due: frozenset[Cadence]) -> Reading:
        faults = self._look_for_devices(sitting, due)
        if Cadence.SLOW in due:
            sitting.partitions.reread()
        parts = [self._read_device(sitting, entry, due) for entry in self._devices.entries]
        self._session.works()
        return Reading(
            devices=tuple(part.device for part in parts),
            partitions=tuple(partition for part in parts for partition in part.partitions),
            samples=tuple(sample for part in parts for sample in part.samples if sample.metric.cadence in due),
            faults=(*faults, *(fault for part in parts for fault in part.faults)),
            unsupported=tuple(sitting.asker.unsupported()),
        )

    def _look_for_devices(self, sitting: _Sitting, due: frozenset[Cadence]) -> list[Fault]:
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

    def _read_device(self, sitting: _Sitting, entry: Entry, due: frozenset[Cadence]) -> _Part:
        partitions = sitting.partitions.known(entry.identity.device.uuid)
        if entry.lost or entry.handle is None:
            return _silent(entry, partitions)
        try:
            return _answering(sitting, entry, entry.handle, due)
        except DeviceLostError as error:
            entry.lost = True
            part = _silent(entry, partitions)
            part.faults.append(fault_of(error, entry.identity.device.device))
            return part


def _silent(entry: Entry, partitions: tuple[Partition, ...]) -> _Part:
    """A device without readings: lost, or one that the library lists and does not let us open."""
    states = _status(entry.device.uuid, "failed") if entry.lost else []
    return _Part(entry.device, partitions, [_info(entry), *states])


def _answering(sitting: _Sitting, entry: Entry, handle: Handle, due: frozenset[Cadence]) -> _Part:
    uuid = entry.identity.device.uuid
    cut = sitting.partitions.read(entry.identity, handle)
    if cut.changed:
        sitting.asker.forget(uuid)
    findings = sitting.asker.ask(Subject(uuid), handle, DEVICE_QUERIES, due)
    part = _Part(entry.device, cut.known, [_info(entry), *findings.samples], [*cut.faults, *findings.faults])
    if findings.answered or not findings.refused:  # else nothing is known of its state
        part.samples += _status(uuid, "ok")
    if cut.complete:
        part.samples.append(Sample(catalog.PARTITIONS, uuid, len(cut.found)))
    for found in cut.found:
        _ask_partition(sitting, uuid, found, part, due)
    return part


def _ask_partition(sitting: _Sitting, uuid: str, found: Found, part: _Part, due: frozenset[Cadence]) -> None:
    mig = found.mig
    instances = info_labels(gpu_instance_id=str(mig.gpu_instance), compute_instance_id=str(mig.compute_instance))
    part.samples.append(Sample(catalog.INFO, uuid, 1, mig.uuid, instances))
    if mig.compute_ratio is not None:
        part.samples.append(Sample(catalog.COMPUTE_RATIO, uuid, mig.compute_ratio, mig.uuid))
    queries = _PARTITION_QUERIES if found.tells_memory else (PROCESS_QUERY,)
    try:
        findings = sitting.asker.ask(Subject(uuid, mig.uuid), found.handle, queries, due)
    except DeviceLostError as error:  # its device has just answered: this partition has just been removed
        part.faults.append(fault_of(error, mig.uuid))
        return
    part.samples += findings.samples
    part.faults += findings.faults


def _info(entry: Entry) -> Sample:
    return Sample(catalog.INFO, entry.identity.device.uuid, 1, labels=entry.identity.info)


def _status(uuid: str, now: str) -> list[Sample]:
    return [Sample(catalog.STATUS_STATE, uuid, float(state == now), labels=(state,)) for state in labels.STATUS.values]
