"""Processes: how many use a GPU or partition, and a record of each.

The compute driver (KFD) tells of those that compute with ROCm, for each partition. The graphics driver tells of all
that have a GPU open, but not on which partition: while a GPU is cut, its figures are left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from collectors.amd import kfd, kfd_processes
from collectors.amd.clients import Clients, Look, Seen
from collectors.amd.fdinfo import ENGINES
from collectors.amd.gpu_paths import Layout
from collectors.amd.kfd import Topology
from collectors.amd.kfd_processes import Use
from collectors.amd.partitions import Cut
from collectors.contract import Node, Process
from collectors.query_runner import Subject

# By process number and gpu_id.
_Compute = Mapping[int, Mapping[int, Use]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process can be.

    Attributes:
        subject: A whole GPU, or a partition.
        gpu_id: By what the compute driver calls it; None where unknown.
        compute_units: How many it has; None where unknown.
        address: By what the graphics driver calls it; empty for a partition, which it can't name.
    """

    subject: Subject
    gpu_id: int | None
    compute_units: int | None
    address: str = ""


@dataclass(frozen=True, slots=True)
class Using:
    """Who uses what.

    Attributes:
        counts: How many processes, for each GPU and partition of which that is known.
        records: Of each process. One on a partition is that partition's alone.
    """

    counts: Mapping[Subject, int]
    records: tuple[Process, ...]


def places_of(device_uuid: str, layout: Layout, cut: Cut, topology: Topology | None) -> list[Place]:
    """Where on a GPU a process can be: on the whole of it, or on each partition; nowhere while its cut is unknown."""
    if not cut.known:
        return []
    if cut.found:
        return [
            Place(Subject(device_uuid, found.partition.uuid), found.node.gpu_id, found.node.compute_units)
            for found in cut.found
        ]
    slot, render = kfd.slot_of(layout.address), layout.drm.render
    nodes = () if topology is None else topology.nodes
    own = next((node for node in nodes if (node.slot, node.render) == (slot, render)), None)
    known = (None, None) if own is None else (own.gpu_id, own.compute_units)
    return [Place(Subject(device_uuid), *known, layout.address)]


class Processes:
    """The processes of a node's GPUs.

    Args:
        node: The machine.
        clock: Seconds of a clock that only rises.
    """

    def __init__(self, node: Node, clock: Callable[[], float]) -> None:
        self._sysfs = node.sysfs
        self._closely = node.wishes.processes
        self._clients = Clients(node.procfs, clock)

    def read(self, places: Sequence[Place]) -> Using:
        """Find who uses the GPUs now.

        Args:
            places: Where to look.
        """
        gpu_ids = {place.gpu_id for place in places if place.gpu_id is not None}
        compute = kfd_processes.read(self._sysfs, gpu_ids, closely=self._closely)
        look = self._clients.look((compute or {}).keys()) if any(place.address for place in places) else Look()
        told = {place.subject: _at(place, compute, look) for place in places}
        counts = {subject: len(records) for subject, records in told.items() if records is not None}
        records = tuple(record for each in told.values() if each is not None for record in each)
        for device in {place.subject.device_uuid for place in places if place.subject.partition_uuid}:
            parts = [each for subject, each in told.items() if subject.device_uuid == device]
            if None not in parts:
                counts[Subject(device)] = len({record.pid for record in records if record.device_uuid == device})
        return Using(counts, records)


def _at(place: Place, compute: _Compute | None, look: Look) -> list[Process] | None:
    """The processes at one place; None where neither driver tells."""
    by_compute: Mapping[int, Use] | None = None
    if compute is not None and place.gpu_id is not None:
        by_compute = {pid: nodes[place.gpu_id] for pid, nodes in compute.items() if place.gpu_id in nodes}
    if by_compute is None and not (place.address and look.complete):
        return None
    opened = _opened(place.address, look) if place.address else {}
    computing = by_compute or {}
    return [_process(pid, place, computing.get(pid), opened.get(pid, ())) for pid in sorted({*computing, *opened})]


def _opened(address: str, look: Look) -> dict[int, tuple[Seen, ...]]:
    """Clients of one GPU, by processes that do something there."""
    at = {
        pid: tuple(seen for seen in clients if seen.client.key.address == address)
        for pid, clients in look.clients.items()
    }
    return {pid: clients for pid, clients in at.items() if any(seen.client.uses for seen in clients)}


def _process(pid: int, place: Place, computing: Use | None, clients: Sequence[Seen]) -> Process:
    """One process at one place.

    What it holds by the compute driver is in the graphics driver's figure too, which has page tables besides; but not
    in every release. So the larger of the two is told, never the sum.

    Queues of the compute driver are in no engine's time: of a process that has them, the share is unknown.
    """
    use = computing or Use()
    known = [used for used in (use.memory_bytes, _memory(clients)) if used is not None]
    busy = None if computing else _busy(clients)
    occupied = None
    if use.compute_units is not None and place.compute_units:
        occupied = min(use.compute_units / place.compute_units, 1.0)
    return Process(pid, *place.subject, max(known, default=None), busy, occupied, use.copy_seconds)


def _memory(clients: Sequence[Seen]) -> int | None:
    """Bytes of all its clients; None where one of them is not told, or there is none."""
    held = [seen.client.memory_bytes for seen in clients]
    known = [used for used in held if used is not None]
    return sum(known) if known and len(known) == len(held) else None


def _busy(clients: Iterable[Seen]) -> float | None:
    """The share of time that it had the engine it had most. Several rings of one engine run at once."""
    shares = [[seen.busy[engine] for seen in clients if engine in seen.busy] for engine in ENGINES]
    return max((min(sum(each), 1.0) for each in shares if each), default=None)
