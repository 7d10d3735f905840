"""Pods come and go all the time, and each has a new name: the exporter's memory does not grow with their number.

Each name is in the labels of eleven series of each card.
"""

from pathlib import Path

import psutil

from tests.doubles.exporter_process import ExporterProcess, exporter, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, gpu_node

OFTEN = ("--kubelet.interval=500ms", "--poll.fast-interval=200ms")
CARDS = 16
FIRST, MORE = 6, 16
MOST_GROWTH_BYTES = 1_500_000


def replace_pods(node: Node, running: ExporterProcess, number: int) -> None:
    """Let pods with new names hold the cards, and scrape until they are exported and those before are not."""
    names = [f"job-{number}-{card}-of-a-batch-that-has-a-rather-long-name" for card in range(CARDS)]
    node.kubelet.pods = [
        pod("churn", name, container("main", device("nvidia.com/gpu", uuid)))
        for name, uuid in zip(names, node.uuids, strict=True)
    ]

    def exports_only_these() -> bool:
        found = {series.labels["pod"] for series in running.scrape().find("accelerator_allocation_info")}
        return found == set(names)

    wait_until(exports_only_these)


def test_memory_does_not_grow_with_the_number_of_pods_that_have_been(tmp_path: Path, nvml_library: Path) -> None:
    with gpu_node(tmp_path, nvml_library) as node:
        node.add_h100s(CARDS)
        node.kubelet.start()
        with exporter(tmp_path, *node.flags, *OFTEN, environment=node.environment) as running:
            for number in range(FIRST):
                replace_pods(node, running, number)
            before = psutil.Process(running.process.pid).memory_info().rss
            for number in range(FIRST, FIRST + MORE):
                replace_pods(node, running, number)
            grown = psutil.Process(running.process.pid).memory_info().rss - before

    assert grown < MOST_GROWTH_BYTES
