"""Which devices a process has open: the descriptors of the NVML double have the names of the files in /dev."""

from contextlib import suppress
from pathlib import Path

_NAME = "/memfd:"
_DELETED = " (deleted)"


def open_devices(pid: int | str = "self") -> list[str]:
    """The names of the NVIDIA device files that a process has open, such as `nvidia0`, sorted."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            name = str(link.readlink())
            if name.startswith(f"{_NAME}nvidia"):
                found.append(name.removeprefix(_NAME).removesuffix(_DELETED))
    return sorted(found)
