import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.amd import clients
from collectors.amd.clients import Clients
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


@pytest.fixture
def scan(processes: AmdProcesses, clock: Clock) -> Clients:
    return Clients(processes.root, clock)


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Folders of processes that may not be looked into, by number; the tests may run as root."""
    pids: set[str] = set()
    read = os.readlink

    def readlink(link: str) -> str:
        if Path(link).parent.parent.name in pids:
            raise PermissionError
        return read(link)

    monkeypatch.setattr(os, "readlink", readlink)
    return pids


def numbers(scan: Clients, *first: int) -> dict[int, list[int]]:
    """Numbers of the clients, by process."""
    return {pid: [each.client.key.number for each in seen] for pid, seen in scan.look(first).clients.items()}


def shares(scan: Clients, pid: int) -> list[dict[str, float]]:
    return [dict(seen.busy) for seen in scan.look(()).clients[pid]]


def test_clients_are_found_by_the_links_that_lead_to_them(processes: AmdProcesses, gpu: Gpu, scan: Clients) -> None:
    processes.run(10)
    processes.open(20, 5, gpu, 7)
    processes.open(30, 5, gpu, 8)
    processes.link(30, 5, "/dev/nvidia0")
    processes.open(40, 5, gpu, 9)
    processes.link(40, 5, "/dev/dri/card1 (deleted)")
    assert numbers(scan) == {20: [7], 40: [9]}


def test_a_client_is_one_however_often_it_is_open(processes: AmdProcesses, gpu: Gpu, scan: Clients) -> None:
    for fd in (5, 6):
        processes.open(20, fd, gpu, 7)
    processes.open(21, 5, gpu, 7)
    processes.open(21, 6, gpu, 8)
    assert numbers(scan) == {20: [7], 21: [8]}


def test_an_inherited_client_is_that_of_the_process_that_computes(
    processes: AmdProcesses, gpu: Gpu, scan: Clients
) -> None:
    processes.open(20, 5, gpu, 7)  # a child, after the numbers have begun anew
    processes.open(4000, 5, gpu, 7)
    assert numbers(scan, 4000) == {4000: [7]}


def test_a_share_is_that_of_the_time_between_two_looks(
    processes: AmdProcesses, gpu: Gpu, scan: Clients, clock: Clock
) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 1_000_000_000))
    assert shares(scan, 20) == [{}]
    clock.now += 4
    processes.open(20, 5, gpu, 7, engine("gfx", 3_000_000_000), engine("compute", 1_000_000_000))
    assert shares(scan, 20) == [{"gfx": 0.5, "compute": 0.25}]
    clock.now += 4
    assert shares(scan, 20) == [{"gfx": 0, "compute": 0}]


def test_no_time_gives_no_share(processes: AmdProcesses, gpu: Gpu, scan: Clients) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 1))
    assert [shares(scan, 20) for _ in range(2)] == [[{}], [{}]]


def test_a_time_that_falls_gives_no_share(processes: AmdProcesses, gpu: Gpu, scan: Clients, clock: Clock) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 5_000_000_000))
    shares(scan, 20)
    clock.now += 1
    processes.open(20, 5, gpu, 7, engine("gfx", 1_000_000_000))
    assert shares(scan, 20) == [{}]


def test_a_client_that_was_away_begins_anew(processes: AmdProcesses, gpu: Gpu, scan: Clients, clock: Clock) -> None:
    processes.open(20, 5, gpu, 7, engine("gfx", 1))
    scan.look(())
    processes.write(20, 5, b"torn")
    scan.look(())
    clock.now += 1
    processes.open(20, 5, gpu, 7, engine("gfx", 9))
    assert shares(scan, 20) == [{}]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n", b"drm-driver:\tamdgpu", b"x" * 20_000, b"drm-pdev:\n" * 1000])
def test_what_is_no_client_is_none(processes: AmdProcesses, scan: Clients, content: bytes) -> None:
    processes.write(20, 5, content)
    assert numbers(scan) == {}


def test_what_vanishes_while_it_is_read_is_left_out(processes: AmdProcesses, gpu: Gpu, scan: Clients) -> None:
    processes.open(20, 5, gpu, 7)
    (processes.path / "20" / "fdinfo" / "5").unlink()
    processes.open(21, 5, gpu, 8)
    (processes.path / "21" / "fd").rename(processes.path / "21" / "gone")
    processes.open(22, 5, gpu, 9)
    (processes.path / "22" / "fd" / "6").write_text("no link")
    look = scan.look(())
    assert list(look.clients) == [22]
    assert look.complete


def test_a_process_that_ends_takes_its_clients_along(processes: AmdProcesses, gpu: Gpu, scan: Clients) -> None:
    processes.open(20, 5, gpu, 7)
    assert numbers(scan) == {20: [7]}
    processes.end(20)
    assert numbers(scan) == {}


def test_an_old_process_without_a_gpu_is_looked_into_less_often(
    processes: AmdProcesses, gpu: Gpu, scan: Clients
) -> None:
    for pid in (19, 21):
        processes.run(pid)
    for _ in range(3):
        assert numbers(scan) == {}
    processes.open(19, 5, gpu, 7)
    processes.open(21, 5, gpu, 8)
    assert [numbers(scan, 21) for _ in range(7)] == [{21: [8]}] * 7
    assert [numbers(scan) for _ in range(9)] == [{19: [7], 21: [8]}] * 9


def test_processes_of_another_namespace_are_not_all_of_them(processes: AmdProcesses, scan: Clients) -> None:
    assert scan.look(()).complete
    (processes.path / "2" / "comm").write_text("sh\n")
    assert not scan.look(()).complete
    assert not Clients(Root(processes.path / "nothing"), lambda: 0).look(()).complete


def test_one_that_may_not_be_looked_into_may_use_anything(
    processes: AmdProcesses, gpu: Gpu, scan: Clients, denied: set[str]
) -> None:
    processes.open(20, 5, gpu, 7)
    processes.open(21, 5, gpu, 8)
    denied.add("20")
    for _ in range(10):
        look = scan.look(())
        assert list(look.clients) == [21]
        assert not look.complete
    processes.end(20)
    assert scan.look(()).complete


def test_a_folder_that_may_not_be_listed_is_no_fault(
    processes: AmdProcesses, gpu: Gpu, scan: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(_: Path) -> Iterator[os.DirEntry[str]]:
        raise PermissionError

    processes.open(20, 5, gpu, 7)
    monkeypatch.setattr(os, "scandir", scandir)
    look = scan.look(())
    assert not look.clients
    assert not look.complete


@pytest.mark.parametrize(("bound", "found"), [("_MOST_READS", 2), ("_MOST_FDS", 2), ("_MOST_PROCESSES", 1)])
def test_there_is_an_end_to_everything(
    processes: AmdProcesses, gpu: Gpu, scan: Clients, monkeypatch: pytest.MonkeyPatch, bound: str, found: int
) -> None:
    monkeypatch.setattr(clients, bound, 2)  # one process is the kernel's own
    for fd in range(4):
        processes.open(20, fd, gpu, 70 + fd, vram(1))
    if bound == "_MOST_PROCESSES":
        processes.open(30, 0, gpu, 80)
    seen = numbers(scan)
    assert (len(seen) if bound == "_MOST_PROCESSES" else len(seen[20])) == found
