"""The queries of the shipped autoscalers, as KEDA and prometheus-adapter ask them, against a real Prometheus."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.doubles.adapter import of_pods, rule, rule_in
from tests.doubles.exporter_process import exporter, wait_until
from tests.doubles.keda import ScalerError, scaler_value, trigger_in
from tests.doubles.kubelet import container, device, pod
from tests.doubles.kustomize import read
from tests.doubles.node import QUICK, Node, gpu_node, running_exporter
from tests.doubles.prometheus import Prometheus
from tests.doubles.proto.podresources_pb2 import PodResources
from tests.doubles.scraping import often, scraping
from tools.chart import CHART, ROOT, manifests

AUTOSCALING = ROOT / "deploy" / "autoscaling"
PRESETS = {"default": AUTOSCALING, "fast": AUTOSCALING / "fast"}
RENAMED = yaml.safe_load((CHART / "ci" / "renamed-labels-values.yaml").read_text())
GPU = "nvidia.com/gpu"
ONE, TWO, NEW = "inference-7d9c5b8f4c-x2k7p", "inference-7d9c5b8f4c-q4z8m", "inference-7d9c5b8f4c-w5v9n"
BATCH = "inference-batch-6b8d9f7c5-hk2vd"
SHARING = ("chat-5c6d8b9f7-bb2zq", "chat-5c6d8b9f7-tt8xn")
SLICE = "slice-8f7c6d5b9-gg4vw"
DEVICES_WITH_A_VALUE = 5  # of ONE, TWO (two devices), BATCH and SLICE
FREE = 7  # the index of the device that nobody holds at first
UTILIZATION_PERCENT = (30, 20, 60, 100, 50, 0, 0, 80)
OF_ONE, OF_TWO, OF_NEW = 0.3, (0.2 + 0.6) / 2, 0.8
TARGET = 0.7
TOLERANCE = 1.1  # Kubernetes changes nothing within 10 % of the target
_GENEROUS_SECONDS = 60.0
_LOG = logging.getLogger(__name__)


class Cluster(NamedTuple):
    """A node, a Prometheus that scrapes it every second, and one that scrapes it as the preset for fast decisions."""

    node: Node
    server: Prometheus
    fast: Prometheus


def _pods(node: Node) -> list[PodResources]:
    """Pods of a Deployment, of another one with a similar name, two that share a device, one on a partition."""
    first, second, third, batch, shared = node.uuids[:5]
    node.partition(5, "1g.10gb")
    (part,) = node.mig(5)
    part.set_gpm({1: 25.0})
    return [
        pod("serving", ONE, container("server", device(GPU, first))),
        pod("serving", TWO, container("server", device(GPU, second, third))),
        pod("serving", BATCH, container("server", device(GPU, batch))),
        *(
            pod("serving", name, container("server", device(f"{GPU}.shared", f"{shared}::{replica}")))
            for replica, name in enumerate(SHARING)
        ),
        pod("serving", SLICE, container("server", device("nvidia.com/mig-1g.10gb", part.uuid))),
    ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[Cluster]:
    """Both servers have scraped the node often enough for a rate. A second exporter uses other names of labels."""
    (monitor,) = read(AUTOSCALING / "fast" / "servicemonitor.yaml")
    (endpoint,) = monitor["spec"]["endpoints"]
    with ExitStack() as running:
        node = running.enter_context(gpu_node(tmp_path_factory.mktemp("node"), nvml_library))
        node.add_h100s(len(UTILIZATION_PERCENT))
        for index, percent in enumerate(UTILIZATION_PERCENT):
            node.set_utilization(index, percent)
        node.kubelet.pods = _pods(node)
        running.enter_context(node.kubelet)
        first = running.enter_context(running_exporter(node))
        flags = (*node.flags, *QUICK, *(f"--labels.{name}={label}" for name, label in RENAMED["labels"].items()))
        second = exporter(tmp_path_factory.mktemp("renamed"), *flags, environment=node.environment)
        targets = [{"targets": [each.address]} for each in (first, running.enter_context(second))]
        server = running.enter_context(scraping(tmp_path_factory.mktemp("often"), often(targets)))
        slower = {**often(targets[:1]), "scrape_interval": endpoint["interval"]}
        slower["scrape_timeout"] = endpoint["scrapeTimeout"]
        fast = running.enter_context(scraping(tmp_path_factory.mktemp("fast"), slower))
        rates = "count(rate(accelerator_container_observed_seconds_total[1m]) > 0)"
        wait_until(lambda: server.value(f"{rates} == {2 * DEVICES_WITH_A_VALUE}"))
        yield Cluster(node, server, fast)


def trigger(preset: str = "default", workload: str = "inference") -> dict[str, str]:
    """The metadata of the shipped trigger, for another workload if it is named."""
    found = trigger_in((PRESETS[preset] / "scaledobject.yaml").read_text())
    return {**found, "query": found["query"].replace('"inference-', f'"{workload}-')}


def value_now(server: Prometheus, asked: dict[str, str]) -> float | None:
    """What Kubernetes gets; None while the scaler reports an error, as after a scrape that took too long."""
    try:
        return scaler_value(server, asked)
    except ScalerError:
        return None


def adapter_rule(preset: str) -> dict[str, Any]:
    return rule(PRESETS[preset] / "prometheus-adapter-rule.yaml")


def by_pod(server: Prometheus, query: str, label: str = "pod") -> dict[str, float]:
    answers = server.query(query)
    assert [set(answer.labels) for answer in answers] == [{label}] * len(answers)
    return {answer.labels[label]: answer.value for answer in answers}


@pytest.mark.parametrize("preset", PRESETS)
def test_keda_gets_the_sum_of_the_pods(cluster: Cluster, preset: str) -> None:
    value = wait_until(lambda: value_now(cluster.server, trigger(preset)))
    assert value == pytest.approx(OF_ONE + OF_TWO, abs=0.01)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_adapter_gets_one_ratio_for_each_pod(cluster: Cluster, preset: str) -> None:
    found = by_pod(cluster.server, of_pods(adapter_rule(preset), "serving", ONE, TWO, BATCH))
    assert found == pytest.approx({ONE: OF_ONE, TWO: OF_TWO, BATCH: 1}, abs=0.01)
    assert all(0 <= value <= 1 for value in found.values())
    assert by_pod(cluster.server, of_pods(adapter_rule(preset), "serving", TWO)) == pytest.approx(
        {TWO: OF_TWO}, abs=0.01
    )


def test_a_pod_on_a_partition_has_the_utilization_of_the_partition(cluster: Cluster) -> None:
    value = wait_until(lambda: value_now(cluster.server, trigger(workload="slice")))
    assert value == pytest.approx(0.25, abs=0.01)


def test_pods_that_share_a_device_have_no_value(cluster: Cluster) -> None:
    with pytest.raises(ScalerError, match="0 elements"):
        scaler_value(cluster.server, trigger(workload="chat"))
    assert by_pod(cluster.server, of_pods(adapter_rule("default"), "serving", *SHARING)) == {}


def test_a_workload_without_pods_has_no_value(cluster: Cluster) -> None:
    with pytest.raises(ScalerError, match="0 elements"):
        scaler_value(cluster.server, trigger(workload="absent"))
    assert by_pod(cluster.server, of_pods(adapter_rule("default"), "serving", "absent-7d9c5b8f4c-x2k7p")) == {}


def test_names_of_labels_are_those_of_the_chart(cluster: Cluster) -> None:
    data = next(each["data"] for each in manifests(RENAMED) if each["metadata"]["name"].endswith("-autoscaling"))
    renamed = trigger_in(data["scaledobject.yaml"])
    assert renamed["query"] != trigger()["query"]
    value = wait_until(lambda: value_now(cluster.server, renamed))
    assert value == pytest.approx(OF_ONE + OF_TWO, abs=0.01)
    query = of_pods(rule_in(data["prometheus-adapter-rule.yaml"]), "serving", ONE, TWO)
    found = by_pod(cluster.server, query, RENAMED["labels"]["pod"])
    assert found == pytest.approx({ONE: OF_ONE, TWO: OF_TWO}, abs=0.01)


def test_a_pod_that_starts_and_ends_changes_the_value_once(cluster: Cluster) -> None:
    """Until its first value it is not counted, then completely, after its end no longer. No other value occurs."""
    node, server, _ = cluster
    without = OF_ONE + OF_TWO
    allowed = (pytest.approx(without, abs=0.01), pytest.approx(without + OF_NEW, abs=0.01))

    def counted(expected: float) -> bool:
        value = value_now(server, trigger())
        assert value is None or value in allowed
        return value == pytest.approx(expected, abs=0.01)

    before = list(node.kubelet.pods)
    node.kubelet.pods = [*before, pod("serving", NEW, container("server", device(GPU, node.uuids[FREE])))]
    wait_until(lambda: counted(without + OF_NEW))
    query = of_pods(adapter_rule("default"), "serving", ONE, TWO, NEW)
    assert by_pod(server, query) == pytest.approx({ONE: OF_ONE, TWO: OF_TWO, NEW: OF_NEW}, abs=0.01)
    node.kubelet.pods = before
    wait_until(lambda: counted(without))
    assert NEW in by_pod(server, query), "the window still contains its samples"


def test_a_step_of_load_crosses_the_target(cluster: Cluster) -> None:
    """With the scrape interval and the window of the fast preset. The seconds are logged, not judged."""
    node, _, fast = cluster
    replicas = 2

    def ratio() -> float | None:
        value = value_now(fast, trigger("fast"))
        return None if value is None else value / (TARGET * replicas)

    assert wait_until(ratio) < TOLERANCE
    for index in range(3):
        node.set_utilization(index, 100)
    begin = time.monotonic()
    wait_until(lambda: (ratio() or 0) > TOLERANCE, _GENEROUS_SECONDS)
    _LOG.info("the query crossed the target %.1f s after the load changed", time.monotonic() - begin)
