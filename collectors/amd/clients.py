"""Finds the clients of the graphics driver among the open files of all processes.

This needs the host's process namespace and the right to read the files of other processes: CAP_SYS_PTRACE, for those of
other users also CAP_DAC_READ_SEARCH. Without one of them, fewer or no processes are found, which is not a fault of the
node.

The link of every open file is read, about 6 us for each, and only files that lead to a DRM device are opened. So the
files of a process are examined while it is new and while it has a GPU open, and otherwise in every eighth scan, which
finds a process that opens a GPU later.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from collectors.amd.fdinfo import Client, ClientKey, parse
from collectors.amd.files import read_bytes
from collectors.amd.kfd_processes import pids
from collectors.contract import CollectorError
from collectors.procfs import host_processes_visible
from collectors.sysfs import Root

_DRM = "/dev/dri/"
_MAX_FDINFO_BYTES = 16 << 10
_MAX_PROCESSES, _MAX_FDS, _MAX_READS = 32768, 4096, 4096
_NEW_SCANS, _ROUNDS = 3, 8
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClientSample:
    """A client in one scan.

    Attributes:
        client: What the driver reports about it.
        at: Time of the scan, in seconds of the clock.
        busy: Fraction of the time since the last scan in which it used each engine; empty if unknown.
    """

    client: Client
    at: float
    busy: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ClientScan:
    """The result of one scan.

    Attributes:
        clients: By process id. A client that several processes have open is assigned to one of them.
        complete: Whether the files of every process of the machine could be read.
    """

    clients: Mapping[int, tuple[ClientSample, ...]] = field(default_factory=dict)
    complete: bool = False


class Clients:
    """Scans for clients repeatedly.

    Args:
        procfs: The root of the host's `/proc`.
        clock: Monotonic seconds.
    """

    def __init__(self, procfs: Root, clock: Callable[[], float]) -> None:
        self._procfs = procfs
        self._clock = clock
        self._round = 0
        self._scan_counts: dict[int, int] = {}
        self._holders: set[int] = set()
        self._denied: set[int] = set()
        self._last: dict[ClientKey, ClientSample] = {}
        self._reads_left = 0

    def scan(self, first: Collection[int]) -> ClientScan:
        """Find the current clients.

        Args:
            first: Processes that are known to use a GPU. They are examined in every scan, before all others: a client
                that their children have inherited is assigned to them.
        """
        self._round = (self._round + 1) % _ROUNDS
        self._reads_left = _MAX_READS
        running = pids(self._procfs.names())[:_MAX_PROCESSES]
        selected = [pid for pid in running if pid in first or self._is_selected(pid)]
        self._scan_counts = {pid: min(self._scan_counts.get(pid, 0) + 1, _NEW_SCANS) for pid in running}
        self._holders.intersection_update(running)
        self._denied.intersection_update(running)
        now: dict[ClientKey, ClientSample] = {}
        found = {
            pid: tuple(self._clients(pid, now)) for pid in sorted(selected, key=lambda pid: (pid not in first, pid))
        }
        self._last = now
        is_host_procfs = host_processes_visible(self._procfs)
        return ClientScan(
            {pid: samples for pid, samples in found.items() if samples}, is_host_procfs and not self._denied
        )

    def _is_selected(self, pid: int) -> bool:
        is_new = self._scan_counts.get(pid, 0) < _NEW_SCANS
        return is_new or pid in self._holders or pid % _ROUNDS == self._round

    def _clients(self, pid: int, now: dict[ClientKey, ClientSample]) -> Iterator[ClientSample]:
        """The clients of one process, without those of the processes before it."""
        names = self._drm_files(pid)
        (self._holders.add if names else self._holders.discard)(pid)
        for name in names:
            client = self._read(pid, name)
            if client is not None and client.key not in now:
                now[client.key] = self._sample(client)
                yield now[client.key]

    def _drm_files(self, pid: int) -> list[str]:
        """The descriptors that lead to a DRM device; none if the process has ended or reading its files is denied."""
        self._denied.discard(pid)
        try:
            with os.scandir(self._procfs.path / str(pid) / "fd") as entries:
                return [entry.name for entry in islice(entries, _MAX_FDS) if _leads_to_drm(entry.path)]
        except PermissionError:
            self._denied.add(pid)
        except OSError:
            pass
        return []

    def _read(self, pid: int, name: str) -> Client | None:
        if self._reads_left == 0:
            return None
        self._reads_left -= 1
        try:
            return parse(read_bytes(self._procfs.path / str(pid) / "fdinfo" / name, _MAX_FDINFO_BYTES))
        except CollectorError:
            return None

    def _sample(self, client: Client) -> ClientSample:
        at, last = self._clock(), self._last.get(client.key)
        if last is None or at <= last.at:
            return ClientSample(client, at, {})
        before = last.client.engine_ns  # a missing engine was not used yet
        spent = {engine: time - before.get(engine, 0) for engine, time in client.engine_ns.items()}
        return ClientSample(client, at, {name: ns / _NS / (at - last.at) for name, ns in spent.items() if ns >= 0})


def _leads_to_drm(link: str) -> bool:
    """Whether a descriptor leads to a DRM device, by the text of the link.

    Following the link could block on a file server that does not answer.

    Raises:
        PermissionError: Reading the files of its process is denied.
    """
    try:
        return os.readlink(link).startswith(_DRM)  # noqa: PTH115, thousands of links in every scan
    except PermissionError:
        raise
    except OSError:
        return False  # closed in the meantime
