"""All queries of the documentation, on nodes with exclusive, shared and partitioned devices of two vendors."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_host import AmdHost, amd_host, partition_ids
from tests.doubles.documented_queries import PAGES, ROOT, documented_queries
from tests.doubles.energy import energy_steps
from tests.doubles.exporter_process import wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, gpu_node, running_exporter
from tests.doubles.prometheus import Prometheus
from tests.doubles.scraping import often, scraping
from tools.queries import QUERIES

AMD, NVIDIA = "mi300x", "h100"
SHOWN = ("--metrics.sets=all", "--metrics.views=all", "--metrics.dcgm-vendors=all")
GPU, MIG = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb"
BY_NAME = {query.name: query.expr for query in QUERIES}
DOCUMENTED = [query for page in PAGES for query in documented_queries(page)]
RIGHTLY_EMPTY = {BY_NAME["Devices that two exporters export"], BY_NAME["Parts of the exporter that do not work"]}
XID = BY_NAME["Containers that were on a device when it had XID 79"]
SHARE_OF_CPX = 1 / 8
NOT_SUPPORTED = 3  # NVML_ERROR_NOT_SUPPORTED
# What each device executes, by its address. Of the cut device a seventh does, half of the time.
UTILIZATION = {
    "0000:1b:00.0": 0.5,
    "0000:27:00.0": 0.5,
    "0000:33:00.0": 0.5 / 7,
    "0000:3f:00.0": 0,
    "0000:4b:00.0": 0,
    "0000:05:00.0": 0.88,
    "0000:26:00.0": 0.88,
}
FAILING = 4  # the index of the device that has an XID 79 and is lost


def _nvidia(node: Node) -> None:
    """One exclusive device, one shared, one with three MIG devices, one free, and one shared that will be lost."""
    node.add_h100s(5)
    node.partition(2, "3g.40gb", "1g.10gb", "1g.10gb")
    for index, percent in enumerate((50, 50, 0, 0, 0)):
        node.set_utilization(index, percent)
    node.gpus[2].set_gpm({1: 0.0}, NOT_SUPPORTED)  # only its partitions have a utilization
    notebook, cut, free = node.mig(2)
    for part, busy in ((notebook, 0.0), (cut, 50.0), (free, 0.0)):
        part.set_gpm({1: busy})
    alone, shared, _, _, failing = node.uuids
    node.kubelet.pods = [
        pod("research", "train-0", container("main", device(GPU, alone))),
        pod("serving", "chat", container("server", device(f"{GPU}.shared", f"{shared}::0"))),
        pod("serving", "embed", container("server", device(f"{GPU}.shared", f"{shared}::1"))),
        pod("research", "notebook", container("lab", device("nvidia.com/mig-3g.40gb", notebook.uuid))),
        pod("small", "tiny-0", container("main", device(f"{MIG}.shared", f"{cut.uuid}::0"))),
        pod("small", "tiny-1", container("main", device(f"{MIG}.shared", f"{cut.uuid}::1"))),
        pod("unlucky", "stays", container("main", device(f"{GPU}.shared", f"{failing}::0"))),
        pod("unlucky", "ends", container("main", device(f"{GPU}.shared", f"{failing}::1"))),
    ]


def _amd(host: AmdHost) -> None:
    """One exclusive device, and one in CPX mode of whose eight partitions three are allocated."""
    whole, cut = (host.tree.add(MI300X, f"0000:{bus}:00.0") for bus in ("05", "26"))
    cut.set_partition_mode("CPX", "NPS4")
    parts = enumerate(partition_ids(cut)[:3])
    host.kubelet.pods = [
        pod("llm", "llama", container("server", device("amd.com/gpu", whole.address))),
        *(pod("eighths", f"e-{n}", container("main", device("amd.com/cpx_nps4", part))) for n, part in parts),
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[Prometheus]:
    """A Prometheus that has scraped both nodes for some seconds, in which one device had an XID and one pod ended."""
    with ExitStack() as running:
        node = running.enter_context(gpu_node(tmp_path_factory.mktemp(NVIDIA), nvml_library))
        host = running.enter_context(amd_host(tmp_path_factory.mktemp(AMD)))
        _nvidia(node)
        _amd(host)
        running.enter_context(node.kubelet)
        running.enter_context(host.kubelet)
        exporters = {
            NVIDIA: running.enter_context(running_exporter(node, *SHOWN)),
            AMD: running.enter_context(host.running(*SHOWN)),
        }
        found = [{"targets": [each.address], "labels": {"instance": name}} for name, each in exporters.items()]
        started = running.enter_context(scraping(tmp_path_factory.mktemp("prometheus"), often(found)))
        draw = energy_steps(node, host)

        def scraped(times: int) -> bool:
            draw()
            return started.value(f"count(count_over_time(up[1m]) >= {times})") == len(exporters)

        wait_until(lambda: scraped(4))
        node.nvml.happen(FAILING, 79)
        occurred = 'accelerator_device_error_last_timestamp_seconds{code="79"}'
        wait_until(lambda: bool(draw() or started.query(occurred)))
        node.lose(FAILING)
        failed = 'accelerator_device_status{state="failed"} == 1'
        wait_until(lambda: bool(draw() or started.query(failed)))
        node.kubelet.pods = node.kubelet.pods[:-1]
        ended = 'count(accelerator_allocation_info{namespace="unlucky"}) == 1'
        wait_until(lambda: bool(draw() or started.query(ended)))
        wait_until(lambda: scraped(10))
        yield started


def values(server: Prometheus, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The result of a query of docs/metrics.md by the values of these labels."""
    answers = server.query(BY_NAME[name])
    found = {tuple(answer.labels.get(label, "") for label in labels): answer.value for answer in answers}
    assert len(found) == len(answers), "the labels do not distinguish the results"
    return found


def pods(server: Prometheus, name: str) -> set[str]:
    return {pod_name for (pod_name,) in values(server, name, "pod")}


def test_every_page_with_queries_is_covered() -> None:
    pages = {page.relative_to(ROOT).as_posix() for page in PAGES if documented_queries(page)}
    assert {"README.md", "docs/metrics.md", "docs/nvidia-health.md", "docs/installation.md"} < pages
    assert "docs/autoscaling.md" in pages
    assert set(BY_NAME.values()) < set(DOCUMENTED)


def test_every_query_has_a_result(server: Prometheus) -> None:
    # Prometheus evaluates a subquery at multiples of its step, so a minute might not occur in a test.
    queries = [query.replace("[1d:1m]", "[1d:1s]") for query in DOCUMENTED]
    assert {query for query in queries if not server.query(query)} == RIGHTLY_EMPTY


def test_fleet_utilization_weights_partitions(server: Prometheus) -> None:
    now = time.time()  # the weights change with each scrape, so all are of one moment
    rates = "rate(accelerator_device_observed_seconds_total[5m])"
    answers = server.query(f"{rates} * on (instance, uuid) group_left (pci_bus_id) accelerator_device_info", now)
    observed = {answer.labels["pci_bus_id"]: answer.value for answer in answers}
    assert observed.keys() == UTILIZATION.keys()
    busy = sum(observed[device] * ratio for device, ratio in UTILIZATION.items())
    (fleet,) = server.query(BY_NAME["True utilization of the whole fleet"], now)
    assert fleet.value == pytest.approx(busy / sum(observed.values()), rel=0.01)


def test_idle_partitions_and_their_containers_are_found(server: Prometheus) -> None:
    found = values(server, "Devices and partitions that were allocated but idle for an hour", "instance", "profile")
    assert found == {(NVIDIA, "3g.40gb"): 0, (NVIDIA, ""): 0}  # the second is the device of the pod that stays
    idle = pods(server, "Containers that an idle device or partition is allocated to")
    assert idle == {"notebook", "stays"}


def test_shared_devices_and_partitions_are_found(server: Prometheus) -> None:
    assert pods(server, "Devices and partitions that are shared, and by whom") == {"chat", "embed", "tiny-0", "tiny-1"}


def test_free_devices_and_partitions(server: Prometheus) -> None:
    assert len(server.query(BY_NAME["Devices that are not allocated"])) == 1
    assert values(server, "Free partitions by profile", "profile") == {("1g.10gb",): 1, ("cpx_nps4",): 5}


@pytest.mark.parametrize("name", ["Energy by namespace over a day", "Power by namespace"])
def test_energy_and_power_of_a_team_include_every_kind_of_allocation(server: Prometheus, name: str) -> None:
    of = {namespace: value for (namespace,), value in values(server, name, "namespace").items()}
    assert of.keys() == {"research", "serving", "small", "unlucky", "llm", "eighths"}
    device_of_nvidia, device_of_amd = of["serving"], of["llm"]
    assert device_of_nvidia > 0
    assert device_of_amd > 0
    assert of["research"] / device_of_nvidia == pytest.approx(1 + 3 / 7, rel=0.05)
    assert of["small"] / device_of_nvidia == pytest.approx(1 / 7, rel=0.05)
    assert of["eighths"] / device_of_amd == pytest.approx(3 * SHARE_OF_CPX, rel=0.05)


def test_bill_is_the_energy_of_the_devices(server: Prometheus) -> None:
    """The bill of a device that is allocated completely equals its energy; the measured energy is not in addition."""
    for_pod = '{namespace=~"research|serving|llm",pod!="notebook"}'
    bill = f"sum by (uuid) (increase(accelerator_allocation_energy_joules_total{for_pod}[1d]))"
    ratios = server.query(f"{bill} / on (uuid) increase(accelerator_device_energy_joules_total[1d])")
    assert [answer.value for answer in ratios] == [pytest.approx(1, rel=0.15)] * 3
    measured = "Measured energy of exclusive devices by namespace over a day"
    assert set(values(server, measured, "namespace")) == {("research",), ("llm",)}


def test_containers_that_were_on_a_device_with_an_xid_are_found_after_they_ended(server: Prometheus) -> None:
    found = server.query(XID.replace("[1d:1m]", "[1d:1s]"))
    assert {answer.labels["pod"] for answer in found} == {"stays", "ends"}
    assert pods(server, "Failed devices and the containers they are allocated to") == {"stays"}


def test_readings_of_partitions_reach_their_containers(server: Prometheus) -> None:
    everyone = {"train-0", "chat", "embed", "notebook", "tiny-0", "tiny-1", "llama", "e-0", "e-1", "e-2"}
    assert pods(server, "A device's reading with the containers it is allocated to") == everyone
    assert pods(server, "A partition's reading with the containers it is allocated to") == everyone
