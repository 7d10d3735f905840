"""Recording rules, and what alerts ask for, in a real Prometheus that scrapes simulated nodes of each vendor."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.prometheus.src import openshift, records
from deploy.prometheus.src.files import alerts
from deploy.prometheus.src.rule import Group
from tests.doubles.exporter_process import exporter, wait_until
from tests.doubles.prometheus import Prometheus
from tests.doubles.promql import selectors
from tests.doubles.scraping import often, scraping
from tools.gen_alerts import RULES

MIXED = """
description: One device of each vendor
devices:
  - profile: h100
  - profile: mi300x
  - profile: npu
pods:
  - { namespace: research, name: all, containers: [{ name: main, devices: all, load: 0.5 }] }
"""
EAGER = ("--poll.medium-interval=1s", "--poll.slow-interval=1s", "--metrics.sets=core,health,activity,limits")
# Asked for by alerts, and absent while nothing is wrong.
ONLY_WHEN_WRONG = {
    "accelerator_exporter_device_stuck_seconds",
    "accelerator_exporter_unmatched_devices",
    "accelerator_exporter_unresolved_claim_devices",
}
PARTITIONS = {
    "accelerator_partition_memory_usage_bytes",
    "accelerator_partition_memory_limit_bytes",
    "accelerator_partition_busy_seconds_total",
    "accelerator_partition_observed_seconds_total",
    "accelerator_partition_allocated",
}
# By node: what its devices do not have.
ABSENT: dict[str, set[str]] = {
    "mig": {"accelerator_device_temperature_limit_celsius"},  # an H100 reports the margin
    "mi300x": {
        "accelerator_device_memory_repair_failed",  # AMD retires pages, which cannot fail
        "accelerator_device_temperature_margin_celsius",  # only where a device does not report the limit
    },
    "mixed": PARTITIONS,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with all rules that has scraped all nodes several times."""
    mixed = tmp_path_factory.mktemp("scenario") / "mixed.yaml"
    mixed.write_text(MIXED)
    with ExitStack() as running:
        found = []
        for node in ABSENT:
            scenario = str(mixed) if node == "mixed" else node
            arguments = (f"--simulate={scenario}", f"--node.name={node}", *EAGER)
            process = running.enter_context(exporter(tmp_path_factory.mktemp(node), *arguments))
            found.append({"targets": [process.address], "labels": {"instance": node, "node": node}})
        rules = sorted(RULES.iterdir())
        started = running.enter_context(scraping(tmp_path_factory.mktemp("prometheus"), often(found), rules=rules))
        wait_until(lambda: started.value("count(count_over_time(up[1m]) >= 5)") == len(ABSENT))
        yield started


def names(*groups: Group) -> list[str]:
    return [rule.document()["record"] for group in groups for rule in group.rules]


@pytest.mark.parametrize("node", ABSENT)
def test_what_alerts_ask_for_exists_except_what_a_vendor_does_not_have(server: Prometheus, node: str) -> None:
    ignored = {*ONLY_WHEN_WRONG, *(name for alert in alerts() for name in alert.external)}
    asked = {
        selector.name: selector
        for alert in alerts()
        for selector in selectors(alert.expr)
        if selector.name not in ignored
    }
    missing = {name for name in asked if name and not server.query(f'{name}{{instance="{node}"}}')}
    assert missing == ABSENT[node]


def test_every_expression_of_an_alert_can_be_evaluated_and_nothing_fires(server: Prometheus) -> None:
    assert {alert.name for alert in alerts() if server.query(alert.expr)} == set()


def test_every_recorded_series_has_data(server: Prometheus) -> None:
    server.wait_for_all({name: name for name in names(*records.GROUPS, *openshift.GROUPS)})
    of_nodes = {
        f"{name} {node}": f'{name}{{instance="{node}"}}' for name in names(records.GROUPS[2]) for node in ABSENT
    }
    server.wait_for_all(of_nodes)
    shown = {f"{name} {node}": f'{name}{{instance="{node}"}}' for name in names(*openshift.GROUPS) for node in ABSENT}
    server.wait_for_all(shown)


def test_shares_of_pods_add_up_to_those_of_namespaces_and_nodes(server: Prometheus) -> None:
    allocated = "accelerator_allocated_devices:sum"
    wait_until(lambda: server.value(f"sum(node:{allocated})"))
    by_level = [server.value(f"sum({level}:{allocated})") for level in ("namespace_pod", "namespace", "node")]
    assert by_level == [pytest.approx(server.value("sum(accelerator_allocation_share_ratio)"))] * 3


def test_names_of_openshift_count_every_device_once_and_name_its_sole_pod(server: Prometheus) -> None:
    wait_until(lambda: server.query("accelerator_sm_clock_hertz"))
    assert server.value("count(accelerator_power_usage_watts)") == server.value("count(accelerator_device_power_watts)")
    assert server.value("sum(accelerator_memory_total_bytes)") == server.value(
        "sum(accelerator_partition_memory_limit_bytes)"
        " + sum(accelerator_device_memory_limit_bytes unless on (uuid) accelerator_device_partitions > 0)"
    )
    for name in ("accelerator_gpu_utilization", "accelerator_power_usage_watts", "accelerator_temperature_celsius"):
        pods = {answer.labels.get("pod") for answer in server.query(f'{name}{{instance="mixed"}}')}
        assert pods == {"all"}
    assert 0 <= max(answer.value for answer in server.query("accelerator_gpu_utilization")) <= 100
