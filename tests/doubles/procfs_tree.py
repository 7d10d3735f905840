"""A `/proc` of plain files: what the kernel reports to a process in a container about itself."""

from collections.abc import Sequence
from pathlib import Path

ROOT_MOUNT = "100 90 0:50 / / ro,relatime - overlay overlay rw"
WRITABLE_ROOT_MOUNT = ROOT_MOUNT.replace(" ro,", " rw,")


def mount_line(source: str, point: str, options: str = "ro,relatime") -> str:
    """A line of mountinfo.

    Args:
        source: Path in the source file system, blanks escaped, with `//deleted` once it is removed there.
        point: The mount point.
        options: The options of this mount.
    """
    return f"101 100 8:1 {source} {point} {options} master:1 - ext4 /dev/sda1 rw"


class ProcfsTree:
    """Builds the tree under a directory: uid 0 of the host, no capability, a read-only root, other processes hidden.

    Args:
        path: Replaces `/proc`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "self").mkdir(parents=True)
        self.set_status()
        self.set_mounts()
        self.set_uid_map("         0          0 4294967295\n")

    def set_status(self, uid: int = 0, capabilities: int = 0) -> None:
        """The effective user and the mask of effective capabilities."""
        text = f"Name:\tpython\nUid:\t1\t{uid}\t2\t3\nGid:\t0\t0\t0\t0\nCapEff:\t{capabilities:016x}\nSeccomp:\t2\n"
        (self.path / "self" / "status").write_text(text)

    def set_mounts(self, *lines: str, root: Sequence[str] = (ROOT_MOUNT,)) -> None:
        """Set the mounts: the root, then these."""
        (self.path / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in (*root, *lines)))

    def set_uid_map(self, text: str) -> None:
        """Set the mapping of user ids to those of the parent namespace."""
        (self.path / "self" / "uid_map").write_text(text)

    def show_host_processes(self) -> None:
        """Show the processes of the host, as with `hostPID: true`."""
        (self.path / "2").mkdir()
        (self.path / "2" / "comm").write_text("kthreadd\n")
