"""The values of the recording rules, computed by promtool for a node with every way to hold a device.

GPU-1 is shared by two pods, GPU-2 belongs to one of these as a whole, GPU-3 has two partitions of which a pod holds
one, and nobody holds GPU-4.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.prometheus.src.files import FILES
from tests.doubles.promtool import RuleTest, failures
from tools.gen_alerts import RULES

RECORDING, OPENSHIFT = RULES / "recording.yaml", RULES / "openshift-names.yaml"
NODE = 'job="accelerator-exporter",instance="n1",node="n1",cluster="a"'
OTHER_CLUSTER = 'cluster="b"'
GPUS = {number: f'{NODE},uuid="GPU-{number}",device="0000:0{number}:00.0",model="H100"' for number in range(1, 5)}
HALF, QUARTER = (f'{GPUS[3]},partition_uuid="MIG-{part}",profile="{part}g"' for part in (2, 1))
PODS = tuple(f'namespace="{namespace}",pod="{pod}"' for namespace, pod in (("x", "one"), ("y", "two"), ("x", "three")))
ONE, TWO, THREE = (f'{pod},container="main"' for pod in PODS)
WATTS = {1: 100, 2: 300, 3: 400, 4: 20}
# Each holding: the device or partition, the pod, its share, and whether it holds it alone.
HOLDINGS = ((GPUS[1], ONE, 0.5, False), (GPUS[1], TWO, 0.5, False), (GPUS[2], ONE, 1, True), (HALF, THREE, 0.5, True))
STEP_SECONDS = 15

Values = Mapping[str, Mapping[str, float]]


def _counter(per_second: float) -> str:
    return f"0+{per_second * STEP_SECONDS:g}x60"


def _series() -> dict[str, str]:
    found: dict[str, str] = {}
    for number, gpu in GPUS.items():
        found |= {
            f"accelerator_device_info{{{gpu}}}": "1x60",
            f'accelerator_device_status{{{gpu},state="failed"}}': f"{int(number == 4)}x60",
            f"accelerator_device_energy_joules_total{{{gpu}}}": _counter(WATTS[number]),
            f"accelerator_device_power_watts{{{gpu}}}": f"{WATTS[number]}x60",
            f"accelerator_device_busy_seconds_total{{{gpu}}}": _counter(0.5),
            f"accelerator_device_observed_seconds_total{{{gpu}}}": _counter(1),
            f"accelerator_device_utilization_ratio{{{gpu}}}": "0.5x60",
            f"accelerator_device_memory_usage_bytes{{{gpu}}}": "40x60",
            f"accelerator_device_memory_limit_bytes{{{gpu}}}": "80x60",
            f"accelerator_device_partitions{{{gpu}}}": f"{2 * (number == 3)}x60",
            f"accelerator_device_allocations{{{gpu}}}": f"{ {1: 2, 4: 0}.get(number, 1) }x60",
            f'accelerator_device_temperature_celsius{{{gpu},sensor="core"}}': "50x60",
            f'accelerator_device_temperature_celsius{{{gpu},sensor="memory"}}': "70x60",
            f'accelerator_device_clock_hertz{{{gpu},domain="core"}}': "1e9x60",
            f'accelerator_device_clock_hertz{{{gpu},domain="memory"}}': "2e9x60",
        }
    for part in (HALF, QUARTER):
        found |= {
            f"accelerator_partition_utilization_ratio{{{part}}}": "0.25x60",
            f"accelerator_partition_memory_usage_bytes{{{part}}}": "10x60",
            f"accelerator_partition_memory_limit_bytes{{{part}}}": "20x60",
        }
    for subject, pod, share, alone in HOLDINGS:
        labels = f"{{{subject},{pod}}}"
        found[f"accelerator_allocation_share_ratio{labels}"] = f"{share}x60"
        found[f'accelerator_allocation_info{{{subject},{pod},resource="r",source="device_plugin"}}'] = "1x60"
        if alone:
            found |= {
                f"accelerator_container_busy_seconds_total{labels}": _counter(0.25),
                f"accelerator_container_observed_seconds_total{labels}": _counter(1),
                f"accelerator_container_utilization_ratio{labels}": "0.25x60",
                f"accelerator_container_memory_usage_bytes{labels}": "10x60",
                f"accelerator_container_memory_limit_bytes{labels}": "20x60",
            }
    return found


def _with_labels(series: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    return {name.replace(old, new): values for name, values in series.items()}


def _recorded(name: str, elements: Mapping[str, float], matcher: str = "") -> dict[str, Mapping[str, float]]:
    return {f"round({name}{{{matcher}}}, 0.001)": {f"{{{labels}}}": value for labels, value in elements.items()}}


SERIES = _series()
POD_ONE, POD_TWO, POD_THREE = (f'cluster="a",{pod}' for pod in PODS)
X, Y, OF_NODE = 'cluster="a",namespace="x"', 'cluster="a",namespace="y"', 'cluster="a",instance="n1",node="n1"'
OF_PODS: Values = {
    "accelerator_allocated_devices:sum": {POD_ONE: 1.5, POD_TWO: 0.5, POD_THREE: 0.5},
    "accelerator_power_watts:rate5m": {POD_ONE: 350, POD_TWO: 50, POD_THREE: 200},
    "accelerator_utilization:ratio_rate5m": {POD_ONE: 0.25, POD_THREE: 0.25},
    "accelerator_memory_usage_bytes:sum": {POD_ONE: 10, POD_THREE: 10},
    "accelerator_memory_limit_bytes:sum": {POD_ONE: 20, POD_THREE: 20},
}
OF_NAMESPACES: Values = {
    "accelerator_allocated_devices:sum": {X: 2, Y: 0.5},
    "accelerator_power_watts:rate5m": {X: 550, Y: 50},
    "accelerator_utilization:ratio_rate5m": {X: 0.25},
    "accelerator_memory_usage_bytes:sum": {X: 20},
    "accelerator_memory_limit_bytes:sum": {X: 40},
}
OF_NODES: Values = {
    "accelerator_devices:count": {OF_NODE: 4},
    "accelerator_allocated_devices:sum": {OF_NODE: 2.5},
    "accelerator_failed_devices:sum": {OF_NODE: 1},
    "accelerator_power_watts:rate5m": {OF_NODE: 820},
    "accelerator_utilization:ratio_rate5m": {OF_NODE: 0.5},
    "accelerator_memory_usage_bytes:sum": {OF_NODE: 160},
    "accelerator_memory_limit_bytes:sum": {OF_NODE: 320},
}
LEVELS = {
    "namespace_pod": OF_PODS,
    "namespace": OF_NAMESPACES,
    "node": OF_NODES,
}
ALL_RECORDS = {
    query: elements
    for level, records in LEVELS.items()
    for name, values in records.items()
    for query, elements in _recorded(f"{level}:{name}", values, 'cluster="a"').items()
}
# By device or partition, and the pod that holds it alone.
WHOLE = GPUS | {2: f"{GPUS[2]},{ONE}"}
PARTS = {f"{HALF},{THREE}": 10, QUARTER: 10, WHOLE[1]: 40, WHOLE[2]: 10, WHOLE[4]: 40}
OPENSHIFT_NAMES = {
    **_recorded("accelerator_memory_used_bytes", PARTS),
    **_recorded("accelerator_memory_total_bytes", {part: 80 if used == 40 else 20 for part, used in PARTS.items()}),
    **_recorded("accelerator_gpu_utilization", {part: 50 if used == 40 else 25 for part, used in PARTS.items()}),
    **_recorded("accelerator_power_usage_watts", {WHOLE[number]: WATTS[number] for number in GPUS}),
    **_recorded("accelerator_temperature_celsius", dict.fromkeys(WHOLE.values(), 50)),
    **_recorded("accelerator_sm_clock_hertz", dict.fromkeys(WHOLE.values(), 1e9)),
    **_recorded("accelerator_memory_clock_hertz", dict.fromkeys(WHOLE.values(), 2e9)),
}
RENAMED = _with_labels(SERIES, "H100", "H100 80GB")
POWER_OF_PODS = "namespace_pod:accelerator_power_watts:rate5m"

TESTS = (
    RuleTest("every way to hold a device", SERIES, recorded=ALL_RECORDS | OPENSHIFT_NAMES),
    RuleTest(
        "another cluster has a node and pods of the same names",
        SERIES | _with_labels(_with_labels(SERIES, 'cluster="a"', OTHER_CLUSTER), "GPU-", "GPU-b"),
        recorded=ALL_RECORDS,
    ),
    RuleTest(
        "the driver names the model in another way: every pod has a power, and no watt is counted twice",
        {name: values.replace("x60", "x30 stale") for name, values in SERIES.items()}
        | {name: f"_x31 {values}" for name, values in RENAMED.items()},
        recorded={
            f"count({POWER_OF_PODS})": {"{}": 3},
            f"max_over_time(sum({POWER_OF_PODS})[10m:30s]) <= bool 600.001": {"{}": 1},
        },
    ),
    RuleTest(
        "hardware counters start again: no peak",
        SERIES
        | {name: values.replace("x60", "x30 ") + values for name, values in SERIES.items() if "_energy_" in name},
        recorded={"max_over_time(max(node:accelerator_power_watts:rate5m)[10m:30s]) <= bool 820.001": {"{}": 1}},
    ),
)


def test_every_record_has_an_expected_value() -> None:
    groups = (group for name in ("recording.yaml", "openshift-names.yaml") for group in FILES[name])
    names = {rule.name for group in groups for rule in group.rules}
    assert {query.removeprefix("round(").partition("{")[0] for query in ALL_RECORDS | OPENSHIFT_NAMES} == names


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_records_have_the_right_values(test: RuleTest, tmp_path: Path) -> None:
    assert failures([RECORDING, OPENSHIFT], [test], tmp_path) == ""


@pytest.mark.parametrize("record", [POWER_OF_PODS, "accelerator_power_usage_watts"])
def test_a_device_that_is_exported_twice_does_not_end_the_record_of_others(record: str, tmp_path: Path) -> None:
    second = {name: values for name, values in SERIES.items() if "GPU-1" in name}
    doubled = SERIES | _with_labels(second, 'job="', 'job="second-')
    found = RuleTest(record, doubled, recorded={f"count({record}) > bool 0": {"{}": 1}})
    assert failures([RECORDING, OPENSHIFT], [found], tmp_path) == ""
