import os
from pathlib import Path

import pytest

from exporter.release_file import ReleaseFileError, read_addresses

_ADDRESS = "0000:3b:00.0"


@pytest.mark.parametrize(
    ("content", "addresses"),
    [
        (b"", set()),
        (b"\n \n", set()),
        (b"0000:3b:00.0", {_ADDRESS}),
        (b" 00000000:3B:00.0\r\n\n0001:86:00.1\n0000:3b:00.0\n", {_ADDRESS, "0001:86:00.1"}),
    ],
)
def test_addresses_are_read_in_any_spelling(tmp_path: Path, content: bytes, addresses: set[str]) -> None:
    file = tmp_path / "release"
    file.write_bytes(content)
    assert read_addresses(file) == addresses


@pytest.mark.parametrize("path", [None, Path("/nonexistent/release")])
def test_without_a_file_there_is_no_address(path: Path | None) -> None:
    assert read_addresses(path) == frozenset()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"0000:3b:00.0\nGPU-0\n", ":2: found 'GPU-0', expected a PCI address"),
        (b"3b:00.0", ":1: found"),
        (b"\xff\xfe", ":1: found"),
        (b"x" * 1000, f":1: found '{'x' * 80}', expected"),
        (b"\n" * 65_537, ": longer than 65536 bytes"),
    ],
)
def test_what_is_not_understood_is_refused_as_a_whole(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "release"
    file.write_bytes(content)
    with pytest.raises(ReleaseFileError) as caught:
        read_addresses(file)
    assert str(caught.value).startswith(f"{file}{why}")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ReleaseFileError):
            read_addresses(path)
