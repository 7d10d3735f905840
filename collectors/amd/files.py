"""Reads one file of the amdgpu or amdkfd driver, or reports why it cannot be read.

These drivers pad with NUL, leave a file empty if they hide its content, and fail the read if the hardware does not
support it. None of these is a 0.
"""

import errno
import os
from pathlib import Path

from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError

# The most that a text attribute can contain: one page of the kernel.
_PAGE_BYTES = 4096
# For a list that grows, such as the list of bad pages: some ten thousand lines.
_MAX_LIST_BYTES = 1 << 20

# The file or its function does not exist: the device does not support this reading.
_UNSUPPORTED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP, errno.EINVAL, errno.ENODATA, errno.ENOSYS})
_DENIED = frozenset({errno.EACCES, errno.EPERM})


class ReadRefusedError(UnavailableError):
    """The file could be opened, but the driver refused the read.

    amdgpu refuses to read a device's file while the device is reset or suspended, so the read is retried. A KFD node's
    file is refused because of the device cgroup, which does not change while the process runs.
    """


def read_bytes(path: Path, limit: int = _PAGE_BYTES) -> bytes:
    """The content of a file, by raw reads, because stat returns a wrong size for these files.

    Args:
        path: The file.
        limit: The most bytes it may have.

    Raises:
        UnsupportedError: There is no such file, or the driver reports that the device does not support the reading.
        UnavailableError: It can't be read, possibly only at the moment.
        InvalidValueError: It is longer than the limit.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise error_of(path, error, opened=False) from None
    try:
        content = _read_up_to(descriptor, limit + 1)
    except OSError as error:
        raise error_of(path, error, opened=True) from None
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise InvalidValueError(f"{path.name}: longer than {limit} bytes")
    return content


def inode(path: Path) -> int | None:
    """The inode number of a kernel's file or folder; None if there is none.

    sysfs counts these numbers up (`kernfs_new_node` in `fs/kernfs/dir.c`), so a folder that is made again has another.
    """
    try:
        return path.stat().st_ino
    except OSError:
        return None


def read_text(path: Path) -> str:
    """The text of an attribute without its padding.

    Raises:
        UnsupportedError, UnavailableError: As `read_bytes`.
        InvalidValueError: It is empty, or not text.
    """
    return _text(path, read_bytes(path))


def read_long_text(path: Path) -> str:
    """The text of a list, which may be empty.

    Raises:
        UnsupportedError, UnavailableError: As `read_bytes`.
        InvalidValueError: It is not text, or longer than 1 MiB.
    """
    content = read_bytes(path, _MAX_LIST_BYTES)
    return _text(path, content) if content.strip(b"\0 \n") else ""


def read_number(path: Path) -> int:
    """The decimal number in an attribute.

    Raises:
        UnsupportedError, UnavailableError: As `read_bytes`.
        InvalidValueError: It is empty, or not a number.
    """
    text = read_text(path)
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):  # int() accepts more, such as 1_000
        raise InvalidValueError(f"{path.name}: found {text[:40]!r}, expected a number")
    return int(text)


def error_of(path: Path, error: OSError, *, opened: bool) -> CollectorError:
    """The error of the reading for an error of the kernel.

    Args:
        path: The file.
        error: Raised by `open` or `read`.
        opened: Whether the file could be opened.
    """
    text = f"{path.name}: {error.strerror}"
    if error.errno in _UNSUPPORTED:
        return UnsupportedError(text)
    if error.errno not in _DENIED:
        return UnavailableError(text)
    return ReadRefusedError(text) if opened else UnavailableError(text, Reason.PERMISSION_DENIED)


def _read_up_to(descriptor: int, limit: int) -> bytes:
    content = os.read(descriptor, limit)
    if len(content) < _PAGE_BYTES:  # the first read returns the whole text attribute
        return content
    while len(content) < limit and (more := os.read(descriptor, limit - len(content))):
        content += more
    return content


def _text(path: Path, content: bytes) -> str:
    text = content.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    if not text:
        raise InvalidValueError(f"{path.name}: empty")
    if (
        not all(character.isprintable() or character.isspace() for character in text)
        or "\N{REPLACEMENT CHARACTER}" in text
    ):
        raise InvalidValueError(f"{path.name}: found {text[:40]!r}, expected text")
    return text
