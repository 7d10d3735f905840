import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from collectors.contract import (
    AbsentError,
    BrokenError,
    Device,
    DeviceLostError,
    Reading,
    Reason,
    UnavailableError,
    UnsupportedError,
)
from collectors.metric import Cadence
from exporter.poller import CallEnded, CallStarted, Poller, PollerEvent, Released, Schedule
from tests.doubles.collectors import BOUND_SECONDS, EVERY, FAST, INTERVALS, Hang, ScriptedCollector, gpu, part
from tests.doubles.exporter_process import wait_until

FAST_AND_MEDIUM = FAST | {Cadence.MEDIUM}
READING = Reading((gpu("gpu-a"),))
# No cadence is due twice within a test, unless the test makes it due.
ONCE = dict.fromkeys(Cadence, 3600.0)
OFTEN = ONCE | {Cadence.FAST: 0.001}


class Reports(list[PollerEvent]):
    """The reports of a poller, and the ended calls among them."""

    @property
    def ended(self) -> list[CallEnded]:
        return [report for report in self if isinstance(report, CallEnded)]

    def wait(self, count: int) -> list[CallEnded]:
        return wait_until(lambda: self.ended if len(self.ended) >= count else None, BOUND_SECONDS)


@contextmanager
def polling(
    collector: ScriptedCollector, intervals: Mapping[Cadence, float], clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[Poller, Reports]]:
    reports = Reports()
    poller = Poller("acme", collector, intervals, clock, reports.append)
    poller.start()
    try:
        yield poller, reports
    finally:
        poller.stop()
        assert poller.join(BOUND_SECONDS)


def test_every_cadence_is_due_at_first_and_then_at_its_interval() -> None:
    schedule = Schedule(INTERVALS)
    due_at: dict[Cadence, list[float]] = {cadence: [] for cadence in Cadence}
    now = 0.0
    while now <= 120:
        due = schedule.due(now)
        assert due, "woke for nothing"
        for cadence in due:
            due_at[cadence].append(now)
        schedule.succeeded(due, now)
        now += schedule.wait_seconds(now)

    assert due_at[Cadence.FAST] == [float(second) for second in range(121)]
    assert due_at[Cadence.MEDIUM] == [float(second) for second in range(0, 121, 10)]
    assert due_at[Cadence.SLOW] == [0.0, 60.0, 120.0]


def test_a_call_that_takes_time_does_not_move_the_grid() -> None:
    schedule = Schedule(INTERVALS)
    schedule.succeeded(EVERY, 0.0)

    schedule.succeeded(schedule.due(1.0), 1.4)

    assert schedule.wait_seconds(1.4) == pytest.approx(0.6)


@pytest.mark.parametrize("returned", [2.0, 2.3, 7.9, 9.0])
def test_missed_reads_are_skipped_and_the_next_is_on_the_grid(returned: float) -> None:
    schedule = Schedule(INTERVALS)
    schedule.succeeded(EVERY, 0.0)

    schedule.succeeded(schedule.due(1.0), returned)

    assert schedule.due(returned) == frozenset()
    assert returned + schedule.wait_seconds(returned) == pytest.approx(math.floor(returned) + 1)


def test_cadences_still_coincide_after_a_missed_read() -> None:
    schedule = Schedule(INTERVALS)
    schedule.succeeded(EVERY, 0.0)
    schedule.succeeded(schedule.due(1.0), 3.7)

    calls = []
    now = 3.7
    while now < 10:
        now += schedule.wait_seconds(now)
        calls.append((now, schedule.due(now)))
        schedule.succeeded(schedule.due(now), now)

    assert calls[-1] == (10.0, FAST_AND_MEDIUM)
    assert [due for _, due in calls[:-1]] == [FAST] * 6


def test_failures_are_retried_with_a_backoff_up_to_ten_seconds() -> None:
    schedule = Schedule(INTERVALS)
    pauses = []
    for _ in range(20):
        schedule.failed(0.0)
        assert schedule.due(0.0) == frozenset()
        pauses.append(schedule.wait_seconds(0.0))

    assert pauses[:6] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert set(pauses[6:]) == {10.0}


def test_first_backoff_follows_a_new_interval() -> None:
    schedule = Schedule(INTERVALS)
    schedule.set_intervals(INTERVALS | {Cadence.FAST: 3.0}, 0.0)
    schedule.failed(0.0)

    assert schedule.wait_seconds(0.0) == 3.0


def test_after_a_failure_everything_is_due_and_a_success_resets_the_backoff() -> None:
    schedule = Schedule(INTERVALS)
    schedule.succeeded(EVERY, 0.0)
    for at in (1.0, 2.0):
        schedule.failed(at)

    assert schedule.due(4.0) == EVERY
    schedule.succeeded(EVERY, 4.0)
    schedule.failed(5.0)
    assert schedule.wait_seconds(5.0) == 1.0


def test_absent_vendor_is_retried_at_the_slow_cadence() -> None:
    schedule = Schedule(INTERVALS)
    schedule.absent(0.0)

    assert schedule.wait_seconds(0.0) == 60.0
    assert schedule.due(59.9) == frozenset()
    assert schedule.due(60.0) == EVERY


def test_reading_is_reported_with_times_and_cadences() -> None:
    times = iter(range(100, 200))
    with polling(ScriptedCollector(READING), ONCE, lambda: float(next(times))) as (_, reports):
        reports.wait(1)

    start, end = reports[0], reports.ended[0]
    assert start == CallStarted("acme", 101.0)
    assert end._replace(cpu_seconds=None) == CallEnded("acme", 101.0, 102.0, EVERY, READING)


def test_only_due_cadences_are_read_after_the_first_call() -> None:
    collector = ScriptedCollector(READING)
    with polling(collector, OFTEN) as (_, reports):
        reports.wait(4)

    assert collector.calls[:4] == [EVERY, FAST, FAST, FAST]
    assert [report.due for report in reports.ended] == collector.calls


OF_A, HALF = (gpu("gpu-a"),), part("gpu-a", "s0")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (READING, Reading((gpu("gpu-a"), gpu("gpu-b")))),
        (READING, Reading(OF_A, (HALF,))),
        (Reading(OF_A, (HALF,)), Reading(OF_A, (replace(HALF, profile="third"),))),
        (Reading((gpu("gpu-a", lost=True),), (HALF,)), Reading(OF_A, (HALF,))),
        (Reading(OF_A, (HALF,), stuck=frozenset({"gpu-a"})), Reading(OF_A, (HALF,))),
    ],
    ids=["device", "partition", "size of a partition", "lost device", "stuck device"],
)
def test_new_device_or_partition_is_read_completely_at_once(before: Reading, after: Reading) -> None:
    with polling(collector := ScriptedCollector(before, before, after, after), OFTEN) as (_, reports):
        reports.wait(6)
    assert collector.calls[:6] == [EVERY, FAST, FAST, EVERY, FAST, FAST]


UNHASHABLE: Any = []
ANYTHING: Any = object()


def test_records_of_another_type_do_not_fail_the_reading() -> None:
    reading = Reading((gpu("gpu-a"), ANYTHING, Device(UNHASHABLE, "", "", "")), (ANYTHING,))
    with polling(ScriptedCollector(reading), ONCE) as (_, reports):
        assert [(each.reading, each.failure) for each in reports.wait(1)] == [(reading, None)]


def test_changing_uuids_do_not_cause_calls_without_pause() -> None:
    collector = ScriptedCollector(*(Reading((gpu(f"gpu-{turn}"),)) for turn in range(10)))
    with polling(collector, OFTEN) as (_, reports):
        reports.wait(6)

    assert collector.calls[:6] == [EVERY, FAST, EVERY, FAST, EVERY, FAST]


def test_an_absent_vendor_is_reported_without_failure() -> None:
    collector = ScriptedCollector(AbsentError("no such device"), READING)
    with polling(collector, ONCE | {Cadence.SLOW: 0.001}) as (_, reports):
        first, second = reports.wait(2)[:2]

    assert (first.reading, first.failure, first.text) == (None, None, "no such device")
    assert (second.reading, second.due) == (READING, EVERY)


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (UnavailableError("busy", Reason.PERMISSION_DENIED), Reason.PERMISSION_DENIED, "busy"),
        (UnavailableError("busy"), Reason.UNAVAILABLE, "busy"),
        (DeviceLostError("gone"), Reason.DEVICE_LOST, "gone"),
        (BrokenError("odd"), Reason.BROKEN, "odd"),
        (UnsupportedError("escaped"), Reason.BROKEN, "escaped"),
        (ValueError("no number"), Reason.BROKEN, "ValueError: no number"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_is_reported_and_polling_continues(error: Exception, reason: Reason, text: str) -> None:
    collector = ScriptedCollector(READING, error, READING)
    with polling(collector, OFTEN) as (_, reports):
        _, second, third = reports.wait(3)[:3]

    assert (second.reading, second.failure, second.text) == (None, reason, text)
    assert (third.reading, third.due) == (READING, EVERY)


OF_ANOTHER_TYPE = [ANYTHING, Reading(ANYTHING)]


@pytest.mark.parametrize("number", range(len(OF_ANOTHER_TYPE)))
def test_thread_survives_a_reading_of_another_type(number: int) -> None:
    reading = OF_ANOTHER_TYPE[number]
    with polling(ScriptedCollector(reading, READING), OFTEN) as (_, reports):
        first, second = reports.wait(2)[:2]

    assert (first.reading, first.failure) == (None, Reason.BROKEN)
    assert (second.reading, second.due) == (READING, EVERY)


@pytest.mark.parametrize("error", [BrokenError("odd"), ValueError("no number")], ids=["declared", "unexpected"])
def test_bug_is_logged_with_traceback(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with polling(ScriptedCollector(error), ONCE) as (_, reports):
        reports.wait(1)

    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.ERROR,
        "collector failed: this is a bug in the collector, please report it",
    )
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_expected_failure_is_logged_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with polling(ScriptedCollector(UnavailableError("busy")), ONCE) as (_, reports):
        reports.wait(1)

    assert [record for record in caplog.records if record.exc_info] == []


def test_calls_do_not_overlap() -> None:
    hang = Hang(READING)
    collector = ScriptedCollector(hang, READING)
    # Every read of the clock is an hour later, so every cadence is due.
    hours = iter(range(0, 10**9, 3600))
    with polling(collector, OFTEN, lambda: float(next(hours))) as (poller, reports):
        wait_until(lambda: len(collector.calls) == 1, BOUND_SECONDS)
        assert not poller.join(0.2), "the thread must still be in the call"
        assert (reports, len(collector.calls)) == ([reports[0]], 1)
        hang.released.set()
        reports.wait(3)

    assert not collector.overlapped
    assert [type(report) for report in reports[:4]] == [CallStarted, CallEnded, CallStarted, CallEnded]


def test_only_the_poller_thread_calls_the_collector() -> None:
    collector = ScriptedCollector(READING)
    with polling(collector, OFTEN) as (_, reports):
        reports.wait(2)

    assert collector.closed.is_set()
    assert len(collector.threads) == 1
    assert threading.get_ident() not in collector.threads


def test_stop_returns_at_once_during_a_call_and_closes_after_it() -> None:
    hang = Hang(READING)
    collector = ScriptedCollector(hang)
    with polling(collector, OFTEN) as (poller, _):
        wait_until(lambda: len(collector.calls) == 1, BOUND_SECONDS)
        poller.stop()
        assert not poller.join(0.01)
        assert not collector.closed.is_set()
        hang.released.set()
        assert poller.join(BOUND_SECONDS)

    assert collector.closed.is_set()
    assert len(collector.calls) == 1


def test_stop_interrupts_the_wait_for_the_next_read() -> None:
    collector = ScriptedCollector(READING)
    with polling(collector, ONCE) as (poller, reports):
        reports.wait(1)
        poller.stop()
        assert poller.join(BOUND_SECONDS)

    assert collector.calls == [EVERY]


def test_error_on_close_is_logged_and_the_thread_ends(caplog: pytest.LogCaptureFixture) -> None:
    with polling(ScriptedCollector(READING, close_error=OSError("stuck")), ONCE) as (_, reports):
        reports.wait(1)

    assert [(record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        ("collector not closed: this is a bug in the collector, please report it", True)
    ]


def released(reports: Reports) -> int:
    return reports.count(Released("acme"))


def test_released_collector_is_closed_by_its_thread_and_not_called() -> None:
    collector = ScriptedCollector(READING)
    with polling(collector, OFTEN) as (poller, reports):
        reports.wait(2)
        poller.release()
        wait_until(lambda: released(reports) == 1, BOUND_SECONDS)
        assert collector.closed.is_set()
        calls = len(collector.calls)
        poller.set_intervals(OFTEN)  # wakes the thread, which must stay released
        assert not poller.join(0.2), "the thread must stay released"
        assert (len(collector.calls), released(reports)) == (calls, 1)
        assert reports[-1] == Released("acme")

    assert len(collector.threads) == 1


def test_everything_is_due_after_resume() -> None:
    collector = ScriptedCollector(READING)
    with polling(collector, ONCE) as (poller, reports):
        reports.wait(1)
        poller.release()
        wait_until(lambda: released(reports) == 1, BOUND_SECONDS)
        poller.resume()
        reports.wait(2)

    assert collector.calls == [EVERY, EVERY]
    assert [type(report) for report in reports] == [CallStarted, CallEnded, Released, CallStarted, CallEnded]


def test_backoff_is_reset_after_resume() -> None:
    collector = ScriptedCollector(UnavailableError("busy"))
    with polling(collector, ONCE) as (poller, reports):
        reports.wait(1)
        poller.release()
        wait_until(lambda: released(reports) == 1, BOUND_SECONDS)
        poller.resume()
        reports.wait(2)


def test_release_waits_for_the_call_in_progress() -> None:
    hang = Hang(READING)
    collector = ScriptedCollector(hang)
    with polling(collector, OFTEN) as (poller, reports):
        wait_until(lambda: len(collector.calls) == 1, BOUND_SECONDS)
        poller.release()
        assert not poller.join(0.2), "the thread must still be in the call"
        assert not collector.closed.is_set()
        hang.released.set()
        wait_until(lambda: released(reports) == 1, BOUND_SECONDS)

    assert [type(report) for report in reports] == [CallStarted, CallEnded, Released]


def test_poller_can_be_released_before_start_and_stopped_while_released() -> None:
    collector = ScriptedCollector(READING)
    reports = Reports()
    poller = Poller("acme", collector, OFTEN, time.monotonic, reports.append)
    poller.release()
    poller.start()
    wait_until(lambda: released(reports) == 1, BOUND_SECONDS)
    poller.stop()
    assert poller.join(BOUND_SECONDS)
    assert (collector.calls, reports) == ([], [Released("acme")])
