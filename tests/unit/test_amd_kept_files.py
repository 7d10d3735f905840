"""Attributes of a GPU are read again by descriptors that stay open."""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors.amd.kept_files import MOST_KEPT, KeptFiles
from collectors.contract import CollectorError, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError
from tests.doubles.open_files import most_descriptors, next_descriptor, open_below

_BUSY = "gpu_busy_percent"
_TUN = Path("/dev/net/tun")
_SET_INTERFACE = 0x400454CA  # TUNSETIFF of the kernel's linux/if_tun.h
_TUN_WITHOUT_HEADER = 0x1001


@pytest.fixture
def kept() -> Iterator[KeptFiles]:
    made = KeptFiles()
    yield made
    made.close()


def write(folder: Path, content: str, name: str = _BUSY) -> Path:
    """Write into the file itself, as a driver changes the value of an attribute."""
    path = folder / name
    path.write_text(content)
    return path


def test_a_file_is_opened_once_and_its_new_value_is_read(kept: KeptFiles, tmp_path: Path) -> None:
    folder, moved = tmp_path / "gpu", tmp_path / "moved"
    folder.mkdir()
    write(folder, "37\n")
    assert kept.read_number(folder, _BUSY) == 37
    folder.rename(moved)  # now it cannot be opened by its path
    for value in (100, 5, -5, 0):
        write(moved, f"{value}\n")
        assert kept.read_number(folder, _BUSY) == value


def test_an_attribute_of_the_kernel_is_asked_for_a_new_value(kept: KeptFiles) -> None:
    folder = Path("/sys/class/net/lo/statistics")
    before = kept.read_number(folder, "rx_packets")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.sendto(b"1", receiver.getsockname())
        receiver.recv(1)
    assert kept.read_number(folder, "rx_packets") > before
    assert len(open_below(folder)) == 1


@pytest.mark.skipif(not os.access(_TUN, os.W_OK) or os.geteuid() != 0, reason="needs to make a network device")
def test_an_attribute_that_the_kernel_removes_while_it_is_open_is_absent_and_then_that_of_the_new_device(
    kept: KeptFiles,
) -> None:
    folder = Path(f"/sys/class/net/test{os.getpid()}")
    with _network_device(folder.name):
        assert kept.read_number(folder, "mtu") == 1500
        first = kept.read_number(folder, "ifindex")
    with pytest.raises(UnsupportedError):
        kept.read_number(folder, "mtu")
    with _network_device(folder.name):
        assert kept.read_number(folder, "ifindex") > first
        assert kept.read_number(folder, "mtu") == 1500


@contextmanager
def _network_device(name: str) -> Iterator[None]:
    with _TUN.open("r+b", buffering=0) as device:
        fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
        yield


def test_a_file_that_was_replaced_is_opened_again(kept: KeptFiles, tmp_path: Path) -> None:
    write(tmp_path, "37\n")
    kept.read_number(tmp_path, _BUSY)
    write(tmp_path, "38\n", "new").replace(tmp_path / _BUSY)
    assert kept.read_number(tmp_path, _BUSY) == 38
    assert open_below(tmp_path) == [str(tmp_path / _BUSY)]


def test_a_file_that_was_removed_is_unsupported_and_closed(kept: KeptFiles, tmp_path: Path) -> None:
    path = write(tmp_path, "37\n")
    kept.read_number(tmp_path, _BUSY)
    path.unlink()
    with pytest.raises(UnsupportedError, match="gpu_busy_percent: No such file"):
        kept.read_number(tmp_path, _BUSY)
    assert open_below(tmp_path) == []


def test_a_file_that_becomes_empty_is_an_error_and_closed(kept: KeptFiles, tmp_path: Path) -> None:
    write(tmp_path, "37\n")
    kept.read_number(tmp_path, _BUSY)
    write(tmp_path, "")
    with pytest.raises(InvalidValueError, match="gpu_busy_percent: empty"):
        kept.read_number(tmp_path, _BUSY)
    assert open_below(tmp_path) == []


def test_a_descriptor_that_something_else_has_closed_is_replaced(kept: KeptFiles, tmp_path: Path) -> None:
    path = write(tmp_path, "37\n")
    kept.read_number(tmp_path, _BUSY)
    [number] = [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.resolve() == path]
    os.close(number)
    assert kept.read_number(tmp_path, _BUSY) == 37


def test_a_read_that_fails_is_an_error_and_closes_the_file(kept: KeptFiles) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder = Path(f"/proc/{child.pid}")
    kept.read_text(folder, "stat")
    assert open_below(folder) == [f"{folder}/stat"]
    child.communicate()
    with pytest.raises(UnavailableError, match="stat: No such process"):
        kept.read_text(folder, "stat")
    assert open_below(folder) == []


def test_what_cannot_be_read_at_an_offset_is_not_kept(kept: KeptFiles, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / _BUSY)
    writer = os.open(tmp_path / _BUSY, os.O_RDWR)
    os.write(writer, b"37\n")
    assert kept.read_number(tmp_path, _BUSY) == 37
    os.close(writer)
    assert open_below(tmp_path) == []


def test_a_file_longer_than_a_page_is_read_completely_up_to_its_limit(kept: KeptFiles, tmp_path: Path) -> None:
    write(tmp_path, "7" * 8000)
    for _ in range(2):
        assert len(kept.read_bytes(tmp_path, _BUSY, 8000)) == 8000
        with pytest.raises(InvalidValueError, match="longer than 7999"):
            kept.read_bytes(tmp_path, _BUSY, 7999)


def test_only_so_many_files_are_kept_and_all_are_read(kept: KeptFiles, tmp_path: Path) -> None:
    for number in range(MOST_KEPT + 5):
        write(tmp_path, f"{number}\n", f"file{number}")
    for _ in range(2):
        assert [kept.read_number(tmp_path, f"file{number}") for number in range(MOST_KEPT + 5)] == list(
            range(MOST_KEPT + 5)
        )
        assert len(open_below(tmp_path)) == MOST_KEPT


def test_a_file_that_is_read_rarely_is_not_kept(kept: KeptFiles, tmp_path: Path) -> None:
    write(tmp_path, "37\n")
    kept.keep(new=False)
    assert kept.read_number(tmp_path, _BUSY) == 37
    assert open_below(tmp_path) == []
    kept.keep(new=True)
    assert kept.read_number(tmp_path, _BUSY) == 37
    kept.keep(new=False)
    assert len(open_below(tmp_path)) == 1


def test_without_a_free_descriptor_the_kept_ones_are_closed_and_everything_is_read(
    kept: KeptFiles, tmp_path: Path
) -> None:
    write(tmp_path, "37\n")
    write(tmp_path, "38\n", "mem_busy_percent")
    kept.read_number(tmp_path, _BUSY)
    with most_descriptors(next_descriptor()):
        for _ in range(2):
            assert kept.read_number(tmp_path, "mem_busy_percent") == 38
            assert kept.read_number(tmp_path, _BUSY) == 37
    assert kept.read_number(tmp_path, _BUSY) == 37
    assert open_below(tmp_path) == []


def test_without_any_descriptor_a_file_is_unavailable(kept: KeptFiles, tmp_path: Path) -> None:
    write(tmp_path, "37\n")
    with most_descriptors(next_descriptor()), pytest.raises(CollectorError, match="Too many open files"):
        kept.read_number(tmp_path, _BUSY)
    assert kept.read_number(tmp_path, _BUSY) == 37


def test_half_of_the_descriptors_are_left_to_others(kept: KeptFiles, tmp_path: Path) -> None:
    write(tmp_path, "37\n")
    with most_descriptors(2 * next_descriptor()):
        assert kept.read_number(tmp_path, _BUSY) == 37
        assert open_below(tmp_path) == []
    with most_descriptors(2 * next_descriptor() + 2):
        assert kept.read_number(tmp_path, _BUSY) == 37
        assert len(open_below(tmp_path)) == 1


def test_what_was_closed_is_opened_again_and_what_was_dropped_is_closed(tmp_path: Path) -> None:
    write(tmp_path, "37\n")
    kept = KeptFiles()
    kept.read_number(tmp_path, _BUSY)
    kept.close()
    assert open_below(tmp_path) == []
    assert kept.read_number(tmp_path, _BUSY) == 37
    assert len(open_below(tmp_path)) == 1
    del kept
    assert open_below(tmp_path) == []
