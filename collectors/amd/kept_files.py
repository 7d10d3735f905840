"""Keeps the descriptors of one GPU's attributes, and reads an attribute again without opening it.

A read at offset 0 makes the kernel ask the driver for a new value: the kernel's `Documentation/filesystems/sysfs.rst`
and `fs/seq_file.c` (seq_read_iter). A descriptor does not delay a driver: the kernel removes an attribute while it is
open, and then fails the read with ENODEV: `fs/kernfs/file.c` (kernfs_seq_start), `fs/kernfs/dir.c` (kernfs_drain).
"""

import errno
import os
import stat
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path

from collectors.amd.files import (
    MAX_LIST_BYTES,
    OPEN_FLAGS,
    PAGE_BYTES,
    error_of,
    long_text_of,
    number_of,
    read_up_to,
    text_of,
    within,
)
from collectors.sysfs import close_all

# Enough for all that an MI300X with eight partitions reads at the fast and medium cadence.
MOST_KEPT = 32
# What was opened is gone, or cannot be read at an offset: what has its path now must be opened.
_GONE = frozenset({errno.ENODEV, errno.ESTALE, errno.EBADF, errno.ESPIPE})
_TOO_MANY_OPEN = frozenset({errno.EMFILE, errno.ENFILE})


class KeptFiles:
    """The open attributes of one GPU. It belongs to the thread that makes the GPU's call.

    A file is kept only after it was read without an error. No descriptor is kept in the upper half of the numbers that
    the process may use, so the sockets of clients never lack one because of it.

    Args:
        most: How many descriptors are kept at most.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._keeps_new = True
        self._descriptors: dict[tuple[Path, str], int] = {}
        # For a collector that is dropped without being closed.
        weakref.finalize(self, close_all, self._descriptors).atexit = False

    def keep(self, *, new: bool) -> None:
        """Keep the files that are opened from now on, or close each after its reading; those that are kept stay so."""
        self._keeps_new = new

    def close(self) -> None:
        """Close all; a later read opens a file again."""
        close_all(self._descriptors)

    def read_bytes(self, folder: Path, name: str, limit: int = PAGE_BYTES) -> bytes:
        """The content of a file.

        Args:
            folder: The folder, by a path that means the same GPU as long as this object is used.
            name: The file's path in the folder.
            limit: The most bytes it may have.

        Raises:
            UnsupportedError, UnavailableError, InvalidValueError: As `files.read_bytes`.
        """
        content = self._read_again((folder, name), limit + 1) or self._read_new((folder, name), limit + 1)
        return within(name, content, limit)

    def read_text(self, folder: Path, name: str) -> str:
        """See `files.read_text`."""
        return text_of(name, self.read_bytes(folder, name))

    def read_long_text(self, folder: Path, name: str) -> str:
        """See `files.read_long_text`."""
        return long_text_of(name, self.read_bytes(folder, name, MAX_LIST_BYTES))

    def read_number(self, folder: Path, name: str) -> int:
        """See `files.read_number`."""
        return number_of(name, self.read_bytes(folder, name))

    def _read_again(self, key: tuple[Path, str], limit: int) -> bytes:
        """The content by the kept descriptor; empty if there is none, or it must be opened again."""
        descriptor = self._descriptors.get(key)
        if descriptor is None:
            return b""
        try:
            # A file system other than sysfs reads a file on after its removal, or its replacement by another one.
            if os.fstat(descriptor).st_nlink and (content := read_up_to(partial(os.pread, descriptor), limit)):
                return content
        except OSError as error:
            if error.errno not in _GONE:
                self._forget(key)
                raise error_of(key[0] / key[1], error, opened=True) from None
        self._forget(key)
        return b""

    def _read_new(self, key: tuple[Path, str], limit: int) -> bytes:
        path = key[0] / key[1]
        try:
            descriptor = self._open(path)
        except OSError as error:
            raise error_of(path, error, opened=False) from None
        keep = False
        try:
            content = read_up_to(lambda count, _: os.read(descriptor, count), limit)
            keep = bool(content) and self._may_keep(descriptor)
        except OSError as error:
            raise error_of(path, error, opened=True) from None
        finally:
            if keep:
                self._descriptors[key] = descriptor
            else:
                os.close(descriptor)
        return content

    def _open(self, path: Path) -> int:
        try:
            return os.open(path, OPEN_FLAGS)
        except OSError as error:
            if error.errno not in _TOO_MANY_OPEN or not self._descriptors:
                raise
        self._most = 0  # until the driver has a new session: others need the descriptors
        self.close()
        return os.open(path, OPEN_FLAGS)

    def _may_keep(self, descriptor: int) -> bool:
        if not self._keeps_new or len(self._descriptors) >= self._most:
            return False
        return descriptor < os.sysconf("SC_OPEN_MAX") // 2 and stat.S_ISREG(os.fstat(descriptor).st_mode)

    def _forget(self, key: tuple[Path, str]) -> None:
        with suppress(OSError):
            os.close(self._descriptors.pop(key))
