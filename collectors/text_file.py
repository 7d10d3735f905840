"""Reads a text file that the user named. Its size is limited, and reading never blocks on a pipe or device."""

import os
import stat
from pathlib import Path

# The size limit of a ConfigMap.
_LIMIT_BYTES = 1 << 20


class NotRegularError(Exception):
    """The path is a pipe, a socket or a device, not a file."""


class TextError(Exception):
    """A text is invalid: the problem, and line and column, from 1, as far as they are known."""

    def __init__(self, problem: str, *place: int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.place = place


def read_text(path: Path, what: str) -> str:
    """The text of a regular file of at most 1 MiB.

    Args:
        path: The file.
        what: What the file should contain, such as "a scenario".

    Raises:
        OSError, ValueError: It cannot be opened or read, is a directory, or its name is not a valid file name.
        NotRegularError: It is neither a file nor a directory.
        TextError: It is too large or not UTF-8.
    """
    # Opened by its path, not by a descriptor: then Python closes the file also when it raises for a directory.
    with open(path, "rb", opener=_open_nonblocking) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotRegularError
        content = file.read(_LIMIT_BYTES + 1)
    if len(content) > _LIMIT_BYTES:
        raise TextError(f"larger than 1 MiB, expected {what}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TextError(f"byte 0x{content[error.start]:02x} is not UTF-8, expected UTF-8", line) from None


def _open_nonblocking(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
