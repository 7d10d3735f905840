"""A real Prometheus scrapes the real process: the queries of users return correct results."""

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.doubles.exporter_process import ExporterProcess, wait_until
from tests.doubles.kubelet import container, device, pod
from tests.doubles.node import Node, gpu_node, running_exporter
from tests.doubles.prometheus import Prometheus, prometheus, serving
from tools.queries import QUERIES

GPU = "nvidia.com/gpu"
# `instance` is the name of the node, as in deploy/prometheus/scrape.yaml.
_ONE_INSTANCE = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: accelerator-exporter
  honor_labels: true
  static_configs: [{{targets: {targets}}}]
  relabel_configs: [{{target_label: instance, replacement: worker-1}}]
"""
_PERIOD_SECONDS = 5.0
_RUN_SECONDS = 30.0
_GAP_SECONDS = 5.0  # a whole period, so that the unobserved time has the same mean as the observed time
_BUSY = "sum by (instance) (rate(accelerator_container_busy_seconds_total[1m]))"
_OBSERVED = "sum by (instance) (rate(accelerator_container_observed_seconds_total[1m]))"


class Curve:
    """Sets a device's utilization along a sine of whole percents and records it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._area = 0.0
        self._seconds = 0.0

    @property
    def mean_ratio(self) -> float:
        """Time-weighted mean of the values set so far."""
        return self._area / self._seconds

    def _run(self) -> None:
        start = before = time.monotonic()
        while not self._stop.wait(0.02):
            percent = round(45 + 35 * math.sin(2 * math.pi * (before - start) / _PERIOD_SECONDS))
            self._node.set_utilization(0, percent)
            now = time.monotonic()
            self._area += percent / 100 * (now - before)
            self._seconds += now - before
            before = now

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Set values as long as the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


@contextmanager
def _driven(folder: Path, nvml_library: Path) -> Iterator[tuple[Node, ExporterProcess, Curve]]:
    """A node whose device follows a curve and is allocated to one pod, and its exporter, with a short maximum age."""
    folder.mkdir()
    with gpu_node(folder, nvml_library) as node:
        node.add_h100s(1)
        node.kubelet.pods = [pod("research", "train-0", container("main", device(GPU, node.uuids[0])))]
        curve = Curve(node)
        ages = ("--poll.deadline=500ms", "--poll.max-age=500ms")
        with node.kubelet, curve.driving(), running_exporter(node, *ages) as running:
            yield node, running, curve


def test_busy_over_observed_is_the_true_mean_even_with_a_gap(nvml_library: Path, tmp_path: Path) -> None:
    with (
        _driven(tmp_path / "whole", nvml_library) as (_, whole, whole_curve),
        _driven(tmp_path / "gap", nvml_library) as (node, gap, gap_curve),
        prometheus(tmp_path, whole.address, gap.address) as server,
    ):
        curves = {whole.address: whole_curve, gap.address: gap_curve}
        wait_until(lambda: server.value("sum(up)") == len(curves))
        wait_until(lambda: len(server.query(_OBSERVED)) == len(curves))
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started > _RUN_SECONDS / 3)
        node.hang("nvmlDeviceGetUtilizationRates", 0)
        wait_until(lambda: gap.scrape().find("accelerator_exporter_device_stuck_seconds") or None)
        held = time.monotonic()
        wait_until(lambda: time.monotonic() - held > _GAP_SECONDS)
        assert gap.scrape().find("accelerator_container_busy_seconds_total") == []
        node.release()
        wait_until(lambda: time.monotonic() - started > _RUN_SECONDS, 2 * _RUN_SECONDS)
        measured = {answer.labels["instance"]: answer.value for answer in server.query(f"{_BUSY} / {_OBSERVED}")}
        assert server.value("min(min_over_time(up[30s]))") == 1
    assert measured == {address: pytest.approx(curve.mean_ratio, rel=0.05) for address, curve in curves.items()}


def _mixed(node: Node) -> None:
    """One device with a sole holder, one shared by two, one with two partitions (one allocated), one unallocated."""
    node.add_h100s(4)
    node.partition(2, "3g.40gb", "1g.10gb")
    alone, shared, _, _ = node.uuids
    for index in (0, 1, 3):
        node.set_utilization(index, 50)
    node.gpus[2].set_gpm({1: 50.0})  # the utilization of a partitioned device, and of its partitions
    for part in node.mig(2):
        part.set_gpm({1: 50.0})
    node.kubelet.pods = [
        pod("research", "train-0", container("main", device(GPU, alone))),
        pod("serving", "chat", container("server", device(f"{GPU}.shared", f"{shared}::0"))),
        pod("serving", "embed", container("server", device(f"{GPU}.shared", f"{shared}::1"))),
        pod("research", "notebook", container("lab", device("nvidia.com/mig-3g.40gb", node.mig_uuids(2)[0]))),
    ]


def _draw_power(node: Node) -> None:
    """Add ten joules of energy per device and step: a rising counter."""
    for gpu in node.gpus:
        gpu.energy_millijoules += 10_000


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[tuple[Node, Prometheus]]:
    """A mixed node and a Prometheus that has scraped it for some seconds."""
    folder = tmp_path_factory.mktemp("mixed")
    with gpu_node(folder, nvml_library) as node:
        _mixed(node)
        with node.kubelet, running_exporter(node) as running, prometheus(folder, running.address) as server:

            def scraped() -> bool:
                _draw_power(node)
                return (server.value("count_over_time(up[1m])") or 0) >= 8

            wait_until(scraped)
            yield node, server


def test_joins_from_allocations_on_a_mixed_node(mixed: tuple[Node, Prometheus]) -> None:
    node, server = mixed
    power = server.query(
        "accelerator_allocation_share_ratio * on (uuid) group_left () rate(accelerator_device_energy_joules_total[1m])"
    )
    by_pod = {answer.labels["pod"]: answer.value for answer in power}
    whole = by_pod["train-0"]
    assert whole > 0
    assert set(by_pod) == {"train-0", "chat", "embed", "notebook"}
    assert by_pod["chat"] == by_pod["embed"] == pytest.approx(whole / 2, rel=0.2)
    assert by_pod["notebook"] == pytest.approx(whole * 3 / 7, rel=0.2)
    shares = {a.labels["uuid"]: a.value for a in server.query("sum by (uuid) (accelerator_allocation_share_ratio)")}
    assert shares == {node.uuids[0]: 1, node.uuids[1]: 1, node.uuids[2]: pytest.approx(3 / 7)}
    assert server.value("count(accelerator_device_info)") == 4
    assert server.value("sum(accelerator_device_allocated)") == 3
    assert server.value("count(accelerator_container_utilization_ratio)") == 2
    assert server.value("avg(accelerator_container_utilization_ratio)") == 0.5


def test_two_exporters_with_the_same_instance_are_found_by_the_documented_query(
    nvml_library: Path, tmp_path: Path
) -> None:
    (query,) = (query.expr for query in QUERIES if query.name == "Devices that two exporters export")
    configuration = tmp_path / "prometheus.yml"
    with gpu_node(tmp_path, nvml_library) as node:
        node.add_h100s(2)
        with running_exporter(node) as first, running_exporter(node) as second:
            addresses = [first.address, second.address]
            configuration.write_text(_ONE_INSTANCE.format(targets=json.dumps(addresses)))
            with serving(configuration) as server:
                wait_until(lambda: len(server.query(query)) == 2)
                assert server.value("count(accelerator_device_info)") == 2
                assert {answer.labels["uuid"] for answer in server.query(query)} == set(node.uuids)


def test_two_exporters_on_one_node_are_found_by_the_documented_query(nvml_library: Path, tmp_path: Path) -> None:
    (query,) = (query.expr for query in QUERIES if query.name == "Devices that two exporters export")
    with gpu_node(tmp_path, nvml_library) as node:
        node.add_h100s(2)
        with (
            running_exporter(node) as first,
            running_exporter(node) as second,
            running_exporter(node, "--collectors=amd") as of_another_vendor,
            prometheus(tmp_path, first.address, second.address, of_another_vendor.address) as server,
        ):
            wait_until(lambda: len(server.query(query)) == 2)
            found = {answer.labels["uuid"]: answer.value for answer in server.query(query)}
            scrape = of_another_vendor.scrape()
    assert found == dict.fromkeys(node.uuids, 2)
    assert scrape.value("accelerator_exporter_collector_devices", collector="amd") == 0
    assert scrape.find("accelerator_exporter_collector_devices", collector="nvidia") == []
