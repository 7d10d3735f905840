"""The measured nodes: scenarios of the simulated backend, and cards of the NVML double with a kubelet."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, gpu_node

SLICES = 7
_PROFILE = "1g.10gb"

_WORKERS = """\
pods:
  - namespace: bench
    name: worker
    spread: true
    containers:
      - name: worker
        {held}: all
        load: {{ shape: sine, low: 0, high: 1, period: 300, stagger: 7 }}
"""


def whole(count: int) -> str:
    """A scenario: H100s, each allocated to its own pod."""
    devices = f"description: bench\ndevices:\n  - profile: h100\n    count: {count}\n"
    return devices + _WORKERS.format(held="devices")


def sliced(count: int) -> str:
    """A scenario: H100s with seven slices each, each slice allocated to its own pod."""
    parts = f"{{ profile: {_PROFILE}, count: {SLICES}, memory: 9856MiB, compute: 1/{SLICES} }}"
    return _partitioned("h100", count, parts)


def cpx(count: int) -> str:
    """A scenario: MI300X with eight partitions each, each partition allocated to its own pod."""
    return _partitioned("mi300x", count, "{ profile: cpx_nps1, count: 8, memory: 24GiB, compute: 1/8 }")


def _partitioned(profile: str, count: int, parts: str) -> str:
    devices = f"description: bench\ndevices:\n  - profile: {profile}\n    count: {count}\n"
    return f"{devices}    partitions:\n      - {parts}\n" + _WORKERS.format(held="partitions")


SIMULATED = {
    "1 x H100, 1 pod": whole(1),
    "8 x H100, 8 pods": whole(8),
    "16 x H100, 16 pods": whole(16),
    "8 x 7 MIG, 56 pods": sliced(8),
    "16 x 7 MIG, 112 pods": sliced(16),
}


@contextmanager
def doubled(library: Path, count: int, *, partitioned: bool, pods: int = 0) -> Iterator[Node]:
    """H100s of the NVML double, and a kubelet with a pod for each of them or for each of their slices.

    Args:
        library: The folder of the double.
        count: Number of cards.
        partitioned: True to partition each card into seven slices.
        pods: Least number of pods; those without a device are added.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, gpu_node(Path(folder), library) as node:
        node.add_h100s(count)
        for index in range(count):
            if partitioned:
                node.partition(index, *([_PROFILE] * SLICES))
            else:
                node.set_utilization(index, 10 * index)
        resource = f"nvidia.com/mig-{_PROFILE}" if partitioned else "nvidia.com/gpu"
        held = [uuid for index in range(count) for uuid in node.mig_uuids(index)] if partitioned else node.uuids
        node.kubelet.pods = [
            pod("bench", f"worker-{number}", container("worker", device(resource, uuid)))
            for number, uuid in enumerate(held)
        ]
        node.kubelet.pods += [pod("bench", f"other-{number}", container("worker")) for number in range(len(held), pods)]
        node.kubelet.start()
        yield node
