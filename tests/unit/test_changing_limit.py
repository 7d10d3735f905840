import pytest

from collectors.contract import Process, Reading
from collectors.metric import Cadence
from exporter.changing_limit import ChangingLimit
from exporter.collector_state import CollectorState, Limits
from tests.doubles.collectors import LIMITS, Clock, ended, gpu, utilization


@pytest.mark.parametrize(
    ("changes", "read_at", "limit"),
    [
        ([], 0, 60),
        ([(10, 5)], 10, 60),  # read at the longer intervals
        ([(10, 5)], 11, 5),
        ([(10, 90)], 5, 90),
        ([(10, 5), (12, 90)], 5, 90),
        ([(10, 5), (12, 1)], 5, 60),
        ([(10, 5), (12, 1)], 11, 5),
        ([(10, 5), (12, 1)], 13, 1),
        ([(10, 5), (12, 70), (14, 1)], 5, 70),
        ([(10, 5), (100, 1)], 10, 5),  # far too old for any of them
    ],
)
def test_what_is_read_under_a_longer_limit_keeps_it(
    changes: list[tuple[float, float]], read_at: float, limit: float
) -> None:
    changing = ChangingLimit(60)
    for at, seconds in changes:
        changing.change(at, seconds)
    assert changing.of(read_at) == limit


def test_readings_and_processes_keep_the_limit_under_which_they_were_read() -> None:
    state = CollectorState("acme", LIMITS, Clock())
    used = utilization("gpu-a", 0.5)
    read = Reading((gpu("gpu-a"),), samples=(used,), processes=(Process(7, "gpu-a"),))
    state.ended(ended(0.0, read))
    state.set_limits(1.0, Limits(2.0, dict.fromkeys(Cadence, 3.0)))
    fast, medium = (LIMITS.max_age_seconds[cadence] for cadence in (Cadence.FAST, Cadence.MEDIUM))
    assert (state.samples(fast), state.samples(fast + 0.1)) == ((used,), ())
    assert [len(list(state.processes(at))) for at in (medium, medium + 0.1)] == [1, 0]

    state.ended(ended(30.0, read))
    assert (state.samples(33.0), state.samples(33.1), state.processes(33.1)) == ((used,), (), ())
