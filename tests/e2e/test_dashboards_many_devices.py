"""The tables of the dashboards in a fleet of 800 devices: a real Prometheus with the series of 100 nodes.

The series are those that the real exporter prints for a simulated node, once for each node.
"""

import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.doubles.dashboards import EXPORTERS, FLEET, NODE_AND_DEVICE, WORKLOADS, panel
from tests.doubles.exporter_process import clean_environment
from tests.doubles.prometheus import Answer, Prometheus, backfilled
from tools.dashboard_queries import filled_in, targets, window_values
from tools.preview_table import Row, lines

NOW = 1_800_000_000.0  # any time; the data of a block has no connection to that of the test
STEP = 60
NODES = 100
DEVICES = 8
FAILED = "node-73"
_SCENARIO = """\
description: "Eight cards, one of them partitioned, with a pod on each"
devices:
  - { profile: l40s, count: 7 }
  - profile: h100
    partitions: [{ profile: 3g.40gb, memory: 40448MiB, compute: 3/7, count: 2 }]
pods:
  - namespace: team
    name: job
    spread: true
    containers: [{ name: main, devices: [0, 1, 2, 3, 4, 5, 6], load: 0.5 }]
  - namespace: team
    name: slice
    spread: true
    containers: [{ name: main, partitions: ["7/*"], load: 0.5 }]
"""
# The families in the tables of the test; all others would only make the block large.
_FAMILIES = {
    "accelerator_device_info",
    "accelerator_device_status",
    "accelerator_device_power_watts",
    "accelerator_device_power_limit_watts",
    "accelerator_device_errors_total",
    "accelerator_partition_info",
    "accelerator_allocation_info",
    "accelerator_allocation_share_ratio",
    "accelerator_exporter_build_info",
    "accelerator_exporter_collector_up",
    "accelerator_exporter_config_last_reload_successful",
}


class Sample(NamedTuple):
    """One value of the exporter's page."""

    name: str
    labels: dict[str, str]
    value: float


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """What the exporter of one node prints, without what the tables do not need."""
    scenario = tmp_path_factory.mktemp("node") / "scenario.yaml"
    scenario.write_text(_SCENARIO)
    command = [sys.executable, "-m", "exporter", f"--simulate={scenario}", "--once", "--log.level=error"]
    printed = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True).stdout
    return [
        Sample(sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(printed)
        for sample in family.samples
        if sample.name in _FAMILIES
    ]


def of_node(sample: Sample, name: str) -> Sample:
    """The sample as node `name` has it: with uuids and pods of its own; the cards of one node failed."""
    labels = {**sample.labels, "instance": name, "job": "accelerator-exporter"}
    for label in ("uuid", "partition_uuid", "pod"):
        if label in labels:
            labels[label] += f"-{name}"
    value = sample.value
    if name == FAILED and sample.name == "accelerator_device_status" and labels["model"].startswith("NVIDIA H100"):
        value = float(labels["state"] == "failed")
    if name == FAILED and sample.name == "accelerator_exporter_collector_up":
        value = 0.0
    return Sample(sample.name, labels, value)


def open_metrics(node: list[Sample]) -> Iterator[str]:
    """Two scrapes of each node; a code of errors that has no counter in the first one."""
    for family in sorted(_FAMILIES):
        yield f"# TYPE {family} unknown"
        for sample in (each for each in node if each.name == family):
            for number in range(NODES):
                ours = of_node(sample, f"node-{number}")
                labels = ",".join(f'{name}="{value}"' for name, value in ours.labels.items())
                for at in (NOW - STEP, NOW):
                    yield f"{ours.name}{{{labels}}} {ours.value} {at}"
        if family == "accelerator_device_errors_total":
            yield from rare_errors(node)
    yield "# EOF"


def rare_errors(node: list[Sample]) -> Iterator[str]:
    """On the failed device: a code that has no counter before its two events, and one that started again."""
    info = next(s for s in node if s.name == "accelerator_device_info" and s.labels["model"].startswith("NVIDIA H100"))
    labels = {name: info.labels[name] for name in ("uuid", "device", "vendor", "model")}
    ours = of_node(Sample("accelerator_device_errors_total", labels, 2), FAILED).labels
    fixed = ",".join(f'{name}="{value}"' for name, value in ours.items())
    for code, before, now in (("31", None, 2), ("13", 5, 1), ("63", 4, 4)):
        series = f'accelerator_device_errors_total{{{fixed},source="xid",class="application",code="{code}"}}'
        if before is not None:
            yield f"{series} {before} {NOW - STEP}"
        yield f"{series} {now} {NOW}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, node: list[Sample]) -> Iterator[Prometheus]:
    with backfilled(tmp_path_factory.mktemp("prometheus"), "\n".join(open_metrics(node)) + "\n") as started:
        yield started


def answers(server: Prometheus, dashboard: str, title: str) -> list[list[Answer]]:
    windows = window_values(range_seconds=300, rate_seconds=120, step_seconds=STEP)
    return [server.query(filled_in(target.expr, windows), NOW) for target in targets(panel(dashboard, title))]


def table(server: Prometheus, dashboard: str, title: str) -> list[Row]:
    return lines(panel(dashboard, title), answers(server, dashboard, title))


@pytest.mark.parametrize("dashboard", [FLEET, NODE_AND_DEVICE])
def test_failed_device_is_on_top_with_its_pods(server: Prometheus, dashboard: str) -> None:
    """The two pods on its partitions, then one pod for each of the 799 other devices, or two."""
    found = table(server, dashboard, "Devices and their pods")

    assert len(found) == NODES * (DEVICES + 1)
    assert [(line["State"], line["Node"]) for line in found[:2]] == [(4, FAILED)] * 2
    assert {str(line["Pod"]) for line in found[:2]} == {f"slice-{number}-{FAILED}" for number in (0, 1)}
    assert {line["State"] for line in found[2:]} == {0}
    assert all("Power" in line for line in found)


@pytest.mark.parametrize(
    ("dashboard", "title", "columns"),
    [
        (FLEET, "Nodes", {"Node": FAILED}),
        (FLEET, "Models", {"Model": "NVIDIA H100 80GB HBM3"}),
        (NODE_AND_DEVICE, "Properties", {"Node": FAILED}),
        (NODE_AND_DEVICE, "Links", {"Node": FAILED}),
        (NODE_AND_DEVICE, "Memory repairs", {"Node": FAILED}),
        (NODE_AND_DEVICE, "Partitions and their pods", {"Node": FAILED, "Profile": "3g.40gb"}),
        (WORKLOADS, "Namespaces", {"Namespace": "team"}),
        (WORKLOADS, "Allocations", {"Node": FAILED, "Partition": "3g.40gb"}),
        (WORKLOADS, "Pods", {"Namespace": "team"}),
    ],
)
def test_every_table_has_the_failed_one_on_top(
    server: Prometheus, dashboard: str, title: str, columns: dict[str, str]
) -> None:
    first, *others = table(server, dashboard, title)
    assert first["State"] == 4
    assert columns.items() <= first.items()
    if "Pod" in first:
        assert str(first["Pod"]).endswith(FAILED)
    assert [line["State"] for line in others] == sorted((line["State"] for line in others), reverse=True)


def test_order_of_the_query_is_that_of_the_table(server: Prometheus) -> None:
    """Also where somebody sorts by another column and back: equal states keep the order of the query."""
    by_query = [answer.value for answer in answers(server, FLEET, "Devices and their pods")[0]]
    assert by_query == sorted(by_query, reverse=True)


def test_exporter_with_a_problem_is_on_top(server: Prometheus) -> None:
    first, *others = table(server, EXPORTERS, "Exporters")
    assert (first["Problems"], first["Node"], first["Collectors down"]) == (1, FAILED, 1)
    assert {line["Problems"] for line in others} == {0}


def test_events_include_counters_that_did_not_exist_or_started_again(server: Prometheus) -> None:
    (found,) = answers(server, NODE_AND_DEVICE, "Critical events")
    assert {answer.labels["code"]: answer.value for answer in found} == {"31": 2, "13": 1}
