import pytest

from collectors.contract import Reading, Reason
from exporter.collector_state import NewestReadings
from exporter.daemon import VersionMismatchError, check_version_mismatch
from exporter.poller import CallEnded
from tests.doubles.collectors import LIMITS, Clock, absent, ended, failed, gpu

TIMEOUT = 120.0


@pytest.fixture
def newest() -> NewestReadings:
    return NewestReadings("acme", LIMITS, Clock())


def mismatch(at: float, text: str = "acmeInit: library 1.2, driver 1.3") -> CallEnded:
    return failed(at, Reason.VERSION_MISMATCH, text)


def complaint(newest: NewestReadings, now: float) -> str:
    try:
        check_version_mismatch((newest.health(now),), now, TIMEOUT)
    except VersionMismatchError as error:
        return str(error)
    return ""


def test_a_mismatch_is_put_up_with_for_the_whole_timeout(newest: NewestReadings) -> None:
    for at in (10.0, 40.0, 100.0):
        newest.ended(mismatch(at))

    assert complaint(newest, 10.0 + TIMEOUT) == ""
    assert complaint(newest, 10.1 + TIMEOUT) != ""


def test_the_complaint_says_what_where_and_what_to_do(newest: NewestReadings) -> None:
    newest.ended(mismatch(0.0, "acmeInit: library 1.2, driver 1.2"))
    newest.ended(mismatch(100.0))

    assert complaint(newest, 121.0) == (
        "collector acme: acmeInit: library 1.2, driver 1.3. This has lasted for more than 2m "
        "(poll.version_mismatch_timeout) and will last until the container is restarted: only then is it given the "
        "driver's present library"
    )


@pytest.mark.parametrize(
    "healed",
    [ended(100.0, Reading((gpu("gpu-a"),))), failed(100.0, Reason.DRIVER_NOT_LOADED), absent(100.0)],
    ids=["up", "down for another reason", "gone"],
)
def test_a_mismatch_that_heals_counts_from_its_next_beginning(newest: NewestReadings, healed: CallEnded) -> None:
    newest.ended(mismatch(0.0))
    newest.ended(healed)
    assert complaint(newest, 200.0) == ""

    newest.ended(mismatch(200.0))
    assert complaint(newest, 200.0 + TIMEOUT) == ""
    assert complaint(newest, 200.1 + TIMEOUT) != ""


def test_a_release_ends_the_count(newest: NewestReadings) -> None:
    newest.ended(mismatch(0.0))
    newest.released()

    assert complaint(newest, 500.0) == ""


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.VERSION_MISMATCH])
def test_any_other_failure_may_last(newest: NewestReadings, reason: Reason) -> None:
    newest.ended(failed(0.0, reason))

    assert complaint(newest, 1e6) == ""
