"""Processes: how many use a GPU or partition, and a record of each.

The compute driver (KFD) tells of those that compute with ROCm, for each partition. The graphics driver tells of all
that have a GPU open, but not on which partition: while a GPU is partitioned, its figures are left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from collectors.amd import kfd, kfd_processes
from collectors.amd.clients import Clients, ClientSample, ClientScan
from collectors.amd.fdinfo import ENGINES
from collectors.amd.gpu_paths import GpuPaths
from collectors.amd.kfd import Topology
from collectors.amd.kfd_processes import KfdUsage
from collectors.amd.partitions import PartitionLayout
from collectors.contract import Node, Process, SubjectKey

# By process number and gpu_id.
_Compute = Mapping[int, Mapping[int, KfdUsage]]


@dataclass(frozen=True, slots=True)
class ProcessScope:
    """Where a process can be.

    Attributes:
        subject: A whole GPU, or a partition.
        gpu_id: By what the compute driver calls it; None where unknown.
        compute_units: How many it has; None where unknown.
        address: By what the graphics driver calls it; empty for a partition, which it can't name.
    """

    subject: SubjectKey
    gpu_id: int | None
    compute_units: int | None
    address: str = ""


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Who uses what.

    Attributes:
        counts: How many processes, for each GPU and partition of which that is known.
        records: Of each process. One on a partition is that partition's alone.
    """

    counts: Mapping[SubjectKey, int]
    records: tuple[Process, ...]


def scopes_of(
    device_uuid: str, paths: GpuPaths, layout: PartitionLayout, topology: Topology | None
) -> list[ProcessScope]:
    """Where on a GPU a process can be: on all of it, or on each partition; nowhere while the layout is unknown."""
    if not layout.known:
        return []
    if layout.partitions:
        return [
            ProcessScope(SubjectKey(device_uuid, info.partition.uuid), info.node.gpu_id, info.node.compute_units)
            for info in layout.partitions
        ]
    slot, render = kfd.slot_of(paths.address), paths.drm.render
    nodes = () if topology is None else topology.nodes
    own = next((node for node in nodes if (node.slot, node.render) == (slot, render)), None)
    known = (None, None) if own is None else (own.gpu_id, own.compute_units)
    return [ProcessScope(SubjectKey(device_uuid), *known, paths.address)]


class Processes:
    """The processes of a node's GPUs.

    Args:
        node: The machine.
        clock: Seconds of a clock that only rises.
    """

    def __init__(self, node: Node, clock: Callable[[], float]) -> None:
        self._sysfs = node.sysfs
        self._detailed = node.options.processes
        self._clients = Clients(node.procfs, clock)

    def read(self, scopes: Sequence[ProcessScope]) -> ProcessUsage:
        """Find who uses the GPUs now.

        Args:
            scopes: Where to look.
        """
        gpu_ids = {scope.gpu_id for scope in scopes if scope.gpu_id is not None}
        compute = kfd_processes.read(self._sysfs, gpu_ids, detailed=self._detailed)
        scan = self._clients.scan((compute or {}).keys()) if any(scope.address for scope in scopes) else ClientScan()
        processes = {scope.subject: _processes_in(scope, compute, scan) for scope in scopes}
        counts = {subject: len(records) for subject, records in processes.items() if records is not None}
        records = tuple(record for each in processes.values() if each is not None for record in each)
        for device in {scope.subject.device_uuid for scope in scopes if scope.subject.partition_uuid}:
            parts = [each for subject, each in processes.items() if subject.device_uuid == device]
            if None not in parts:
                counts[SubjectKey(device)] = len({record.pid for record in records if record.device_uuid == device})
        return ProcessUsage(counts, records)


def _processes_in(scope: ProcessScope, compute: _Compute | None, scan: ClientScan) -> list[Process] | None:
    """The processes in one scope; None where neither driver tells."""
    by_compute: Mapping[int, KfdUsage] | None = None
    if compute is not None and scope.gpu_id is not None:
        by_compute = {pid: nodes[scope.gpu_id] for pid, nodes in compute.items() if scope.gpu_id in nodes}
    if by_compute is None and not (scope.address and scan.complete):
        return None
    opened = _opened(scope.address, scan) if scope.address else {}
    computing = by_compute or {}
    return [_process(pid, scope, computing.get(pid), opened.get(pid, ())) for pid in sorted({*computing, *opened})]


def _opened(address: str, scan: ClientScan) -> dict[int, tuple[ClientSample, ...]]:
    """Clients of one GPU, by processes that do something there."""
    at = {
        pid: tuple(sample for sample in clients if sample.client.key.address == address)
        for pid, clients in scan.clients.items()
    }
    return {pid: clients for pid, clients in at.items() if any(sample.client.is_active for sample in clients)}


def _process(pid: int, scope: ProcessScope, computing: KfdUsage | None, clients: Sequence[ClientSample]) -> Process:
    """One process in one scope.

    What it holds by the compute driver is in the graphics driver's figure too, which has page tables besides; but not
    in every release. So the larger of the two is told, never the sum.

    Queues of the compute driver are in no engine's time: of a process that has them, the share is unknown.
    """
    usage = computing or KfdUsage()
    known = [used for used in (usage.memory_bytes, _memory(clients)) if used is not None]
    busy = None if computing else _busy(clients)
    occupied = None
    if usage.compute_units is not None and scope.compute_units:
        occupied = min(usage.compute_units / scope.compute_units, 1.0)
    return Process(pid, *scope.subject, max(known, default=None), busy, occupied, usage.copy_seconds)


def _memory(clients: Sequence[ClientSample]) -> int | None:
    """Bytes of all its clients; None where one of them is not told, or there is none."""
    amounts = [sample.client.memory_bytes for sample in clients]
    known = [used for used in amounts if used is not None]
    return sum(known) if known and len(known) == len(amounts) else None


def _busy(clients: Iterable[ClientSample]) -> float | None:
    """The share of time that it had the engine it had most. Several rings of one engine run at once."""
    shares = [[sample.busy[engine] for sample in clients if engine in sample.busy] for engine in ENGINES]
    return max((min(sum(each), 1.0) for each in shares if each), default=None)
