"""The shipped scrape configurations in a real Prometheus: the labels that the exporter's series get."""

import copy
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.doubles.adapter import expression, rule
from tests.doubles.exporter_process import wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.kustomize import read
from tests.doubles.node import gpu_node, running_exporter
from tests.doubles.prometheus import Answer, Prometheus, tool
from tests.doubles.scraping import Job, scraping, without_discovery, write_configuration

DEPLOY = Path(__file__).parents[2] / "deploy"
ADAPTER_RULE = DEPLOY / "autoscaling" / "prometheus-adapter-rule.yaml"
NAME = "accelerator-exporter"
OWN_POD = f"{NAME}-x7k2p"
NODE = "worker-1"
SHIPPED = ("plain", "operator")
NOT_REWRITTEN = "operator without our rules"
BUSY = "accelerator_container_busy_seconds_total"

# The labels that Prometheus discovers in a cluster for a pod of the DaemonSet behind the Service.
FOUND = {
    "__meta_kubernetes_namespace": NAME,
    "__meta_kubernetes_pod_name": OWN_POD,
    "__meta_kubernetes_pod_container_name": "exporter",
    "__meta_kubernetes_pod_container_port_name": "metrics",
    "__meta_kubernetes_pod_label_app_kubernetes_io_name": NAME,
    "__meta_kubernetes_pod_node_name": NODE,
    "__meta_kubernetes_pod_phase": "Running",
    "__meta_kubernetes_endpoint_address_target_kind": "Pod",
    "__meta_kubernetes_endpoint_address_target_name": OWN_POD,
    "__meta_kubernetes_endpoint_port_name": "metrics",
    "__meta_kubernetes_service_name": NAME,
    "__meta_kubernetes_service_label_app_kubernetes_io_name": NAME,
    "__meta_kubernetes_service_labelpresent_app_kubernetes_io_name": "true",
}
# Other pods in the namespace; each would have its own series if it were scraped as an exporter.
OTHERS = tuple(
    {**FOUND, "__meta_kubernetes_pod_node_name": node, label: value}
    for node, label, value in (
        ("worker-2", "__meta_kubernetes_pod_label_app_kubernetes_io_name", "neighbour"),
        ("worker-3", "__meta_kubernetes_pod_container_port_name", "profiling"),
        ("worker-4", "__meta_kubernetes_pod_phase", "Failed"),
        ("worker-5", "__meta_kubernetes_pod_phase", "Succeeded"),
    )
)


def plain_job() -> Job:
    (content,) = read(DEPLOY / "prometheus" / "scrape.yaml")
    (job,) = content["scrape_configs"]
    found: Job = job
    return found


def operator_job() -> Job:
    """The job that the Prometheus operator generates for the shipped ServiceMonitor: its own rules first, then ours."""
    (monitor,) = read(DEPLOY / "kubernetes" / "monitor" / "servicemonitor.yaml")
    (endpoint,) = monitor["spec"]["endpoints"]
    job_label = "__meta_kubernetes_service_label_" + re.sub(r"\W", "_", monitor["spec"]["jobLabel"])
    own_rules: list[dict[str, Any]] = [
        {"action": "keep", "source_labels": ["__meta_kubernetes_endpoint_port_name"], "regex": endpoint["port"]},
        *(
            {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target}
            for source, target in (
                ("namespace", "namespace"),
                ("service_name", "service"),
                ("pod_name", "pod"),
                ("pod_container_name", "container"),
                ("service_name", "job"),
            )
        ),
        {"source_labels": [job_label], "target_label": "job", "regex": "(.+)"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]
    return {
        "job_name": "serviceMonitor/accelerator-exporter/accelerator-exporter/0",
        "honor_labels": endpoint["honorLabels"],
        "metrics_path": endpoint["path"],
        "relabel_configs": [*own_rules, *(_in_snake_case(rule) for rule in endpoint["relabelings"])],
    }


def _in_snake_case(relabeling: dict[str, Any]) -> dict[str, Any]:
    return {re.sub("[A-Z]", lambda upper: "_" + upper[0].lower(), key): value for key, value in relabeling.items()}


def operator_job_without_our_rules() -> Job:
    job = copy.deepcopy(operator_job())
    (endpoint,) = read(DEPLOY / "kubernetes" / "monitor" / "servicemonitor.yaml")[0]["spec"]["endpoints"]
    del job["relabel_configs"][-len(endpoint["relabelings"]) :]
    return {**job, "job_name": NOT_REWRITTEN}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[Prometheus]:
    """A Prometheus that has scraped one node in three ways, at least twice. One of its two devices is allocated."""
    folder = tmp_path_factory.mktemp("scraping")
    with gpu_node(folder, nvml_library) as node:
        node.add_h100s(2)
        node.set_utilization(0, 50)
        node.kubelet.pods = [pod("serving", "chat-0", container("server", device("nvidia.com/gpu", node.uuids[0])))]
        with node.kubelet, running_exporter(node) as running:
            mine = (running.address, FOUND)
            others = [("127.0.0.1:1", labels) for labels in OTHERS]
            jobs = (
                without_discovery(plain_job(), mine, *others),
                without_discovery(operator_job(), mine),
                without_discovery(operator_job_without_our_rules(), mine),
            )
            ways = (*SHIPPED, NOT_REWRITTEN)
            for way, job in zip(ways, jobs, strict=True):
                job["relabel_configs"].append({"target_label": "way", "replacement": way})
            with scraping(folder, *jobs) as prometheus:
                enough = f"count(count_over_time({BUSY}[1m]) >= 3) == {len(ways)}"
                wait_until(lambda: bool(prometheus.query(enough)))
                yield prometheus


def series(server: Prometheus, way: str) -> list[Answer]:
    found = server.query(f'{{__name__=~".+",way="{way}"}}')
    assert {"up", "accelerator_device_info", "accelerator_allocation_info", BUSY} <= {
        s.labels["__name__"] for s in found
    }
    return found


@pytest.mark.parametrize("way", SHIPPED)
def test_every_series_has_the_node_labels(server: Prometheus, way: str) -> None:
    for each in series(server, way):
        assert (each.labels["job"], each.labels["instance"], each.labels["node"]) == (NAME, NODE, NODE)


@pytest.mark.parametrize("way", SHIPPED)
def test_exporter_pod_appears_in_no_series(server: Prometheus, way: str) -> None:
    whose = set()
    for each in series(server, way):
        assert not [name for name in each.labels if name.startswith("exported_") or name in {"service", "endpoint"}]
        assert OWN_POD not in each.labels.values()
        whose.add(tuple(each.labels.get(name) for name in ("namespace", "pod", "container")))
    assert whose == {(None, None, None), ("serving", "chat-0", "server")}


def test_scraped_labels_take_precedence() -> None:
    """They conflict with nothing, unless a user's own rules add labels to the target."""
    assert plain_job()["honor_labels"] is True
    assert operator_job()["honor_labels"] is True


def test_without_the_rules_exporter_pod_appears_on_unallocated_devices(server: Prometheus) -> None:
    devices = [s for s in series(server, NOT_REWRITTEN) if s.labels["__name__"] == "accelerator_device_info"]
    assert [s.labels["pod"] for s in devices] == [OWN_POD, OWN_POD]


def test_other_pods_other_ports_and_finished_pods_are_not_targets(server: Prometheus) -> None:
    assert [answer.value for answer in server.query('last_over_time(up{way="plain"}[1m])')] == [1]


def test_autoscaler_query_returns_one_value_for_the_pod(server: Prometheus) -> None:
    matchers = 'namespace="serving",pod=~"chat-0|chat-1",way="plain"'
    (answer,) = server.query(expression(rule(ADAPTER_RULE), "pod", matchers=matchers))
    assert answer.labels == {"pod": "chat-0"}
    assert answer.value == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("job", [plain_job, operator_job], ids=SHIPPED)
def test_promtool_accepts_the_job(job: Callable[[], Job], tmp_path: Path) -> None:
    path = write_configuration(tmp_path / "prometheus.yml", [without_discovery(job(), ("127.0.0.1:9410", FOUND))])
    done = subprocess.run([tool("promtool"), "check", "config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_service_discovery_is_valid_for_prometheus() -> None:
    (schema,) = read(Path(__file__).parent / "kubernetes_sd.schema.yaml")
    jsonschema.Draft202012Validator(schema).validate(plain_job()["kubernetes_sd_configs"])
