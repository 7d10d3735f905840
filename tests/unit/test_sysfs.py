import os
from pathlib import Path

import pytest

from collectors.sysfs import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def write(root: Root, name: str, content: bytes) -> None:
    (root.path / name).write_bytes(content)


def test_text_has_no_newline_and_no_padding(root: Root) -> None:
    write(root, "vendor", b"0x10de\n\0")
    assert root.text("vendor") == "0x10de"


@pytest.mark.parametrize("content", [b"", b"\n", b" \0\n"])
def test_an_empty_attribute_is_unknown(root: Root, content: bytes) -> None:
    write(root, "serial", content)
    assert root.text("serial") is None


def test_a_missing_attribute_is_unknown(root: Root) -> None:
    assert root.text("nothing", "here") is None


def test_a_directory_has_no_text(root: Root) -> None:
    assert root.text() is None


def test_bytes_that_are_not_utf8_are_replaced(root: Root) -> None:
    write(root, "label", b"caf\xe9\n")
    assert root.text("label") == "caf�"


def test_at_most_one_page_is_read(root: Root) -> None:
    write(root, "endless", b"x" * 10_000)
    assert root.text("endless") == "x" * 4096


def test_a_pipe_without_a_writer_does_not_block(root: Root) -> None:
    os.mkfifo(root.path / "pipe")
    assert root.text("pipe") is None


def test_names_are_sorted(root: Root) -> None:
    for name in ("b", "a", "c"):
        (root.path / name).mkdir()
    assert root.names() == ("a", "b", "c")


def test_a_missing_directory_has_no_names(root: Root) -> None:
    assert root.names("bus", "pci") == ()


def test_a_link_is_named_by_its_target(root: Root) -> None:
    (root.path / "driver").symlink_to("../../bus/pci/drivers/nvidia")
    assert root.link_name("driver") == "nvidia"


def test_a_path_that_is_not_a_link_has_no_link_name(root: Root) -> None:
    write(root, "driver", b"nvidia")
    assert root.link_name("driver") is None
    assert root.link_name("missing") is None
