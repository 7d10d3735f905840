import os
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from collectors.amd import clients
from collectors.amd.clients import Clients, ClientScan, DrmFileFinder, read_files
from collectors.sysfs import Root
from tests.doubles.amd_cards import MI210
from tests.doubles.amd_processes import AmdProcesses, engine, vram
from tests.doubles.amd_tree import AmdTree, Gpu


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tree(tmp_path: Path) -> AmdTree:
    return AmdTree(tmp_path / "sys")


@pytest.fixture
def gpu(tree: AmdTree) -> Gpu:
    return tree.add(MI210, "0000:63:00.0")


@pytest.fixture
def processes(tree: AmdTree, tmp_path: Path) -> AmdProcesses:
    return AmdProcesses(tree, tmp_path / "proc")


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Scanner:
    """Finds and reads the files of all processes, as the collector does for its GPUs."""

    def __init__(self, procfs: Root, clock: Clock) -> None:
        self._procfs = procfs
        self._clock = clock
        self._finder = DrmFileFinder(procfs)
        self._clients = Clients()

    def scan(self, first: Collection[int]) -> ClientScan:
        found = self._finder.find(first)
        return self._clients.scan(found, read_files(self._procfs, found.files, self._clock))


@pytest.fixture
def scanner(processes: AmdProcesses, clock: Clock) -> Scanner:
    return Scanner(processes.root, clock)


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Process ids whose folders cannot be read; replaced in the test because it may run as root."""
    pids: set[str] = set()
    read = os.readlink

    def readlink(link: str) -> str:
        if Path(link).parent.parent.name in pids:
            raise PermissionError
        return read(link)

    monkeypatch.setattr(os, "readlink", readlink)
    return pids


def numbers(scanner: Scanner, *first: int) -> dict[int, list[int]]:
    """Client numbers by process id."""
    return {pid: [each.client.key.number for each in samples] for pid, samples in scanner.scan(first).clients.items()}


def shares(scanner: Scanner, pid: int) -> list[dict[str, float]]:
    return [dict(sample.busy) for sample in scanner.scan(()).clients[pid]]


def test_clients_are_found_by_the_links_that_lead_to_them(processes: AmdProcesses, gpu: Gpu, scanner: Scanner) -> None:
    processes.run(10)
    processes.open(20, 5, gpu, 7)
    processes.open(30, 5, gpu, 8)
    processes.link(30, 5, "/dev/nvidia0")
    processes.open(40, 5, gpu, 9)
    processes.link(40, 5, "/dev/dri/card1 (deleted)")
    assert numbers(scanner) == {20: [7], 40: [9]}


def test_a_client_with_several_descriptors_is_counted_once(processes: AmdProcesses, gpu: Gpu, scanner: Scanner) -> None:
    for fd in (5, 6):
        processes.open(20, fd, gpu, 7)
    processes.open(21, 5, gpu, 7)
    processes.open(21, 6, gpu, 8)
    assert numbers(scanner) == {20: [7], 21: [8]}


def test_an_inherited_client_belongs_to_the_process_that_computes(
    processes: AmdProcesses, gpu: Gpu, scanner: Scanner
) -> None:
    processes.open(20, 5, gpu, 7)  # a child, after the process ids started again
    processes.open(4000, 5, gpu, 7)
    assert numbers(scanner, 4000) == {4000: [7]}


def test_a_share_is_relative_to_the_time_between_two_scans(
    processes: AmdProcesses, gpu: Gpu, scanner: Scanner, clock: Clock
) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 1_000_000_000))
    assert shares(scanner, 20) == [{}]
    clock.now += 4
    processes.open(20, 5, gpu, 7, engine("gfx", 3_000_000_000), engine("compute", 1_000_000_000))
    assert shares(scanner, 20) == [{"gfx": 0.5, "compute": 0.25}]
    clock.now += 4
    assert shares(scanner, 20) == [{"gfx": 0, "compute": 0}]


def test_without_elapsed_time_the_share_is_unknown(processes: AmdProcesses, gpu: Gpu, scanner: Scanner) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 1))
    assert [shares(scanner, 20) for _ in range(2)] == [[{}], [{}]]


def test_with_a_falling_engine_time_the_share_is_unknown(
    processes: AmdProcesses, gpu: Gpu, scanner: Scanner, clock: Clock
) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 5_000_000_000))
    shares(scanner, 20)
    clock.now += 1
    processes.open(20, 5, gpu, 7, engine("gfx", 1_000_000_000))
    assert shares(scanner, 20) == [{}]


def test_a_client_that_reappears_starts_again(
    processes: AmdProcesses, gpu: Gpu, scanner: Scanner, clock: Clock
) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 1))
    scanner.scan(())
    processes.write(20, 5, b"torn")
    scanner.scan(())
    clock.now += 1
    processes.open(20, 5, gpu, 7, engine("gfx", 9))
    assert shares(scanner, 20) == [{}]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"drm-driver:\tamdgpu", b"x" * 20_000, b"drm-pdev:\n" * 1000])
def test_other_files_are_not_clients(processes: AmdProcesses, scanner: Scanner, content: bytes) -> None:
    processes.write(20, 5, content)
    assert numbers(scanner) == {}


def test_a_file_that_vanishes_during_the_scan_is_left_out(processes: AmdProcesses, gpu: Gpu, scanner: Scanner) -> None:
    processes.open(20, 5, gpu, 7)
    (processes.path / "20" / "fdinfo" / "5").unlink()
    processes.open(21, 5, gpu, 8)
    (processes.path / "21" / "fd").rename(processes.path / "21" / "gone")
    processes.open(22, 5, gpu, 9)
    (processes.path / "22" / "fd" / "6").write_text("no link")
    scan = scanner.scan(())
    assert list(scan.clients) == [22]
    assert scan.complete


def test_the_clients_of_an_ended_process_are_removed(processes: AmdProcesses, gpu: Gpu, scanner: Scanner) -> None:
    processes.open(20, 5, gpu, 7)
    assert numbers(scanner) == {20: [7]}
    processes.end(20)
    assert numbers(scanner) == {}


def test_an_old_process_without_a_gpu_is_scanned_less_often(
    processes: AmdProcesses, gpu: Gpu, scanner: Scanner
) -> None:
    for pid in (19, 21):
        processes.run(pid)
    for _ in range(3):
        assert numbers(scanner) == {}
    processes.open(19, 5, gpu, 7)
    processes.open(21, 5, gpu, 8)
    assert [numbers(scanner, 21) for _ in range(7)] == [{21: [8]}] * 7
    assert [numbers(scanner) for _ in range(9)] == [{19: [7], 21: [8]}] * 9


def test_a_scan_in_another_process_namespace_is_incomplete(processes: AmdProcesses, scanner: Scanner) -> None:
    assert scanner.scan(()).complete
    (processes.path / "2" / "comm").write_text("sh\n")
    assert not scanner.scan(()).complete
    assert not Scanner(Root(processes.path / "nothing"), Clock()).scan(()).complete


def test_a_scan_with_a_denied_process_is_incomplete(
    processes: AmdProcesses, gpu: Gpu, scanner: Scanner, denied: set[str]
) -> None:
    processes.open(20, 5, gpu, 7)
    processes.open(21, 5, gpu, 8)
    denied.add("20")
    for _ in range(10):
        scan = scanner.scan(())
        assert list(scan.clients) == [21]
        assert not scan.complete
    processes.end(20)
    assert scanner.scan(()).complete


def test_a_folder_that_cannot_be_listed_is_not_a_fault(
    processes: AmdProcesses, gpu: Gpu, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(_: Path) -> Iterator[os.DirEntry[str]]:
        raise PermissionError

    processes.open(20, 5, gpu, 7)
    monkeypatch.setattr(os, "scandir", scandir)
    scan = scanner.scan(())
    assert not scan.clients
    assert not scan.complete


@pytest.mark.parametrize(("bound", "found"), [("_MAX_READS", 2), ("_MAX_FDS", 2), ("_MAX_PROCESSES", 1)])
def test_every_scan_is_bounded(
    processes: AmdProcesses, gpu: Gpu, scanner: Scanner, monkeypatch: pytest.MonkeyPatch, bound: str, found: int
) -> None:
    monkeypatch.setattr(clients, bound, 2)  # one process is the kernel's own
    for fd in range(4):
        processes.open(20, fd, gpu, 70 + fd, vram(1))
    if bound == "_MAX_PROCESSES":
        processes.open(30, 0, gpu, 80)
    by_process = numbers(scanner)
    assert (len(by_process) if bound == "_MAX_PROCESSES" else len(by_process[20])) == found
