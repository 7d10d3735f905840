"""A GPU node for the real exporter process: a PCI bus, an NVML, a kubelet; all can change while it runs."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.doubles.exporter_process import ExporterProcess, exporter
from tests.doubles.kubelet import Kubelet, container, device, pod
from tests.doubles.nvml import Device, MigDevice, NvmlState, h100, h100_mig
from tests.doubles.sysfs_tree import SysfsTree

_HANG_MILLISECONDS = 600_000
QUICK = (
    "--poll.fast-interval=200ms",
    "--poll.medium-interval=200ms",
    "--poll.slow-interval=1s",
    "--kubelet.interval=500ms",
)


class Node:
    """The node.

    Args:
        path: The directory of its files.
        sockets: A folder with a short name, for the kubelet's socket.
        library: The directory of the NVML double.
        nvml: Its state.
    """

    def __init__(self, path: Path, sockets: Path, library: Path, nvml: NvmlState) -> None:
        self.path = path
        self.nvml = nvml
        self.kubelet = Kubelet(sockets / "kubelet.sock")
        self.sysfs = SysfsTree(path / "sys")
        self.gpus: list[Device] = []
        self._library = library
        self._has_library = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that make the exporter read this node."""
        return (f"--path.sysfs={self.sysfs.path}", f"--kubelet.socket={self.kubelet.socket_path}")

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the exporter loads the double, or no library where the node has none."""
        if self._has_library:
            return self.nvml.environment(self._library)
        return {"LD_LIBRARY_PATH": os.devnull}

    @property
    def uuids(self) -> tuple[str, ...]:
        """The uuids of the GPUs, in the order of their PCI addresses."""
        return tuple(gpu.uuid for gpu in self.gpus)

    def add_h100s(self, count: int) -> None:
        """Add cards, with driver and library."""
        self._has_library = True
        for index in range(len(self.gpus), len(self.gpus) + count):
            self.gpus.append(self.nvml.add(h100(index)))
            self.sysfs.add_pci(self.gpus[-1].pci_address)

    def train_on_h100s(self, count: int) -> None:
        """Add cards, each allocated to a pod of its own: `research/train-0` and so on."""
        self.add_h100s(count)
        self.kubelet.pods = [
            pod("research", f"train-{index}", container("main", device("nvidia.com/gpu", uuid)))
            for index, uuid in enumerate(self.uuids)
        ]

    def add(self, card: Device) -> None:
        """Add one card, with driver and library."""
        self._has_library = True
        self.gpus.append(self.nvml.add(card))
        self.sysfs.add_pci(self.gpus[-1].pci_address)

    def remove_library(self) -> None:
        """Remove the library and keep the cards."""
        self._has_library = False

    def partition(self, index: int, *profiles: str) -> None:
        """Enable MIG mode and create these instances, with a gap in the indices where there is room for one."""
        gaps = [None] if len(profiles) < self.gpus[index].most_mig_devices else []
        self.gpus[index].partition([*gaps, *(h100_mig(index, slot, p) for slot, p in enumerate(profiles))])

    def mig(self, index: int) -> list[MigDevice]:
        """The MIG devices of a GPU."""
        return [mig for mig in self.gpus[index].mig if mig.present]

    def mig_uuids(self, index: int) -> list[str]:
        """The uuids of the MIG devices of a GPU."""
        return [mig.uuid for mig in self.mig(index)]

    def set_utilization(self, index: int, percent: int) -> None:
        """Set the utilization of a GPU from now on."""
        self.gpus[index].utilization_gpu_percent = percent

    def lose(self, index: int) -> None:
        """A GPU falls off the bus: every call about it returns that error."""
        self.nvml.lose(index)

    def fail_driver(self, code: int) -> None:
        """The initialisation of the library fails."""
        self.nvml.fail("nvmlInitWithFlags", code)

    def hang(self, call: str, index: int | None = None) -> None:
        """Calls of a function, for one GPU or of the system, do not return until `release`."""
        self.nvml.delay(call, _HANG_MILLISECONDS, device=index)

    def release(self) -> None:
        """Hung calls return."""
        self.nvml.release()


@contextmanager
def gpu_node(path: Path, library: Path) -> Iterator[Node]:
    """A node without cards and with its kubelet not yet started."""
    with tempfile.TemporaryDirectory(prefix="kubelet-") as sockets, NvmlState(path / "nvml.state") as nvml:
        node = Node(path, Path(sockets), library, nvml)
        try:
            yield node
        finally:
            node.kubelet.stop()


def running_exporter(node: Node, *arguments: str) -> AbstractContextManager[ExporterProcess]:
    """The exporter on this node, polling quickly."""
    return exporter(node.path, *node.flags, *QUICK, *arguments, environment=node.environment)
