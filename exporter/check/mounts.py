"""How the kubelet's socket is mounted, by the kernel's own list of mounts.

Source: `/proc/[pid]/mountinfo`, the kernel's `Documentation/filesystems/proc.rst`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from exporter.check.facts import MountFacts, SocketMount

_LIMIT_BYTES = 1 << 20
_OCTAL = re.compile(r"\\([0-7]{3})")
_REMOVED = "//deleted"
_FIELDS = 6  # id, parent, device, root, mount point, options; what follows is not read


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the list.

    Attributes:
        source: What of the mounted file system is visible, as a path in it; ends in `//deleted` once removed there.
        point: Where.
        read_only: Whether nothing can be written through this mount.
    """

    source: str
    point: PurePath
    read_only: bool


def mounts(procfs: Path) -> tuple[Mount, ...]:
    """The mounts of this process, in the order in which they cover each other; none where they can't be read."""
    try:
        with (procfs / "self" / "mountinfo").open("rb") as file:
            content = file.read(_LIMIT_BYTES)
    except OSError:
        return ()
    return tuple(_parse(content.decode("utf-8", "replace")))


def socket_mount(found: Sequence[Mount], socket: Path) -> MountFacts:
    """How a socket came to its path: the last mount on the way there decides.

    Args:
        found: From `mounts`.
        socket: The socket's path, whether or not there is one.
    """
    if not found:
        return MountFacts(SocketMount.UNKNOWN)
    path = socket.parent.resolve() / socket.name
    way = [mount for mount in found if path == mount.point or mount.point in path.parents]
    if not way:
        return MountFacts(SocketMount.UNKNOWN)
    nearest = max(reversed(way), key=lambda mount: len(mount.point.parts))
    if len(nearest.point.parts) == 1:
        return MountFacts(SocketMount.NONE)
    kind = SocketMount.FILE if nearest.point == path else SocketMount.DIRECTORY
    return MountFacts(kind, str(nearest.point), replaced=nearest.source.endswith(_REMOVED))


def read_only_root(found: Sequence[Mount]) -> bool | None:
    """Whether the root file system is mounted read-only; None where that is not known."""
    roots = [mount.read_only for mount in found if len(mount.point.parts) == 1]
    return roots[-1] if roots else None


def _parse(text: str) -> Iterator[Mount]:
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= _FIELDS:
            source, point, options = (_unescaped(field) for field in fields[3:_FIELDS])
            yield Mount(source, PurePath(point), "ro" in options.split(","))


def _unescaped(field: str) -> str:
    """Blanks and backslashes are written as three octal digits."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), field)
