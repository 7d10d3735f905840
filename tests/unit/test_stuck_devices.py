"""A device about which a call does not return: its last readings expire, those of the others are fresh."""

import logging

import pytest

from collectors import catalog
from collectors.contract import Process, Reading, Reason, Sample
from collectors.metric import Cadence
from exporter.collector_state import CollectorState
from tests.doubles.collectors import (
    FAST,
    LIMITS,
    Clock,
    absent,
    ended,
    failed,
    gpu,
    info,
    started,
    status,
    temperature,
    utilization,
)

A, B = gpu("gpu-a"), gpu("gpu-b")
USED = utilization("gpu-a", 0.5)
WARM = temperature("gpu-a", 60)
KNOWN = info("gpu-a")
WELL = status("gpu-a", "ok")
STUCK = Reading((A, B), samples=(utilization("gpu-b", 0.2),), stuck=frozenset({"gpu-a"}))
BOTH = Reading((A, B), samples=(USED, WARM, KNOWN, WELL, utilization("gpu-b", 0.1), status("gpu-b", "ok")))


@pytest.fixture
def newest() -> CollectorState:
    return CollectorState("acme", LIMITS, Clock())


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "exporter.collector_state")
    return caplog


@pytest.mark.parametrize("lost", [False, True])
def test_state_expires_with_the_readings_it_comes_from(newest: CollectorState, *, lost: bool) -> None:
    state = status("gpu-a", "failed" if lost else "ok")
    newest.ended(ended(0.0, Reading((gpu("gpu-a", lost=lost),), samples=(state,))))
    oldest = LIMITS.max_age_seconds[Cadence.FAST]

    assert newest.samples(oldest) == (state,)
    assert newest.samples(oldest + 0.1) == ()


def test_readings_of_a_stuck_device_stay_until_they_are_too_old_and_the_others_are_fresh(
    newest: CollectorState,
) -> None:
    newest.ended(ended(0.0, BOTH))
    for at in (1.0, 11.0):
        newest.ended(ended(at, STUCK, FAST))
        assert set(newest.samples(at)) == {USED, WELL, WARM, KNOWN, utilization("gpu-b", 0.2)}
    newest.ended(ended(20.0, STUCK))

    assert set(newest.samples(20.0)) == {WARM, KNOWN, utilization("gpu-b", 0.2)}
    newest.ended(ended(21.0, STUCK))
    assert set(newest.samples(21.0)) == {KNOWN, utilization("gpu-b", 0.2)}
    assert newest.health(21.0).up


def test_events_of_a_stuck_device_are_still_counted(newest: CollectorState) -> None:
    def errors(count: float) -> Sample:
        return Sample(catalog.ERRORS, "gpu-a", count, labels=("xid", "79", "hardware"))

    newest.ended(ended(0.0, Reading((A,), samples=(KNOWN, errors(0)))))
    newest.ended(ended(1.0, Reading((A,), samples=(errors(1),), stuck=frozenset({"gpu-a"}))))

    assert set(newest.samples(1.0)) == {KNOWN, errors(1)}


def test_processes_of_a_stuck_device_stay_until_they_are_too_old(newest: CollectorState) -> None:
    first, second, third = Process(1, "gpu-a"), Process(2, "gpu-b"), Process(3, "gpu-b")
    newest.ended(ended(0.0, Reading((A, B), processes=(first, second))))
    newest.ended(ended(20.0, Reading((A, B), processes=(third,), stuck=frozenset({"gpu-a"}))))

    assert set(newest.processes(20.0)) == {first, third}
    assert set(newest.processes(20.1)) == {third}


def test_a_stuck_device_is_counted_once(newest: CollectorState) -> None:
    newest.ended(ended(0.0, BOTH))
    for at in range(1, 8):
        newest.ended(ended(float(at), BOTH if at < 4 else STUCK))

    health = newest.health(8.0)
    assert (health.up, health.late, list(health.stuck)) == (True, False, ["gpu-a"])
    assert health.errors[Reason.LATE] == 1


def test_after_the_end_of_a_hang_the_next_one_is_counted(newest: CollectorState) -> None:
    for at, reading in enumerate((BOTH, STUCK, BOTH, STUCK)):
        newest.ended(ended(float(at), reading))
    assert newest.health(3.0).errors[Reason.LATE] == 2


def test_what_was_read_of_a_stuck_device_has_an_age(newest: CollectorState) -> None:
    newest.ended(ended(0.0, BOTH))
    newest.ended(ended(1.0, STUCK))
    newest.ended(ended(9.0, STUCK, FAST))
    assert newest.health(9.5).unread == {"gpu-a": 9.5}
    newest.ended(ended(10.0, BOTH))
    assert newest.health(10.0).unread == {}


def test_what_was_read_before_a_call_that_hangs_or_fails_has_an_age(newest: CollectorState) -> None:
    newest.ended(ended(0.0, BOTH))
    newest.started(started(1.0))
    assert newest.health(3.0).unread == {}
    assert newest.health(4.5).unread == {"gpu-a": 4.5, "gpu-b": 4.5}
    newest.ended(failed(5.0, Reason.UNAVAILABLE))
    assert newest.health(6.0).unread == {"gpu-a": 6.0, "gpu-b": 6.0}
    newest.ended(ended(7.0, BOTH))
    assert newest.health(7.0).unread == {}


@pytest.mark.parametrize("stuck", ["gpu-z", ""])
def test_only_a_listed_device_can_be_stuck(newest: CollectorState, stuck: str) -> None:
    newest.ended(ended(0.0, Reading((A,), samples=(USED,), stuck=frozenset({stuck}))))

    assert newest.health(0.0).stuck == {}
    assert newest.samples(0.0) == (USED,)


def test_a_removed_device_is_not_stuck_any_more(newest: CollectorState, log: pytest.LogCaptureFixture) -> None:
    newest.ended(ended(0.0, STUCK))
    log.clear()
    newest.ended(ended(1.0, Reading((B,))))

    assert (newest.health(1.0).stuck, log.records) == ({}, [])


def test_after_a_release_or_without_devices_nothing_is_stuck(newest: CollectorState) -> None:
    newest.ended(ended(0.0, STUCK))
    newest.released()
    assert newest.health(0.0).stuck == {}

    newest.ended(ended(1.0, STUCK))
    newest.ended(absent(2.0))
    assert newest.health(2.0).stuck == {}


@pytest.mark.parametrize("lost", [False, True], ids=["both stuck", "one stuck, one lost"])
def test_a_collector_is_late_while_all_of_its_devices_are_stuck(newest: CollectorState, *, lost: bool) -> None:
    newest.ended(ended(0.0, BOTH))
    since = newest.health(0.0).last_success_timestamp_seconds
    stuck = frozenset({"gpu-a"} if lost else {"gpu-a", "gpu-b"})
    newest.ended(ended(1.0, Reading((A, gpu("gpu-b", lost=lost)), stuck=stuck)))

    health = newest.health(1.0)
    assert (health.up, health.late, health.last_success_timestamp_seconds) == (False, True, since)
    newest.ended(ended(2.0, STUCK))
    assert (newest.health(2.0).up, newest.health(2.0).late) == (True, False)
