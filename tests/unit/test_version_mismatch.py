import pytest

from collectors.contract import Reading, Reason
from exporter.collector_state import CollectorState
from exporter.daemon import VersionMismatchError, check_version_mismatch
from exporter.poller import CallEnded
from tests.doubles.collectors import LIMITS, Clock, absent, ended, failed, gpu

TIMEOUT = 120.0


@pytest.fixture
def state() -> CollectorState:
    return CollectorState("acme", LIMITS, Clock())


def mismatch(at: float, text: str = "acmeInit: library 1.2, driver 1.3") -> CallEnded:
    return failed(at, Reason.VERSION_MISMATCH, text)


def error_text(state: CollectorState, now: float) -> str:
    try:
        check_version_mismatch((state.health(now),), now, TIMEOUT)
    except VersionMismatchError as error:
        return str(error)
    return ""


def test_mismatch_is_accepted_until_the_timeout(state: CollectorState) -> None:
    for at in (10.0, 40.0, 100.0):
        state.ended(mismatch(at))

    assert error_text(state, 10.0 + TIMEOUT) == ""
    assert error_text(state, 10.1 + TIMEOUT) != ""


def test_error_text_says_what_where_and_what_to_do(state: CollectorState) -> None:
    state.ended(mismatch(0.0, "acmeInit: library 1.2, driver 1.2"))
    state.ended(mismatch(100.0))

    assert error_text(state, 121.0) == (
        "collector acme: acmeInit: library 1.2, driver 1.3. This has lasted for more than 2m "
        "(poll.version_mismatch_timeout). Only a restart of the container fixes it: the new container gets the "
        "library of the present driver"
    )


@pytest.mark.parametrize(
    "healed",
    [ended(100.0, Reading((gpu("gpu-a"),))), failed(100.0, Reason.DRIVER_NOT_LOADED), absent(100.0)],
    ids=["up", "down for another reason", "absent"],
)
def test_resolved_mismatch_restarts_the_timeout(state: CollectorState, healed: CallEnded) -> None:
    state.ended(mismatch(0.0))
    state.ended(healed)
    assert error_text(state, 200.0) == ""

    state.ended(mismatch(200.0))
    assert error_text(state, 200.0 + TIMEOUT) == ""
    assert error_text(state, 200.1 + TIMEOUT) != ""


def test_release_resets_the_timeout(state: CollectorState) -> None:
    state.ended(mismatch(0.0))
    state.released()

    assert error_text(state, 500.0) == ""


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.VERSION_MISMATCH])
def test_any_other_failure_may_last(state: CollectorState, reason: Reason) -> None:
    state.ended(failed(0.0, reason))

    assert error_text(state, 1e6) == ""
