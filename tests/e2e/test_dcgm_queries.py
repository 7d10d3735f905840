"""The queries that others run on dcgm-exporter's metrics have results on the view `dcgm`, or a reason why not."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_host import amd_host
from tests.doubles.exporter_process import ExporterProcess
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import gpu_node, running_exporter
from tests.doubles.nvml_cards import card
from tests.doubles.prometheus import Prometheus
from tests.doubles.scraping import Job, often, scraping

DATA = Path(__file__).parents[1] / "data" / "dcgm_queries.yaml"
NVIDIA_CARDS = {"h100": "h100", "mig": "h100-mig", "a100": "a100"}
NODES = (*NVIDIA_CARDS, "mi300x")
PAGE = (Path(__file__).parents[2] / "docs" / "from-dcgm-exporter.md").read_text(encoding="utf-8")
VIEW = "--metrics.views=dcgm"


class Query(NamedTuple):
    """One query of the data file.

    Attributes:
        name: Its source and title.
        text: The query, with `$node` in each selector.
        job: The scrape job for whose labels it is written.
        empty: The reason for each node on which it has no result.
    """

    name: str
    text: str
    job: str
    empty: dict[str, str]

    def of_node(self, node: str) -> str:
        """The query for one node."""
        return self.text.replace("$node", f'instance="{node}",job="{self.job}"')


def _queries(content: dict[str, Any]) -> list[Query]:
    return [
        Query(
            f"{source['name']}: {each['title']}",
            each["query"],
            "renamed" if source.get("exported") else "kept",
            each.get("empty", {}),
        )
        for source in content["sources"]
        for each in source["queries"]
    ]


CONTENT = yaml.safe_load(DATA.read_text(encoding="utf-8"))
QUERIES = _queries(CONTENT)


def _nvidia(running: ExitStack, folder: Path, library: Path, name: str) -> ExporterProcess:
    """A node with one card, which is allocated to a pod; of a card in MIG mode each instance is."""
    node = running.enter_context(gpu_node(folder, library))
    of_card = card(name)
    node.nvml.driver_version = of_card.driver
    node.add(of_card.device())
    ids = node.mig_uuids(0) or node.uuids
    resource = f"nvidia.com/mig-{of_card.mig['profile']}" if of_card.mig else "nvidia.com/gpu"
    node.kubelet.pods = [pod("team", f"p-{n}", container("main", device(resource, each))) for n, each in enumerate(ids)]
    running.enter_context(node.kubelet)
    return running.enter_context(running_exporter(node, VIEW))


def _amd(running: ExitStack, folder: Path) -> ExporterProcess:
    host = running.enter_context(amd_host(folder))
    gpu = host.tree.add(MI300X, "0000:05:00.0")
    host.kubelet.pods = [pod("team", "p-0", container("main", device("amd.com/gpu", gpu.address)))]
    running.enter_context(host.kubelet)
    return running.enter_context(host.running(VIEW, "--metrics.dcgm-vendors=amd"))


def _renaming(targets: list[dict[str, Any]]) -> Job:
    """A job whose targets have labels of a pod, as those of a ServiceMonitor do: Prometheus renames the workload's."""
    own = {"namespace": "gpu-operator", "pod": "exporter-0", "container": "exporter"}
    named = [{**each, "labels": each["labels"] | own} for each in targets]
    return {**often(named), "job_name": "renamed", "honor_labels": False}


def _with_both_names(targets: list[dict[str, Any]]) -> Job:
    """A job with the values of docs/from-dcgm-exporter.md for queries that expect renamed labels."""
    [block] = re.findall(r"^ *```yaml\n( *monitor:\n *metricRelabelings:.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    rules = [
        {names.get(name, name): value for name, value in rule.items()}
        for rule in yaml.safe_load(block)["monitor"]["metricRelabelings"]
    ]
    return {**often(targets), "job_name": "both", "metric_relabel_configs": rules}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes all nodes and has a result for each query that should have one."""
    with ExitStack() as running:
        exporters = {
            name: _nvidia(running, tmp_path_factory.mktemp(name), nvml_library, of_card)
            for name, of_card in NVIDIA_CARDS.items()
        }
        exporters["mi300x"] = _amd(running, tmp_path_factory.mktemp("mi300x"))
        targets = [{"targets": [each.address], "labels": {"instance": name}} for name, each in exporters.items()]
        jobs = ({**often(targets), "job_name": "kept"}, _renaming(targets), _with_both_names(targets))
        started = running.enter_context(scraping(tmp_path_factory.mktemp("prometheus"), *jobs))
        answered = [(query, node) for query in QUERIES for node in NODES if node not in query.empty]
        started.wait_for_all({f"{node}: {query.name}": query.of_node(node) for query, node in answered})
        yield started


@pytest.mark.parametrize("node", NODES)
def test_exactly_the_queries_with_a_reason_have_no_result(server: Prometheus, node: str) -> None:
    empty = {query.name for query in QUERIES if not server.query(query.of_node(node))}
    assert empty == {query.name for query in QUERIES if node in query.empty}


@pytest.mark.parametrize("node", NODES)
def test_with_the_values_of_the_page_queries_for_renamed_labels_have_results(server: Prometheus, node: str) -> None:
    of_renamed = [query for query in QUERIES if query.job == "renamed" and node not in query.empty]
    server.wait_for_all({query.name: query._replace(job="both").of_node(node) for query in of_renamed})
    kept = query_of_pods(server, node, "pod", "namespace", "container")
    assert kept == query_of_pods(server, node, "exported_pod", "exported_namespace", "exported_container")
    assert server.query(f'{{__name__!~"DCGM.*",job="both",instance="{node}",exported_pod!=""}}') == []


def query_of_pods(server: Prometheus, node: str, *labels: str) -> set[tuple[str, ...]]:
    selector = f'DCGM_FI_DEV_FB_USED{{instance="{node}",job="both",namespace="team"}}'
    return {tuple(answer.labels[label] for label in labels) for answer in server.query(selector)}


def test_the_pod_of_a_device_is_found_under_its_own_labels(server: Prometheus) -> None:
    for node, pods in (("h100", 1), ("mig", 7), ("a100", 1), ("mi300x", 1)):
        selector = f'DCGM_FI_DEV_FB_USED{{instance="{node}",job="kept",namespace="team",container="main"}}'
        assert len(server.query(f"count by (pod) ({selector})")) == pods, node


def test_every_query_names_a_node_and_every_reason_is_used() -> None:
    assert all("$node" in query.text for query in QUERIES)
    assert {query.job for query in QUERIES} == {"kept", "renamed"}
    assert len({query.name for query in QUERIES}) == len(QUERIES)
    assert {node for query in QUERIES for node in query.empty} <= set(NODES)
    assert {reason for query in QUERIES for reason in query.empty.values()} == set(CONTENT["reasons"])
