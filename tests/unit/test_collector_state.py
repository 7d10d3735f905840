import logging
import math
from dataclasses import replace
from typing import ClassVar

import pytest

from collectors import catalog
from collectors.contract import Fault, Reading, Reason, Sample
from collectors.metric import Cadence
from exporter.collector_state import CollectorState
from exporter.snapshot import Failure
from tests.doubles.collectors import (
    EVERY,
    FAST,
    LIMITS,
    Clock,
    absent,
    compute,
    ended,
    failed,
    fault,
    gpu,
    info,
    part,
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
READING = Reading((A,), samples=(USED, WARM, KNOWN, WELL))
DEADLINE = LIMITS.deadline_seconds
WALL = 1_700_000_000.0


@pytest.fixture
def newest() -> CollectorState:
    return CollectorState("acme", LIMITS, Clock(WALL))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "exporter.collector_state")
    return caplog


def test_last_reading_is_exported(newest: CollectorState) -> None:
    newest.ended(ended(10.0, READING))

    assert set(newest.samples(10.0)) == {USED, WARM, KNOWN, WELL}


def test_only_the_cadences_that_were_due_are_replaced(newest: CollectorState) -> None:
    newest.ended(ended(10.0, READING))
    newer = utilization("gpu-a", 0.9)
    newest.ended(ended(11.0, Reading((A,), samples=(newer,)), FAST))

    assert set(newest.samples(11.0)) == {newer, WARM, KNOWN}  # the status is fast, and this reading has none


def test_value_missing_from_the_next_reading_is_dropped(newest: CollectorState) -> None:
    newest.ended(ended(10.0, READING))
    newest.ended(ended(11.0, Reading((A,), samples=(WELL,)), FAST))

    assert USED not in newest.samples(11.0)


@pytest.mark.parametrize(
    ("sample", "cadence"),
    [
        (USED, Cadence.FAST),
        (WARM, Cadence.MEDIUM),
        (Sample(catalog.MAX_CLOCK, "gpu-a", 1e9, "", ("core",)), Cadence.SLOW),
    ],
    ids=["fast", "medium", "slow"],
)
def test_sample_is_exported_until_the_maximum_age_of_its_cadence(
    newest: CollectorState, sample: Sample, cadence: Cadence
) -> None:
    newest.ended(ended(100.0, Reading((A,), samples=(sample,))))
    oldest = 100.0 + LIMITS.max_age_seconds[cadence]

    assert newest.samples(oldest) == (sample,)
    assert newest.samples(oldest + 0.1) == ()


def test_identity_does_not_expire(newest: CollectorState) -> None:
    newest.ended(ended(0.0, READING))

    assert set(newest.samples(1e6)) == {KNOWN}


def test_lost_device_keeps_only_identity_and_state(newest: CollectorState) -> None:
    newest.ended(ended(0.0, Reading((A, B), samples=(USED, WARM, KNOWN, WELL, utilization("gpu-b", 0.1)))))
    broken = status("gpu-a", "failed")
    lost = Reading((gpu("gpu-a", lost=True), B), samples=(broken, utilization("gpu-b", 0.2)))
    newest.ended(ended(1.0, lost, FAST))

    assert set(newest.samples(1.0)) == {KNOWN, broken, utilization("gpu-b", 0.2)}
    assert [device.uuid for device in newest.devices] == ["gpu-a", "gpu-b"]


def test_deleted_partition_or_removed_device_is_dropped_at_once(newest: CollectorState) -> None:
    sliced = (compute("gpu-a", "s0", 0.5), info("gpu-a", "s0"), compute("gpu-b", "s1", 0.5))
    newest.ended(ended(0.0, Reading((A, B), (part("gpu-a", "s0"), part("gpu-b", "s1")), (KNOWN, *sliced))))
    newest.ended(ended(1.0, Reading((A,)), FAST))

    assert newest.samples(1.0) == (KNOWN,)


def test_failure_keeps_identity_and_fresh_samples(newest: CollectorState) -> None:
    newest.ended(ended(0.0, READING))
    newest.ended(failed(1.0, Reason.UNAVAILABLE))

    assert newest.devices == (A,)
    assert set(newest.samples(1.0)) == {USED, WARM, KNOWN, WELL}
    assert set(newest.samples(15.0)) == {WARM, KNOWN}


def test_health_before_the_first_call_has_ended(newest: CollectorState) -> None:
    health = newest.health(0.0)

    assert (health.present, health.up, health.late, health.devices) == (False, False, False, 0)
    assert (health.duration_seconds, health.last_success_timestamp_seconds) == (None, None)
    assert health.errors == dict.fromkeys(Reason, 0)
    assert not newest.settled


def test_health_after_a_reading(newest: CollectorState) -> None:
    newest.ended(ended(1.0, READING, took=0.25))

    health = newest.health(1.0)
    assert (health.present, health.up, health.late, health.devices) == (True, True, False, 1)
    assert (health.duration_seconds, health.last_success_timestamp_seconds) == (0.25, WALL)
    assert newest.settled


def test_failures_are_counted_by_reason_and_keep_the_last_success(newest: CollectorState) -> None:
    newest.ended(ended(0.0, READING))
    for at, reason in ((1.0, Reason.UNAVAILABLE), (2.0, Reason.BROKEN), (3.0, Reason.UNAVAILABLE)):
        newest.ended(failed(at, reason))

    health = newest.health(3.0)
    assert (health.present, health.up, health.last_success_timestamp_seconds) == (True, False, WALL)
    assert {r: n for r, n in health.errors.items() if n} == {Reason.UNAVAILABLE: 2, Reason.BROKEN: 1}
    assert newest.settled


def test_fault_in_a_reading_is_counted_and_the_collector_stays_up(newest: CollectorState) -> None:
    newest.ended(ended(0.0, Reading((A,), faults=(fault(Reason.PERMISSION_DENIED), fault(), fault()))))

    health = newest.health(0.0)
    assert health.up
    assert {r: n for r, n in health.errors.items() if n} == {Reason.PERMISSION_DENIED: 1, Reason.UNAVAILABLE: 2}


def test_call_within_its_deadline_is_not_late(newest: CollectorState) -> None:
    newest.started(started(10.0))
    newest.check_deadline(10.0 + DEADLINE)

    assert not newest.health(10.0 + DEADLINE).late
    assert not newest.settled


def test_call_past_its_deadline_is_late_and_counted_once(newest: CollectorState) -> None:
    newest.started(started(10.0))
    for at in (12.5, 13.5, 14.5):
        newest.check_deadline(at)

    health = newest.health(14.5)
    assert (health.present, health.up, health.late, health.duration_seconds) == (True, False, True, 4.5)
    assert health.errors[Reason.LATE] == 1
    assert newest.settled


def test_late_call_that_returns_recovers_and_the_next_can_be_late_again(newest: CollectorState) -> None:
    newest.started(started(10.0))
    newest.check_deadline(20.0)
    newest.ended(ended(25.0, READING, took=15.0))
    newest.check_deadline(26.0)

    health = newest.health(26.0)
    assert (health.up, health.late, health.duration_seconds, health.errors[Reason.LATE]) == (True, False, 15.0, 1)
    assert set(newest.samples(26.0)) == {USED, WARM, KNOWN, WELL}

    newest.started(started(30.0))
    newest.check_deadline(40.0)
    assert newest.health(40.0).errors[Reason.LATE] == 2


def test_call_is_counted_as_late_even_if_not_checked_before_it_returned(newest: CollectorState) -> None:
    newest.started(started(10.0))
    newest.ended(ended(13.0, READING, took=3.0))

    health = newest.health(13.0)
    assert (health.errors[Reason.LATE], health.late, health.up) == (1, False, True)


def test_absent_vendor_is_not_logged(newest: CollectorState, log: pytest.LogCaptureFixture) -> None:
    for at in (0.0, 60.0):
        newest.ended(absent(at))

    health = newest.health(60.0)
    assert (health.present, health.devices, sum(health.errors.values())) == (False, 0, 0)
    assert newest.settled
    assert log.messages == []


def test_vendor_that_becomes_absent_leaves_no_samples(newest: CollectorState, log: pytest.LogCaptureFixture) -> None:
    newest.ended(ended(0.0, READING))
    log.clear()
    for at in (1.0, 61.0):
        newest.ended(absent(at))

    assert (newest.devices, newest.partitions, newest.samples(1.0)) == ((), (), ())
    assert not newest.health(1.0).present
    assert log.messages == ["collector absent: the vendor is no longer on this node"]


def test_each_state_change_is_one_log_line(newest: CollectorState, log: pytest.LogCaptureFixture) -> None:
    for at in (0.0, 1.0):
        newest.ended(ended(at, READING))
    for at in (2.0, 3.0):
        newest.ended(failed(at, Reason.UNAVAILABLE))
    newest.ended(ended(4.0, READING))
    newest.started(started(5.0))
    for at in (8.0, 9.0):
        newest.check_deadline(at)
    newest.ended(ended(10.0, READING, took=5.0))

    assert [(record.levelname, record.getMessage().partition(":")[0]) for record in log.records] == [
        ("INFO", "collector up"),
        ("ERROR", "collector down"),
        ("INFO", "collector up"),
        ("ERROR", "collector late"),
        ("INFO", "collector recovered"),
    ]
    assert all(record.exc_info is None for record in log.records)


def test_collector_down_logs_its_reason_even_after_a_late_call(
    newest: CollectorState, log: pytest.LogCaptureFixture
) -> None:
    newest.started(started(0.0))
    newest.check_deadline(5.0)
    newest.ended(failed(6.0, Reason.DRIVER_NOT_LOADED, "load it"))

    assert [record.getMessage().partition(":")[0] for record in log.records] == ["collector late", "collector down"]
    fields = log.records[-1].__dict__["fields"]
    do = "see lsmod and dmesg on the node; the exporter retries by itself"
    assert fields == {"collector": "acme", "reason": "driver_not_loaded", "detail": "load it", "do": do}


def test_collector_down_for_another_reason_is_logged(newest: CollectorState, log: pytest.LogCaptureFixture) -> None:
    for at, reason in ((0.0, Reason.LIBRARY_MISSING), (1.0, Reason.VERSION_MISMATCH), (2.0, Reason.VERSION_MISMATCH)):
        newest.ended(failed(at, reason))

    assert [record.__dict__["fields"]["reason"] for record in log.records] == ["library_missing", "version_mismatch"]


def test_repeated_failure_is_one_log_line_and_every_failure_is_counted(
    newest: CollectorState, log: pytest.LogCaptureFixture
) -> None:
    failing = Reading((A,), faults=(fault(), fault(Reason.PERMISSION_DENIED)))
    for second in range(300):
        newest.ended(ended(float(second), failing))

    assert log.messages == ["collector up", "reading failed: unavailable", "reading failed: permission_denied"]
    assert newest.health(300.0).errors[Reason.UNAVAILABLE] == 300


def test_reading_that_fails_again_after_success_is_logged_again(
    newest: CollectorState, log: pytest.LogCaptureFixture
) -> None:
    for at in (0.0, 60.0, 60.0 + 70.0, 60.0 + 70.0 + 70.1):
        newest.ended(ended(at, Reading((A,), faults=(fault(),))))

    assert log.messages == ["collector up", *["reading failed: unavailable"] * 2]


class Where(str):
    """A place that counts how often it is looked up."""

    __slots__ = ()
    lookups: ClassVar[list[str]] = []

    def __hash__(self) -> int:
        self.lookups.append(self)
        return super().__hash__()


def test_work_per_fault_does_not_grow_with_the_number_of_faults(newest: CollectorState) -> None:
    faults = tuple(Fault(Reason.UNAVAILABLE, Where(number), "busy") for number in range(500))
    for at in (0.0, 1.0):
        newest.ended(ended(at, Reading((A,), faults=faults)))

    assert newest.health(1.0).errors[Reason.UNAVAILABLE] == 1000
    assert len(Where.lookups) <= 10 * 1000


@pytest.mark.parametrize(
    "bad",
    [
        utilization("gpu-a", math.nan),
        utilization("gpu-a", math.inf),
        utilization("gpu-a", 0.7),
        Sample(catalog.TEMPERATURE, "gpu-a", 50),
        Sample(catalog.POWER, "gpu-a", 50, "s0"),
        Sample(catalog.COMPUTE_RATIO, "gpu-a", 1),
    ],
    ids=["nan", "infinite", "repeated", "label missing", "not of a partition", "not of a device"],
)
def test_sample_that_breaks_the_contract_is_dropped_and_counted(newest: CollectorState, bad: Sample) -> None:
    taken = newest.ended(ended(0.0, Reading((A,), (part("gpu-a", "s0"),), (USED, bad, WARM))))

    assert taken.samples == newest.samples(0.0) == (USED, WARM)
    assert newest.health(0.0).errors[Reason.INVALID_VALUE] == 1
    assert newest.health(0.0).up


def test_partition_of_an_unknown_device_is_dropped(newest: CollectorState) -> None:
    newest.ended(ended(0.0, Reading((A,), (part("gpu-a", "s0"), part("gpu-z", "s1")), (compute("gpu-z", "s1", 1),))))

    assert [partition.uuid for partition in newest.partitions] == ["s0"]
    assert newest.samples(0.0) == ()


def test_failed_call_returns_no_samples(newest: CollectorState) -> None:
    assert newest.ended(failed(0.0, Reason.UNAVAILABLE)).samples == ()
    assert newest.ended(absent(1.0)).samples == ()
    assert set(newest.ended(ended(2.0, READING, EVERY)).samples) == set(READING.samples)


def test_released_collector_keeps_only_identity_and_past_events(newest: CollectorState) -> None:
    happened = Sample(catalog.ERRORS, "gpu-a", 3, "", ("xid", "79", "hardware"))
    for events in (0, 3):
        now = replace(happened, value=events)
        newest.ended(ended(10.0, Reading((A,), samples=(USED, WARM, KNOWN, WELL, now))))
    newest.released()

    assert set(newest.samples(10.0)) == {KNOWN, happened}
    assert newest.devices == (A,)


def test_health_of_a_released_collector(newest: CollectorState) -> None:
    newest.ended(ended(10.0, READING))
    newest.released()

    health = newest.health(11.0)
    assert (health.present, health.up, health.released, health.devices) == (True, False, True, 1)
    assert (health.failure, sum(health.errors.values())) == (None, 0)


def test_call_after_a_release_ends_it(newest: CollectorState, log: pytest.LogCaptureFixture) -> None:
    newest.ended(ended(10.0, READING))
    newest.released()
    newest.ended(ended(20.0, READING))

    assert (newest.health(20.0).up, newest.health(20.0).released) == (True, False)
    assert set(newest.samples(20.0)) == {USED, WARM, KNOWN, WELL}
    assert [message.partition(":")[0] for message in log.messages] == [
        "collector up",
        "collector released",
        *log.messages[:1],
    ]


def test_failure_after_a_release_is_logged_again(newest: CollectorState, log: pytest.LogCaptureFixture) -> None:
    newest.ended(failed(10.0, Reason.DRIVER_NOT_LOADED))
    newest.released()
    newest.ended(failed(20.0, Reason.DRIVER_NOT_LOADED))

    assert [message.partition(":")[0] for message in log.messages] == [
        "collector down",
        "collector released",
        "collector down",
    ]
    assert not newest.health(20.0).released


def test_release_before_the_first_result_settles_without_a_log_line(
    newest: CollectorState, log: pytest.LogCaptureFixture
) -> None:
    newest.released()

    assert newest.settled
    assert (newest.health(0.0).present, log.messages) == (False, [])


def test_failure_has_its_latest_text_and_its_first_time(newest: CollectorState) -> None:
    for at, text in ((1.0, "first"), (2.0, "second")):
        newest.ended(failed(at, Reason.VERSION_MISMATCH, text))

    assert newest.health(2.0).failure == Failure(Reason.VERSION_MISMATCH, "second", 1.0)
