"""Processes: how many use a GPU or partition, and a record of each.

The compute driver (KFD) reports processes that compute with ROCm, for each partition. The graphics driver reports all
processes that have a GPU open, but not on which partition: while a GPU is partitioned, its values are not used.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from collectors.amd import kfd, kfd_processes
from collectors.amd.clients import Clients, ClientSample, ClientScan, DrmFile, DrmFileFinder, DrmFiles, FileContent
from collectors.amd.clients import read_files as read_drm_files
from collectors.amd.fdinfo import ENGINES
from collectors.amd.gpu_paths import GpuPaths
from collectors.amd.kfd import Topology
from collectors.amd.kfd_processes import KfdProcess, KfdUsage
from collectors.amd.partitions import PartitionLayout
from collectors.contract import Fault, Node, Process, SubjectKey
from collectors.device_calls import DeviceCalls, StuckError

# By process id and gpu_id.
_Compute = Mapping[int, Mapping[int, KfdUsage]]
_LISTING, _OTHER_FILES = "processes", "other files of processes"


@dataclass(frozen=True, slots=True)
class ProcessScope:
    """Where a process can be.

    Attributes:
        subject: A whole GPU, or a partition.
        gpu_id: Its id in the compute driver; None if unknown.
        compute_units: Number of its compute units; None if unknown.
        gpu: The address of its GPU.
        address: Its name in the graphics driver; empty for a partition, which that driver does not name.
    """

    subject: SubjectKey
    gpu_id: int | None
    compute_units: int | None
    gpu: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """The processes on all GPUs.

    Attributes:
        counts: Number of processes of each GPU and partition for which it is known.
        records: One for each process. A process on a partition has a record for the partition only, not for the GPU.
        faults: Why nothing is known.
    """

    counts: Mapping[SubjectKey, int]
    records: tuple[Process, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _Listed:
    """The processes, before a GPU is asked about them.

    Attributes:
        compute: Those of the compute driver; None if it does not report them.
        files: Their open files that lead to the graphics driver.
    """

    compute: tuple[KfdProcess, ...] | None
    files: DrmFiles


def scopes_of(
    device_uuid: str, paths: GpuPaths, layout: PartitionLayout, topology: Topology | None
) -> list[ProcessScope]:
    """Where on a GPU a process can be: the whole GPU or each partition; empty while the layout is unknown."""
    if not layout.known:
        return []
    if layout.partitions:
        return [
            ProcessScope(
                SubjectKey(device_uuid, info.partition.uuid), info.node.gpu_id, info.node.compute_units, paths.address
            )
            for info in layout.partitions
        ]
    slot, render = kfd.slot_of(paths.address), paths.drm.render
    nodes = () if topology is None else topology.nodes
    own = next((node for node in nodes if (node.slot, node.render) == (slot, render)), None)
    known = (None, None) if own is None else (own.gpu_id, own.compute_units)
    return [ProcessScope(SubjectKey(device_uuid), *known, paths.address, paths.address)]


class Processes:
    """The processes of a node's GPUs.

    Args:
        node: The machine.
        clock: Monotonic seconds.
        calls: Makes the calls about single GPUs, named by their addresses, and the one that lists the processes.
    """

    def __init__(self, node: Node, clock: Callable[[], float], calls: DeviceCalls) -> None:
        self._sysfs = node.sysfs
        self._procfs = node.procfs
        self._detailed = node.options.processes
        self._clock = clock
        self._calls = calls
        self._finder = DrmFileFinder(node.procfs)  # belongs to the call that lists the processes
        self._clients = Clients()

    def read(self, scopes: Sequence[ProcessScope], all_paths: Sequence[GpuPaths]) -> ProcessUsage:
        """Find the processes that use the GPUs now. A GPU whose call has not returned is left out.

        Args:
            scopes: Where a process can be.
            all_paths: Where the files of all GPUs are, also of those that are not read now.
        """
        if not scopes:
            return ProcessUsage({})
        try:
            listed = self._calls.run(_LISTING, partial(self._list, with_files=any(scope.address for scope in scopes)))
        except StuckError as error:
            return ProcessUsage({}, faults=(Fault(error.reason, _LISTING, str(error)),))
        nodes = {paths.address: paths.drm.names for paths in all_paths}
        files, contents = self._read_others(listed.files, frozenset[str]().union(*nodes.values()))
        compute: dict[int, dict[int, KfdUsage]] = {}
        known = []
        for gpu in dict.fromkeys(scope.gpu for scope in scopes):
            own = [scope for scope in scopes if scope.gpu == gpu]
            try:
                usages, found = self._calls.run(gpu, partial(self._ask, listed, own, nodes[gpu]))
            except StuckError:
                continue
            known += own
            for pid, by_gpu_id in usages.items():
                compute.setdefault(pid, {}).update(by_gpu_id)
            contents |= found
        scan = self._clients.scan(files, contents)
        return _usage_in(known, None if listed.compute is None else compute, scan)

    def _read_others(self, files: DrmFiles, nodes: frozenset[str]) -> tuple[DrmFiles, dict[DrmFile, FileContent]]:
        """The contents of the files that lead to none of these nodes: a container may have others names for them."""
        others = [file for file in files.files if file.node not in nodes]
        if not others:
            return files, {}
        try:
            read = partial(read_drm_files, self._procfs, others, self._clock)
            return files, self._calls.run(_OTHER_FILES, read)
        except StuckError:
            return replace(files, complete=False), {}

    def _list(self, *, with_files: bool) -> _Listed:
        compute = kfd_processes.listed(self._sysfs)
        first = [process.pid for process in compute or ()]
        return _Listed(compute, self._finder.find(first) if with_files else DrmFiles())

    def _ask(
        self, listed: _Listed, scopes: Sequence[ProcessScope], nodes: frozenset[str]
    ) -> tuple[_Compute, Mapping[DrmFile, FileContent]]:
        """What one GPU reports about the processes, and the contents of their files that lead to it."""
        gpu_ids = {scope.gpu_id for scope in scopes if scope.gpu_id is not None}
        usages = kfd_processes.read(listed.compute or (), gpu_ids, detailed=self._detailed)
        files = (file for file in listed.files.files if file.node in nodes)
        return usages, read_drm_files(self._procfs, files, self._clock)


def _usage_in(scopes: Sequence[ProcessScope], compute: _Compute | None, scan: ClientScan) -> ProcessUsage:
    """The processes in each scope, and on each GPU that has partitions."""
    processes = {scope.subject: _processes_in(scope, compute, scan) for scope in scopes}
    counts = {subject: len(records) for subject, records in processes.items() if records is not None}
    records = tuple(record for each in processes.values() if each is not None for record in each)
    for device in {scope.subject.device_uuid for scope in scopes if scope.subject.partition_uuid}:
        parts = [each for subject, each in processes.items() if subject.device_uuid == device]
        if None not in parts:
            counts[SubjectKey(device)] = len({record.pid for record in records if record.device_uuid == device})
    return ProcessUsage(counts, records)


def _processes_in(scope: ProcessScope, compute: _Compute | None, scan: ClientScan) -> list[Process] | None:
    """The processes in one scope; None if neither driver reports them."""
    by_compute: Mapping[int, KfdUsage] | None = None
    if compute is not None and scope.gpu_id is not None:
        by_compute = {pid: nodes[scope.gpu_id] for pid, nodes in compute.items() if scope.gpu_id in nodes}
    if by_compute is None and not (scope.address and scan.complete):
        return None
    opened = _opened(scope.address, scan) if scope.address else {}
    computing = by_compute or {}
    return [_process(pid, scope, computing.get(pid), opened.get(pid, ())) for pid in sorted({*computing, *opened})]


def _opened(address: str, scan: ClientScan) -> dict[int, tuple[ClientSample, ...]]:
    """Clients of one GPU, by the ids of the processes that use it."""
    at = {
        pid: tuple(sample for sample in clients if sample.client.key.address == address)
        for pid, clients in scan.clients.items()
    }
    return {pid: clients for pid, clients in at.items() if any(sample.client.is_active for sample in clients)}


def _process(pid: int, scope: ProcessScope, computing: KfdUsage | None, clients: Sequence[ClientSample]) -> Process:
    """One process in one scope.

    The graphics driver's value includes the memory that the compute driver reports, and page tables too; but not in
    every release. So the larger of the two is reported, never the sum.

    The engine times do not include queues of the compute driver, so the utilization of a process with such queues is
    unknown.
    """
    usage = computing or KfdUsage()
    known = [used for used in (usage.memory_bytes, _memory(clients)) if used is not None]
    busy = None if computing else _busy(clients)
    occupied = None
    if usage.compute_units is not None and scope.compute_units:
        occupied = min(usage.compute_units / scope.compute_units, 1.0)
    return Process(pid, *scope.subject, max(known, default=None), busy, occupied, usage.copy_seconds, usage.started)


def _memory(clients: Sequence[ClientSample]) -> int | None:
    """Bytes of all its clients; None if one of them is not reported, or if it has no clients."""
    amounts = [sample.client.memory_bytes for sample in clients]
    known = [used for used in amounts if used is not None]
    return sum(known) if known and len(known) == len(amounts) else None


def _busy(clients: Iterable[ClientSample]) -> float | None:
    """The fraction of time of its busiest engine, at most 1, because rings of one engine run in parallel."""
    shares = [[sample.busy[engine] for sample in clients if engine in sample.busy] for engine in ENGINES]
    return max((min(sum(each), 1.0) for each in shares if each), default=None)
