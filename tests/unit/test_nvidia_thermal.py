"""Throttling, temperatures, fans, engines and modes, as the QueryRunner gets them."""

from types import SimpleNamespace

import pytest

from collectors import catalog
from collectors.contract import Reason, SubjectKey, Wishes
from collectors.metric import Cadence, Metric
from collectors.nvidia.nvml import Handle, Nvml, QueryRunner
from collectors.nvidia.readings import device_queries
from collectors.query_runner import QueryResult
from tests.doubles.nvml_binding import FakeBinding, FakeGpu

ALL = frozenset(Cadence)
QUESTIONS = device_queries(Wishes())
NOT_SUPPORTED, FUNCTION_NOT_FOUND = 3, 13


def ask(gpu: FakeGpu, binding: FakeBinding | None = None, times: int = 1) -> tuple[QueryResult, set[Metric]]:
    """What the last asking brought, and the rows that can't be had."""
    runner = QueryRunner(Nvml(binding or FakeBinding([gpu])))
    for _ in range(times):
        findings = runner.run(SubjectKey("GPU-0"), Handle(gpu), QUESTIONS, ALL)
    return findings, {gap.metric for gap in runner.unsupported()}


def values(findings: QueryResult, metric: Metric) -> dict[tuple[str, ...], float]:
    return {sample.labels: sample.value for sample in findings.samples if sample.metric is metric}


@pytest.mark.parametrize(
    ("bits", "active"),
    [
        (0x0, set()),
        (0x1, set()),  # idle
        (0x2, set()),  # clocks that somebody has set
        (0x10, set()),  # sync boost
        (0x100, set()),  # clocks of the display
        (0x4, {"power"}),
        (0x20, {"thermal"}),
        (0x8 | 0x40, {"thermal"}),
        (0x60, {"thermal"}),
        (0x8 | 0x80, {"external"}),
        (0x8 | 0x40 | 0x80, {"thermal", "external"}),
        (0x8, {"reliability"}),
        (0x4 | 0x8, {"power", "reliability"}),
    ],
)
def test_reasons_do_not_overlap_and_every_one_is_told(bits: int, active: set[str]) -> None:
    gpu = FakeGpu()
    gpu.answers["nvmlDeviceGetCurrentClocksEventReasons"] = bits
    told = values(ask(gpu)[0], catalog.THROTTLE_ACTIVE)
    assert set(told) == {("power",), ("thermal",), ("external",), ("reliability",)}
    assert {reason for (reason,), value in told.items() if value} == active


def test_the_mark_for_not_available_is_no_set_of_reasons() -> None:
    gpu = FakeGpu()
    gpu.answers["nvmlDeviceGetCurrentClocksEventReasons"] = 2**64 - 1
    findings, _ = ask(gpu)
    assert values(findings, catalog.THROTTLE_ACTIVE) == {}
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]


def test_an_old_driver_is_asked_by_the_old_name() -> None:
    gpu = FakeGpu()
    del gpu.answers["nvmlDeviceGetCurrentClocksEventReasons"]
    gpu.answers["nvmlDeviceGetCurrentClocksThrottleReasons"] = 0x4
    assert values(ask(gpu)[0], catalog.THROTTLE_ACTIVE)["power",] == 1


def test_a_limit_of_zero_is_none() -> None:
    gpu = FakeGpu()
    gpu.answers["nvmlDeviceGetTemperatureThreshold"] = (92, 0, 0, 87).__getitem__
    findings, _ = ask(gpu)
    assert values(findings, catalog.TEMPERATURE_LIMIT) == {("core", "shutdown"): 92, ("core", "maximum"): 87}
    assert findings.faults == []


def test_where_there_are_no_absolute_limits_the_margin_is_told() -> None:
    gpu = FakeGpu()
    del gpu.answers["nvmlDeviceGetTemperatureThreshold"]
    gpu.answers["nvmlDeviceGetMarginTemperature"] = -3
    findings, gaps = ask(gpu)
    assert values(findings, catalog.TEMPERATURE_MARGIN) == {("core", "slowdown"): -3}
    assert catalog.TEMPERATURE_LIMIT in gaps


def test_each_fan_is_a_series_and_a_passive_card_has_none() -> None:
    gpu = FakeGpu()
    assert values(ask(gpu)[0], catalog.FAN_SPEED) == {("0",): 0.3, ("1",): 0.6}
    gpu.answers["nvmlDeviceGetNumFans"] = 0
    findings, gaps = ask(gpu)
    assert values(findings, catalog.FAN_SPEED) == {}
    assert catalog.FAN_SPEED in gaps


def test_an_impossible_number_of_fans_is_refused() -> None:
    gpu = FakeGpu()
    gpu.answers["nvmlDeviceGetNumFans"] = 4_000_000_000
    findings, _ = ask(gpu)
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]
    assert gpu.calls["nvmlDeviceGetFanSpeed_v2"] == 0


def test_an_engine_that_is_missing_costs_no_other() -> None:
    gpu = FakeGpu()
    del gpu.answers["nvmlDeviceGetJpgUtilization"]
    findings, gaps = ask(gpu, times=2)
    assert set(values(findings, catalog.ENGINE_UTILIZATION)) == {("encoder",), ("decoder",), ("optical_flow",)}
    assert catalog.ENGINE_UTILIZATION not in gaps
    assert gpu.calls["nvmlDeviceGetJpgUtilization"] == 1


@pytest.mark.parametrize(("mode", "exclusive"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_exclusive_is_one_process_at_a_time(mode: int, exclusive: int) -> None:
    gpu = FakeGpu()
    gpu.answers["nvmlDeviceGetComputeMode"] = mode
    assert values(ask(gpu)[0], catalog.MODE_STATE)["exclusive",] == exclusive


def test_a_compute_mode_that_is_none_is_refused() -> None:
    gpu = FakeGpu()
    gpu.answers["nvmlDeviceGetComputeMode"] = 99
    findings, _ = ask(gpu)
    assert ("exclusive",) not in values(findings, catalog.MODE_STATE)
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]


def test_confidential_computing_is_of_the_whole_node() -> None:
    gpu = FakeGpu()
    binding = FakeBinding([gpu])
    binding.answers["nvmlSystemGetConfComputeState"] = SimpleNamespace(ccFeature=1)
    assert values(ask(gpu, binding)[0], catalog.MODE_STATE)["confidential",] == 1
    binding.errors["nvmlSystemGetConfComputeState"] = FUNCTION_NOT_FOUND
    assert ("confidential",) not in values(ask(gpu, binding)[0], catalog.MODE_STATE)
