"""An AMD node for the real exporter process: kernel files, processes and a kubelet, which can change while it runs."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.doubles.amd_processes import AmdProcesses
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.exporter_process import ExporterProcess, exporter
from tests.doubles.kubelet import Kubelet
from tests.doubles.node import QUICK

NOTHING: Mapping[str, str] = MappingProxyType({})


class AmdHost:
    """The node.

    Args:
        path: The folder of its files.
        sockets: A folder with a short name, for the kubelet's socket.
    """

    def __init__(self, path: Path, sockets: Path) -> None:
        self.path = path
        self.tree = AmdTree(path / "sys")
        self.processes = AmdProcesses(self.tree, path / "proc")
        self.kubelet = Kubelet(sockets / "kubelet.sock")

    @property
    def flags(self) -> tuple[str, ...]:
        """The exporter's flags for this node."""
        return (
            f"--path.sysfs={self.tree.path}",
            f"--path.procfs={self.processes.root.path}",
            f"--kubelet.socket={self.kubelet.socket_path}",
        )

    def running(
        self, *arguments: str, environment: Mapping[str, str] = NOTHING
    ) -> AbstractContextManager[ExporterProcess]:
        """The exporter on this node, with short intervals."""
        variables = {"LD_LIBRARY_PATH": os.devnull, **environment}
        return exporter(self.path, *self.flags, *QUICK, *arguments, environment=variables)


@contextmanager
def amd_host(path: Path) -> Iterator[AmdHost]:
    """A node without cards, whose kubelet is not started yet."""
    with tempfile.TemporaryDirectory(prefix="kubelet-") as sockets:
        host = AmdHost(path, Path(sockets))
        try:
            yield host
        finally:
            host.kubelet.stop()


def partition_ids(gpu: Gpu) -> list[str]:
    """The ids of a card's partitions in AMD's device plugin."""
    return [gpu.address, *(f"amdgpu_xcp_{number}" for number, _, _ in gpu.xcp[: gpu.partitions - 1])]
