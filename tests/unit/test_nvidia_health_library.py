"""Events, reliability and status, as the collector reports them over the C library."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors import catalog
from collectors.metric import Cadence
from collectors.nvidia.xid import FROM_START
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvidia_collector import CollectorBench, PollResult, collector_bench
from tests.doubles.nvml import RECOVERY_ACTION_FIELD, Device, NvmlState, ValueType, h100, h100_mig
from tests.doubles.options import DIAGNOSED, USUAL

UNAVAILABLE_EVENT = 0x4000
MIG_EVENT = 0x100
FAST, MEDIUM, SLOW = Cadence
WAIT = "nvmlEventSetWait_v2"
FUNCTION_NOT_FOUND = 13


@pytest.fixture
def state(nvml: NvmlState) -> NvmlState:
    nvml.devices = [h100(0), h100(1)]
    return nvml


@pytest.fixture
def exporter(state: NvmlState, tmp_path: Path) -> Iterator[CollectorBench]:
    with collector_bench(tmp_path, state) as made:
        yield made


def status(result: PollResult, uuid: str) -> str:
    (now,) = [name for name, value in result.values(catalog.STATUS_STATE, uuid).items() if value]
    return now


def counted(result: PollResult, uuid: str) -> dict[str, float]:
    return {labels: value for labels, value in result.values(catalog.ERRORS, uuid).items() if value}


def poll_until_counted(exporter: CollectorBench, uuid: str, labels: str, times: float = 1) -> PollResult:
    def seen() -> PollResult | None:
        result = exporter.poll(FAST)
        return result if counted(result, uuid).get(labels) == times else None

    return wait_until(seen)


def registrations(state: NvmlState, device: int) -> int:
    return state.calls("nvmlDeviceRegisterEvents", device=device)


def wait_for_registration(state: NvmlState, device: int, before: int) -> None:
    """Wait until a device was registered again and the listener waits on its event set."""
    wait_until(lambda: registrations(state, device) > before)
    waits = state.calls(WAIT)
    wait_until(lambda: state.calls(WAIT) > waits)


def test_severe_events_are_counted_from_0_at_the_first_poll(state: NvmlState, exporter: CollectorBench) -> None:
    result = exporter.poll()
    for device in (state.devices[0], state.devices[1]):
        zeros = result.values(catalog.ERRORS, device.uuid)
        assert set(zeros) == {*(f"xid {code} hardware" for code in FROM_START), "driver gpu_unavailable hardware"}
        assert set(zeros.values()) == {0}
        assert status(result, device.uuid) == "ok"
    assert (result.faults, result.without_counts) == ([], set())


def test_events_are_counted_for_their_device(state: NvmlState, exporter: CollectorBench) -> None:
    first, second = state.devices[0].uuid, state.devices[1].uuid
    state.devices[1].partition([h100_mig(1, 0)])
    exporter.poll()
    exporter.pass_time(2.5)
    state.happen(0, 0, MIG_EVENT)
    state.happen(0, 31)
    state.happen(1, 48, mig=state.devices[1].mig[0])
    state.happen(1, 0, UNAVAILABLE_EVENT)
    result = poll_until_counted(exporter, second, "driver gpu_unavailable hardware")
    assert counted(result, first) == {"xid 31 application": 1}
    assert counted(result, second) == {"xid 48 hardware": 1, "driver gpu_unavailable hardware": 1}
    assert (status(result, first), status(result, second)) == ("ok", "failed")
    assert result.values(catalog.ERROR_LAST_TIMESTAMP, first) == {"xid 31 application": 1e9 + 2.5}
    assert result.faults == []


def test_events_are_reported_once_in_words_and_are_reasons_of_the_state(
    state: NvmlState, exporter: CollectorBench
) -> None:
    first, second = state.devices[0].uuid, state.devices[1].uuid
    exporter.poll()
    state.happen(0, 31)
    events: list[tuple[str, str, str, int]] = []
    state.happen(1, 48)

    def both() -> PollResult | None:
        result = exporter.poll(FAST)
        events.extend(result.events)
        return result if len(events) == 2 else None

    result = wait_until(both)
    assert sorted(events) == sorted(
        [
            (first, "XID 31: A program used memory that is not mapped", "", 1),
            (second, "XID 48: Double-bit memory error, not corrected", "degraded", 1),
        ]
    )
    assert result.conditions == {second: ["XID 48: Double-bit memory error, not corrected"]}
    assert exporter.poll().events == []


def test_events_before_the_registration_are_not_counted(state: NvmlState, exporter: CollectorBench) -> None:
    uuid = state.devices[0].uuid
    state.happen(0, 79)
    exporter.poll()
    state.happen(0, 74)
    assert counted(poll_until_counted(exporter, uuid, "xid 74 hardware"), uuid) == {"xid 74 hardware": 1}


def test_the_recovery_action_none_ends_the_status_of_an_event(state: NvmlState, exporter: CollectorBench) -> None:
    device = state.devices[0]
    exporter.poll()
    device.set_field(RECOVERY_ACTION_FIELD, 1, ValueType.UNSIGNED_INT)
    state.happen(0, 119)
    poll_until_counted(exporter, device.uuid, "xid 119 hardware")
    result = exporter.poll(FAST, MEDIUM)
    assert (status(result, device.uuid), result.value(catalog.RECOVERY_ACTION, device.uuid, "reset")) == ("failed", 1)
    device.set_field(RECOVERY_ACTION_FIELD, 0, ValueType.UNSIGNED_INT)
    assert status(exporter.poll(FAST), device.uuid) == "failed"
    result = exporter.poll(FAST, MEDIUM)
    assert (status(result, device.uuid), result.value(catalog.RECOVERY_ACTION, device.uuid, "none")) == ("ok", 1)


def test_a_card_with_an_unknown_recovery_action_is_degraded_and_logged_once(
    state: NvmlState, exporter: CollectorBench
) -> None:
    device = state.devices[0]
    exporter.poll()
    state.driver_version = "595.45"
    device.set_field(RECOVERY_ACTION_FIELD, 8, ValueType.UNSIGNED_INT)
    results = [exporter.poll(*due) for due in ((FAST, MEDIUM), (FAST,), (FAST, MEDIUM, SLOW))]
    assert [status(result, device.uuid) for result in results] == ["degraded"] * 3
    assert [result.values(catalog.RECOVERY_ACTION, device.uuid) for result in results] == [{}] * 3
    (fault,) = [fault for result in results for fault in result.faults]
    assert (str(fault[0]), fault[1]) == ("invalid_value", device.uuid)
    assert "recovery action 8" in fault[2]
    device.set_field(RECOVERY_ACTION_FIELD, 0, ValueType.UNSIGNED_INT)
    result = exporter.poll(FAST, MEDIUM)
    assert (status(result, device.uuid), result.value(catalog.RECOVERY_ACTION, device.uuid, "none")) == ("ok", 1)
    device.set_field(RECOVERY_ACTION_FIELD, 8, ValueType.UNSIGNED_INT)
    assert len(exporter.poll(FAST, MEDIUM).faults) == 1


def test_a_card_lost_from_the_bus_reports_its_event_and_does_not_affect_the_other(
    state: NvmlState, exporter: CollectorBench
) -> None:
    first, second = state.devices[0].uuid, state.devices[1].uuid
    exporter.poll()
    with state.at_once():
        state.happen(0, 79)
        state.lose(0)
    result = poll_until_counted(exporter, first, "xid 79 hardware")
    assert status(result, first) == "failed"
    wait_for_registration(state, 1, before=1)
    state.happen(1, 63)
    result = poll_until_counted(exporter, second, "xid 63 hardware")
    assert counted(result, first) == {"xid 79 hardware": 1}
    assert (status(result, first), status(result, second)) == ("failed", "ok")


def test_a_recovered_card_is_registered_again(state: NvmlState, exporter: CollectorBench) -> None:
    uuid = state.devices[0].uuid
    exporter.poll()
    state.lose(0)
    wait_until(lambda: status(exporter.poll(FAST), uuid) == "failed")
    exporter.poll(FAST)  # removes the lost card from those listened to, so its recovery is a change
    before = registrations(state, 0)  # a lost card is not registered, so none comes before it recovers
    state.heal()
    assert status(exporter.poll(FAST, MEDIUM), uuid) == "ok"
    exporter.poll(FAST)
    wait_for_registration(state, 0, before)
    state.happen(0, 94)
    poll_until_counted(exporter, uuid, "xid 94 hardware")


def test_a_failed_wait_is_a_fault_and_is_retried(state: NvmlState, exporter: CollectorBench) -> None:
    uuid = state.devices[0].uuid
    exporter.poll()
    state.fail(WAIT, 999)
    wait_until(lambda: ("unavailable", "events", f"{WAIT}: UNKNOWN (999)") in exporter.poll(FAST).faults)
    state.heal()
    waits = state.calls(WAIT)
    wait_until(lambda: state.calls(WAIT) > waits + 1)  # the first may empty the old event set, before the registration
    state.happen(0, 140)
    poll_until_counted(exporter, uuid, "xid 140 hardware")


def test_the_end_of_a_session_frees_all_sets_and_keeps_the_counts(state: NvmlState, exporter: CollectorBench) -> None:
    uuid = state.devices[0].uuid
    exporter.poll()
    state.happen(0, 95)
    assert status(poll_until_counted(exporter, uuid, "xid 95 hardware"), uuid) == "failed"
    exporter.collector.close()
    assert state.calls("nvmlEventSetFree") == state.calls("nvmlEventSetCreate") == 1
    assert state.calls("nvmlShutdown") == 1
    result = exporter.poll()
    assert (counted(result, uuid), status(result, uuid)) == ({"xid 95 hardware": 1}, "ok")
    state.happen(0, 95)
    poll_until_counted(exporter, uuid, "xid 95 hardware", times=2)


def test_a_hung_wait_does_not_keep_the_session_open(state: NvmlState, exporter: CollectorBench) -> None:
    exporter.poll()
    state.delay(WAIT, 600_000)
    wait_until(lambda: state.waiting(WAIT) == 1)
    exporter.collector.close()
    assert (state.calls("nvmlShutdown"), state.calls("nvmlEventSetFree")) == (1, 0)
    state.release()
    wait_until(lambda: state.waiting(WAIT) == 0)
    uuid = state.devices[0].uuid
    exporter.poll()
    state.happen(0, 62)
    poll_until_counted(exporter, uuid, "xid 62 hardware")
    assert state.calls("nvmlEventSetFree") == 0


@pytest.mark.parametrize("types", [None, 0x10])
def test_a_card_without_xid_events_has_no_counts(state: NvmlState, exporter: CollectorBench, types: int | None) -> None:
    state.devices[0].supported_event_types = types
    result = exporter.poll()
    assert result.without_counts == {state.devices[0].uuid}
    assert result.values(catalog.ERRORS, state.devices[0].uuid) == {}
    assert result.values(catalog.ERRORS, state.devices[1].uuid) != {}


def test_a_driver_without_events_or_reliability_has_no_faults(state: NvmlState, exporter: CollectorBench) -> None:
    for call in (
        "nvmlDeviceGetSupportedEventTypes",
        "nvmlDeviceGetTotalEccErrors",
        "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetRetiredPages",
        "nvmlDeviceGetRetiredPagesPendingStatus",
    ):
        state.fail(call, FUNCTION_NOT_FOUND)
    result = exporter.poll()
    assert result.faults == []
    assert status(result, state.devices[0].uuid) == "ok"
    assert state.calls("nvmlEventSetCreate") == 0


def ampere(device: Device) -> None:
    """Give the device distinct numbers."""
    device.ecc_volatile_corrected, device.ecc_volatile_uncorrected = 11, 2**40
    device.ecc_lifetime_corrected, device.ecc_lifetime_uncorrected = 2**41, 14
    device.remapped_rows_corrected, device.remapped_rows_uncorrected = 15, 16
    device.remapping_pending, device.remapping_failed = 1, 0


def test_memory_errors_and_remapped_rows_are_reported(state: NvmlState, exporter: CollectorBench) -> None:
    ampere(state.devices[1])
    uuid = state.devices[1].uuid
    result = exporter.poll()
    assert result.values(catalog.MEMORY_ERRORS, uuid) == {"corrected": 11, "uncorrected": 2**40}
    assert result.values(catalog.MEMORY_LIFETIME_ERRORS, uuid) == {"corrected": 2**41, "uncorrected": 14}
    assert result.values(catalog.MEMORY_REMAPPED_ROWS, uuid) == {"corrected": 15, "uncorrected": 16}
    assert result.value(catalog.MEMORY_REPAIR_PENDING, uuid) == 1
    assert result.value(catalog.MEMORY_REPAIR_FAILED, uuid) == 0
    assert result.values(catalog.MEMORY_RETIRED_PAGES, uuid) == {}
    assert (status(result, uuid), status(result, state.devices[0].uuid)) == ("degraded", "ok")
    state.devices[1].remapping_failed = 1
    assert status(exporter.poll(), uuid) == "predicted_failure"


def test_a_partitioned_card_has_no_remapped_rows_and_one_without_ecc_no_errors(
    state: NvmlState, exporter: CollectorBench
) -> None:
    state.devices[0].partition([h100_mig(0, 0)])
    state.devices[1].ecc_mode = 0
    result = exporter.poll()
    first, second = state.devices[0].uuid, state.devices[1].uuid
    assert result.values(catalog.MEMORY_REMAPPED_ROWS, first) == {}
    assert result.values(catalog.MEMORY_ERRORS, first) == {"corrected": 0, "uncorrected": 0}
    assert result.values(catalog.MEMORY_ERRORS, second) == {}
    assert result.faults == []


@pytest.mark.parametrize("pages", [(0, 0), (3, 60)])
def test_retired_pages_are_reported(state: NvmlState, exporter: CollectorBench, pages: tuple[int, int]) -> None:
    device = state.devices[0]
    device.remapped_rows_corrected = None
    device.retired_pages_corrected, device.retired_pages_uncorrected = pages
    device.retirement_pending = 1
    result = exporter.poll()
    assert result.values(catalog.MEMORY_RETIRED_PAGES, device.uuid) == {"corrected": pages[0], "uncorrected": pages[1]}
    assert result.value(catalog.MEMORY_REPAIR_PENDING, device.uuid) == 1
    assert status(result, device.uuid) == "degraded"


def test_a_registration_with_the_fabric_that_does_not_finish_degrades_the_device(
    state: NvmlState, exporter: CollectorBench
) -> None:
    state.devices[1].fabric_state = 2
    uuid = state.devices[1].uuid
    states = []
    for _ in range(7):  # every minute
        states.append(status(exporter.poll(), uuid))
        exporter.pass_time(60)
    assert states == ["ok"] * 5 + ["degraded"] * 2
    state.devices[1].fabric_state = 3
    assert status(exporter.poll(), uuid) == "ok"
    assert status(exporter.poll(), state.devices[0].uuid) == "ok"
    state.devices[1].fabric_status = 999
    assert status(exporter.poll(), uuid) == "degraded"


@pytest.mark.parametrize("diagnostics", [False, True])
def test_conditions_of_the_fabric_decide_the_status_and_are_exported_only_if_asked_for(
    state: NvmlState, tmp_path: Path, *, diagnostics: bool
) -> None:
    state.devices[0].fabric_health_mask = 0b01_10_01_10_10
    state.devices[1].fabric_state = 0
    route, outside = state.devices[0].uuid, state.devices[1].uuid
    with collector_bench(tmp_path, state, DIAGNOSED if diagnostics else USUAL) as bench:
        result = bench.poll()
    assert (status(result, route), status(result, outside)) == ("degraded", "ok")
    conditions = result.values(catalog.FABRIC_CONDITION, route)
    assert [name for name, value in conditions.items() if value] == ["nvlink route_unhealthy"] * diagnostics
    assert ("fabric_condition" in result.unsupported) == diagnostics
