"""An MI300X node and an H100 node in one Prometheus: the same queries and the same panels work for both."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doubles.amd_cards import GIB, MI300X
from tests.doubles.amd_host import amd_host
from tests.doubles.dashboards import NODE_AND_DEVICE, WINDOWS, WORKLOADS, queries
from tests.doubles.energy import rising_energy
from tests.doubles.exporter_process import wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import gpu_node, running_exporter
from tests.doubles.nvml import process
from tests.doubles.prometheus import Answer, Prometheus
from tests.doubles.proto.podresources_pb2 import PodResources
from tests.doubles.scraping import often, scraping
from tools.dashboard_queries import filled_in

AMD, NVIDIA = "mi300x", "h100"
# Panels and columns of faults or of unused devices: there are none here.
NO_TROUBLE = {
    f"{NODE_AND_DEVICE}: {title}"
    for title in (
        "Critical events-A",
        "Devices and their pods-B",
        "Last critical events-A",
        "Last critical events-B",
        "Link errors-A",
        "Link errors-B",
        "Memory errors-A",
        "Throttled-A",
    )
} | {f"{WORKLOADS}: Allocated but idle-{letter}" for letter in "AB"}
# What the cards do not report: they have no fans, and report the used bandwidth of the memory.
NOT_REPORTED = {
    # No margins, no pipes, no counters of PCIe bytes and of errors of links; pages are retired, no rows are replaced.
    AMD: (
        "Device temperature-B",
        "Devices and their pods-G",
        "Fans-A",
        "Links-G",
        "Memory bandwidth-B",
        "Memory bandwidth-C",
        "Memory repairs-C",
        "Memory repairs-D",
        "PCIe traffic-A",
        "Pipe activity-A",
        "Temperature margin-A",
    ),
    # Memory of the host is not used by the card itself; rows are replaced, no pages are retired.
    NVIDIA: ("Fans-A", "Host memory in use-A", "Memory bandwidth-B", "Memory bandwidth-C", "Memory repairs-E"),
}
QUERIES = {
    "utilization of devices": "avg by (vendor) (accelerator_device_utilization_ratio)",
    "memory by pod": "sum by (namespace, pod) (accelerator_container_memory_usage_bytes)",
    "watts": "sum by (vendor) (accelerator_device_power_watts)",
    "watts from the energy counter": "sum by (vendor) (rate(accelerator_device_energy_joules_total[30s]))",
    "hottest": "max by (vendor, sensor) (accelerator_device_temperature_celsius)",
    "devices not ok": "count by (vendor) (accelerator_device_status{state='ok'} == 1)",
    "who scales on this": "avg by (pod) (accelerator_container_utilization_ratio)",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[Prometheus]:
    with ExitStack() as running:
        amd = running.enter_context(amd_host(tmp_path_factory.mktemp(AMD)))
        for bus in ("05", "26"):
            gpu = amd.tree.add(MI300X, f"0000:{bus}:00.0")
            amd.processes.compute(int(bus), gpu, 0, memory=GIB, queues=1)
        amd.tree.gpus[1].set_partition_mode("CPX", "NPS4")
        amd.kubelet.pods = [_pod("amd.com/gpu", amd.tree.gpus[0].address, "llama")]
        nvidia = running.enter_context(gpu_node(tmp_path_factory.mktemp(NVIDIA), nvml_library))
        nvidia.add_h100s(2)
        nvidia.partition(1, "3g.40gb", "3g.40gb")
        nvidia.set_utilization(0, 60)
        nvidia.gpus[0].processes = [process(41, GIB)]
        nvidia.kubelet.pods = [_pod("nvidia.com/gpu", nvidia.uuids[0], "mistral")]
        for node in (amd, nvidia):
            running.enter_context(node.kubelet)
        running.enter_context(rising_energy(nvidia, amd))
        exporters = {
            AMD: running.enter_context(amd.running()),
            NVIDIA: running.enter_context(running_exporter(nvidia)),
        }
        found = [{"targets": [each.address], "labels": {"instance": name}} for name, each in exporters.items()]
        job = often(found)
        started = running.enter_context(scraping(tmp_path_factory.mktemp("prometheus"), job))
        wait_until(lambda: started.value("count(count_over_time(up[1m]) >= 8)") == len(exporters))
        yield started


def _pod(resource: str, held: str, name: str) -> PodResources:
    return pod("serving", name, container("server", device(resource, held)))


@pytest.mark.parametrize("node", [AMD, NVIDIA])
def test_every_panel_shows_both_vendors(server: Prometheus, node: str) -> None:
    wanted = {
        name: filled_in(target.expr, WINDOWS, {"node": node})
        for name, target in queries(NODE_AND_DEVICE, WORKLOADS).items()
    }
    rightly_empty = NO_TROUBLE | {f"{NODE_AND_DEVICE}: {title}" for title in NOT_REPORTED[node]}
    assert rightly_empty < set(wanted)

    server.wait_for_all({name: query for name, query in wanted.items() if name not in rightly_empty})

    assert [name for name in sorted(rightly_empty) if server.query(wanted[name])] == []


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_one_query_returns_both_vendors(server: Prometheus, query: str) -> None:
    def of_both() -> list[Answer] | None:
        answers = server.query(query)
        subjects = {answer.labels.get("vendor") or answer.labels["pod"] for answer in answers}
        return answers if subjects in ({"amd", "nvidia"}, {"llama", "mistral"}) else None

    wait_until(of_both)
