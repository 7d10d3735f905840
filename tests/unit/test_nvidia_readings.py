import math
from dataclasses import replace

import pytest

from collectors import catalog
from collectors.contract import CollectOptions, DeviceLostError, Fault, Reason, SubjectKey
from collectors.metric import Cadence, Metric
from collectors.nvidia import activity, throttle_time
from collectors.nvidia.errors import SessionError
from collectors.nvidia.nvml import Queries
from collectors.nvidia.processes import Processes
from collectors.nvidia.readings import DEVICE_ROWS, device_queries
from collectors.query import flat, rows_of
from tests.doubles.nvidia_device import QueriedDevice, reasons, series, values
from tests.doubles.nvml import (
    MEMORY_TEMPERATURE_FIELD,
    Device,
    NvmlState,
    ProcessKind,
    ValueType,
    h100,
    process,
)
from tests.doubles.options import EVERY_SET
from tests.native.nvml_state import NOT_AVAILABLE

QUERIES = (*device_queries(CollectOptions()), *Processes(lambda: 1_700_000_000.0).of_device("GPU-0"))
EVERY_OPTION = device_queries(replace(EVERY_SET, pcie_throughput=True))
UTILIZATION, POWER = "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetPowerUsage"
ENERGY = "nvmlDeviceGetTotalEnergyConsumption"
MEMORY, OLD_MEMORY = "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo"
NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, FUNCTION_NOT_FOUND, NO_DATA, UNKNOWN = 3, 4, 6, 13, 21, 999
MARK = 0xFFFFFFFF


@pytest.fixture
def bench(nvml: NvmlState) -> QueriedDevice:
    """A card that supports all queries. The one that only says that an option is off is left out."""
    nvml.devices = [full(h100(0))]
    queries = [query for query in device_queries(CollectOptions()) if query is not throttle_time.OMITTED]
    return QueriedDevice(nvml, (*queries, *Processes(lambda: 1_700_000_000.0).of_device("GPU-0")))


# Values in the units of the library.
NUMBERS = {
    "utilization_gpu_percent": 50,
    "utilization_memory_percent": 25,
    "utilization_encoder_percent": 10,
    "utilization_decoder_percent": 20,
    "utilization_jpeg_percent": 30,
    "utilization_ofa_percent": 40,
    "memory_total_bytes": 1000,
    "memory_reserved_bytes": 100,
    "memory_used_bytes": 300,
    "power_milliwatts": 350_500,
    "power_enforced_limit_milliwatts": 650_000,
    "energy_millijoules": 12_345_678,
    "temperature_celsius": 41,
    "threshold_shutdown_celsius": 92,
    "threshold_slowdown_celsius": 89,
    "threshold_memory_celsius": 95,
    "threshold_gpu_celsius": 87,
    "clock_graphics_megahertz": 1980,
    "clock_sm_megahertz": 1979,
    "clock_video_megahertz": 1500,
    "max_clock_graphics_megahertz": 1981,
    "max_clock_sm_megahertz": 1982,
    "max_clock_memory_megahertz": 2620,
    "clocks_event_reasons": 0x4,
    "fans": 2,
    "fan_speed_percent": 30,
    "fan_step_percent": 30,
    "compute_mode": 3,
    "pcie_link_generation": 4,
    "pcie_replays": 7,
    "ecc_volatile_corrected": 1,
    "ecc_lifetime_corrected": 101,
    "ecc_lifetime_uncorrected": 111,
    "remapped_rows_corrected": 1,
    "remapped_rows_uncorrected": 2,
}


def full(card: Device) -> Device:
    """A card that supports every reading, with distinct values where possible; two links, one of them down."""
    for name, number in NUMBERS.items():
        setattr(card, name, number)
    fields = {91: 2, 170: 1, 171: 1, 172: 900_000, MEMORY_TEMPERATURE_FIELD: 55}
    counters = {197: 5_000, 198: 6_000}
    for number, value in fields.items():
        card.set_field(number, value, ValueType.UNSIGNED_INT)
    for number, value in counters.items():
        card.set_field(number, value, ValueType.UNSIGNED_LONG_LONG)
    for number, value in {138: 4, 139: 3}.items():
        card.set_field(number, value, ValueType.UNSIGNED_LONG_LONG, scope=MARK)
    for number, value in {161: 3, 162: 4, 163: 5}.items():
        card.set_field(number, value, ValueType.UNSIGNED_LONG_LONG, scope=0)
        card.set_field(number, 10, ValueType.UNSIGNED_LONG_LONG, scope=1)
    card.set_field(165, 0, ValueType.UNSIGNED_INT, scope=1)
    kinds = {7: ProcessKind.COMPUTE, 8: ProcessKind.COMPUTE, 9: ProcessKind.GRAPHICS, 10: ProcessKind.MPS}
    card.processes = [*(process(pid, None, kind) for pid, kind in kinds.items()), process(8, 1, ProcessKind.GRAPHICS)]
    return card


# The expected series.
EVERYTHING: dict[tuple[str, ...], float] = {
    ("utilization_ratio",): 0.5,
    ("memory_busy_ratio",): 0.25,
    ("memory_usage_bytes",): 300,
    ("memory_limit_bytes",): 1_000,
    ("memory_reserved_bytes",): 100,
    ("power_watts",): 350.5,
    ("energy_joules_total",): 12345.678,
    ("power_limit_watts",): 650,
    ("power_default_limit_watts",): 700,
    ("power_min_limit_watts",): 200,
    ("power_max_limit_watts",): 700,
    ("clock_hertz", "core"): 1_980_000_000,
    ("clock_hertz", "sm"): 1_979_000_000,
    ("clock_hertz", "memory"): 2_619_000_000,
    ("clock_hertz", "video"): 1_500_000_000,
    ("clock_max_hertz", "core"): 1_981_000_000,
    ("clock_max_hertz", "sm"): 1_982_000_000,
    ("clock_max_hertz", "memory"): 2_620_000_000,
    ("clock_max_hertz", "video"): 1_545_000_000,
    ("processes",): 4,
    ("throttle_active", "power"): 1,
    ("throttle_active", "thermal"): 0,
    ("throttle_active", "external"): 0,
    ("throttle_active", "hardware"): 0,
    ("engine_utilization_ratio", "encoder"): 0.1,
    ("engine_utilization_ratio", "decoder"): 0.2,
    ("engine_utilization_ratio", "jpeg"): 0.3,
    ("engine_utilization_ratio", "optical_flow"): 0.4,
    ("temperature_celsius", "core"): 41,
    ("temperature_limit_celsius", "core", "shutdown"): 92,
    ("temperature_limit_celsius", "core", "slowdown"): 89,
    ("temperature_limit_celsius", "memory", "maximum"): 95,
    ("temperature_limit_celsius", "core", "maximum"): 87,
    ("temperature_margin_celsius", "core", "slowdown"): 46,
    ("fan_speed_ratio", "0"): 0.3,
    ("fan_speed_ratio", "1"): 0.6,
    ("mode", "partitioning"): 0,
    ("mode", "persistence"): 1,
    ("mode", "ecc"): 1,
    ("mode", "exclusive"): 1,
    ("mode", "confidential"): 0,
    ("pcie_link_generation",): 4,
    ("pcie_link_width",): 16,
    ("pcie_replays_total",): 7,
    ("pcie_link_max_generation",): 5,
    ("pcie_link_max_width",): 16,
    ("interconnect_links", "nvlink", "up"): 1,
    ("interconnect_links", "nvlink", "down"): 1,
    ("interconnect_links", "c2c", "up"): 1,
    ("interconnect_links", "c2c", "down"): 0,
    ("interconnect_bandwidth_limit_bytes_per_second", "nvlink"): 26_562_000_000,
    ("interconnect_bandwidth_limit_bytes_per_second", "c2c"): 900_000_000_000,
    ("fabric_status", "nvlink", "not_supported"): 0,
    ("fabric_status", "nvlink", "not_started"): 0,
    ("fabric_status", "nvlink", "in_progress"): 0,
    ("fabric_status", "nvlink", "completed"): 1,
    ("fabric_status", "nvlink", "failed"): 0,
    ("memory_errors_total", "corrected"): 1,
    ("memory_errors_total", "uncorrected"): 0,
    ("memory_lifetime_errors_total", "corrected"): 101,
    ("memory_lifetime_errors_total", "uncorrected"): 111,
    ("memory_remapped_rows", "corrected"): 1,
    ("memory_remapped_rows", "uncorrected"): 2,
    ("memory_repair_pending",): 0,
    ("memory_repair_failed",): 0,
    ("temperature_celsius", "memory"): 55,
    ("pcie_bytes_total", "transmit"): 5_000,
    ("pcie_bytes_total", "receive"): 6_000,
    ("interconnect_bytes_total", "nvlink", "transmit", ""): 4_096,
    ("interconnect_bytes_total", "nvlink", "receive", ""): 3_072,
    ("interconnect_errors_total", "nvlink", "replay", ""): 13,
    ("interconnect_errors_total", "nvlink", "recovery", ""): 14,
    ("interconnect_errors_total", "nvlink", "crc", ""): 15,
    ("recovery_action", "none"): 1,
    ("recovery_action", "reset"): 0,
    ("recovery_action", "reboot"): 0,
    ("recovery_action", "drain"): 0,
    ("recovery_action", "drain_and_reset"): 0,
    ("recovery_action", "recover_fabric"): 0,
    ("recovery_action", "bus_reset"): 0,
}


def test_every_reading_is_reported_in_base_units(bench: QueriedDevice) -> None:
    result = bench.query()
    assert result.faults == []
    assert series(result) == EVERYTHING


def test_samples_name_their_subject(nvml: NvmlState) -> None:
    nvml.devices = [h100(0)]
    result = QueriedDevice(nvml, QUERIES, SubjectKey("GPU-0", "MIG-1")).query()
    assert {(sample.device_uuid, sample.partition_uuid) for sample in result.samples} == {("GPU-0", "MIG-1")}


def test_the_rows_of_a_query_have_one_cadence() -> None:
    for query in (*flat(QUERIES), *flat(EVERY_OPTION)):
        assert {row.cadence for row in query.rows} == {query.cadence}, query.name


@pytest.mark.parametrize("queries", [QUERIES, EVERY_OPTION], ids=["usual", "every option"])
def test_query_names_are_unique_and_fallbacks_come_later(queries: Queries) -> None:
    names = [query.name for query in flat(queries)]
    assert len(set(names)) == len(names)
    for query in flat(queries):
        if query.fallback_for:
            assert names.index(query.fallback_for) < names.index(query.name)


@pytest.mark.parametrize("cadence", Cadence)
def test_only_due_queries_run(bench: QueriedDevice, nvml: NvmlState, cadence: Cadence) -> None:
    result = bench.query(frozenset({cadence}))
    assert {sample.metric.cadence for sample in result.samples} == {cadence}
    assert nvml.calls(UTILIZATION) == (2 if cadence is Cadence.FAST else 0)


@pytest.mark.parametrize(
    ("member", "number", "query", "row"),
    [
        ("utilization_gpu_percent", 101, "utilization", catalog.UTILIZATION),
        ("utilization_memory_percent", MARK, "memory in use", catalog.MEMORY_BUSY),
        ("power_milliwatts", MARK, "power", catalog.POWER),
        ("energy_millijoules", NOT_AVAILABLE, "energy", catalog.ENERGY),
        ("memory_reserved_bytes", NOT_AVAILABLE, "memory", catalog.MEMORY_RESERVED),
        ("power_min_limit_milliwatts", MARK, "power range", catalog.POWER_MIN_LIMIT),
    ],
)
def test_an_impossible_value_is_a_fault_and_does_not_affect_others(
    bench: QueriedDevice, member: str, number: int, query: str, row: Metric
) -> None:
    setattr(bench.card, member, number)
    result = bench.query()
    assert result.faults == [Fault(Reason.INVALID_VALUE, "GPU-0", f"{query}: {number}")]
    assert set(EVERYTHING) - set(series(result)) == {(row.stem,)}


@pytest.mark.parametrize("celsius", [math.nan, math.inf, MARK])
def test_an_impossible_field_value_is_a_fault(bench: QueriedDevice, celsius: float) -> None:
    bench.card.set_field(MEMORY_TEMPERATURE_FIELD, celsius, ValueType.DOUBLE)
    result = bench.query()
    assert reasons(result) == ["invalid_value"]
    assert ("temperature_celsius", "memory") not in series(result)


def test_a_temperature_may_be_below_zero(bench: QueriedDevice) -> None:
    bench.card.temperature_celsius = -5
    assert series(bench.query())["temperature_celsius", "core"] == -5


def test_zero_is_a_value(bench: QueriedDevice) -> None:
    bench.card.utilization_gpu_percent = bench.card.power_milliwatts = bench.card.energy_millijoules = 0
    found = series(bench.query())
    assert found["utilization_ratio",] == found["power_watts",] == found["energy_joules_total",] == 0


def test_an_unsupported_reading_is_no_fault_and_is_queried_once(bench: QueriedDevice, nvml: NvmlState) -> None:
    nvml.fail(ENERGY, NOT_SUPPORTED)
    for _ in range(3):
        assert bench.query().faults == []
    assert nvml.calls(ENERGY) == 1
    why = (
        "nvmlDeviceGetTotalEnergyConsumption: NOT_SUPPORTED (3): this device, or its current mode, does not support it"
    )
    assert bench.gaps() == {catalog.ENERGY: why}


def test_a_missing_permission_is_reported_once_and_not_retried(bench: QueriedDevice, nvml: NvmlState) -> None:
    nvml.fail(POWER, NO_PERMISSION)
    assert [reason for _ in range(3) for reason in reasons(bench.query())] == ["permission_denied"]
    assert nvml.calls(POWER) == 1
    assert list(bench.gaps()) == [catalog.POWER]


def test_unsupported_readings_are_queried_again_after_forget(bench: QueriedDevice, nvml: NvmlState) -> None:
    nvml.fail(POWER, NOT_SUPPORTED)
    bench.query()
    bench.forget("GPU-other")
    bench.query()
    bench.forget("GPU-0")
    assert bench.gaps() == {}
    bench.query()
    assert nvml.calls(POWER) == 2


def test_a_failed_reading_is_a_fault_and_is_retried(bench: QueriedDevice, nvml: NvmlState) -> None:
    nvml.fail(POWER, UNKNOWN)
    result = bench.query()
    assert [(fault.reason, fault.where) for fault in result.faults] == [(Reason.UNAVAILABLE, "GPU-0")]
    assert ("power_watts",) not in series(result)
    nvml.heal()
    assert series(bench.query())["power_watts",] == 350.5


@pytest.mark.parametrize("code", [NOT_FOUND, NO_DATA])
def test_no_data_is_neither_a_sample_nor_a_fault(bench: QueriedDevice, nvml: NvmlState, code: int) -> None:
    nvml.fail(POWER, code)
    result = bench.query()
    assert result.faults == []
    assert set(EVERYTHING) - set(series(result)) == {("power_watts",)}
    assert bench.gaps() == {}


def test_the_old_memory_call_reports_usage_and_limit_without_reserved_memory(
    bench: QueriedDevice, nvml: NvmlState
) -> None:
    nvml.fail(MEMORY, FUNCTION_NOT_FOUND)
    for _ in range(2):
        found = series(bench.query())
        assert (found["memory_usage_bytes",], found["memory_limit_bytes",]) == (400, 1000)
        assert ("memory_reserved_bytes",) not in found
    assert nvml.calls(MEMORY) == 2  # also to tell whether the card has memory of its own
    assert list(bench.gaps()) == [catalog.MEMORY_RESERVED]


def test_the_old_memory_call_is_not_used_where_the_new_one_works(bench: QueriedDevice, nvml: NvmlState) -> None:
    bench.query()
    assert (nvml.calls(MEMORY), nvml.calls(OLD_MEMORY)) == (2, 0)


def test_memory_is_unsupported_where_no_version_of_the_call_works(bench: QueriedDevice, nvml: NvmlState) -> None:
    nvml.fail(MEMORY, NOT_SUPPORTED)
    nvml.fail(OLD_MEMORY, NOT_SUPPORTED)
    bench.query()
    assert set(bench.gaps()) == {catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT, catalog.MEMORY_RESERVED}


def test_the_old_temperature_call_is_the_fallback(bench: QueriedDevice, nvml: NvmlState) -> None:
    nvml.fail("nvmlDeviceGetTemperatureV", FUNCTION_NOT_FOUND)
    assert series(bench.query())["temperature_celsius", "core"] == 41
    assert bench.gaps() == {}


def test_a_row_is_unsupported_only_if_no_query_reports_it(bench: QueriedDevice) -> None:
    bench.card.set_field(MEMORY_TEMPERATURE_FIELD, 0, ValueType.UNSIGNED_INT, code=NOT_SUPPORTED)
    assert ("temperature_celsius", "memory") not in series(bench.query())
    assert bench.gaps() == {}


@pytest.mark.parametrize(("code", "expected"), [(15, DeviceLostError), (16, DeviceLostError), (1, SessionError)])
def test_a_lost_device_or_session_is_raised(
    bench: QueriedDevice, nvml: NvmlState, code: int, expected: type[Exception]
) -> None:
    nvml.fail(POWER, code)
    with pytest.raises(expected):
        bench.query()


@pytest.mark.parametrize(("mode", "exclusive"), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_exclusive_mode_allows_one_process(bench: QueriedDevice, mode: int, exclusive: int) -> None:
    bench.card.compute_mode = mode
    assert values(bench.query(), catalog.MODE_STATE)["exclusive",] == exclusive


def test_an_unknown_compute_mode_is_refused(bench: QueriedDevice) -> None:
    bench.card.compute_mode = 99
    result = bench.query()
    assert ("exclusive",) not in values(result, catalog.MODE_STATE)
    assert reasons(result) == ["invalid_value"]


def test_confidential_computing_is_a_mode_of_the_whole_node(bench: QueriedDevice, nvml: NvmlState) -> None:
    nvml.confidential_computing = 1
    assert values(bench.query(), catalog.MODE_STATE)["confidential",] == 1
    nvml.fail("nvmlSystemGetConfComputeState", FUNCTION_NOT_FOUND)
    assert ("confidential",) not in values(bench.query(), catalog.MODE_STATE)


def test_the_declared_rows_are_those_of_the_queries() -> None:
    assert rows_of(QUERIES) | rows_of(EVERY_OPTION) | activity.GPM_ROWS == DEVICE_ROWS
