"""Reads small kernel files below a root directory, which tests replace by a tree of fixtures."""

import os
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_LIMIT_BYTES = 4096
_Name = TypeVar("_Name")


@dataclass(frozen=True, slots=True)
class Root:
    """The mount point of a kernel file system, such as the host's `/sys`.

    Attributes:
        path: The mount point as this process sees it.
    """

    path: Path

    def open(self, *parts: str) -> int:
        """A descriptor of a file or folder, for reading. The caller closes it.

        Raises:
            OSError: It cannot be opened.
        """
        return os.open(self._join(parts), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def text(self, *parts: str) -> str | None:
        """The stripped content of one attribute file, or None if it cannot be read.

        It makes one raw read of at most 4 KiB: stat reports a wrong size for these files, and some drivers return
        EAGAIN forever to a reader that polls.
        """
        try:
            descriptor = self.open(*parts)
        except OSError:
            return None
        try:
            content = os.read(descriptor, _LIMIT_BYTES)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return content.decode("utf-8", "replace").strip("\0 \t\r\n") or None

    def names(self, *parts: str) -> tuple[str, ...]:
        """The sorted entries of a directory; empty if it cannot be listed."""
        try:
            return tuple(sorted(os.listdir(self._join(parts))))  # noqa: PTH208 - see `_join`
        except OSError:
            return ()

    def link_name(self, *parts: str) -> str | None:
        """The last component of a symbolic link's target, or None if there is no such link."""
        try:
            return os.readlink(self._join(parts)).rpartition("/")[2] or None  # noqa: PTH115 - see `_join`
        except OSError:
            return None

    def _join(self, parts: tuple[str, ...]) -> str:
        """The path of a file or folder. A `Path` would take longer to make than such a file takes to read."""
        return "/".join((str(self.path), *parts))


def close_all(descriptors: MutableMapping[_Name, int]) -> None:
    """Close descriptors that are kept by name, and forget them."""
    while descriptors:
        with suppress(OSError):
            os.close(descriptors.popitem()[1])
