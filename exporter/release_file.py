"""The file that says which devices to release at the next SIGUSR1: one PCI address in each line."""

import os
import stat
from pathlib import Path

from collectors.pci import parse_address

_MAX_BYTES = 65_536


class ReleaseFileError(Exception):
    """The file cannot be used, so that nothing may be released. The text says where and why."""


def read_addresses(path: Path | None) -> frozenset[str]:
    """The PCI addresses in the file, in the kernel's spelling; empty if there is no file, or no line in it.

    Args:
        path: The file; None if none is configured.

    Raises:
        ReleaseFileError: It cannot be read, is too long, or has a line that is not a PCI address.
    """
    if path is None:
        return frozenset()
    addresses: set[str] = set()
    for number, line in enumerate(_lines(path), 1):
        address = parse_address(line)
        if address is not None:
            addresses.add(str(address))
        elif line.strip():
            raise ReleaseFileError(f"{path}:{number}: found {line[:80]!r}, expected a PCI address such as 0000:3b:00.0")
    return frozenset(addresses)


def _lines(path: Path) -> list[str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ReleaseFileError(f"{path}: {error.strerror}") from None
    content = b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ReleaseFileError(f"{path}: not a regular file")
        while chunk := os.read(descriptor, _MAX_BYTES + 1 - len(content)):
            content += chunk
    except OSError as error:
        raise ReleaseFileError(f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > _MAX_BYTES:
        raise ReleaseFileError(f"{path}: longer than {_MAX_BYTES} bytes")
    return content.decode("utf-8", "replace").splitlines()
