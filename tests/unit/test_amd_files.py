import errno
import os
from pathlib import Path

import pytest

from collectors.amd.files import ReadRefusedError, error_of, read_bytes, read_long_text, read_number, read_text
from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError


def written(folder: Path, content: bytes) -> Path:
    path = folder / "gpu_busy_percent"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"37\n", 37), (b"37", 37), (b"-5\n", -5), (b"37\n".ljust(4096, b"\0"), 37), (b"0\n", 0), (b"7\0x", 7)],
)
def test_a_number_is_read_without_its_padding(tmp_path: Path, content: bytes, expected: int) -> None:
    assert read_number(written(tmp_path, content)) == expected


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\0" * 4096, b"rubbish\n", b"3 7", b"1_000", b"0x10", b"\xff\xfe", "٣".encode(), b"-"]
)
def test_text_that_is_not_a_number_is_an_error_and_never_0(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidValueError):
        read_number(written(tmp_path, content))


def test_a_missing_file_is_unsupported(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="mem_busy_percent: No such file"):
        read_number(tmp_path / "mem_busy_percent")


def test_a_missing_folder_is_unsupported(tmp_path: Path) -> None:
    path = written(tmp_path, b"37\n")
    with pytest.raises(UnsupportedError):
        read_number(path / "power1_average")


def test_an_input_error_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "gpu_busy_percent"
    path.symlink_to("/proc/self/mem")  # reading its first byte gives EIO
    with pytest.raises(UnavailableError, match="Input/output error") as caught:
        read_number(path)
    assert caught.value.reason is Reason.UNAVAILABLE


def test_a_read_that_the_driver_does_not_support_is_unsupported(tmp_path: Path) -> None:
    path = tmp_path / "vcn_busy_percent"
    path.symlink_to("/proc/self/clear_refs")  # reading it gives EINVAL
    with pytest.raises(UnsupportedError, match="Invalid argument"):
        read_number(path)


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("number", [errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL, errno.ENODATA])
def test_permanent_errors_are_unsupported(number: int, *, opened: bool) -> None:
    assert isinstance(meaning_of(number, opened=opened), UnsupportedError)


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("number", [errno.EIO, errno.EBUSY, errno.ENODEV, errno.EAGAIN, errno.EMFILE])
def test_temporary_errors_are_unavailable(number: int, *, opened: bool) -> None:
    error = meaning_of(number, opened=opened)
    assert isinstance(error, UnavailableError)
    assert error.reason is Reason.UNAVAILABLE


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_a_refused_read_is_temporary_and_a_refused_open_is_permanent(number: int) -> None:
    refused = meaning_of(number, opened=True)
    assert isinstance(refused, ReadRefusedError)
    assert refused.reason is Reason.UNAVAILABLE  # so that it is retried after the reset of the device
    denied = meaning_of(number, opened=False)
    assert isinstance(denied, UnavailableError)
    assert denied.reason is Reason.PERMISSION_DENIED


def meaning_of(number: int, *, opened: bool) -> CollectorError:
    return error_of(Path("gpu_busy_percent"), OSError(number, os.strerror(number)), opened=opened)


def test_a_folder_in_place_of_a_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        read_text(tmp_path)


def test_a_pipe_does_not_block_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "gpu_busy_percent"
    os.mkfifo(path)
    with pytest.raises(InvalidValueError, match="empty"):
        read_text(path)


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="longer than 4096"):
        read_bytes(written(tmp_path, b"7" * 4097))
    assert len(read_bytes(written(tmp_path, b"7" * 4096))) == 4096


def test_a_list_may_be_empty_or_longer_than_a_page(tmp_path: Path) -> None:
    assert read_long_text(written(tmp_path, b"")) == ""
    line = b"0x00000001 : 0x00001000 : R\n"
    assert read_long_text(written(tmp_path, line * 5000)).count("\n") == 4999
    with pytest.raises(InvalidValueError, match="longer than"):
        read_long_text(written(tmp_path, b"x" * (2**20 + 1)))
