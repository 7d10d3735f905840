"""Processes on the GPUs of a tree: the folders of KFD, and a `/proc` with their open files."""

import shutil
from pathlib import Path

from collectors.sysfs import Root
from tests.doubles.amd_tree import AmdTree, Gpu


class AmdProcesses:
    """Starts and ends processes; an ended process is removed from both places.

    Args:
        tree: The tree with the GPUs. A repartitioned tree has other ids: call `compute` again.
        path: Replaces the host's `/proc`.
    """

    def __init__(self, tree: AmdTree, path: Path) -> None:
        self.path = path
        self.root = Root(path)
        self.kfd = tree.kfd / "proc"
        self._tree = tree
        self.kfd.mkdir()
        (path / "2" / "fd").mkdir(parents=True)
        (path / "2" / "comm").write_text("kthreadd\n")

    def compute(
        self, pid: int, gpu: Gpu, partition: int = 0, memory: int | str = 0, queues: int = 0, context: str = ""
    ) -> None:
        """Let a process open KFD, so that it may use a GPU or partition.

        Args:
            pid: The process.
            gpu: Which GPU.
            partition: The number of the partition.
            memory: Bytes it has allocated there, or other text for the file.
            queues: Number of its queues there.
            context: The folder of another context, `context_0` for the first.
        """
        gpu_id = (self._tree.node(gpu, partition) / "gpu_id").read_text().strip()
        folder = self.kfd / str(pid) / context
        (folder / f"stats_{gpu_id}").mkdir(parents=True)
        (folder / f"stats_{gpu_id}" / "cu_occupancy").write_text("7\n")
        (folder / "pasid").write_text("0\n")  # as in new kernels
        (folder / f"vram_{gpu_id}").write_text(f"{memory}\n")
        (folder / f"sdma_{gpu_id}").write_text("1200\n")
        (folder / "queues").mkdir(exist_ok=True)
        for number in range(queues):
            queue = folder / "queues" / f"{gpu_id}{number}"
            queue.mkdir()
            (queue / "gpuid").write_text(f"{gpu_id}\n")

    def run(self, pid: int) -> None:
        """Start a process with an open socket and an open file."""
        for folder in ("fd", "fdinfo"):
            (self.path / str(pid) / folder).mkdir(parents=True, exist_ok=True)
        for fd, target in enumerate(("socket:[123]", "/dev/kfd")):
            self.link(pid, fd, target)
            (self.path / str(pid) / "fdinfo" / str(fd)).write_text("pos:\t0\nflags:\t02\n")

    def link(self, pid: int, fd: int, target: str) -> None:
        """Set the target of a descriptor."""
        path = self.path / str(pid) / "fd" / str(fd)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def open(self, pid: int, fd: int, gpu: Gpu, client: int, *lines: str) -> None:
        """Let a descriptor of a process lead to a client.

        Args:
            pid: The process.
            fd: The descriptor.
            gpu: The opened GPU.
            client: The client's number.
            lines: Further lines of its information.
        """
        content = ("pos:\t0", "drm-driver:\tamdgpu", f"drm-client-id:\t{client}", f"drm-pdev:\t{gpu.address}", *lines)
        self.write(pid, fd, "".join(f"{line}\n" for line in content).encode(), f"renderD{gpu.render}")

    def write(self, pid: int, fd: int, content: bytes, node: str = "renderD128") -> None:
        """Let a descriptor of a process lead to a DRM device, with any content of its information."""
        if not (self.path / str(pid)).exists():
            self.run(pid)
        self.link(pid, fd, f"/dev/dri/{node}")
        (self.path / str(pid) / "fdinfo" / str(fd)).write_bytes(content)

    def end(self, pid: int) -> None:
        """End a process."""
        for folder in (self.path / str(pid), self.kfd / str(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def vram(kib: int) -> str:
    """The line about device memory."""
    return f"drm-memory-vram:\t{kib} KiB"


def engine(name: str, ns: int) -> str:
    """The line about an engine's time."""
    return f"drm-engine-{name}:\t{ns} ns"
