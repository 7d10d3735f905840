import threading

import pytest

from exporter.check.command import Probe
from tests.doubles.collectors import BOUND_SECONDS


def test_a_probe_gives_its_answer_or_what_it_raised() -> None:
    def fail() -> int:
        raise ValueError("no")

    assert Probe("test", lambda: 7).answer(BOUND_SECONDS) == 7
    probe = Probe("test", fail)
    with pytest.raises(ValueError, match="no"):
        probe.answer(BOUND_SECONDS)


def test_a_probe_that_hangs_is_left_behind() -> None:
    released = threading.Event()
    probe = Probe("test", lambda: released.wait(BOUND_SECONDS))
    assert probe.answer(0) is None
    released.set()
    assert probe.answer(BOUND_SECONDS) is True
