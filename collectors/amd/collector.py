"""The collector: the GPUs that amdgpu drives, their partitions, one reading after another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from collectors import catalog
from collectors.amd import health, readings
from collectors.amd.devices import DeviceTable, Entry
from collectors.amd.gpu_files import Visit
from collectors.amd.gpu_metrics.model import Parse
from collectors.amd.gpu_paths import Layout
from collectors.amd.health import Health
from collectors.amd.identity import info_labels
from collectors.amd.partitions import Cut, Found, PartitionTable
from collectors.amd.processes import Processes, Using, places_of
from collectors.amd.readings import Slice
from collectors.amd.rocm_smi.queries import Backend
from collectors.amd.throttle_time import HeldTime
from collectors.contract import Device, Fault, Node, Partition, Process, Reading, Reason, Sample
from collectors.metric import Cadence, Metric
from collectors.query_runner import Asker, Subject
from collectors.sysfs import Root

_ROWS = {catalog.INFO, catalog.PROCESSES} | health.ROWS | readings.DEVICE_ROWS
_PARTITION_ROWS = {catalog.INFO, catalog.COMPUTE_RATIO, catalog.PROCESSES} | readings.PARTITION_ROWS
METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in _ROWS)
PARTITION_METRICS: tuple[Metric, ...] = tuple(row for row in catalog.ROWS if row in _PARTITION_ROWS)


class Library(Backend, Protocol):
    """Asks the vendor's library."""

    def close(self) -> None:
        """Let go of it; a later question takes it up again."""
        ...


@dataclass(slots=True)
class _Part:
    """One GPU's part of a reading.

    Attributes:
        entry: The GPU.
        cut: How it is cut.
        samples: Of the GPU, whatever their cadence.
        partition_samples: Of its partitions.
        processes: On it.
        faults: What failed.
        asked: Whether it was asked: it is there, and awake.
    """

    entry: Entry
    cut: Cut
    samples: list[Sample]
    partition_samples: list[Sample] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    asked: bool = False

    @property
    def uuid(self) -> str:
        return self.entry.identity.device.uuid

    @property
    def device(self) -> Device:
        """With the names that mean the whole of it."""
        return replace(self.cut.device(self.entry.identity), lost=self.entry.layout is None)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return tuple(found.partition for found in self.cut.found)

    def take(self, using: Using) -> None:
        """Add who uses it."""
        for (device, partition), count in using.counts.items():
            if device == self.uuid:
                samples = self.partition_samples if partition else self.samples
                samples.append(Sample(catalog.PROCESSES, device, count, partition))
        self.processes = [process for process in using.records if process.device_uuid == self.uuid]


class AmdCollector:
    """Reads AMD GPUs through the files of the kernel's amdgpu and amdkfd drivers.

    Args:
        node: The machine.
        wall_clock: Unix time in seconds, for the times of events.
        parse: Understands the table `gpu_metrics`.
        clock: Seconds of a clock that only rises.
        library: Asked in place of the files what it may know; None for files alone.
    """

    def __init__(
        self,
        node: Node,
        wall_clock: Callable[[], float],
        parse: Parse,
        clock: Callable[[], float],
        library: Library | None = None,
    ) -> None:
        self._node = node
        self._library = library
        self._parse = parse
        self._devices = DeviceTable(node)
        self._partitions = PartitionTable(node.sysfs)
        self._health = Health(node.sysfs, wall_clock)
        self._asker: Asker[Root, Visit] = Asker(node.sysfs)
        self._partition_asker: Asker[Root, Slice] = Asker(node.sysfs)
        self._processes = Processes(node, clock)
        self._cuts: dict[str, Cut] = {}
        self._held_times: dict[str, HeldTime] = {}
        self._questions = readings.device_questions(node.wishes, library)
        self._unknown_tables: set[str] = set()

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on every device. See `Collector.read`."""
        again = Cadence.MEDIUM in due
        layouts = self._devices.locate(again=again)
        self._partitions.begin(layouts, again=again)
        faults = self._devices.identify(self._partitions.topology, again=again)
        for uuid in self._devices.renewed():
            self._forget(uuid)
        parts = [self._read(entry, due) for entry in self._devices.entries]
        if catalog.PROCESSES.cadence in due:
            self._read_processes([part for part in parts if part.asked])
        if not self._partitions.unchanged():
            self._withdraw(parts)
        samples = [sample for part in parts for sample in (*part.samples, *part.partition_samples)]
        return Reading(
            devices=tuple(part.device for part in parts),
            partitions=tuple(partition for part in parts for partition in part.partitions),
            samples=tuple(sample for sample in samples if sample.metric.cadence in due),
            processes=tuple(process for part in parts for process in part.processes),
            faults=(*faults, *(fault for part in parts for fault in part.faults)),
            unsupported=(*self._asker.unsupported(), *self._partition_asker.unsupported()),
        )

    def close(self) -> None:
        """End the process that asks the library; nothing else is held open between two reads."""
        if self._library is not None:
            self._library.close()

    def _read(self, entry: Entry, due: frozenset[Cadence]) -> _Part:
        uuid = entry.identity.device.uuid
        if entry.layout is None:
            self._health.lose(uuid)
            part = self._listed(entry, self._cuts.get(uuid, Cut()))
            part.samples += self._health.status(uuid)
            return part
        cut = self._partitions.read(entry.identity, entry.layout)
        if cut.known:
            self._note_cut(uuid, cut)
        part = self._listed(entry, cut)
        part.faults += cut.faults
        if self._node.wishes.wake_sleeping or not _sleeps(entry.layout):
            self._ask(entry.layout, part, due)
        return part

    def _listed(self, entry: Entry, cut: Cut) -> _Part:
        """What is told of a GPU without asking it."""
        uuid = entry.identity.device.uuid
        infos = [Sample(catalog.INFO, uuid, 1, labels=entry.identity.info)]
        for found in cut.found:
            labels = info_labels(index=str(found.node.partition), pci_bus_id=entry.identity.device.device)
            infos.append(Sample(catalog.INFO, uuid, 1, found.partition.uuid, labels))
        return _Part(entry, cut, [infos[0], *self._health.events(uuid)], infos[1:])

    def _ask(self, layout: Layout, part: _Part, due: frozenset[Cadence]) -> None:
        part.asked = True
        uuid = part.uuid
        visit = Visit(layout, part.cut, self._parse, self._held_times.setdefault(uuid, HeldTime()))
        findings = self._asker.ask(Subject(uuid), visit, self._questions, due)
        part.faults += dict.fromkeys(findings.faults)  # a file that fails does so for all who need it
        part.faults += self._unknown_table(uuid, visit)
        memory = (sample.value for sample in findings.samples if sample.metric is catalog.MEMORY_LIMIT)
        self._health.note(uuid, visit, next(memory, None))
        part.samples = [part.samples[0], *findings.samples, *self._health.events(uuid)]
        if not findings.refused or not all(map(_is_of_cut, findings.samples)):  # else nothing is known of its state
            part.samples += self._health.status(uuid)
        for found in part.cut.found:
            self._ask_partition(part, found, visit, due)

    def _unknown_table(self, uuid: str, visit: Visit) -> Iterator[Fault]:
        """Counted once: what it would tell is absent for as long as this driver is loaded, which is no news."""
        error = visit.unknown_table()
        if error is not None and uuid not in self._unknown_tables:
            self._unknown_tables.add(uuid)
            yield Fault(Reason.INVALID_VALUE, uuid, str(error))

    def _ask_partition(self, part: _Part, found: Found, visit: Visit, due: frozenset[Cadence]) -> None:
        device, partition = part.uuid, found.partition.uuid
        asked = Slice(found.node, len(part.cut.found), visit)
        findings = self._partition_asker.ask(Subject(device, partition), asked, readings.PARTITION_QUESTIONS, due)
        part.partition_samples.append(Sample(catalog.COMPUTE_RATIO, device, found.compute_ratio, partition))
        part.partition_samples += findings.samples
        part.faults += findings.faults

    def _read_processes(self, parts: list[_Part]) -> None:
        places = [
            place
            for part in parts
            if part.entry.layout is not None
            for place in places_of(part.uuid, part.entry.layout, part.cut, self._partitions.topology)
        ]
        using = self._processes.read(places)
        for part in parts:
            part.take(using)

    def _note_cut(self, uuid: str, cut: Cut) -> None:
        if uuid in self._cuts and _names(self._cuts[uuid]) != _names(cut):
            self._forget(uuid)
        self._cuts[uuid] = cut

    def _forget(self, uuid: str) -> None:
        """Ask a GPU and its partitions everything again."""
        self._unknown_tables.discard(uuid)
        self._asker.forget(uuid)
        self._partition_asker.forget(uuid)

    def _withdraw(self, parts: list[_Part]) -> None:
        """Partitions have changed while they were read: names and values may be another's."""
        for part in parts:
            layout = part.entry.layout
            if layout is None or not part.cut.partitionable:
                continue
            if part.cut.found or not self._partitions.still_whole(layout):
                part.cut = Cut(known=False)
                part.partition_samples = []
                part.processes = []
                part.samples = [sample for sample in part.samples if not _is_of_cut(sample)]
                self._partition_asker.forget(part.uuid)


def _names(cut: Cut) -> frozenset[str]:
    return frozenset(found.partition.uuid for found in cut.found)


def _is_of_cut(sample: Sample) -> bool:
    of_cut = sample.metric in (catalog.PARTITIONS, catalog.PROCESSES)
    return of_cut or sample.labels == readings.PARTITIONING


def _sleeps(layout: Layout) -> bool:
    """Whether the kernel has switched a GPU off for lack of work: asking it would wake it."""
    return Root(layout.folder).text("power", "runtime_status") == "suspended"
