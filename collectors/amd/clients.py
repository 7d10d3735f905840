"""Finds the clients of the graphics driver among the open files of all processes.

This needs the host's process namespace and the right to read the files of other processes: CAP_SYS_PTRACE, for those of
other users also CAP_DAC_READ_SEARCH. Without one of them, fewer or no processes are found, which is not a fault of the
node.

The link of every open file is read, about 6 us for each, and only files that lead to a DRM device are opened. So the
files of a process are examined while it is new and while it has a GPU open, and otherwise in every eighth scan, which
finds a process that opens a GPU later.

Finding the files and reading them are two steps: reading one can wait for a lock of its GPU (amdgpu_show_fdinfo in the
kernel's `drivers/gpu/drm/amd/amdgpu/amdgpu_fdinfo.c`), so the files of each GPU are read by themselves.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
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


@dataclass(frozen=True, slots=True)
class DrmFile:
    """An open file of a process that leads to a DRM device.

    Attributes:
        pid: The process.
        descriptor: The number of the descriptor.
        node: The name of the device's node, such as `renderD128`.
    """

    pid: int
    descriptor: str
    node: str


@dataclass(frozen=True, slots=True)
class DrmFiles:
    """The files that one scan has found.

    Attributes:
        files: Those to read. A client that several of them lead to belongs to the first one.
        complete: Whether the files of every process of the machine could be seen.
    """

    files: tuple[DrmFile, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class FileContent:
    """What was read of a file.

    Attributes:
        client: The client.
        at: Time, in seconds of the clock.
    """

    client: Client
    at: float


class DrmFileFinder:
    """Finds the files, without reading them.

    Args:
        procfs: The root of the host's `/proc`.
    """

    def __init__(self, procfs: Root) -> None:
        self._procfs = procfs
        self._round = 0
        self._scan_counts: dict[int, int] = {}
        self._holders: set[int] = set()
        self._denied: set[int] = set()

    def find(self, first: Collection[int]) -> DrmFiles:
        """Find the files that are open now.

        Args:
            first: Processes that are known to use a GPU. They are examined in every scan, before all others: a client
                that their children have inherited is assigned to them.
        """
        self._round = (self._round + 1) % _ROUNDS
        running = pids(self._procfs.names())[:_MAX_PROCESSES]
        selected = [pid for pid in running if pid in first or self._is_selected(pid)]
        self._scan_counts = {pid: min(self._scan_counts.get(pid, 0) + 1, _NEW_SCANS) for pid in running}
        self._holders.intersection_update(running)
        self._denied.intersection_update(running)
        found: list[DrmFile] = []
        for pid in sorted(selected, key=lambda pid: (pid not in first, pid)):
            found += self._files_of(pid)[: _MAX_READS - len(found)]
        return DrmFiles(tuple(found), host_processes_visible(self._procfs) and not self._denied)

    def _is_selected(self, pid: int) -> bool:
        is_new = self._scan_counts.get(pid, 0) < _NEW_SCANS
        return is_new or pid in self._holders or pid % _ROUNDS == self._round

    def _files_of(self, pid: int) -> list[DrmFile]:
        """Those of one process; none if it has ended or reading its files is denied."""
        self._denied.discard(pid)
        found: list[DrmFile] = []
        try:
            with os.scandir(self._procfs.path / str(pid) / "fd") as entries:
                linked = ((entry.name, _drm_node(entry.path)) for entry in islice(entries, _MAX_FDS))
                found = [DrmFile(pid, descriptor, node) for descriptor, node in linked if node]
        except PermissionError:
            self._denied.add(pid)
        except OSError:
            pass
        (self._holders.add if found else self._holders.discard)(pid)
        return found


def read_files(procfs: Root, files: Iterable[DrmFile], clock: Callable[[], float]) -> dict[DrmFile, FileContent]:
    """Read files; those that can't be read, or are not of amdgpu, are left out.

    Args:
        procfs: The root of the host's `/proc`.
        files: The files.
        clock: Monotonic seconds.
    """
    contents: dict[DrmFile, FileContent] = {}
    for file in files:
        try:
            path = procfs.path / str(file.pid) / "fdinfo" / file.descriptor
            client = parse(read_bytes(path, _MAX_FDINFO_BYTES))
        except CollectorError:
            continue
        if client is not None:
            contents[file] = FileContent(client, clock())
    return contents


class Clients:
    """The clients of one scan after the other."""

    def __init__(self) -> None:
        self._last: dict[ClientKey, ClientSample] = {}

    def scan(self, found: DrmFiles, contents: Mapping[DrmFile, FileContent]) -> ClientScan:
        """The current clients.

        Args:
            found: The files.
            contents: What was read of them.
        """
        now: dict[ClientKey, ClientSample] = {}
        by_pid: defaultdict[int, list[ClientSample]] = defaultdict(list)
        for file in found.files:
            content = contents.get(file)
            if content is not None and content.client.key not in now:
                sample = now[content.client.key] = self._sample(content)
                by_pid[file.pid].append(sample)
        self._last = now
        return ClientScan({pid: tuple(samples) for pid, samples in by_pid.items()}, found.complete)

    def _sample(self, content: FileContent) -> ClientSample:
        client, at, last = content.client, content.at, self._last.get(content.client.key)
        if last is None or at <= last.at:
            return ClientSample(client, at, {})
        before = last.client.engine_ns  # a missing engine was not used yet
        spent = {engine: time - before.get(engine, 0) for engine, time in client.engine_ns.items()}
        return ClientSample(client, at, {name: ns / _NS / (at - last.at) for name, ns in spent.items() if ns >= 0})


def _drm_node(link: str) -> str:
    """The name of the DRM device's node that a descriptor leads to, by the text of the link; empty if to another file.

    Following the link could block on a file server that does not answer.

    Raises:
        PermissionError: Reading the files of its process is denied.
    """
    try:
        target = os.readlink(link)  # noqa: PTH115, thousands of links in every scan
    except PermissionError:
        raise
    except OSError:
        return ""  # closed in the meantime
    return target.removeprefix(_DRM).partition(" ")[0] if target.startswith(_DRM) else ""
