"""One session's work: what is known as long as the library stays open, and how one device is read with it."""

from dataclasses import dataclass, field

from collectors import catalog, labels
from collectors.contract import Device, DeviceLostError, Fault, Partition, Sample
from collectors.metric import Cadence
from collectors.nvidia.asking import Asker, Subject
from collectors.nvidia.devices import Entry
from collectors.nvidia.errors import fault_of
from collectors.nvidia.identity import info_labels
from collectors.nvidia.nvml import Handle, Nvml
from collectors.nvidia.partitions import Found, PartitionTable
from collectors.nvidia.query import rows_of
from collectors.nvidia.readings import DEVICE_QUERIES, MEMORY_QUERIES, PROCESS_QUERY

_PARTITION_QUERIES = (*MEMORY_QUERIES, PROCESS_QUERY)

ROWS = {catalog.INFO, catalog.STATUS_STATE, catalog.PARTITIONS} | rows_of(DEVICE_QUERIES)
PARTITION_ROWS = {catalog.INFO, catalog.COMPUTE_RATIO} | rows_of(_PARTITION_QUERIES)


@dataclass(slots=True)
class DeviceReading:
    """One device's part of a reading.

    Attributes:
        device: Who it is, and whether it is lost.
        partitions: How it is cut.
        samples: Values, whatever their cadence.
        faults: What failed.
    """

    device: Device
    partitions: tuple[Partition, ...] = ()
    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class Sitting:
    """What lives as long as one session.

    Args:
        nvml: The open library.
        driven: Addresses bound to NVIDIA's driver when the session was opened: the library fixes its list then.
    """

    def __init__(self, nvml: Nvml, driven: frozenset[str]) -> None:
        self.nvml = nvml
        self.driven = driven
        self.count: int | None = None  # of devices listed last; None before the first look
        self.asker = Asker(nvml)
        self.partitions = PartitionTable(nvml)
        self._partition_infos: dict[str, list[Sample]] = {}

    def read(self, entry: Entry, due: frozenset[Cadence]) -> DeviceReading:
        """Read the rows of one device and its partitions whose cadence is due.

        Raises:
            SessionError: The session is over.
        """
        partitions = self.partitions.known(entry.identity.device.uuid)
        if entry.lost or entry.handle is None:
            return self._silent(entry, partitions)
        try:
            return self._answering(entry, entry.handle, due)
        except DeviceLostError as error:
            entry.lost = True
            reading = self._silent(entry, partitions)
            reading.faults.append(fault_of(error, entry.identity.device.device))
            return reading

    def _answering(self, entry: Entry, handle: Handle, due: frozenset[Cadence]) -> DeviceReading:
        uuid = entry.identity.device.uuid
        cut = self.partitions.read(entry.identity, handle)
        if cut.changed:
            self.asker.forget(uuid)
        findings = self.asker.ask(Subject(uuid), handle, DEVICE_QUERIES, due)
        faults = [*cut.faults, *findings.faults]
        reading = DeviceReading(entry.device, cut.known, [_info(entry), *findings.samples], faults)
        if findings.answered or not findings.refused:  # else nothing is known of its state
            reading.samples += _status(uuid, "ok")
        if cut.complete:
            reading.samples.append(Sample(catalog.PARTITIONS, uuid, len(cut.found)))
        self._partition_infos[uuid] = [_partition_info(uuid, found) for found in cut.found]
        reading.samples += self._partition_infos[uuid]
        for found in cut.found:
            self._ask_partition(uuid, found, reading, due)
        return reading

    def _silent(self, entry: Entry, partitions: tuple[Partition, ...]) -> DeviceReading:
        """A device without readings: lost, or one that the library lists and does not let us open."""
        uuid = entry.device.uuid
        states = _status(uuid, "failed") if entry.lost else []
        infos = self._partition_infos.get(uuid, ())
        return DeviceReading(entry.device, partitions, [_info(entry), *infos, *states])

    def _ask_partition(self, uuid: str, found: Found, reading: DeviceReading, due: frozenset[Cadence]) -> None:
        mig = found.mig
        if mig.compute_ratio is not None:
            reading.samples.append(Sample(catalog.COMPUTE_RATIO, uuid, mig.compute_ratio, mig.uuid))
        queries = _PARTITION_QUERIES if found.tells_memory else (PROCESS_QUERY,)
        try:
            findings = self.asker.ask(Subject(uuid, mig.uuid), found.handle, queries, due)
        except DeviceLostError as error:  # its device has just answered: this partition has just been removed
            reading.faults.append(fault_of(error, mig.uuid))
            return
        reading.samples += findings.samples
        reading.faults += findings.faults


def _info(entry: Entry) -> Sample:
    return Sample(catalog.INFO, entry.identity.device.uuid, 1, labels=entry.identity.info)


def _partition_info(uuid: str, found: Found) -> Sample:
    mig = found.mig
    instances = info_labels(gpu_instance_id=str(mig.gpu_instance), compute_instance_id=str(mig.compute_instance))
    return Sample(catalog.INFO, uuid, 1, mig.uuid, instances)


def _status(uuid: str, now: str) -> list[Sample]:
    return [Sample(catalog.STATUS_STATE, uuid, float(state == now), labels=(state,)) for state in labels.STATUS.values]
