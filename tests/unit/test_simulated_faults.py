"""The effect of each kind of fault on the readings of the collector."""

import threading
import time

import pytest

from collectors import catalog
from collectors.contract import Reason, UnavailableError
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


def test_a_lost_device_keeps_identity_and_state_and_the_others_continue() -> None:
    lost = node("kind: device_lost, at: 5, for: 10, devices: [1]")
    before, during, after = lost.read(4), lost.read(6), lost.read(15)
    assert [device.lost for device in during.devices] == [False, True]
    assert [device.uuid for device in during.devices] == [device.uuid for device in before.devices]
    left = {s.metric for s in during.samples if s.device_uuid == during.devices[1].uuid}
    assert left == {catalog.INFO, catalog.STATUS_STATE}
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
    assert values(before, catalog.STATUS_STATE, 0, "predicted_failure") == [1]
    assert values(before, catalog.RECOVERY_ACTION, 0, "reset") == [1]
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


def test_thermal_throttling_is_hot_slow_and_counted() -> None:
    throttled = node("kind: throttle, at: 100, for: 60, devices: [0], reason: thermal")
    before, during, after = throttled.read(100 - 0.5), throttled.read(150), throttled.read(400)
    assert values(during, catalog.THROTTLE_ACTIVE, 0, "thermal") == [1]
    assert values(during, catalog.THROTTLE_ACTIVE, 0, "power") == [0]
    assert values(during, catalog.THROTTLE_ACTIVE, 1, "thermal") == [0]
    assert values(during, catalog.STATUS_STATE, 0, "degraded") == [1]
    assert values(during, catalog.CLOCK, 0, "sm")[0] < values(before, catalog.CLOCK, 0, "sm")[0]
    assert values(during, catalog.TEMPERATURE, 0, "core")[0] > values(during, catalog.TEMPERATURE, 1, "core")[0] + 5
    assert values(after, catalog.THROTTLE_SECONDS, 0, "thermal") == [60]
    assert values(after, catalog.STATUS_STATE, 0, "ok") == [1]


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
    assert states == ["ok", "degraded", "predicted_failure", "failed", "failed", "ok"]


def test_a_shipped_scenario_without_faults_reports_none() -> None:
    assert not SimulatedNode(load_scenario("training")).read(30).faults
