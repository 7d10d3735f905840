"""Reads one file of the amdgpu or amdkfd driver, or reports why it cannot be read.

These drivers pad with NUL, leave a file empty if they hide its content, and fail the read if the hardware does not
support it. None of these is a 0.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.query import InvalidValueError

# The most that a text attribute can contain: one page of the kernel.
PAGE_BYTES = 4096
# For a list that grows, such as the list of bad pages: some ten thousand lines.
MAX_LIST_BYTES = 1 << 20
# A pipe in place of a file must not block, and a child process must not inherit a descriptor.
OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK

# The file or its function does not exist: the device does not support this reading.
_UNSUPPORTED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP, errno.EINVAL, errno.ENODATA, errno.ENOSYS})
_DENIED = frozenset({errno.EACCES, errno.EPERM})


class ReadRefusedError(UnavailableError):
    """The file could be opened, but the driver refused the read.

    amdgpu refuses to read a device's file while the device is reset or suspended, so the read is retried. A KFD node's
    file is refused because of the device cgroup, which does not change while the process runs.
    """


def read_bytes(path: Path, limit: int = PAGE_BYTES) -> bytes:
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
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError as error:
        raise error_of(path, error, opened=False) from None
    try:
        content = read_up_to(lambda count, _: os.read(descriptor, count), limit + 1)
    except OSError as error:
        raise error_of(path, error, opened=True) from None
    finally:
        os.close(descriptor)
    return within(path.name, content, limit)


def within(name: str, content: bytes, limit: int) -> bytes:
    """The content of a file, of which one byte more than the limit was asked for.

    Raises:
        InvalidValueError: It is longer than the limit.
    """
    if len(content) > limit:
        raise InvalidValueError(f"{name}: longer than {limit} bytes")
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
    return text_of(path.name, read_bytes(path))


def read_long_text(path: Path) -> str:
    """The text of a list, which may be empty.

    Raises:
        UnsupportedError, UnavailableError: As `read_bytes`.
        InvalidValueError: It is not text, or longer than 1 MiB.
    """
    return long_text_of(path.name, read_bytes(path, MAX_LIST_BYTES))


def read_number(path: Path) -> int:
    """The decimal number in an attribute.

    Raises:
        UnsupportedError, UnavailableError: As `read_bytes`.
        InvalidValueError: It is empty, or not a number.
    """
    return number_of(path.name, read_bytes(path))


def number_of(name: str, content: bytes) -> int:
    """See `read_number`: the number in the content of a file."""
    text = text_of(name, content)
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):  # int() accepts more, such as 1_000
        raise InvalidValueError(f"{name}: found {text[:40]!r}, expected a number")
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


def read_up_to(read: Callable[[int, int], bytes], limit: int) -> bytes:
    """The first bytes of a file.

    Args:
        read: Reads at most so many bytes at an offset, to which the bytes before have been read.
        limit: The most bytes.

    Raises:
        OSError: What `read` raised.
    """
    content = read(limit, 0)
    if len(content) < PAGE_BYTES:  # the first read returns the whole text attribute
        return content
    while len(content) < limit and (more := read(limit - len(content), len(content))):
        content += more
    return content


def long_text_of(name: str, content: bytes) -> str:
    """See `read_long_text`: the text in the content of a file."""
    return text_of(name, content) if content.strip(b"\0 \n") else ""


def text_of(name: str, content: bytes) -> str:
    """See `read_text`: the text in the content of a file."""
    text = content.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    if not text:
        raise InvalidValueError(f"{name}: empty")
    if (
        not all(character.isprintable() or character.isspace() for character in text)
        or "\N{REPLACEMENT CHARACTER}" in text
    ):
        raise InvalidValueError(f"{name}: found {text[:40]!r}, expected text")
    return text
