"""The queries of the dashboard, answered by a real Prometheus that scrapes real exporters with simulated nodes."""

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.doubles.exporter_process import exporter, wait_until
from tests.doubles.prometheus import Answer, Prometheus
from tests.doubles.scraping import often, scraping
from tools.dashboard_queries import Target, filled_in, panels, read, series_name, targets, window_values

FOLDER = Path(__file__).parents[2] / "dashboards"
DASHBOARD = read(FOLDER / "accelerators-node-and-pods.json")
TARGETS = [target for panel in panels(DASHBOARD) for target in targets(panel)]
BY_TITLE = {target.title: target for target in TARGETS if target.letter == "A"}
# A range short enough for a test; rates cover enough time to include an event of the first seconds.
WINDOWS = window_values(30, 120)

# Node, its scenario, and the panels that are empty there. The first two have no faults.
NOTHING_WRONG = {"Throttled", "Memory errors", "Critical events"}
NODES = {
    "inference": ("inference", NOTHING_WRONG),
    "mig": ("mig", NOTHING_WRONG),
    "preview": (str(FOLDER / "preview.yaml"), set[str]()),
}
IDLE_TIMES = {
    "Idle for": next(target for target in TARGETS if (target.title, target.letter) == ("Allocations", "C")),
    "Time since last active": BY_TITLE["Time since last active"],
}
IDLE = "Allocated but idle"  # whether there is one depends on the minute: see its separate test
# Shorter intervals for slow readings: memory errors are read once a minute by default.
EAGER = ("--poll.medium-interval=1s", "--poll.slow-interval=1s")
IN_A_CLUSTER = "preview"
CLUSTER = "east"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes all nodes; one of them with a label `cluster`, the others without."""
    with ExitStack() as running:
        found = []
        for node, (scenario, _) in NODES.items():
            process = running.enter_context(exporter(tmp_path_factory.mktemp(node), f"--simulate={scenario}", *EAGER))
            cluster = {"cluster": CLUSTER} if node == IN_A_CLUSTER else {}
            found.append({"targets": [process.address], "labels": {"instance": node, **cluster}})
        job = often(found)
        started = running.enter_context(scraping(tmp_path_factory.mktemp("prometheus"), job))
        scraped = "count(count_over_time(up[1m]) >= 8)"  # from now on an empty panel has another reason
        wait_until(lambda: started.value(scraped) == len(NODES))
        yield started


def result(server: Prometheus, target: Target, **choices: str) -> list[Answer]:
    return server.query(filled_in(target.expr, WINDOWS, choices))


def answered(server: Prometheus, target: Target, **choices: str) -> list[Answer]:
    """Wait for a result and return it."""
    return wait_until(lambda: result(server, target, **choices) or None)


def named(chosen: list[Target], **choices: str) -> dict[str, str]:
    """The queries by the title of their panel."""
    return {f"{target.title}-{target.letter}": filled_in(target.expr, WINDOWS, choices) for target in chosen}


@pytest.mark.parametrize("node", NODES)
def test_every_query_returns_the_expected_result(server: Prometheus, node: str) -> None:
    _, rightly_empty = NODES[node]

    server.wait_for_all(named([t for t in TARGETS if t.title not in {*rightly_empty, IDLE}], node=node))

    empty = [target for target in TARGETS if target.title in rightly_empty]
    assert [target.title for target in empty if result(server, target, node=node)] == []


def test_every_query_returns_numbers_for_all_nodes_together(server: Prometheus) -> None:
    server.wait_for_all(named(TARGETS))

    answers = [(target.title, answer.value) for target in TARGETS for answer in result(server, target)]
    assert [(title, value) for title, value in answers if not math.isfinite(value)] == []


def test_cluster_can_be_selected_where_it_exists(server: Prometheus) -> None:
    info = BY_TITLE["Devices"]
    assert [answer.value for answer in answered(server, info, cluster=CLUSTER)] == [6]
    assert [answer.value for answer in result(server, info, node=IN_A_CLUSTER)] == [6]
    assert result(server, info, cluster=CLUSTER, node="mig") == []


def test_pod_and_device_can_be_selected(server: Prometheus) -> None:
    share = BY_TITLE["Allocated devices by pod"]
    shares = answered(server, share, node="preview")
    assert {answer.labels["pod"] for answer in shares} > {"ana", "boris", "forgotten"}
    chosen = result(server, share, namespace="notebooks", pod="(ana|boris)")
    assert {answer.labels["pod"]: answer.value for answer in chosen if "cluster" in answer.labels} == {
        "ana": 0.5,
        "boris": 0.5,
    }
    (one,) = {answer.labels["device"] for answer in server.query("accelerator_allocation_info{pod='forgotten'}")}
    devices = BY_TITLE["Devices"]
    assert [answer.value for answer in result(server, devices, node="preview", device=one)] == [1]


def test_pod_with_an_idle_device_is_found(server: Prometheus) -> None:
    found = answered(server, BY_TITLE[IDLE], node="preview")
    assert {answer.labels["pod"] for answer in found} == {"forgotten"}


@pytest.mark.parametrize("title", ["Idle for", "Time since last active"])
def test_container_that_was_never_active_is_idle_since_it_is_observed(server: Prometheus, title: str) -> None:
    never_active = "accelerator_container_observed_seconds_total{pod='forgotten'}"
    assert server.query("accelerator_container_last_active_timestamp_seconds{pod='forgotten'}") == []

    at_least = server.value(never_active)
    idle_times = {answer.labels["pod"]: answer.value for answer in answered(server, IDLE_TIMES[title], node="preview")}
    at_most = server.value(never_active)

    assert at_least is not None
    assert at_most is not None
    assert at_least <= idle_times["forgotten"] <= at_most
    assert "finetune-0" in idle_times  # it has been active
    assert {"ana", "boris"}.isdisjoint(idle_times)  # their parts of a shared device are unknown


@pytest.mark.parametrize("node", ["mig", "preview"])
def test_partitions_of_one_profile_have_different_names(server: Prometheus, node: str) -> None:
    memory = BY_TITLE["Partition memory in use"]
    names = [series_name(memory, answer.labels) for answer in answered(server, memory, node=node)]
    assert len(set(names)) == len(names) > 1


def test_every_variable_has_values(server: Prometheus) -> None:
    for variable in DASHBOARD["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert found is not None
        inner, label = found.groups()
        listed = replace(TARGETS[0], expr=f"count by ({label}) ({inner})")
        assert any(answer.labels.get(label) for answer in answered(server, listed)), variable["name"]
