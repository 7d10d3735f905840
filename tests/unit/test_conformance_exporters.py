"""Expositions in the form of other exporters, as the official test would judge them.

The names and labels are those of their documentation, the values are invented: dcgm-exporter's default counters
(etc/default-counters.csv, 4.8) with the labels of its Kubernetes mode, and the names and mandatory labels of AMD's
device-metrics-exporter (docs/configuration/metricslist.md, 1.5).
"""

import pytest

from tests.doubles.conformance_run import ConformanceRun, conformance
from tests.doubles.metrics_endpoint import MetricsEndpoint, response

DCGM_LABELS = (
    'gpu="{n}",UUID="GPU-0000000{n}",pci_bus_id="00000000:{n}B:00.0",device="nvidia{n}",'
    'modelName="NVIDIA H100 80GB HBM3",Hostname="worker-1",DCGM_FI_DRIVER_VERSION="580.95.05",'
    'container="",namespace="",pod=""'
)
DCGM = {
    "DCGM_FI_DEV_SM_CLOCK": "1980",
    "DCGM_FI_DEV_GPU_TEMP": "41",
    "DCGM_FI_DEV_POWER_USAGE": "312.4",
    "DCGM_FI_DEV_ENC_UTIL": "0",
    "DCGM_FI_DEV_GPU_UTIL": "87",
    "DCGM_FI_DEV_MEM_COPY_UTIL": "40",
    "DCGM_FI_DEV_FB_FREE": "20000",
    "DCGM_FI_DEV_FB_USED": "61000",
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL": "12",
}
AMD_LABELS = (
    'gpu_id="{n}",serial_number="69230000000{n}",card_model="102-G30211-0C",hostname="worker-1",gpu_partition_id="0",'
    'gpu_compute_partition_type="spx",gpu_memory_partition_type="nps1",pod="",namespace="",container="",job_id="",'
    'job_user="",job_partition="",deployment_mode="baremetal"'
)
AMD = {
    "gpu_gfx_activity": "87",
    "gpu_umc_activity": "40",
    "gpu_used_vram": "61000",
    "gpu_total_vram": "196592",
    "gpu_junction_temperature": "55",
    "gpu_package_power": "540",
    "gpu_xgmi_link_rx": "12",
}


def exposition(metrics: dict[str, str], labels: str) -> str:
    return "".join(
        f"# HELP {name} A reading.\n# TYPE {name} gauge\n"
        + "".join(f"{name}{{{labels.replace('{n}', str(n))}}} {value}\n" for n in range(2))
        for name, value in metrics.items()
    )


def judged(text: str, *arguments: str) -> ConformanceRun:
    with MetricsEndpoint(response(text)) as endpoint:
        return conformance(endpoint.url, *arguments)


def test_dcgm_exporter_passes_both_drafts() -> None:
    run = judged(exposition(DCGM, DCGM_LABELS))
    assert (run.code, run.drafts) == (0, ["PASS", "PASS", "PASS"])
    assert run.output["official_flags"][-2:] == [
        "-metrics-utilization-metric=DCGM_FI_DEV_GPU_UTIL",
        "-metrics-memory-metric=DCGM_FI_DEV_FB_USED",
    ]
    [optional] = [s for name, s in run.subtests("PASS").items() if name.endswith("OptionalMetrics")]
    assert optional["lines"][0].startswith("3 of 3 ")


def test_amd_exporter_passes_neither_draft_because_it_has_no_label_of_a_device() -> None:
    run = judged(exposition(AMD, AMD_LABELS))
    assert (run.code, run.drafts) == (1, ["FAIL", "FAIL", "FAIL"])
    assert all(each["missing"] == ["utilization", "memory"] for each in run.output["drafts"])


def test_amd_exporter_with_such_a_label_passes_with_flags_only() -> None:
    """It can add constant labels to all GPUs (CustomLabels), and Prometheus can add them when it scrapes."""
    run = judged(exposition(AMD, f'{AMD_LABELS},device_id="{{n}}"'))
    assert (run.code, run.drafts) == (0, ["FAIL", "FAIL", "PASS"])
    assert [each["missing"] for each in run.output["drafts"]] == [["utilization"], ["utilization", "memory"], []]
    assert run.output["official_flags"][-2:] == [
        "-metrics-utilization-metric=gpu_gfx_activity",
        "-metrics-memory-metric=gpu_used_vram",
    ]


@pytest.mark.parametrize(
    ("flag", "failure"),
    [
        ("--utilization-metric=gpu_gfx_activity", "these do not count as utilization: gpu_gfx_activity"),
        ("--memory-metric=gpu_used_vram", "these do not count as memory: gpu_used_vram"),
    ],
)
def test_a_metric_that_the_operator_names_is_named_in_the_failure(flag: str, failure: str) -> None:
    run = judged(exposition(AMD, AMD_LABELS), flag)
    assert any(failure in subtest["lines"][0] for subtest in run.subtests("FAIL").values())


def test_the_figure_of_most_accelerators_is_chosen_and_the_others_are_named() -> None:
    text = exposition({"card_mem_used": "1", "card_util": "5"}, 'card_id="{n}"')
    run = judged(text + 'card_util{card_id="9"} 1\n# TYPE a_util gauge\na_util{card_id="9"} 1\n')
    assert run.code == 0
    assert run.output["official_flags"][-2] == "-metrics-utilization-metric=card_util"
    lines = run.subtests("PASS")["TestAcceleratorPerformanceMetrics/PerAcceleratorMemoryMetric"]["lines"]
    assert lines == [
        "Found card_mem_used of 2 accelerators, 2 samples.",
        "Note: 1 accelerator has none: card_id=9.",
    ]
