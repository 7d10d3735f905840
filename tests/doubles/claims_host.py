"""A node for the real exporter process on which DRA drivers prepare claims: GPUs, CDI specs, a kubelet.

Its MIG devices are created when a claim is prepared, as NVIDIA's DynamicMIG does.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_host import NOTHING
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.cdi_folder import CdiFolder
from tests.doubles.exporter_process import ExporterProcess, Scrape, exporter, wait_until
from tests.doubles.kubelet import Kubelet
from tests.doubles.kubelet_claims import NVIDIA, Claim, Result
from tests.doubles.node import QUICK, Node, gpu_node
from tests.doubles.nvml import MigDevice, h100_mig

COMMON_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm")

_SLOTS = 7
_GPU_INSTANCES, _COMPUTE_INSTANCES = 15, 8
_FIRST_CAPABILITY = 3

# Namespace, pod, container, uuid of the partition or device.
Edge = tuple[str, str, str, str]


class ClaimsHost:
    """The node.

    Args:
        node: Its NVIDIA GPUs and its kubelet.

    Attributes:
        cdi: The directory of CDI specs; it exists only after the first is written.
    """

    def __init__(self, node: Node) -> None:
        self.cdi = CdiFolder(node.path / "cdi")
        self._node = node
        self._amd = AmdTree(node.sysfs.path)
        self._procfs = node.path / "proc"
        self._procfs.mkdir()
        self._slots: defaultdict[int, dict[int, MigDevice]] = defaultdict(dict)
        self._created = 0

    @property
    def kubelet(self) -> Kubelet:
        """The kubelet."""
        return self._node.kubelet

    @property
    def uuids(self) -> tuple[str, ...]:
        """The uuids of the NVIDIA GPUs, by device minor."""
        return self._node.uuids

    def add_h100s(self, count: int) -> None:
        """Add NVIDIA GPUs, and what the driver says of the device files of MIG devices."""
        self._node.add_h100s(count)
        lines: list[str] = []
        for gpu in range(count):
            for instance in range(_GPU_INSTANCES):
                for part in ("", *(f"/ci{number}" for number in range(_COMPUTE_INSTANCES))):
                    lines.append(f"gpu{gpu}/gi{instance}{part}/access {_FIRST_CAPABILITY + len(lines)}\n")
        folder = self._procfs / "driver" / "nvidia-caps"
        folder.mkdir(parents=True)
        (folder / "mig-minors").write_text("".join(lines))

    def add_mi300x(self) -> Gpu:
        """Add an AMD GPU."""
        return self._amd.add(MI300X, "0000:b1:00.0")

    def enable_mig(self, index: int) -> None:
        """Enable MIG mode on a GPU, without MIG devices."""
        self._node.gpus[index].partition([])

    def mig_claim(self, name: str, index: int, slot: int, *, described: bool = True) -> tuple[Claim, str]:
        """Prepare a claim for a MIG device, which is created for it; returns the claim and the uuid of the MIG device.

        Args:
            name: The claim's name.
            index: Index of the GPU, also its device minor.
            slot: The place of the MIG device on the GPU. It determines every name except the uuid.
            described: Whether the CDI spec is written now.
        """
        self._created += 1
        mig = h100_mig(index, slot)
        mig.uuid = f"MIG-{self._created:08d}-0000-4000-8000-000000000000"
        mig.set_gpm({1: 50.0})
        self._slots[index][slot] = mig
        self._show(index)
        claim = Claim(name, [Result(NVIDIA, f"gpu-{index}-mig-1g10gb-19-{slot}")], born=self._created)
        if described:
            self.describe(claim, index, slot)
        return claim, mig.uuid

    def describe(self, claim: Claim, index: int, slot: int) -> None:
        """Write the CDI spec of a claim for a MIG device."""
        instance = h100_mig(index, slot).gpu_instance
        file = _FIRST_CAPABILITY + (index * _GPU_INSTANCES + instance) * (1 + _COMPUTE_INSTANCES)
        nodes = (f"/dev/nvidia{index}", *(f"/dev/nvidia-caps/nvidia-cap{number}" for number in (file, file + 1)))
        self.cdi.prepare(claim, {claim.results[0].device: nodes}, COMMON_NODES)

    def end_mig_claim(self, claim: Claim, index: int, slot: int) -> None:
        """Unprepare a claim: its MIG device is destroyed."""
        del self._slots[index][slot]
        self._show(index)
        self.cdi.unprepare(claim)

    def running(
        self, *arguments: str, environment: Mapping[str, str] = NOTHING
    ) -> AbstractContextManager[ExporterProcess]:
        """The exporter on this node, with short intervals."""
        flags = (*self._node.flags, *QUICK, f"--path.procfs={self._procfs}", f"--attribution.cdi-dirs={self.cdi.path}")
        return exporter(self._node.path, *flags, *arguments, environment={**self._node.environment, **environment})

    def _show(self, index: int) -> None:
        slots = self._slots[index]
        self._node.gpus[index].partition([slots.get(number) for number in range(_SLOTS)])


@contextmanager
def claims_host(path: Path, library: Path) -> Iterator[ClaimsHost]:
    """A node without cards, whose kubelet is not started yet.

    Args:
        path: The folder of its files.
        library: The folder of the NVML double.
    """
    with gpu_node(path, library) as node:
        yield ClaimsHost(node)


def edges(scrape: Scrape) -> set[Edge]:
    """Every allocation through a claim."""
    return {
        (
            each.labels["namespace"],
            each.labels["pod"],
            each.labels["container"],
            each.labels.get("partition_uuid") or each.labels["uuid"],
        )
        for each in scrape.find("accelerator_allocation_info", source="dra")
    }


def wait_for_edges(running: ExporterProcess, expected: set[Edge]) -> Scrape:
    """Wait until exactly these allocations through claims are exported."""
    return wait_until(lambda: s if edges(s := running.scrape()) == expected else None)
