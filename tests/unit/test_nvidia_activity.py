"""Activity by GPM and the engines: the collector and the real binding over the NVML double."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import CollectOptions, Reason, UnavailableError
from collectors.metric import Cadence, Metric
from collectors.nvidia.readings import device_queries
from tests.doubles.nvidia_collector import CollectorBench, PollResult, collector_bench
from tests.doubles.nvidia_device import QueriedDevice, values
from tests.doubles.nvml import Device, NvmlState, h100, h100_mig
from tests.doubles.options import HEALTH_ONLY, SUMS_OF_LINKS, USUAL

BUSY = {1: 95.0, 2: 90.0, 3: 45.0, 4: 10.0, 5: 60.0, 10: 70.0, 11: 1.0, 12: 20.0, 13: 30.0}
CYCLES = {248: 2.0**50, 249: 2.0**49, 250: 7.0, 257: 4.0, 258: 1.0, 259: 2.0, 260: 3.0}
NOT_SUPPORTED, FUNCTION_NOT_FOUND = 3, 13


@pytest.fixture
def state(nvml: NvmlState) -> NvmlState:
    nvml.devices = [h100(0)]
    return nvml


@pytest.fixture
def polling(state: NvmlState, tmp_path: Path) -> Iterator["Polling"]:
    with collector_bench(tmp_path, state, SUMS_OF_LINKS) as bench:
        yield Polling(bench)
    assert samples_in_use(state) == 0


def samples_in_use(state: NvmlState) -> int:
    return state.calls("nvmlGpmSampleAlloc") - state.calls("nvmlGpmSampleFree")


class Polling:
    """Polls once a second."""

    def __init__(self, bench: CollectorBench) -> None:
        self.bench = bench

    def poll(self, *due: Cadence) -> PollResult:
        self.bench.pass_time(1)
        return self.bench.poll(*due)

    def until(self, metric: Metric, *own: str, of: str, mig: str = "") -> PollResult:
        """The first poll with a value of a device or MIG device: the second at the latest."""
        for _ in range(2):
            result = self.poll()
            if (metric.stem, *own) in result.of(of, mig):
                break
        assert (metric.stem, *own) in result.of(of, mig)
        return result


def activity(result: PollResult, uuid: str, partition_uuid: str = "") -> dict[tuple[str, ...], float]:
    families = ("pipe_", "sm_", "memory_bandwidth", "memory_busy", "utilization")
    return {key: value for key, value in result.of(uuid, partition_uuid).items() if key[0].startswith(families)}


EXPECTED = {
    ("memory_bandwidth_utilization_ratio",): 0.7,
    ("sm_occupancy_ratio",): 0.45,
    ("pipe_activity_ratio", "sm"): 0.9,
    ("pipe_activity_ratio", "tensor"): 0.6,
    ("pipe_activity_ratio", "fp64"): 0.01,
    ("pipe_activity_ratio", "fp32"): 0.2,
    ("pipe_activity_ratio", "fp16"): 0.3,
    ("pipe_activity_ratio", "integer"): 0.1,
}


def test_activity_needs_two_samples(state: NvmlState, polling: Polling) -> None:
    device = state.devices[0]
    device.set_gpm(BUSY)
    device.utilization_gpu_percent, device.utilization_memory_percent = 50, 25
    assert activity(polling.poll(), device.uuid) == {("utilization_ratio",): 0.5}
    result = polling.until(catalog.SM_OCCUPANCY, of=device.uuid)
    # Utilization is from the driver. The used memory bandwidth is instead of the time in which the memory was in use.
    assert activity(result, device.uuid) == EXPECTED | {("utilization_ratio",): 0.5}


def test_a_device_before_hopper_has_no_activity_and_support_is_queried_once(state: NvmlState, polling: Polling) -> None:
    device = state.devices[0]
    device.gpm_supported = 0
    device.utilization_gpu_percent, device.utilization_memory_percent = 50, 25
    for _ in range(3):
        result = polling.poll()
        assert activity(result, device.uuid) == {
            ("utilization_ratio",): 0.5,
            ("memory_busy_ratio",): 0.25,
        }
    assert {"pipe_activity_ratio", "sm_occupancy_ratio", "pipe_active_cycles_total"} <= set(result.unsupported)
    assert state.calls("nvmlGpmQueryDeviceSupport") == 1
    assert state.calls("nvmlGpmSampleAlloc") == state.calls("nvmlGpmMetricsGet") == 0


def test_each_mig_device_and_the_partitioned_device_have_utilization(state: NvmlState, polling: Polling) -> None:
    device = state.devices[0]
    device.set_gpm(BUSY)
    device.partition([None, h100_mig(0, 0), h100_mig(0, 1)])
    first, second = device.mig[1], device.mig[2]
    first.set_gpm(BUSY)
    second.set_gpm(dict.fromkeys(BUSY, 0.0))
    result = polling.until(catalog.UTILIZATION, of=device.uuid, mig=second.uuid)
    assert activity(result, device.uuid, first.uuid) == EXPECTED | {("utilization_ratio",): 0.95}
    assert set(activity(result, device.uuid, second.uuid).values()) == {0.0}
    assert activity(result, device.uuid) == EXPECTED | {("utilization_ratio",): 0.95}


def test_compute_instances_that_share_a_gpu_instance_have_no_activity(state: NvmlState, polling: Polling) -> None:
    device = state.devices[0]
    device.partition([h100_mig(0, 0), h100_mig(0, 1), h100_mig(0, 2)])
    device.mig[1].gpu_instance, device.mig[1].compute_instance = device.mig[0].gpu_instance, 1
    result = polling.until(catalog.UTILIZATION, of=device.uuid, mig=device.mig[2].uuid)
    assert activity(result, device.uuid, device.mig[0].uuid) == activity(result, device.uuid, device.mig[1].uuid) == {}
    assert result.faults == []


def test_a_compute_instance_that_uses_part_of_its_gpu_instance_has_no_activity(
    state: NvmlState, polling: Polling
) -> None:
    """GPM values are relative to the whole instance: 1 of 3 slices, all busy, would be reported as a third."""
    device = state.devices[0]
    device.partition([h100_mig(0, 0, "3g.40gb"), h100_mig(0, 1, "3g.40gb")])
    part, whole = device.mig[0], device.mig[1]
    part.name, part.compute_instance_slices = part.name.replace("3g.40gb", "1c.3g.40gb"), 1
    part.set_gpm(BUSY)
    result = polling.until(catalog.UTILIZATION, of=device.uuid, mig=whole.uuid)
    assert activity(result, device.uuid, part.uuid) == {}
    assert result.value(catalog.MEMORY_LIMIT, device.uuid, partition=part.uuid) is not None
    assert result.faults == []


def test_a_new_mig_device_with_a_reused_id_needs_two_samples(state: NvmlState, polling: Polling) -> None:
    device = state.devices[0]
    device.partition([h100_mig(0, 0)])
    device.mig[0].set_gpm(BUSY)
    polling.until(catalog.UTILIZATION, of=device.uuid, mig=device.mig[0].uuid)
    with state.at_once():
        device.mig[0].uuid = "MIG-another"
        device.mig[0].set_gpm(dict.fromkeys(BUSY, 5.0))
    result = polling.poll()
    assert result.partitions == ["MIG-another"]
    assert activity(result, device.uuid, "MIG-another") == {}
    result = polling.until(catalog.UTILIZATION, of=device.uuid, mig="MIG-another")
    assert set(activity(result, device.uuid, "MIG-another").values()) == {0.05}


def test_activity_over_a_gap_is_not_reported(state: NvmlState, polling: Polling) -> None:
    uuid = state.devices[0].uuid
    polling.until(catalog.SM_OCCUPANCY, of=uuid)
    polling.bench.pass_time(60)
    assert polling.poll().value(catalog.SM_OCCUPANCY, uuid) is None
    polling.until(catalog.SM_OCCUPANCY, of=uuid)


def test_polls_shortly_after_each_other_share_a_sample(state: NvmlState, polling: Polling) -> None:
    polling.poll()
    taken = state.calls("nvmlGpmSampleGet")
    polling.bench.pass_time(0.05)
    assert polling.bench.poll().faults == []
    assert state.calls("nvmlGpmSampleGet") == taken


def test_a_failing_metric_does_not_affect_the_others(state: NvmlState, polling: Polling) -> None:
    device = state.devices[0]
    device.set_gpm(BUSY)
    device.set_gpm({3: math.nan, 5: 120.0})
    device.set_gpm({11: 0.0}, code=NOT_SUPPORTED)
    result = polling.until(catalog.PIPE_ACTIVITY, "sm", of=device.uuid)
    reported = activity(result, device.uuid)
    missing = {("sm_occupancy_ratio",), ("pipe_activity_ratio", "tensor"), ("pipe_activity_ratio", "fp64")}
    assert reported.keys() - {("utilization_ratio",)} == EXPECTED.keys() - missing
    assert {reason for reason, _, _ in result.faults} == {"invalid_value"}
    assert len(result.faults) == 2


def test_cycles_are_counters_where_the_driver_supports_them(state: NvmlState, polling: Polling) -> None:
    device = state.devices[0]
    device.set_gpm(CYCLES)
    result = polling.until(catalog.PIPE_ELAPSED_CYCLES, of=device.uuid)
    assert result.value(catalog.PIPE_ELAPSED_CYCLES, device.uuid) == 2**50
    pipes = {"sm": 2**49, "tensor": 7, "fp64": 1, "fp32": 2, "fp16": 3, "integer": 4}
    reported = activity(result, device.uuid)
    assert {key[1]: value for key, value in reported.items() if key[0] == "pipe_active_cycles_total"} == pipes


def test_without_cycles_a_poll_makes_two_calls_for_each_device_and_gpu_instance(
    state: NvmlState, polling: Polling
) -> None:
    device = state.devices[0]
    device.partition([h100_mig(0, 0), h100_mig(0, 1)])
    result = polling.until(catalog.UTILIZATION, of=device.uuid, mig=device.mig[1].uuid)
    assert {"pipe_active_cycles_total", "pipe_elapsed_cycles_total"} <= set(result.unsupported)
    calls = ("nvmlGpmSampleGet", "nvmlGpmMigSampleGet", "nvmlGpmMetricsGet", "nvmlGpmQueryDeviceSupport")
    before = [state.calls(call) for call in calls]
    polling.poll()
    assert [state.calls(call) - count for call, count in zip(calls, before, strict=True)] == [1, 2, 3, 0]


def test_a_failed_sample_affects_only_its_metrics(state: NvmlState, polling: Polling) -> None:
    uuid = state.devices[0].uuid
    polling.until(catalog.SM_OCCUPANCY, of=uuid)
    state.fail("nvmlGpmSampleGet", 999)
    result = polling.poll(Cadence.FAST)
    assert result.value(catalog.SM_OCCUPANCY, uuid) is None
    assert result.value(catalog.POWER, uuid) == 71
    assert [reason for reason, _, _ in result.faults] == ["unavailable"]
    state.heal()
    polling.until(catalog.SM_OCCUPANCY, of=uuid)


def test_samples_are_freed_with_their_mig_device_and_with_the_session(state: NvmlState, polling: Polling) -> None:
    device: Device = state.devices[0]
    device.partition([h100_mig(0, 0), h100_mig(0, 1)])
    polling.until(catalog.UTILIZATION, of=device.uuid, mig=device.mig[1].uuid)
    assert samples_in_use(state) == 6
    device.mig[1].present = 0
    polling.poll()
    assert samples_in_use(state) == 4
    for _ in range(10):
        polling.poll()
    assert samples_in_use(state) == 4
    state.fail("nvmlDeviceGetCount_v2", 1)
    with pytest.raises(UnavailableError) as caught:
        polling.poll()
    assert caught.value.reason is Reason.DRIVER_NOT_LOADED
    assert samples_in_use(state) == 0
    state.heal()


def test_a_missing_engine_does_not_affect_the_others(state: NvmlState) -> None:
    device = QueriedDevice(state, device_queries(CollectOptions()))
    state.fail("nvmlDeviceGetJpgUtilization", FUNCTION_NOT_FOUND)
    engines = set(values(device.query(times=2), catalog.ENGINE_UTILIZATION))
    assert engines == {("encoder",), ("decoder",), ("optical_flow",)}
    assert catalog.ENGINE_UTILIZATION not in device.gaps()
    assert state.calls("nvmlDeviceGetJpgUtilization") == 1


def test_only_the_exported_activity_is_read(state: NvmlState, tmp_path: Path) -> None:
    state.devices = [h100(0), h100(1)]
    whole, cut = state.devices[0], state.devices[1]
    cut.partition([h100_mig(1, 0)])
    for each in (whole, cut.mig[0]):
        each.set_gpm(BUSY | CYCLES)
    with collector_bench(tmp_path, state, USUAL) as bench:
        result = Polling(bench).until(catalog.UTILIZATION, of=cut.uuid, mig=cut.mig[0].uuid)
        counted = state.calls("nvmlGpmMetricsGet")
    assert {" ".join(key) for key in activity(result, whole.uuid)} == {
        "utilization_ratio",
        "memory_bandwidth_utilization_ratio",
        "pipe_activity_ratio sm",
        "pipe_activity_ratio tensor",
    }
    assert activity(result, cut.uuid, cut.mig[0].uuid) == {("utilization_ratio",): 0.95}
    assert counted == 3  # one call for each device and partition, and none for cycles


def test_no_samples_are_taken_if_no_activity_is_exported(state: NvmlState, tmp_path: Path) -> None:
    state.devices[0].set_gpm(BUSY)
    with collector_bench(tmp_path, state, HEALTH_ONLY) as bench:
        for _ in range(3):
            Polling(bench).poll()
    assert state.calls("nvmlGpmSampleAlloc") == state.calls("nvmlGpmMetricsGet") == 0
