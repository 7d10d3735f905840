"""Which files below a folder this process has open."""

from contextlib import suppress
from pathlib import Path


def open_below(folder: Path) -> list[str]:
    """The paths of the open files below a folder, sorted; that of a removed file ends with ` (deleted)`."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that lists them
            found.append(str(link.readlink()))
    return sorted(path for path in found if path.startswith(f"{folder.resolve()}/"))
