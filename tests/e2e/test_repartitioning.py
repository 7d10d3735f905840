"""A GPU is repartitioned again and again while pods run on another one, which must not be affected."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest

from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_host import AmdHost, amd_host, partition_ids
from tests.doubles.exporter_process import ExporterProcess, Scrape, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, running_exporter

_TIMES = 100
_NOT_FOUND = 6  # NVML_ERROR_NOT_FOUND
_MIG_DEVICE = "nvmlDeviceGetMigDeviceHandleByIndex"
_BUSY = "accelerator_container_busy_seconds_total"
_BILL = "accelerator_allocation_device_seconds_total"

Key = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AmdHost]:
    with amd_host(tmp_path) as made:
        yield made


def series_of(scrape: Scrape, uuids: Collection[str]) -> dict[Key, float]:
    """Every series with the uuid of these GPUs: their own, those of their partitions and those of the pods on them."""
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in scrape if s.labels.get("uuid") in uuids}


def counts(scrape: Scrape, pods: Sequence[str], name: str) -> dict[str, float] | None:
    """The counter of each pod; None unless all pods have it and it has risen."""
    found = {series.labels["pod"]: series.value for series in scrape.find(name)}
    return found if found.keys() == set(pods) and min(found.values(), default=0) > 0 else None


def assert_unaffected(running: ExporterProcess, uuids: Collection[str], change: Callable[[int], None]) -> None:
    """Change another GPU many times: no series of these GPUs is missing in any scrape, and no counter falls."""
    before = series_of(running.scrape(), uuids)
    for number in range(_TIMES):
        change(number)
        now = series_of(running.scrape(), uuids)
        assert before.keys() - now.keys() == set(), number
        fallen = {key for key, value in before.items() if key[0].endswith("_total") and now[key] < value}
        assert fallen == set(), number
        before = now


def test_repartitioning_an_nvidia_gpu_does_not_affect_another(node: Node) -> None:
    node.add_h100s(3)
    for gpu in node.gpus:
        gpu.power_milliwatts = 0  # as the energy of the double stands still
    node.partition(0, "3g.40gb", "1g.10gb")
    for mig in node.mig(0):
        mig.set_gpm({1: 50.0})
    pods = [
        *(
            pod("a", f"slice-{n}", container("main", device("nvidia.com/mig", u)))
            for n, u in enumerate(node.mig_uuids(0))
        ),
        pod("a", "whole", container("main", device("nvidia.com/gpu", node.uuids[1]))),
    ]
    node.set_utilization(1, 50)
    node.kubelet.pods = pods

    def change(number: int) -> None:
        if number % 2:
            node.gpus[2].unpartition()
        else:
            node.partition(2, "1g.10gb", "2g.20gb")

    with node.kubelet, running_exporter(node) as running:
        wait_until(lambda: counts(running.scrape(), ["slice-0", "slice-1", "whole"], _BUSY))
        assert_unaffected(running, node.uuids[:2], change)


def test_counters_continue_after_an_nvidia_gpu_has_shown_no_partitions(node: Node) -> None:
    node.add_h100s(1)
    node.partition(0, "3g.40gb", "1g.10gb")
    for mig in node.mig(0):
        mig.set_gpm({1: 50.0})
    names = ["slice-0", "slice-1"]
    node.kubelet.pods = [
        pod("a", name, container("main", device("nvidia.com/mig", uuid)))
        for name, uuid in zip(names, node.mig_uuids(0), strict=True)
    ]
    with node.kubelet, running_exporter(node) as running:
        wait_until(lambda: counts(running.scrape(), names, _BUSY))
        scrape = running.scrape()
        before = {name: counts(scrape, names, name) for name in (_BUSY, _BILL)}
        node.nvml.fail(_MIG_DEVICE, _NOT_FOUND, device=0)
        scrape = wait_until(lambda: s if not (s := running.scrape()).find("accelerator_partition_info") else None)
        assert scrape.value("accelerator_device_allocated") == 1
        assert scrape.find(_BILL) == []
        node.nvml.fail(_MIG_DEVICE, 0, device=0)
        for name in (_BUSY, _BILL):
            after = wait_until(lambda: counts(running.scrape(), names, name))  # noqa: B023 - waited for within the loop
            assert all(after[each] > value for each, value in (before[name] or {}).items())


def test_repartitioning_an_amd_gpu_does_not_affect_another(host: AmdHost) -> None:
    other, cut, whole = (host.tree.add(MI300X, f"0000:{bus}:00.0") for bus in ("05", "26", "46"))
    for gpu in host.tree.gpus:
        gpu.write("hwmon/power1_input", "0")  # as the energy of the double stands still
    cut.set_partition_mode("CPX", "NPS4")
    names = [f"slice-{number}" for number in range(8)]
    host.kubelet.pods = [
        *(
            pod("a", n, container("main", device("amd.com/cpx_nps4", i)))
            for n, i in zip(names, partition_ids(cut), strict=True)
        ),
        pod("a", "whole", container("main", device("amd.com/gpu", whole.address))),
    ]

    def change(number: int) -> None:
        other.set_partition_mode(("CPX", "DPX", "SPX", "QPX")[number % 4])

    with host.kubelet, host.running() as running:
        wait_until(lambda: counts(running.scrape(), [*names, "whole"], _BUSY))
        assert_unaffected(running, (cut.uuid, whole.uuid), change)
