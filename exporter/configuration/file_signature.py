"""Tells whether a file has changed, without reading it."""

from pathlib import Path
from typing import NamedTuple


class FileSignature(NamedTuple):
    """Changes when a file is written or replaced. Kubernetes replaces a symbolic link in the path of a mounted file."""

    device: int
    inode: int
    modified_ns: int
    size: int


def signature_of(path: Path | None) -> FileSignature | None:
    """The signature of a file now; None if there is no such file. Take it before the file is read."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return FileSignature(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
