"""Which files this process has open, and how many it may open."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def open_below(folder: Path) -> list[str]:
    """The paths of the open files below a folder, sorted; that of a removed file ends with ` (deleted)`."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists them
            found.append(str(link.readlink()))
    return sorted(path for path in found if path.startswith(f"{folder.resolve()}/"))


@contextmanager
def most_descriptors(number: int) -> Iterator[None]:
    """Let this process open no descriptor with this number or a higher one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def next_descriptor() -> int:
    """The number that the next opened file gets."""
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    return number
