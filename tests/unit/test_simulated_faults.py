"""The effect of each kind of fault on the readings of the collector."""

import threading
import time

import pytest

from collectors import catalog
from collectors.contract import Reason, UnavailableError
from collectors.metric import Cadence
from collectors.simulated import ScenarioClock, SimulatedCollector, load_scenario
from tests.doubles.simulated_node import ALL, EPOCH, SimulatedNode, samples, scenario, values

TWO = "devices: [{profile: h100, count: 2, load: 0.5}]\n"
PATIENCE_SECONDS = 30


def node(*faults: str, rest: str = TWO) -> SimulatedNode:
    listed = "".join(f"- {{{fault}}}\n" for fault in faults)
    return SimulatedNode(scenario(f"{rest}faults:\n{listed}"))


def test_a_hang_lasts_until_its_end_whenever_the_call_begins() -> None:
    hung = node("kind: hang, at: 10, for: 20")
    for second in (9.5, 10, 12.25, 29, 30):
        hung.read(second)
    assert hung.event.waits == [20, 17.75, 1]


def test_with_repeat_a_hang_occurs_again() -> None:
    hung = node("kind: hang, at: 10, for: 20", rest=f"repeat: 60\n{TWO}")
    hung.read(75.5)
    assert hung.event.waits == [14.5]


def test_closing_from_another_thread_ends_a_hang_and_a_later_call_works() -> None:
    played = scenario(f"{TWO}faults: [{{kind: hang, at: 0, for: 600}}]")
    now = [0.0]
    collector = SimulatedCollector(played, "node-1", ScenarioClock(lambda: now[0], lambda: EPOCH), threading.Event())
    raised: list[Exception] = []
    begun = threading.Event()

    def call() -> None:
        begun.set()
        try:
            collector.read(ALL)
        except UnavailableError as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    assert begun.wait(PATIENCE_SECONDS)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while thread.is_alive() and time.monotonic() < deadline:
        collector.close()  # repeated, because the call may not hang yet
        thread.join(0.01)
    assert not thread.is_alive()
    assert [str(error) for error in raised] == ["simulated fault: closed while the call was hanging"]
    now[0] = 600.0
    assert collector.read(ALL).devices


def test_a_slow_call_takes_longer_each_time() -> None:
    slow = node("kind: slow, at: 5, for: 10, delay: 2.5")
    for second in (4, 5, 14, 15):
        slow.read(second)
    assert slow.event.waits == [2.5, 2.5]


def test_a_failing_call_reports_its_start_and_end() -> None:
    failing = node("kind: raise, at: 5, for: 10")
    failing.read(4)
    with pytest.raises(UnavailableError, match="every call fails from second 5 to 15") as caught:
        failing.read(5)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert values(failing.read(15), catalog.UTILIZATION, 0) == [0.5]


def test_a_lost_device_keeps_identity_state_and_events_and_the_others_continue() -> None:
    lost = node("kind: device_lost, at: 5, for: 10, devices: [1]")
    before, during, after = lost.read(4), lost.read(6), lost.read(15)
    assert [device.lost for device in during.devices] == [False, True]
    assert [device.uuid for device in during.devices] == [device.uuid for device in before.devices]
    left = {s.metric for s in during.samples if s.device_uuid == during.devices[1].uuid}
    assert left == {catalog.INFO, catalog.STATUS_STATE, catalog.ERRORS}
    assert values(during, catalog.STATUS_STATE, 1, "failed") == [1.0]
    assert values(during, catalog.UTILIZATION, 0) == [0.5]
    assert [(fault.reason, fault.where) for fault in during.faults] == [(Reason.DEVICE_LOST, "0000:07:00.0")]
    assert not [device for device in after.devices if device.lost]
    assert values(after, catalog.STATUS_STATE, 1, "ok") == [1.0]
    assert not after.faults


def test_the_partitions_of_a_lost_device_keep_their_identity() -> None:
    cut = (
        "devices:\n- profile: h100\n  partitions:\n"
        "  - {profile: 1g.10gb, count: 2, memory: 9GiB, compute: 1/7, load: 0.5, processes: 1}\n"
    )
    lost = node("kind: device_lost, at: 5, for: 10, devices: [0]", rest=cut)
    before, during = lost.read(0), lost.read(5)
    assert during.partitions == before.partitions
    assert {s.metric for s in during.samples if s.partition_uuid} == {catalog.INFO}
    assert (len(before.processes), len(during.processes)) == (2, 0)


def test_garbage_is_dropped_and_counted_and_other_readings_continue() -> None:
    spoiled = node("kind: garbage, at: 5, for: 10, devices: [0]")
    before, during, after = spoiled.read(4), spoiled.read(5), spoiled.read(15)
    refused = (catalog.UTILIZATION, catalog.MEMORY_USAGE, catalog.POWER, catalog.TEMPERATURE, catalog.CLOCK)
    for metric in refused:
        count = len(samples(before, metric))
        seen = [len(samples(during, metric)), len(samples(during, metric, 1)), len(samples(after, metric))]
        assert (metric.stem, seen) == (metric.stem, [0, count, count])
    assert len(values(during, catalog.ENERGY)) == 1
    assert {fault.reason for fault in during.faults} == {Reason.INVALID_VALUE}
    assert len(during.faults) == len(before.samples) - len(during.samples) == 9
    assert "0000:04:00.0 utilization_ratio" in {fault.where for fault in during.faults}


def test_a_driver_reload_resets_the_counters_of_the_hardware_and_no_others() -> None:
    reloaded = node(
        "kind: driver_reload, at: 100",
        "kind: memory_errors, at: 0, for: 50, devices: [0], corrected_per_second: 2, uncorrected_per_second: 0.1",
        'kind: critical_error, at: 30, devices: [0], code: "48"',
    )
    before, after = reloaded.read(99), reloaded.read(101)
    assert values(before, catalog.MEMORY_ERRORS, 0, "corrected") == [100]
    assert values(after, catalog.MEMORY_ERRORS, 0, "corrected") == [0]
    assert values(after, catalog.MEMORY_LIFETIME_ERRORS, 0, "corrected") == [100]
    assert values(after, catalog.MEMORY_REMAPPED_ROWS, 0, "uncorrected") == [5]
    assert values(before, catalog.MEMORY_REPAIR_PENDING) == [1]
    assert values(before, catalog.STATUS_STATE, 0, "degraded") == [1]
    assert values(before, catalog.RECOVERY_ACTION, 0, "drain_and_reset") == [1]
    assert values(after, catalog.MEMORY_REPAIR_PENDING) == [0]
    assert values(after, catalog.ERRORS, 0, "xid", "48", "hardware") == [1]
    for device in (0, 1):
        assert values(before, catalog.ENERGY, device)[0] == pytest.approx(99 * 385)
        assert values(after, catalog.ENERGY, device)[0] == pytest.approx(385)


def test_critical_errors_are_counted_from_zero_with_the_time_of_the_last() -> None:
    troubled = node(*(f'kind: critical_error, at: {at}, devices: [1], code: "79"' for at in (5, 20)))
    code = ("xid", "79", "hardware")
    before, once, twice = troubled.read(4.9), troubled.read(5), troubled.read(25)
    assert [values(r, catalog.ERRORS, 1, *code) for r in (before, once, twice)] == [[0], [1], [2]]
    assert values(twice, catalog.ERRORS, 0, *code) == [0]
    assert not values(before, catalog.ERROR_LAST_TIMESTAMP, 1)
    assert values(twice, catalog.ERROR_LAST_TIMESTAMP, 1, *code) == [EPOCH + 20]


def test_a_lost_device_is_counted_at_once_and_then_with_the_medium_cadence() -> None:
    lost = node("kind: device_lost, at: 5, for: 10, devices: [1]")
    fast = frozenset({Cadence.FAST})
    faults = [
        len(lost.read(second, due).faults) for second, due in ((4, ALL), (5, fast), (6, fast), (7, ALL), (16, ALL))
    ]
    assert faults == [0, 1, 0, 1, 0]


def test_the_event_that_a_device_is_lost_after_is_still_counted() -> None:
    lost = node(
        'kind: critical_error, at: 5, devices: [1], code: "79"', "kind: device_lost, at: 5, for: 10, devices: [1]"
    )
    during, after = lost.read(6), lost.read(16)
    for reading in (during, after):
        assert values(reading, catalog.ERRORS, 1, "xid", "79", "hardware") == [1]
        assert values(reading, catalog.ERROR_LAST_TIMESTAMP, 1, "xid", "79", "hardware") == [EPOCH + 5]
    assert values(after, catalog.STATUS_STATE, 1, "ok") == [1]


def test_after_a_fatal_event_the_device_must_be_reset_until_the_driver_is_reloaded() -> None:
    troubled = node(
        'kind: critical_error, at: 5, devices: [0], code: "95"',
        'kind: critical_error, at: 5, devices: [1], code: "31"',
        "kind: driver_reload, at: 20",
    )
    during, after = troubled.read(6), troubled.read(21)
    assert values(during, catalog.STATUS_STATE, 0, "failed") == [1]
    assert values(during, catalog.RECOVERY_ACTION, 0, "reset") == [1]
    assert values(during, catalog.STATUS_STATE, 1, "ok") == [1]
    assert values(after, catalog.STATUS_STATE, 0, "ok") == [1]
    assert values(after, catalog.RECOVERY_ACTION, 0, "none") == [1]


def test_a_code_without_a_counter_from_the_start_gets_one_with_its_first_event() -> None:
    troubled = node('kind: critical_error, at: 5, devices: [0], code: "31"')
    code = ("xid", "31", "application")
    assert values(troubled.read(4), catalog.ERRORS, 0, *code) == []
    assert values(troubled.read(5), catalog.ERRORS, 0, *code) == [1]


def test_errors_of_the_memory_of_an_amd_card_are_memory_errors_and_those_of_other_blocks_are_not() -> None:
    troubled = node(
        "kind: memory_errors, at: 0, for: 30, devices: [0], uncorrected_per_second: 0.1",
        "kind: critical_error, at: 20, devices: [0], code: gfx",
        "kind: driver_reload, at: 60",
        rest="devices: [{profile: mi300x}]\n",
    )
    before, after = troubled.read(40), troubled.read(61)
    for reading in (before, after):
        assert values(reading, catalog.ERRORS, 0, "ras", "umc", "hardware") == [3]
        assert values(reading, catalog.ERRORS, 0, "ras", "gfx", "hardware") == [1]
        assert values(reading, catalog.ERROR_LAST_TIMESTAMP, 0, "ras", "umc", "hardware") == [EPOCH + 30]
    assert values(before, catalog.MEMORY_ERRORS, 0, "uncorrected") == [3]
    assert values(before, catalog.MEMORY_ERRORS, 0, "deferred") == [0]
    assert values(before, catalog.STATUS_STATE, 0, "degraded") == [1]
    assert values(after, catalog.MEMORY_ERRORS, 0, "uncorrected") == [0]
    assert values(after, catalog.STATUS_STATE, 0, "ok") == [1]


def test_throttling_of_a_card_that_measures_its_time_is_counted() -> None:
    throttled = node(
        "kind: throttle, at: 100, for: 60, devices: [0], reason: thermal", rest="devices: [{profile: mi300x}]\n"
    )
    assert values(throttled.read(400), catalog.THROTTLE_SECONDS, 0, "thermal") == [60]


def test_thermal_throttling_is_hot_and_slow_and_changes_no_state() -> None:
    throttled = node("kind: throttle, at: 100, for: 60, devices: [0], reason: thermal")
    before, during, after = throttled.read(100 - 0.5), throttled.read(150), throttled.read(400)
    assert values(during, catalog.THROTTLE_ACTIVE, 0, "thermal") == [1]
    assert values(during, catalog.THROTTLE_ACTIVE, 0, "power") == [0]
    assert values(during, catalog.THROTTLE_ACTIVE, 1, "thermal") == [0]
    assert values(during, catalog.STATUS_STATE, 0, "ok") == [1]
    assert values(during, catalog.CLOCK, 0, "sm")[0] < values(before, catalog.CLOCK, 0, "sm")[0]
    assert values(during, catalog.TEMPERATURE, 0, "core")[0] > values(during, catalog.TEMPERATURE, 1, "core")[0] + 5
    assert values(after, catalog.THROTTLE_ACTIVE, 0, "thermal") == [0]


def test_a_device_under_full_load_is_throttled_by_power() -> None:
    reading = SimulatedNode(scenario("devices: [{profile: h100, load: 1}]")).read(10)
    assert values(reading, catalog.THROTTLE_ACTIVE, 0, "power") == [1]
    assert values(reading, catalog.POWER) == values(reading, catalog.POWER_LIMIT)


def test_the_failing_scenario_fails_as_documented() -> None:
    failing = SimulatedNode(load_scenario("failing"))
    states = []
    for second in (10, 60, 110, 130, 290, 310):
        reading = failing.read(second)
        states.append(next(s.labels[0] for s in samples(reading, catalog.STATUS_STATE, 2) if s.value))
    assert states == ["ok", "ok", "degraded", "failed", "failed", "ok"]


def test_a_shipped_scenario_without_faults_reports_none() -> None:
    assert not SimulatedNode(load_scenario("training")).read(30).faults
