"""The node of the soak: three H100 and three MI300X, with pods, processes and a configuration file, and its rest state.

The first two cards of each vendor have the same pods for ever. The last one of each vendor has other pods and other
partitions from moment to moment. All names come from fixed sets, so the number of possible series is bounded.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.doubles.amd_cards import GIB, MI300X
from tests.doubles.amd_host import AmdHost, partition_ids
from tests.doubles.amd_tree import Gpu
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, gpu_node
from tests.doubles.nvml import Device, process
from tests.doubles.proto.podresources_pb2 import PodResources

LASTING = "lasting"
CARDS = 3
WHOLE, SLICED, CHANGING = range(CARDS)
CONFIGURATION = """\
poll: {fast_interval: 200ms, medium_interval: 200ms, slow_interval: 1s, deadline: 1s}
kubelet: {interval: 500ms, timeout: 1s}
metrics: {sets: [core, health, activity, links, billing]}
collect: {processes: true}
"""
# Nothing is read for a while, so that memory can be counted. The last readings are not yet too old.
STILL = CONFIGURATION.replace("200ms", "1m").replace("1s, deadline", "1m, deadline").replace("500ms", "50s")

_NAMES = 40
_PIDS = 42  # a multiple of the number of cards, so that a pid is always on the same one
_FIRST_PID = 1000
_RESTING_PID = 100
_BUSES = ("05", "26", "46")
_MIB = 1 << 20


@dataclass(slots=True)
class SoakNode:
    """The node.

    Attributes:
        nvidia: The NVIDIA cards and the kubelet.
        amd: The AMD cards and the processes on them.
        configuration: The configuration file.
    """

    nvidia: Node
    amd: AmdHost
    configuration: Path
    _processes: set[int] = field(default_factory=set)

    @property
    def flags(self) -> tuple[str, ...]:
        """The exporter's flags for this node."""
        procfs = f"--path.procfs={self.amd.processes.root.path}"
        return (*self.nvidia.flags, procfs, f"--config.file={self.configuration}")

    def gpu(self, index: int) -> Device:
        """An NVIDIA card."""
        return self.nvidia.gpus[index]

    def card(self, index: int) -> Gpu:
        """An AMD card."""
        return self.amd.tree.gpus[index]

    def rest(self) -> None:
        """End every fault, and return to the pods, partitions and processes of the beginning."""
        self.repair()
        self.nvidia.kubelet.delay_seconds, self.nvidia.kubelet.status = 0.0, None
        self.nvidia.kubelet.kill()
        self.nvidia.kubelet.start()
        self.list_pods("rest", "rest")
        self.run_processes(_RESTING_PID)

    def repair(self) -> None:
        """End every fault of the cards."""
        self.nvidia.nvml.heal()
        for gpu in self.nvidia.gpus:
            gpu.present = 1
        self.gpu(CHANGING).unpartition()
        for card in self.amd.tree.gpus:
            if not card.present:
                card.bind()
            for name, text in MI300X.hwmon.items():
                card.write(f"hwmon/{name}", text)
            for name, text in MI300X.files.items():
                card.write(name, text)
        if self.card(CHANGING).mode != "SPX":
            self.repartition("SPX")

    def repartition(self, mode: str) -> None:
        """Repartition the AMD card that changes. Its KFD nodes get other numbers, so all processes end."""
        self.end_processes()
        self.card(CHANGING).set_partition_mode(mode)

    def list_pods(self, *changing: str) -> None:
        """Let the kubelet list the lasting pods, and pods of these names on the changing cards, one for each."""
        uuids = [*self.nvidia.mig_uuids(SLICED), self.nvidia.uuids[WHOLE], self.nvidia.uuids[CHANGING]]
        ids = [*partition_ids(self.card(SLICED)), self.card(WHOLE).address, self.card(CHANGING).address]
        *nvidia, nvidia_last = [("nvidia.com/gpu", uuid) for uuid in uuids]
        *amd, amd_last = [("amd.com/gpu", each) for each in ids]
        held = [(f"{LASTING}-{number}", *each) for number, each in enumerate((*nvidia, *amd))]
        last = [(f"{name}-{each[0][:3]}", *each) for name, each in zip(changing, (nvidia_last, amd_last), strict=False)]
        self.nvidia.kubelet.pods = [_pod(*each) for each in (*held, *last)]

    def run_processes(self, first: int) -> None:
        """End all processes and start others, one on each card, with pids from this one on."""
        self.end_processes()
        for index, pid in enumerate(range(first, first + CARDS)):
            self.amd.processes.run(pid)
            (self.amd.processes.path / str(pid) / "comm").write_text("python3\n", encoding="utf-8")
            self._processes.add(pid)
            running = process(pid, (100 + index) * _MIB)
            running.utilization_percent = 30
            self.gpu(index).processes = [running]
            self.amd.processes.compute(pid, self.card(index), 0, memory=GIB, queues=1)

    def end_processes(self) -> None:
        """End all processes."""
        for gpu in self.nvidia.gpus:
            gpu.processes = ()
        for pid in self._processes:
            self.amd.processes.end(pid)
        self._processes.clear()


def name_of(number: int) -> str:
    """The name of a pod that comes and goes; a name returns after a while."""
    return f"job-{number % _NAMES}"


def pid_of(number: int) -> int:
    """The first pid of processes that come and go; a pid returns after a while."""
    return _FIRST_PID + number * CARDS % _PIDS


@contextmanager
def soak_node(folder: Path, library: Path) -> Iterator[SoakNode]:
    """The node at rest, with a running kubelet.

    Args:
        folder: For its files.
        library: The folder of the NVML double.
    """
    with gpu_node(folder, library) as nvidia, tempfile.TemporaryDirectory(prefix="unused-") as unused:
        amd = AmdHost(folder, Path(unused))  # its tree of the same folder comes first
        nvidia.add_h100s(CARDS)
        nvidia.partition(SLICED, "3g.40gb", "1g.10gb")
        for mig in nvidia.mig(SLICED):
            mig.set_gpm({1: 50.0})
        nvidia.set_utilization(WHOLE, 60)
        nvidia.set_utilization(CHANGING, 40)
        for bus in _BUSES:
            amd.tree.add(MI300X, f"0000:{bus}:00.0")
        amd.tree.gpus[SLICED].set_partition_mode("CPX", "NPS4")
        node = SoakNode(nvidia, amd, folder / "configuration.yaml")
        node.configuration.write_text(CONFIGURATION, encoding="utf-8")
        node.rest()
        yield node


def _pod(name: str, resource: str, held: str) -> PodResources:
    return pod("soak", name, container("main", device(resource, held)))
