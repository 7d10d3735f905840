"""The files of a CDI directory: which there are, when they changed, and the spec in each. Every read is bounded."""

import errno
import os
import stat
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from collectors.text_file import NotRegularError, TextError, read_text
from exporter.attribution.cdi_spec import CdiSpec, parse_spec

# The Go library reads these and no others (pkg/cdi/spec-dirs.go, `scanSpecDirs`); it writes to other names first.
_JSON = ".json"
_SUFFIXES = (_JSON, ".yaml")
_MOST_ENTRIES = 4096
# A spec of 8 devices with 60 mounted libraries has 12 KiB.
_LARGEST_BYTES = 512 << 10


class CdiMissing(StrEnum):
    """Why the device nodes of a device are not known from CDI specs."""

    NO_ENTRY = "no_entry"  # the kubelet lists no CDI device of that name
    AMBIGUOUS = "ambiguous"  # it lists several
    NO_DIRECTORY = "no_directory"  # no CDI directory exists
    UNREADABLE = "unreadable"  # a directory or file cannot be opened or read
    NOT_REGULAR = "not_regular"  # a pipe, socket or device
    TOO_LARGE = "too_large"  # more than 512 KiB
    TOO_MANY = "too_many"  # more files in a directory, or more names in all files, than are kept
    NOT_UNDERSTOOD = "not_understood"  # neither JSON nor YAML, or no CDI spec
    NOT_YET_READ = "not_yet_read"  # the rest of many files, read after the next refresh
    NOT_FOUND = "not_found"  # no spec has it
    CONFLICT = "conflict"  # two specs of one directory have it
    NO_DEVICE_NODES = "no_device_nodes"  # its spec adds no device nodes


class SpecStatus(NamedTuple):
    """One file as `stat` shows it; it differs if the file was written, replaced or made readable.

    Attributes:
        path: Its path.
        size: Bytes.
        stamp: Identity and times of change of the file, or the error of `stat`.
        problem: Why it need not be opened; None otherwise.
    """

    path: Path
    size: int
    stamp: tuple[int, ...]
    problem: CdiMissing | None


class CdiListing(NamedTuple):
    """The spec files of one directory.

    Attributes:
        files: Sorted by name.
        problem: Why they are not, or not all, known; None otherwise.
    """

    files: tuple[SpecStatus, ...]
    problem: CdiMissing | None


def list_specs(directory: Path) -> CdiListing:
    """List the spec files of a directory, without reading them. Subdirectories are skipped."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in islice(entries, _MOST_ENTRIES + 1)]
    except (FileNotFoundError, NotADirectoryError):
        return CdiListing((), CdiMissing.NO_DIRECTORY)
    except (OSError, ValueError):
        return CdiListing((), CdiMissing.UNREADABLE)
    problem = CdiMissing.TOO_MANY if len(names) > _MOST_ENTRIES else None
    statuses = (_status(directory / name) for name in sorted(names[:_MOST_ENTRIES]) if name.endswith(_SUFFIXES))
    return CdiListing(tuple(each for each in statuses if each is not None), problem)


def _status(path: Path) -> SpecStatus | None:
    """The status of a file, or of what its symbolic link points to; None for a directory, or if it is gone."""
    try:
        found = path.stat()
    except OSError as error:
        if error.errno == errno.ENOENT and not path.is_symlink():
            return None
        return SpecStatus(path, 0, (error.errno or 0,), CdiMissing.UNREADABLE)
    if stat.S_ISDIR(found.st_mode):
        return None
    problem = None
    if not stat.S_ISREG(found.st_mode):
        problem = CdiMissing.NOT_REGULAR
    elif found.st_size > _LARGEST_BYTES:
        problem = CdiMissing.TOO_LARGE
    # The time of the status changes with the permissions, and nobody can set it.
    stamp = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return SpecStatus(path, found.st_size, stamp, problem)


def read_spec(path: Path) -> CdiSpec | CdiMissing:
    """Read the spec in a file, or return why there is none. Never waits for a pipe."""
    try:
        return parse_spec(read_text(path, "a CDI spec"), is_json=path.name.endswith(_JSON))
    except NotRegularError:
        return CdiMissing.NOT_REGULAR
    except OSError:
        return CdiMissing.UNREADABLE
    except TextError:
        return CdiMissing.NOT_UNDERSTOOD
