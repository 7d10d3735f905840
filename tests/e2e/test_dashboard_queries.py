"""The queries of the dashboards, answered by a real Prometheus that scrapes real exporters with simulated nodes."""

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from collectors.labels import STATUS
from tests.doubles.dashboards import (
    DASHBOARDS,
    EXPORTERS,
    FLEET,
    FOLDER,
    NODE_AND_DEVICE,
    WINDOWS,
    WORKLOADS,
    column,
    over_time,
    panel,
    queries,
    query,
)
from tests.doubles.exporter_process import exporter, wait_until
from tests.doubles.prometheus import Answer, Prometheus
from tests.doubles.scraping import often, scraping
from tools.dashboard_queries import Target, filled_in, series_name, targets, window_values
from tools.preview_table import lines

_NPU = """\
description: "Two cards of a vendor whose driver reports little"
devices:
  - { profile: npu, count: 2 }
pods:
  - { namespace: inference, name: ranker-0, containers: [{ name: server, devices: [0], load: 0.6 }] }
"""
NODES = {"nvidia": "inference", "amd": "mi300x", "npu": "", "mixed": str(FOLDER / "preview.yaml")}

# What the cards of a node do not report: a query that needs one of these families has no result there. By reason.
NOT_REPORTED: dict[str, dict[str, tuple[str, ...]]] = {
    "nvidia": {
        "only AMD's cards use memory of the host by themselves": ("host_memory_usage_bytes",),
        "only AMD's older cards report the activity of the memory controller": ("memory_controller_activity_ratio",),
        "PCIe cards and a MIG device have no NVLink": ("interconnect_",),
        "these cards replace rows, not pages": ("memory_retired_pages",),
    },
    "amd": {
        "the driver reports no margins": ("temperature_margin_celsius",),
        "the activity of pipes is only known of NVIDIA's cards": ("pipe_activity_ratio",),
        "these cards report used bandwidth": ("memory_busy_ratio", "memory_controller_activity_ratio"),
        "OAM modules have no fans": ("fan_speed_ratio",),
        "the driver has no counter of PCIe bytes": ("pcie_bytes_total",),
        "the driver counts no errors of links": ("interconnect_errors_total",),
        "these cards retire pages and replace no rows": ("memory_remapped_rows", "memory_repair_failed"),
    },
    "npu": {
        "the card cannot be partitioned": ("partition_",),
        "its driver reports load, memory, power, core temperature and core clock": (
            "power_limit_watts",
            "temperature_margin_celsius",
            "mode",
            "memory_bandwidth_utilization_ratio",
            "memory_busy_ratio",
            "memory_controller_activity_ratio",
            "host_memory_usage_bytes",
            "pipe_activity_ratio",
            "engine_utilization_ratio",
            "throttle_",
            "fan_speed_ratio",
            "pcie_",
            "interconnect_",
            "memory_errors_total",
            "memory_repair_",
            "memory_re",
            "errors_total",
            "error_last_timestamp_seconds",
        ),
    },
    "mixed": {},
}

# Panels and columns about trouble that a simulated node does not have, with the reason.
NO_SUCH_TROUBLE = {
    f"{EXPORTERS}: Time that devices are stuck-A": "no call about a single device hangs",
    f"{EXPORTERS}: Unmatched devices by resource-A": "every pod has a device of the scenario",
    f"{EXPORTERS}: Unmatched devices by resource-B": "every pod has a device of the scenario",
    f"{EXPORTERS}: Exporter starts-A": "all started before the first scrape",
    f"{NODE_AND_DEVICE}: Link errors-A": "no fault of a scenario is about links",
    f"{NODE_AND_DEVICE}: Link errors-B": "no fault of a scenario is about links",
}
# Panels and columns about faults of devices: of these nodes, only "mixed" has any.
FAULTS = {
    f"{EXPORTERS}: Failed readings-A",
    *(f"{FLEET}: {title}" for title in ("Critical events-A", "History of devices that were not ok-A")),
    *(f"{NODE_AND_DEVICE}: {title}" for title in ("Critical events-A", "Memory errors-A")),
    *(f"{page}: {title}" for page in (FLEET, NODE_AND_DEVICE) for title in ("Devices and their pods-B",)),
    *(f"{page}: Last critical events-{letter}" for page in (FLEET, NODE_AND_DEVICE) for letter in "AB"),
}
# Whether there is any depends on the minute: separate tests are about them.
BY_MINUTE = {f"{WORKLOADS}: Allocated but idle-{letter}" for letter in "AB"} | {f"{NODE_AND_DEVICE}: Throttled-A"}
# Queries of idle device-hours: they read the utilization of devices, else that of partitions.
ONE_IS_ENOUGH = {
    f"{WORKLOADS}: {title}" for title in ("Idle device-hours-A", "Namespaces-E", "Most idle device-hours-A", "Pods-C")
}
# Events are shown at the point at which they happen.
EVENTS = {name for name, target in queries().items() if target.step_seconds}
# Shorter intervals for slow readings: memory errors are read once a minute by default.
EAGER = ("--poll.medium-interval=1s", "--poll.slow-interval=1s")
IN_A_CLUSTER = "mixed"
CLUSTER = "east"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes all nodes; one of them with a label `cluster`, the others without."""
    with ExitStack() as running:
        found = []
        npu = tmp_path_factory.mktemp("scenario") / "npu.yaml"
        npu.write_text(_NPU)
        for node, scenario in {**NODES, "npu": str(npu)}.items():
            folder = tmp_path_factory.mktemp(node)
            process = running.enter_context(exporter(folder, f"--simulate={scenario}", *EAGER))
            cluster = {"cluster": CLUSTER} if node == IN_A_CLUSTER else {}
            found.append({"targets": [process.address], "labels": {"instance": node, **cluster}})
        started = running.enter_context(scraping(tmp_path_factory.mktemp("prometheus"), often(found)))
        scraped = "count(count_over_time(up[1m]) >= 8)"  # from now on an empty panel has another reason
        wait_until(lambda: started.value(scraped) == len(NODES))
        yield started


def filled(name: str, target: Target, **choices: str) -> str:
    expression = filled_in(target.expr, WINDOWS, choices)
    return over_time(expression) if name in EVENTS else expression


def result(server: Prometheus, target: Target, **choices: str) -> list[Answer]:
    return server.query(filled_in(target.expr, WINDOWS, choices))


def answered(server: Prometheus, target: Target, **choices: str) -> list[Answer]:
    """Wait for a result and return it."""
    return wait_until(lambda: result(server, target, **choices) or None)


def not_reported(node: str) -> tuple[str, ...]:
    """The beginnings of the families that a node lacks, without the subject of devices."""
    stems = [stem for stems in NOT_REPORTED[node].values() for stem in stems]
    return tuple(f"accelerator_{'' if stem == 'partition_' else 'device_'}{stem}" for stem in stems)


def without_data(node: str) -> set[str]:
    """The queries that need a family that the node does not have."""
    missing = not_reported(node)
    return {
        name
        for name, target in queries().items()
        if any(family.startswith(missing) for family in re.findall(r"accelerator_\w+", target.expr))
    } - ONE_IS_ENOUGH


@pytest.mark.parametrize("node", NODES)
def test_every_query_returns_data_of_every_vendor(server: Prometheus, node: str) -> None:
    empty = {*NO_SUCH_TROUBLE, *BY_MINUTE, *without_data(node), *(FAULTS if node != "mixed" else ())}
    wanted = {name: filled(name, target, node=node) for name, target in queries().items() if name not in empty}
    assert len(wanted) > len(queries()) / 2

    server.wait_for_all(wanted)


@pytest.mark.parametrize("node", NODES)
def test_panels_without_data_are_those_of_the_lists(server: Prometheus, node: str) -> None:
    rightly_empty = {*NO_SUCH_TROUBLE, *without_data(node), *(FAULTS if node != "mixed" else ())}
    assert rightly_empty <= set(queries())
    found = {name: server.query(filled(name, queries()[name], node=node)) for name in rightly_empty}
    assert [name for name, answers in found.items() if answers] == []
    missing = [f"count({{__name__=~'{stem}.*', instance='{node}'}})" for stem in not_reported(node)]
    assert [name for name in missing if server.value(name)] == []


def test_every_query_returns_numbers_for_all_nodes_together(server: Prometheus) -> None:
    wanted = {name: filled(name, target) for name, target in queries().items() if name not in NO_SUCH_TROUBLE}
    server.wait_for_all(wanted)

    answers = [(name, answer.value) for name, expression in wanted.items() for answer in server.query(expression)]
    assert [(name, value) for name, value in answers if not math.isfinite(value)] == []


def test_cluster_can_be_selected_where_it_exists(server: Prometheus) -> None:
    devices = query(FLEET, "Provisioned")
    assert [answer.value for answer in answered(server, devices, cluster=CLUSTER)] == [9]
    assert [answer.value for answer in result(server, devices, node=IN_A_CLUSTER)] == [9]
    assert result(server, devices, cluster=CLUSTER, node="amd") == []


def test_vendor_and_model_can_be_selected(server: Prometheus) -> None:
    devices = query(FLEET, "Provisioned")
    by_vendor = {vendor: result(server, devices, vendor=vendor)[0].value for vendor in ("nvidia", "amd", "generic")}
    assert sum(by_vendor.values()) == result(server, devices)[0].value
    assert [answer.value for answer in result(server, devices, model="NVIDIA L40S", node="mixed")] == [2]


def test_namespace_pod_and_device_can_be_selected(server: Prometheus) -> None:
    share = query(WORKLOADS, "Allocated devices by namespace")
    assert {answer.labels["namespace"] for answer in answered(server, share, node="mixed")} > {"notebooks", "batch"}
    chosen = result(server, share, namespace="notebooks", pod="(ana|boris)", node="mixed")
    assert [(answer.labels["namespace"], answer.value) for answer in chosen] == [("notebooks", 1)]
    (one,) = {answer.labels["device"] for answer in server.query("accelerator_allocation_info{pod='forgotten'}")}
    load = query(NODE_AND_DEVICE, "Device memory in use")
    assert len(result(server, load, node="mixed", device=one)) == 1


def test_provisioned_allocated_active_and_effective_fall(server: Prometheus) -> None:
    titles = ("Provisioned", "Allocated", "Active", "Effective")
    for node in NODES:
        numbers = [answered(server, query(FLEET, title), node=node)[0].value for title in titles]
        assert numbers == sorted(numbers, reverse=True)
        assert numbers[-1] > 0
    (forgotten_included,) = result(server, query(FLEET, "Allocated"), node="mixed")
    (active,) = result(server, query(FLEET, "Active"), node="mixed")
    assert forgotten_included.value > active.value
    (free,) = result(server, query(FLEET, "Free"), node="mixed")
    assert free.value == 1


def test_degraded_device_is_above_the_others_with_its_pods(server: Prometheus) -> None:
    """Its partitions are allocated to three pods: three lines, each with the readings of the device."""
    table = panel(FLEET, "Devices and their pods")

    def degraded_first() -> list[dict[str, str | float]] | None:
        found = lines(table, [result(server, target) for target in targets(table)])
        return found[:3] if found[0]["State"] == 2 else None

    first = wait_until(degraded_first)
    assert {line["Pod"] for line in first} == {"llm-server-0", "embedder-0", "embedder-1"}
    assert {(line["Node"], line["Namespace"]) for line in first} == {("mixed", "inference")}
    assert all(line["Power"] == first[0]["Power"] and line["Memory"] == first[0]["Memory"] for line in first)


def test_event_is_at_one_point_of_the_graph(server: Prometheus) -> None:
    event = query(NODE_AND_DEVICE, "Critical events")
    shown = f"({filled_in(event.expr, WINDOWS, {'node': 'mixed'})})[2m:5s]"
    (points,) = wait_until(lambda: server.query(f"count_over_time({shown})") or None)
    (events,) = server.query(f"sum_over_time({shown})")
    assert (points.labels["code"], points.value, events.value) == ("94", 1, 1)


def test_pod_with_an_idle_device_is_found(server: Prometheus) -> None:
    found = answered(server, query(WORKLOADS, "Allocated but idle"), node="mixed")
    assert {answer.labels["pod"] for answer in found} == {"forgotten"}
    waste = {
        answer.labels["pod"]: answer.value for answer in result(server, query(WORKLOADS, "Most idle device-hours"))
    }
    hours = {answer.labels["pod"]: answer.value for answer in result(server, query(WORKLOADS, "Most device-hours"))}
    assert waste["forgotten"] == pytest.approx(hours["forgotten"], rel=0.01)


def test_energy_of_namespaces_is_that_of_the_devices_that_they_hold(server: Prometheus) -> None:
    """Of the NPU node one of two devices is allocated, as a whole and all the time."""
    ten_seconds = window_values(range_seconds=10, rate_seconds=5, step_seconds=5)
    energy = server.value(filled_in(query(WORKLOADS, "Energy").expr, ten_seconds, {"node": "npu"}))
    power = "avg_over_time(accelerator_device_power_watts{instance='npu'}[15s])"
    drawn = server.value(f"{power} and on (uuid) accelerator_device_allocated == 1")
    assert drawn is not None
    assert energy == pytest.approx(drawn * 10, rel=0.2)


def test_container_that_was_never_active_is_idle_since_it_is_observed(server: Prometheus) -> None:
    never_active = "accelerator_container_observed_seconds_total{pod='forgotten'}"
    assert server.query("accelerator_container_last_active_timestamp_seconds{pod='forgotten'}") == []
    for target in (column(WORKLOADS, "Allocations", "Idle for"), query(WORKLOADS, "Longest idle now")):
        at_least = server.value(never_active)
        idle_times = {answer.labels["pod"]: answer.value for answer in answered(server, target, node="mixed")}
        at_most = server.value(never_active)
        assert at_least is not None
        assert at_most is not None
        assert at_least <= idle_times["forgotten"] <= at_most
        assert "finetune-0" in idle_times  # it has been active
        assert {"ana", "boris"}.isdisjoint(idle_times)  # their parts of a shared device are unknown


@pytest.mark.parametrize("node", ["nvidia", "amd", "mixed"])
def test_partitions_of_one_profile_have_different_names(server: Prometheus, node: str) -> None:
    memory = query(NODE_AND_DEVICE, "Partition memory in use")
    names = [series_name(memory, answer.labels) for answer in answered(server, memory, node=node)]
    assert len(set(names)) == len(names) > 1


def test_limits_of_temperatures_are_those_of_the_device(server: Prometheus) -> None:
    """The limit is drawn from temperature and margin. 88 degrees are the slowdown of the simulated L40S."""
    limits = answered(server, query(NODE_AND_DEVICE, "Device temperature", "B"), node="mixed")
    found = {(answer.labels["limit"], answer.value) for answer in limits if answer.labels["model"] == "NVIDIA L40S"}
    assert found == {("slowdown", 88)}


@pytest.mark.parametrize("dashboard", DASHBOARDS)
def test_every_variable_has_values(server: Prometheus, dashboard: str) -> None:
    for variable in DASHBOARDS[dashboard]["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert found is not None
        inner, label = found.groups()
        listed = replace(query(FLEET, "Provisioned"), expr=f"count by ({label}) ({inner})")
        assert any(answer.labels.get(label) for answer in answered(server, listed)), variable["name"]


def test_states_of_the_catalogue_are_those_that_the_queries_rank() -> None:
    ranked = set(re.findall(r'state="(\w+)"', query(FLEET, "Devices and their pods").expr))
    assert ranked == set(STATUS.values)
