import math

import pytest

from collectors import catalog
from collectors.contract import DeviceLostError, Reason, SubjectKey, Unsupported, Wishes
from collectors.metric import Cadence, Metric
from collectors.nvidia import activity
from collectors.nvidia.errors import SessionError
from collectors.nvidia.nvml import Handle, Queries, Query, QueryRunner
from collectors.nvidia.processes import Processes
from collectors.nvidia.readings import DEVICE_ROWS, device_queries
from collectors.query import BatchItem, flat, rows_of
from collectors.query_runner import QueryResult
from tests.doubles.nvml_binding import FakeGpu, border

ALL = frozenset(Cadence)
QUESTIONS = (*device_queries(Wishes()), *Processes().of_device("GPU-0"))
EVERY_WISH = device_queries(Wishes(each_link=True, pcie_throughput=True))
SUBJECT = SubjectKey("GPU-0")


class Bench:
    """One GPU and what asks it."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.runner = QueryRunner(border(gpu))

    def ask(self, due: frozenset[Cadence] = ALL) -> QueryResult:
        return self.runner.run(SUBJECT, Handle(self.gpu), QUESTIONS, due)


def values(findings: QueryResult) -> dict[tuple[str, ...], float]:
    return {(sample.metric.stem, *sample.labels): sample.value for sample in findings.samples}


# What a device with everything tells.
EVERYTHING: dict[tuple[str, ...], float] = {
    ("utilization_ratio",): 0.5,
    ("memory_bandwidth_utilization_ratio",): 0.25,
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
    ("max_clock_hertz", "core"): 1_981_000_000,
    ("max_clock_hertz", "sm"): 1_982_000_000,
    ("max_clock_hertz", "memory"): 2_620_000_000,
    ("max_clock_hertz", "video"): 1_545_000_000,
    ("processes",): 4,
    ("throttle_active", "power"): 1,
    ("throttle_active", "thermal"): 0,
    ("throttle_active", "external"): 0,
    ("throttle_active", "reliability"): 0,
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
    ("interconnect_errors_total", "nvlink", "crc_flit", ""): 1,
    ("interconnect_errors_total", "nvlink", "crc_data", ""): 2,
    ("interconnect_errors_total", "nvlink", "replay", ""): 3,
    ("interconnect_errors_total", "nvlink", "recovery", ""): 4,
    ("recovery_action", "none"): 1,
    ("recovery_action", "reset"): 0,
    ("recovery_action", "reboot"): 0,
    ("recovery_action", "drain"): 0,
    ("recovery_action", "drain_and_reset"): 0,
    ("recovery_action", "recover_fabric"): 0,
    ("recovery_action", "bus_reset"): 0,
}


def test_every_reading_arrives_in_base_units() -> None:
    findings = Bench(FakeGpu(compute_pids=(7, 8), graphics_pids=(8, 9), mps_pids=(10,))).ask()
    assert findings.faults == []
    assert values(findings) == EVERYTHING


def test_samples_name_their_subject() -> None:
    runner = QueryRunner(border(FakeGpu()))
    findings = runner.run(SubjectKey("GPU-0", "MIG-1"), Handle(FakeGpu()), QUESTIONS, ALL)
    assert {(sample.device_uuid, sample.partition_uuid) for sample in findings.samples} == {("GPU-0", "MIG-1")}


@pytest.mark.parametrize("question", [*flat(QUESTIONS), *flat(EVERY_WISH)], ids=lambda question: question.name)
def test_the_rows_of_a_question_have_one_cadence(question: Query | BatchItem) -> None:
    assert {row.cadence for row in question.rows} == {question.cadence}


@pytest.mark.parametrize("questions", [QUESTIONS, EVERY_WISH])
def test_query_names_are_unique_and_stand_ins_come_after(questions: Queries) -> None:
    names = [question.name for question in flat(questions)]
    assert len(set(names)) == len(names)
    for query in flat(questions):
        if query.fallback_for:
            assert names.index(query.fallback_for) < names.index(query.name)


@pytest.mark.parametrize("cadence", Cadence)
def test_only_what_is_due_is_asked(cadence: Cadence) -> None:
    bench = Bench(FakeGpu())
    findings = bench.ask(frozenset({cadence}))
    assert {sample.metric.cadence for sample in findings.samples} == {cadence}
    assert ("nvmlDeviceGetUtilizationRates" in bench.gpu.calls) is (cadence is Cadence.FAST)


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        ({"utilization": (101, 25)}, {catalog.UTILIZATION}),
        ({"utilization": (50, 0xFFFFFFFF)}, {catalog.MEMORY_BANDWIDTH}),
        ({"milliwatts": 0xFFFFFFFF}, {catalog.POWER}),
        ({"millijoules": 0xFFFFFFFFFFFFFFFF}, {catalog.ENERGY}),
        ({"memory": (1000, 0xFFFFFFFFFFFFFFFF, 300)}, {catalog.MEMORY_RESERVED}),
        ({"limits": (0xFFFFFFFF, 700_000)}, {catalog.POWER_MIN_LIMIT}),
    ],
)
def test_a_value_that_cannot_be_true_is_told_and_costs_only_itself(
    change: dict[str, object], rows: set[Metric]
) -> None:
    findings = Bench(FakeGpu(**change)).ask()  # type: ignore[arg-type]  # the dataclass checks its names itself
    assert {fault.reason for fault in findings.faults} == {Reason.INVALID_VALUE}
    assert len(findings.faults) == 1
    complete = {sample.metric for sample in Bench(FakeGpu()).ask().samples}
    assert complete - {sample.metric for sample in findings.samples} == rows


@pytest.mark.parametrize("celsius", [math.nan, math.inf, 0xFFFFFFFF])
def test_a_field_that_cannot_be_true_is_told(celsius: float) -> None:
    findings = Bench(FakeGpu(memory_celsius=celsius, field_type=0)).ask()
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]
    assert ("temperature_celsius", "memory") not in values(findings)


def test_a_temperature_may_be_below_zero() -> None:
    assert values(Bench(FakeGpu(celsius=-5)).ask())["temperature_celsius", "core"] == -5


def test_zero_is_a_value() -> None:
    found = values(Bench(FakeGpu(utilization=(0, 0), milliwatts=0, millijoules=0)).ask())
    assert found["utilization_ratio",] == found["power_watts",] == found["energy_joules_total",] == 0


def test_what_is_unsupported_is_silent_and_never_asked_again() -> None:
    bench = Bench(FakeGpu(errors={"nvmlDeviceGetTotalEnergyConsumption": 3}))
    for _ in range(3):
        assert bench.ask().faults == []
    assert bench.gpu.calls["nvmlDeviceGetTotalEnergyConsumption"] == 1
    why = "nvmlDeviceGetTotalEnergyConsumption: NOT_SUPPORTED (3): this device, or its present mode, does not have it"
    assert list(bench.runner.unsupported()) == [Unsupported(catalog.ENERGY, "GPU-0", why)]


def test_a_missing_permission_is_told_once_and_never_asked_again() -> None:
    bench = Bench(FakeGpu(errors={"nvmlDeviceGetComputeRunningProcesses_v3": 4}))
    faults = [fault for _ in range(3) for fault in bench.ask().faults]
    assert [fault.reason for fault in faults] == [Reason.PERMISSION_DENIED]
    assert bench.gpu.calls["nvmlDeviceGetComputeRunningProcesses_v3"] == 1
    assert [gap.metric for gap in bench.runner.unsupported()] == [catalog.PROCESSES]


def test_forgetting_a_device_asks_it_everything_again() -> None:
    bench = Bench(FakeGpu(errors={"nvmlDeviceGetPowerUsage": 3}))
    bench.ask()
    bench.runner.forget("GPU-other")
    bench.ask()
    bench.runner.forget("GPU-0")
    assert list(bench.runner.unsupported()) == []
    bench.ask()
    assert bench.gpu.calls["nvmlDeviceGetPowerUsage"] == 2


def test_a_failed_reading_is_told_and_asked_again() -> None:
    bench = Bench(FakeGpu(errors={"nvmlDeviceGetPowerUsage": 999}))
    findings = bench.ask()
    assert [(fault.reason, fault.where) for fault in findings.faults] == [(Reason.UNAVAILABLE, "GPU-0")]
    assert ("power_watts",) not in values(findings)
    bench.gpu.errors.clear()
    assert values(bench.ask())["power_watts",] == 350.5


@pytest.mark.parametrize("code", [6, 21])
def test_nothing_to_tell_is_no_sample_and_no_fault(code: int) -> None:
    bench = Bench(FakeGpu(errors={"nvmlDeviceGetPowerUsage": code}))
    findings = bench.ask()
    assert findings.faults == []
    assert ("power_watts",) not in values(findings)
    assert list(bench.runner.unsupported()) == []


def test_old_memory_calls_give_usage_and_limit_but_no_reserve() -> None:
    bench = Bench(FakeGpu(memory=(1000, 100, 300), errors={"nvmlDeviceGetMemoryInfo_v2": 13}))
    for _ in range(2):
        found = values(bench.ask())
        assert (found["memory_usage_bytes",], found["memory_limit_bytes",]) == (400, 1000)
        assert ("memory_reserved_bytes",) not in found
    assert bench.gpu.calls["nvmlDeviceGetMemoryInfo_v2"] == 1
    assert [gap.metric for gap in bench.runner.unsupported()] == [catalog.MEMORY_RESERVED]


def test_the_old_memory_call_is_left_alone_where_the_new_one_works() -> None:
    bench = Bench(FakeGpu())
    bench.ask()
    assert bench.gpu.calls["nvmlDeviceGetMemoryInfo"] == 0


def test_memory_in_no_version_is_unsupported_as_a_whole() -> None:
    bench = Bench(FakeGpu(errors={"nvmlDeviceGetMemoryInfo_v2": 3, "nvmlDeviceGetMemoryInfo": 3}))
    bench.ask()
    missing = {gap.metric for gap in bench.runner.unsupported()}
    assert missing == {catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT, catalog.MEMORY_RESERVED}


def test_the_old_temperature_call_stands_in() -> None:
    bench = Bench(FakeGpu(celsius=42, errors={"nvmlDeviceGetTemperatureV": 13}))
    assert values(bench.ask())["temperature_celsius", "core"] == 42
    assert list(bench.runner.unsupported()) == []


def test_a_row_is_unsupported_only_when_no_query_gives_it() -> None:
    bench = Bench(FakeGpu(field_code=3))
    assert ("temperature_celsius", "memory") not in values(bench.ask())
    assert list(bench.runner.unsupported()) == []


@pytest.mark.parametrize(
    "call", ["nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v3"]
)
def test_processes_are_counted_without_the_lists_a_card_does_not_have(call: str) -> None:
    bench = Bench(FakeGpu(compute_pids=(7,), errors={call: 3}))
    assert values(bench.ask())["processes",] == 1


@pytest.mark.parametrize(("code", "expected"), [(15, DeviceLostError), (16, DeviceLostError), (1, SessionError)])
def test_what_concerns_more_than_the_reading_is_passed_on(code: int, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        Bench(FakeGpu(errors={"nvmlDeviceGetPowerUsage": code})).ask()


def test_the_rows_that_can_be_had_are_those_of_the_questions() -> None:
    assert rows_of(QUESTIONS) | rows_of(EVERY_WISH) | activity.GPM_ROWS == DEVICE_ROWS
