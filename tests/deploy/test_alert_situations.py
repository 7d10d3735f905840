"""Alerts in what happens to nodes every day: restarts, moves, drains, reloads, several clusters. Which fire, and when.

In a situation without a fault nothing may fire; beside a fault nothing else may, and nothing may hide it.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.doubles.promtool import RuleTest, failures
from tools.gen_alerts import RULES

NODE = 'job="accelerator-exporter",instance="n1",node="n1"'
OTHER_NODE = NODE.replace("n1", "n2")
ID = 'uuid="GPU-1",device="0000:01:00.0",vendor="nvidia",model="H100"'
PEER_ID = 'uuid="GPU-2",device="0000:02:00.0",vendor="nvidia",model="H100"'
GPU, PEER = f"{NODE},{ID}", f"{NODE},{PEER_ID}"
STATUS = "accelerator_device_status"
TEMPERATURE = "accelerator_device_temperature_celsius"
LIMIT = "accelerator_device_temperature_limit_celsius"
FAILED = 'node="n1",uuid="GPU-1"'


def healthy(gpu: str = GPU, target: str = NODE) -> dict[str, str]:
    """What a healthy device and its exporter export for an hour and a half."""
    always = {
        f"up{{{target}}}": 1,
        f'accelerator_exporter_build_info{{{target},version="1"}}': 1,
        f'accelerator_exporter_collector_up{{{target},collector="nvidia"}}': 1,
        f'accelerator_exporter_attribution_up{{{target},source="podresources"}}': 1,
        f"accelerator_device_info{{{gpu}}}": 1,
        f'{STATUS}{{{gpu},state="ok"}}': 1,
        f'{STATUS}{{{gpu},state="failed"}}': 0,
        f'{TEMPERATURE}{{{gpu},sensor="core"}}': 60,
        f'{LIMIT}{{{gpu},sensor="core",limit="slowdown"}}': 90,
        f"accelerator_device_memory_usage_bytes{{{gpu}}}": 40,
        f"accelerator_device_memory_limit_bytes{{{gpu}}}": 80,
        f"accelerator_device_partitions{{{gpu}}}": 0,
        f"accelerator_device_allocations{{{gpu}}}": 1,
        f"accelerator_device_pcie_link_generation{{{gpu}}}": 5,
        f"accelerator_device_pcie_link_width{{{gpu}}}": 16,
    }
    counted = {
        f'accelerator_device_errors_total{{{gpu},source="xid",code="79",class="hardware"}}': 0,
        f'accelerator_device_memory_errors_total{{{gpu},kind="uncorrected"}}': 0,
        f"accelerator_device_busy_seconds_total{{{gpu}}}": 10,
        f"accelerator_device_observed_seconds_total{{{gpu}}}": 15,
    }
    return {
        **{name: f"{value}x360" for name, value in always.items()},
        **{name: f"0+{step}x360" for name, step in counted.items()},
    }


def changed(series: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The series with other values for those that contain a text."""
    return {
        name: next((other for text, other in values.items() if text in name), given) for name, given in series.items()
    }


def with_labels(series: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    return {name.replace(old, new): values for name, values in series.items()}


def allocatable(labels: str = 'node="n1"', values: str = "8x360") -> dict[str, str]:
    return {f'kube_node_status_allocatable{{job="ksm",{labels},resource="nvidia_com_gpu"}}': values}


def ended(series: Mapping[str, str], steps: int) -> dict[str, str]:
    """The same series, which end."""
    return {name: f"{values.removesuffix('x360')}x{steps} stale" for name, values in series.items()}


def started(series: Mapping[str, str], steps: int) -> dict[str, str]:
    """The same series, which begin later; counters at 0."""
    return {name: f"_x{steps} {values}" for name, values in series.items()}


def restarted(series: Mapping[str, str], steps: int) -> dict[str, str]:
    """The same series with a gap of a minute, after which counters are at 0 again."""
    return {name: f"{ended(series, steps)[name]} _x3 {values}" for name, values in series.items()}


NOTHING: dict[int, list[str]] = {minute: [] for minute in (3, 6, 11, 16, 20, 30, 45, 60, 75, 89)}
CLUSTERS = [f'cluster="{name}",{NODE}' for name in "ab"]
IN_A, IN_B = (f"{target},{ID}" for target in CLUSTERS)
IN_B = IN_B.replace("GPU-1", "GPU-9")
HOT = {
    f'{TEMPERATURE}{{{OTHER_NODE},{PEER_ID},sensor="core"}}': "88x360",
    f'{LIMIT}{{{OTHER_NODE},{PEER_ID},sensor="core",limit="slowdown"}}': "90x360",
}
HOT_FIRES = ['alertname="AcceleratorHot",node="n2",uuid="GPU-2"']

SITUATIONS = (
    RuleTest(
        "an exporter restarts",
        changed(
            restarted(healthy(), 20),
            {
                "up{": "1x20 0x4 1x330",
                "accelerator_device_errors_total": "2x20 stale _x3 0x330",
                "accelerator_device_memory_errors_total": "7x20 stale _x3 7x330",
            },
        ),
        NOTHING,
    ),
    RuleTest(
        "a node is drained and removed",
        ended(healthy(), 40) | allocatable(values="8x36 0x3 stale"),
        NOTHING,
    ),
    RuleTest(
        "a driver is reloaded: the collector is down for four minutes, and hardware counters start again",
        changed(
            healthy(),
            {
                "collector_up": "1x20 0x16 1x330",
                "accelerator_device_memory_errors_total": "9x20 stale _x16 0x330",
                "accelerator_device_errors_total": "3x360",
                STATUS: "0x20 stale _x16 0x330",
                TEMPERATURE: "60x20 stale _x16 40x330",
                "accelerator_device_memory_usage_bytes": "79x20 stale _x16 1x330",
            },
        ),
        NOTHING,
    ),
    RuleTest(
        "a full device is partitioned",
        changed(
            healthy(),
            {
                "accelerator_device_memory_usage_bytes": "79x50 2x300",
                "accelerator_device_partitions": "0x50 7x300",
            },
        ),
        NOTHING,
    ),
    RuleTest(
        "a device that has no status, as some of AMD, and no counters",
        {f'{TEMPERATURE}{{{GPU},sensor="core"}}': "60x360"},
        NOTHING,
    ),
    RuleTest(
        "allocations become known at last: the device was not allocated for an hour",
        changed(
            healthy(),
            {"busy_seconds": "0x360", "accelerator_device_allocations": "_x280 1x80"},
        ),
        NOTHING,
    ),
    RuleTest(
        "a code is seen for the first time: it is at 0 for 75 seconds, and a scrape takes place every minute",
        {f'accelerator_device_errors_total{{{GPU},source="xid",code="119",class="hardware"}}': "_x5 0 1x30"},
        {5: [], 8: [f'alertname="AcceleratorHardwareError",{FAILED}'], 18: []},
        step_seconds=60,
    ),
    RuleTest(
        "a device has failed and answers, and a scrape takes place every minute, or a little later",
        {
            f'{STATUS}{{{GPU},state="failed"}}': "1x20",
            f'{TEMPERATURE}{{{GPU},sensor="core"}}': "60x20",
        },
        {minute: [f'alertname="AcceleratorDeviceFailed",{FAILED}'] for minute in range(3, 21)},
        step_seconds=67,
    ),
    RuleTest(
        "a device fails and is lost at once",
        {
            f'{STATUS}{{{GPU},state="failed"}}': "0x20 1x60",
            f'{TEMPERATURE}{{{GPU},sensor="core"}}': "60x20 stale",
        },
        {
            6: [],
            9: [f'alertname="AcceleratorDeviceLost",{FAILED}'],
            15: [f'alertname="AcceleratorDeviceLost",{FAILED}'],
        },
    ),
    RuleTest(
        "a driver names a model in another way: for some minutes the device has two series",
        ended(healthy(), 39) | started(healthy(GPU.replace("H100", "H100 80GB HBM3")), 40) | HOT,
        dict.fromkeys((6, 9, 10, 11, 12, 13), HOT_FIRES),
    ),
    RuleTest(
        "two jobs scrape one exporter: that is an alert, and hides nothing on other nodes",
        healthy() | with_labels(healthy(), 'job="accelerator-exporter"', 'job="second"') | HOT,
        {30: [*HOT_FIRES, 'alertname="AcceleratorExportedTwice",uuid="GPU-1"']},
    ),
    RuleTest(
        "nodes of two clusters have one name, and different slots and links by design",
        healthy(IN_A, CLUSTERS[0])
        | changed(healthy(IN_B, CLUSTERS[1]), {"link_generation": "4x360", "link_width": "8x360"})
        | {
            f'accelerator_device_interconnect_links{{{gpu},fabric="nvlink",state="{state}"}}': f"{count}x360"
            for gpu, state, count in ((IN_A, "up", 18), (IN_A, "down", 0), (IN_B, "up", 0), (IN_B, "down", 18))
        }
        | allocatable('cluster="a",node="n1"')
        | allocatable('cluster="b",node="n1"'),
        NOTHING,
    ),
    RuleTest(
        "nodes of two clusters have one name, and one has no exporter",
        healthy(IN_A, CLUSTERS[0]) | allocatable('cluster="a",node="n1"') | allocatable('cluster="b",node="n1"'),
        {20: ['alertname="AcceleratorExporterAbsent",cluster="b",node="n1"']},
    ),
    RuleTest(
        "only the exporters have a label for the cluster",
        healthy(IN_A, CLUSTERS[0]) | allocatable() | allocatable('node="n2"'),
        {20: ['alertname="AcceleratorExporterAbsent",node="n2"']},
    ),
    RuleTest(
        "only kube-state-metrics has a label for the cluster",
        healthy() | allocatable('cluster="a",node="n1"') | allocatable('cluster="a",node="n2"'),
        {20: ['alertname="AcceleratorExporterAbsent",cluster="a",node="n2"']},
    ),
)


def test_situations_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len({situation.name for situation in SITUATIONS}) == len(SITUATIONS)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_only_what_is_wrong_fires(situation: RuleTest, tmp_path: Path) -> None:
    assert failures([RULES / "alerts.yaml"], [situation], tmp_path) == ""
