import os
import socket
from pathlib import Path

import pytest

from collectors.text_file import NotRegularError, TextError, read_text

LIMIT = 1 << 20


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def refusal(path: Path) -> TextError:
    with pytest.raises(TextError) as caught:
        read_text(path, "a list")
    return caught.value


def test_a_file_up_to_the_limit_is_read_completely(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes("\u00e9".encode() * (LIMIT // 2))
    assert read_text(file, "a list") == "\u00e9" * (LIMIT // 2)
    file.write_bytes(b"#" * (LIMIT + 1))
    error = refusal(file)
    assert (error.problem, error.place) == ("larger than 1 MiB, expected a list", ())


def test_an_endless_file_is_read_up_to_the_limit_only(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as empty:
        empty.truncate(1 << 40)
    assert refusal(file).problem == "larger than 1 MiB, expected a list"


def test_a_byte_that_is_not_utf8_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a\nb\n\xe9")
    error = refusal(file)
    assert (error.problem, error.place) == ("byte 0xe9 is not UTF-8, expected UTF-8", (3,))


def test_a_link_is_followed_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    (tmp_path / "link").symlink_to("file")
    assert read_text(tmp_path / "link", "a list") == "a"


def test_a_path_that_is_not_a_file_fails_without_waiting_and_leaves_nothing_open(tmp_path: Path) -> None:
    pipe, listening = tmp_path / "pipe", tmp_path / "socket"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listening))
        before = descriptors()
        for path, refused in (
            (tmp_path, IsADirectoryError),
            (tmp_path / "none", FileNotFoundError),
            (listening, OSError),
            (pipe, NotRegularError),
            (Path(os.devnull), NotRegularError),
            (Path("a\0b"), ValueError),
        ):
            with pytest.raises(refused):
                read_text(path, "a list")
            assert descriptors() == before, path
