"""Throttling, temperatures and fans, as the QueryRunner gets them."""

import pytest

from collectors import catalog
from collectors.contract import CollectOptions
from collectors.nvidia.readings import device_queries
from tests.doubles.nvidia_device import AskedDevice, reasons, values
from tests.doubles.nvml import NvmlState, h100
from tests.native.nvml_state import NOT_AVAILABLE

QUESTIONS = device_queries(CollectOptions())
FUNCTION_NOT_FOUND = 13


@pytest.fixture
def bench(nvml: NvmlState) -> AskedDevice:
    nvml.devices = [h100(0)]
    return AskedDevice(nvml, QUESTIONS)


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
def test_throttle_reasons_do_not_overlap_and_all_are_reported(bench: AskedDevice, bits: int, active: set[str]) -> None:
    bench.card.clocks_event_reasons = bits
    told = values(bench.ask(), catalog.THROTTLE_ACTIVE)
    assert set(told) == {("power",), ("thermal",), ("external",), ("reliability",)}
    assert {reason for (reason,), value in told.items() if value} == active


def test_the_value_for_not_available_is_not_a_set_of_reasons(bench: AskedDevice) -> None:
    bench.card.clocks_event_reasons = NOT_AVAILABLE
    findings = bench.ask()
    assert values(findings, catalog.THROTTLE_ACTIVE) == {}
    assert reasons(findings) == ["invalid_value"]


def test_an_old_driver_is_called_by_the_old_function_name(bench: AskedDevice, nvml: NvmlState) -> None:
    bench.card.clocks_event_reasons = 0x4
    nvml.fail("nvmlDeviceGetCurrentClocksEventReasons", FUNCTION_NOT_FOUND)
    assert values(bench.ask(), catalog.THROTTLE_ACTIVE)["power",] == 1
    assert nvml.calls("nvmlDeviceGetCurrentClocksThrottleReasons") == 1


@pytest.mark.parametrize(
    ("thresholds", "limits"),
    [
        (
            (92, 89, 95, 87),
            {("core", "shutdown"): 92, ("core", "slowdown"): 89, ("memory", "maximum"): 95, ("core", "maximum"): 87},
        ),
        ((92, 0, 0, 87), {("core", "shutdown"): 92, ("core", "maximum"): 87}),  # a limit of zero is none
    ],
)
def test_temperature_limits(
    bench: AskedDevice, thresholds: tuple[int, ...], limits: dict[tuple[str, ...], float]
) -> None:
    card = bench.card
    card.threshold_shutdown_celsius, card.threshold_slowdown_celsius = thresholds[:2]
    card.threshold_memory_celsius, card.threshold_gpu_celsius = thresholds[2:]
    findings = bench.ask()
    assert values(findings, catalog.TEMPERATURE_LIMIT) == limits
    assert findings.faults == []


def test_the_margin_is_reported_without_absolute_limits(bench: AskedDevice) -> None:
    bench.card.temperature_margin_celsius = -3
    assert values(bench.ask(), catalog.TEMPERATURE_MARGIN) == {("core", "slowdown"): -3}
    assert catalog.TEMPERATURE_LIMIT in bench.gaps()


def test_each_fan_has_a_series_and_a_passive_card_has_none(bench: AskedDevice) -> None:
    bench.card.fans, bench.card.fan_speed_percent, bench.card.fan_step_percent = 2, 30, 30
    assert values(bench.ask(), catalog.FAN_SPEED) == {("0",): 0.3, ("1",): 0.6}
    bench.card.fans = 0
    assert values(bench.ask(), catalog.FAN_SPEED) == {}
    assert catalog.FAN_SPEED in bench.gaps()


def test_an_impossible_number_of_fans_is_refused(bench: AskedDevice, nvml: NvmlState) -> None:
    bench.card.fans = 4_000_000_000
    assert reasons(bench.ask()) == ["invalid_value"]
    assert nvml.calls("nvmlDeviceGetFanSpeed_v2") == 0
