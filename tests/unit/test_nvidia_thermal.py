"""Throttling, temperatures and fans, as the QueryRunner reads them."""

import pytest

from collectors import catalog
from collectors.contract import CollectOptions
from collectors.nvidia.readings import device_queries
from tests.doubles.nvidia_device import QueriedDevice, reasons, values
from tests.doubles.nvml import NvmlState, h100
from tests.native.nvml_state import NOT_AVAILABLE

FUNCTION_NOT_FOUND = 13


@pytest.fixture
def bench(nvml: NvmlState) -> QueriedDevice:
    nvml.devices = [h100(0)]
    return QueriedDevice(nvml, device_queries(CollectOptions()))


@pytest.mark.parametrize(
    ("bits", "active"),
    [
        (0x0, set()),
        (0x1, set()),  # idle
        (0x2, set()),  # clocks set by an application
        (0x10, set()),  # sync boost
        (0x100, set()),  # clocks set by the display
        (0x4, {"power"}),
        (0x200, {"power"}),
        (0x400, set()),
        (0x20, {"thermal"}),
        (0x8 | 0x40, {"thermal"}),
        (0x60, {"thermal"}),
        (0x8 | 0x80, {"external"}),
        (0x8 | 0x40 | 0x80, {"thermal", "external"}),
        (0x8, {"hardware"}),
        (0x4 | 0x8, {"power", "hardware"}),
        (0x1 | 0x8, set()),  # a change of the performance state
        (0x1 | 0x8 | 0x40, {"thermal"}),
    ],
)
def test_throttle_reasons_do_not_overlap_and_all_are_reported(
    bench: QueriedDevice, bits: int, active: set[str]
) -> None:
    bench.card.clocks_event_reasons = bits
    throttling = values(bench.query(), catalog.THROTTLE_ACTIVE)
    assert set(throttling) == {("power",), ("thermal",), ("external",), ("hardware",)}
    assert {reason for (reason,), value in throttling.items() if value} == active


def test_the_value_for_not_available_is_not_a_set_of_reasons(bench: QueriedDevice) -> None:
    bench.card.clocks_event_reasons = NOT_AVAILABLE
    result = bench.query()
    assert values(result, catalog.THROTTLE_ACTIVE) == {}
    assert reasons(result) == ["invalid_value"]


def test_an_old_driver_is_called_by_the_old_function_name(bench: QueriedDevice, nvml: NvmlState) -> None:
    bench.card.clocks_event_reasons = 0x4
    nvml.fail("nvmlDeviceGetCurrentClocksEventReasons", FUNCTION_NOT_FOUND)
    assert values(bench.query(), catalog.THROTTLE_ACTIVE)["power",] == 1
    assert nvml.calls("nvmlDeviceGetCurrentClocksThrottleReasons") == 1


@pytest.mark.parametrize(
    ("thresholds", "limits"),
    [
        (
            (92, 89, 95, 87),
            {("core", "shutdown"): 92, ("core", "slowdown"): 89, ("memory", "maximum"): 95, ("core", "maximum"): 87},
        ),
        ((92, 0, 0, 87), {("core", "shutdown"): 92, ("core", "maximum"): 87}),  # a limit of zero means no limit
    ],
)
def test_temperature_limits(
    bench: QueriedDevice, thresholds: tuple[int, ...], limits: dict[tuple[str, ...], float]
) -> None:
    card = bench.card
    card.threshold_shutdown_celsius, card.threshold_slowdown_celsius = thresholds[:2]
    card.threshold_memory_celsius, card.threshold_gpu_celsius = thresholds[2:]
    result = bench.query()
    assert values(result, catalog.TEMPERATURE_LIMIT) == limits
    assert result.faults == []


def test_the_margin_is_reported_without_absolute_limits(bench: QueriedDevice) -> None:
    bench.card.temperature_margin_celsius = -3
    assert values(bench.query(), catalog.TEMPERATURE_MARGIN) == {("core", "slowdown"): -3}
    assert catalog.TEMPERATURE_LIMIT in bench.gaps()


def test_each_fan_has_a_series_and_a_passive_card_has_none(bench: QueriedDevice) -> None:
    bench.card.fans, bench.card.fan_speed_percent, bench.card.fan_step_percent = 2, 30, 30
    assert values(bench.query(), catalog.FAN_SPEED) == {("0",): 0.3, ("1",): 0.6}
    bench.card.fans = 0
    assert values(bench.query(), catalog.FAN_SPEED) == {}
    assert catalog.FAN_SPEED in bench.gaps()


def test_an_impossible_number_of_fans_is_refused(bench: QueriedDevice, nvml: NvmlState) -> None:
    bench.card.fans = 4_000_000_000
    assert reasons(bench.query()) == ["invalid_value"]
    assert nvml.calls("nvmlDeviceGetFanSpeed_v2") == 0
