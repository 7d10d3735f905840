"""The installed distributions: their versions and entry points, read from the folders of their metadata.

`importlib.metadata` of Python returns the same, but loads the parsers of e-mail and of archives, which costs 3 MiB and
a tenth of the time to start. It is used only for an archive in the path.

Sources: the Python Packaging Authority's specifications "Recording installed projects" and "Entry points".
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial, reduce
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

_FOLDERS = (".dist-info", ".egg-info")
_ENTRY_POINTS = "entry_points.txt"
_METADATA = ("METADATA", "PKG-INFO")  # of each kind of folder
_VERSION = "version:"


class NotInstalledError(Exception):
    """There is no such distribution. The text is its name."""


class ListedEntryPoint(NamedTuple):
    """An entry point.

    Attributes:
        name: The name before the equals sign.
        value: The object reference after the equals sign, `module:attribute`.
    """

    name: str
    value: str

    def load(self) -> object:
        """Import the module and return the attribute, or the module if there is none."""
        reference = self.value.partition("[")[0]  # without the obsolete extras
        module, _, attributes = (part.strip() for part in reference.partition(":"))
        return reduce(getattr, filter(None, attributes.split(".")), import_module(module))


class _Distribution(NamedTuple):
    """Where the metadata of a distribution is.

    Attributes:
        name: Its name, normalized.
        read: Returns the text of a file of its metadata; None if there is no such file or it cannot be read.
    """

    name: str
    read: Callable[[str], str | None]


def entry_points(group: str, paths: Iterable[str]) -> Iterator[ListedEntryPoint]:
    """The entry points of a group in all distributions.

    Args:
        group: The name of the group.
        paths: The folders and archives in which Python searches for modules.
    """
    for distribution in _distributions(paths):
        section = None
        for line in map(str.strip, (distribution.read(_ENTRY_POINTS) or "").splitlines()):
            if line.startswith("[") and line.endswith("]"):
                section = line[1:-1]
            elif section == group and "=" in line and not line.startswith("#"):
                name, _, value = line.partition("=")
                yield ListedEntryPoint(name.strip(), value.strip())


def version(name: str, paths: Iterable[str]) -> str:
    """The version of a distribution.

    Args:
        name: The name of the distribution.
        paths: The folders and archives in which Python searches for modules.

    Raises:
        NotInstalledError: It is not installed.
    """
    wanted = _normalized(name)
    for distribution in _distributions(paths):
        for file in _METADATA if distribution.name == wanted else ():
            for line in (distribution.read(file) or "").splitlines():
                if line.lower().startswith(_VERSION):
                    return line[len(_VERSION) :].strip()
    raise NotInstalledError(name)


def _distributions(paths: Iterable[str]) -> Iterator[_Distribution]:
    """The first one of each name, as Python would import it."""
    seen: set[str] = set()
    for path in paths:
        for distribution in _of_archive(path) if Path(path).is_file() else _of_folder(Path(path)):
            if distribution.name not in seen:
                seen.add(distribution.name)
                yield distribution


def _of_folder(path: Path) -> Iterator[_Distribution]:
    try:
        folders = [each for each in path.iterdir() if each.suffix in _FOLDERS]
    except OSError:  # Python ignores such a path too
        return
    for folder in folders:
        yield _Distribution(_normalized(folder.stem.partition("-")[0]), partial(_read, folder))


def _of_archive(path: str) -> Iterator[_Distribution]:
    from importlib import metadata  # noqa: PLC0415 - see the head of this module

    for distribution in metadata.distributions(path=[path]):
        yield _Distribution(_normalized(str(distribution.name)), distribution.read_text)


def _read(folder: Path, name: str) -> str | None:
    try:
        return folder.joinpath(name).read_text("utf-8", "replace")
    except OSError:
        return None


def _normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
