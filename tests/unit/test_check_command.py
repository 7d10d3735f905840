import threading

import pytest

from exporter.check.command import BackgroundCall
from tests.doubles.collectors import BOUND_SECONDS


def test_a_background_call_returns_its_result_or_raises_its_error() -> None:
    def fail() -> int:
        raise ValueError("no")

    assert BackgroundCall("test", lambda: 7).result(BOUND_SECONDS) == 7
    call = BackgroundCall("test", fail)
    with pytest.raises(ValueError, match="no"):
        call.result(BOUND_SECONDS)


def test_a_background_call_that_hangs_is_not_waited_for() -> None:
    released = threading.Event()
    call = BackgroundCall("test", lambda: released.wait(BOUND_SECONDS))
    assert call.result(0) is None
    released.set()
    assert call.result(BOUND_SECONDS) is True
