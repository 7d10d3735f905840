"""The rule for one counter, as a table: what is read each second, what is exported, what is credited."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pytest

from collectors.counters import HELD_READINGS, SLACK_SECONDS, Counter, CounterReading, Verdict, bound

WATTS = 2100.0  # three times the limit of a 700 W card
LOADED = 70.0


@dataclass(frozen=True)
class Case:
    """Readings of one counter, one a second.

    Attributes:
        read: The values.
        exported: What is exported for each; None: nothing.
        credited: The sum of all increases.
        refused: Number of invalid readings.
        most: The most that it can rise in a second.
        sessions: The session of each reading.
        width: Where it is known to wrap.
    """

    read: Sequence[float]
    exported: Sequence[float | None]
    credited: float
    refused: int = 0
    most: float | None = WATTS
    sessions: Sequence[Hashable] = ()
    width: float = 0.0


M = 5_000_000
CASES = {
    "it rises": Case([M, M + 70, M + 70, M + 140], [M, M + 70, M + 70, M + 140], 140),
    "dip to zero": Case([M, M + 70, 0, M + 140], [M, M + 70, M + 70, M + 140], 140, 1),
    "three zeros": Case([M, M + 70, 0, 0, 0, M + 280], [M, *[M + 70] * 4, M + 280], 280, 3),
    "zeros for longer": Case([M, 0, 0, 0, 0, 0, M + 420], [M, M, M, M, None, None, M + 420], 420, 5),
    "small dip of an MI200": Case(
        [72_493.2, 72_280.3, 72_380.3, 72_493.9], [72_493.2, 72_493.2, 72_493.2, 72_493.9], 0.7, 2, most=900
    ),
    "reset that is not known": Case([M, M + 70, 30, 100, 170], [M, M + 70, M + 70, 100, 170], 70 + 170),
    "reset to zero that is not known": Case([M, 0, 70, 140], [M, M, 70, 140], 140),
    "reset after zeros": Case([M, 0, 0, 0, 0, 70, 140], [M, M, M, M, None, 70, 140], 140, 3),
    "reset that is known": Case([M, M + 70, 30, 100], [M, M + 70, 30, 100], 70 + 100, sessions="aabb"),
    "reset that is known, far above what it can have counted": Case(
        [M, M / 2, M / 2 + 70], [M, M / 2, M / 2 + 70], 70, sessions="abb"
    ),
    "new session without a reset": Case([M, M + 70, M + 140], [M, M + 70, M + 140], 140, sessions="aab"),
    "implausible once": Case([M, M + 70, 2.0**60, M + 210], [M, M + 70, M + 70, M + 210], 210, 1),
    "much higher for good": Case(
        [M, M, *(8 * M + 70 * n for n in range(8))],
        [*[M] * 5, None, None, None, 8 * M + 420, 8 * M + 490],
        70,
        6,
    ),
    "much higher in disorder": Case([M, M, *(8 * M - M * n for n in range(6))], [*[M] * 5, None, None, None], 0, 6),
    "lower for good": Case(
        [M, *(M / 2 + 70 * n for n in range(8))],
        [M, M, M, M, None, None, None, M / 2 + 420, M / 2 + 490],
        70,
        5,
    ),
    "back after it was withdrawn": Case([M, M, *[2.0**60] * 5, M + 490], [*[M] * 5, None, None, M + 490], 490, 5),
    "first value is a zero": Case([0, M + 300, M + 600, M + 900, M + 1200], [0, 0, 0, M + 900, M + 1200], 300, 2),
    "first value is a zero, and the device is idle": Case([0, M, M, M, M], [0, 0, 0, M, M], 0, 2),
    "first value is right, then others are not": Case([M, 2.0**60, 2.0**60, M + 210], [M, M, M, M + 210], 210, 2),
    "first value of a session is a zero": Case(
        [M, M + 300, 0, M + 900, M + 1200, M + 1500, M + 1800],
        [M, M + 300, 0, 0, 0, M + 1500, M + 1800],
        600,
        2,
        sessions="aabbbbb",
    ),
    "first two values of a session are zeros": Case(
        [M, 0, 0, *(M + 300 * n for n in range(3, 11))],
        [M, *[0] * 5, None, None, None, M + 2700, M + 3000],
        300,
        6,
        sessions="abbbbbbbbbb",
    ),
    "much higher in a new session": Case(
        [M, M + 300, 8 * M, 8 * M + 300, 8 * M + 600], [M, *[M + 300] * 3, 8 * M + 600], 300, 2, sessions="aabbb"
    ),
    "two dips that look like a reset": Case(
        [M, 198, 411, M + 900, M + 1200, M + 1500, M + 1800], [M, M, 411, 411, 411, M + 1500, M + 1800], 711, 2
    ),
    "idle after a reset that is not known": Case(
        [500, 500, *[0] * 8, 1, 2], [*[500] * 5, *[None] * 5, 1, 2], 2, 7, most=1
    ),
    "zeros for long, and then the value again": Case(
        [M, M + 70, *[0] * 9, M + 770, M + 840], [M, *[M + 70] * 4, *[None] * 6, M + 770, M + 840], 840, 9
    ),
    "wrap of a narrow counter": Case(
        [65_500, 65_530, 24, 94, 65_000], [65_500, 65_530, 65_560, 65_630, 65_630], 130, 1, width=65_536
    ),
    "wrap and a rise beyond the bound": Case([65_500, 10_000], [65_500, 65_500], 0, width=65_536),
    "it can wrap more than once": Case([4000, 4090, 10, 90, 4091], [4000, 4090, 4090, None, None], 90, 3, width=4096),
    "it can wrap more than once, but dips": Case(
        [4000, 0, 0, 4070, 4090, 9], [4000, 4000, 4000, 4070, 4090, 4090], 90, 2, width=4096
    ),
    "two different dips of a counter that can wrap more than once": Case(
        [1e9, 1.1e9, 0, 5, *(1e8 * n for n in range(12, 21))],
        [1e9, *[1.1e9] * 2, *[None] * 8, 1.9e9, 2e9],
        2e8,
        9,
        most=512e9,
        width=2.0**32,
    ),
    "it wraps between all readings": Case(
        [1e9, *(n * 1e9 % 2**32 for n in range(6, 10)), *(n * 1.1e9 % 2**32 for n in range(40))],
        [1e9, *[n * 1e9 % 2**32 for n in range(6, 9)], 8e9 % 2**32, *[None] * 40],
        8e9 % 2**32 - 1e9,
        41,
        most=512e9,
        width=2.0**32,
    ),
    "value above the known width": Case([70_000, 10, 20], [70_000, 70_000, 20], 20, width=65_536),
    "errors rise without a bound": Case([3, 900_000], [3, 900_000], 899_997, most=None),
    "errors: dip": Case([7, 0, 8], [7, 7, 8], 1, 1, most=None),
    "errors: two zeros": Case([7, 0, 0, 7], [7, 7, 7, 7], 0, 2, most=None),
    "errors: cleared by an administrator": Case([7, 0, 0, 0, 1], [7, 7, 7, 0, 1], 1, most=None),
    "errors: cleared and rising": Case([7, 0, 1, 2], [7, 7, 7, 2], 2, most=None),
    "errors: falling on and on": Case([9, 8, 7, 6, 5], [9, 9, 9, 9, None], 0, 3, most=None),
    "errors: a fall that is not believed at first": Case([9, 3, 2, 2, 4], [9, 9, 9, 9, 4], 4, 1, most=None),
    "errors: known reset": Case([7, 2], [7, 2], 2, most=None, sessions="ab"),
}


def run(case: Case) -> list[Verdict]:
    counter = Counter()
    sessions = case.sessions or [None] * len(case.read)
    return [
        counter.read(CounterReading(float(at), value, case.most, session, case.width))
        for at, (value, session) in enumerate(zip(case.read, sessions, strict=True))
    ]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_rule(case: Case) -> None:
    verdicts = run(case)

    assert [verdict.value for verdict in verdicts] == list(case.exported)
    assert sum(verdict.rise for verdict in verdicts) == pytest.approx(case.credited)
    assert sum(verdict.refused for verdict in verdicts) == case.refused


def test_time_since_the_last_accepted_reading_is_returned_with_the_rise() -> None:
    counter = Counter()
    counter.read(CounterReading(10.0, M, WATTS))
    counter.read(CounterReading(11.0, 0, WATTS))

    assert counter.read(CounterReading(12.5, M + 70, WATTS)) == (M + 70, 70, 2.5, 1)


def test_bound_grows_with_the_time_since_the_last_accepted_reading() -> None:
    most = bound(WATTS, 100.0)
    for rise, exported in ((most, M + most), (most + 1, M)):
        counter = Counter()
        counter.read(CounterReading(0.0, M, WATTS))
        assert counter.read(CounterReading(100.0, M + rise, WATTS)).value == exported
    assert most == WATTS * (100.0 + SLACK_SECONDS)


def test_readings_at_the_same_time_may_differ_by_the_slack() -> None:
    counter = Counter()
    counter.read(CounterReading(5.0, M, WATTS))

    assert counter.read(CounterReading(5.0, M + WATTS * SLACK_SECONDS, WATTS)).rise == WATTS * SLACK_SECONDS


def test_reading_that_is_no_number_is_held_and_then_withdrawn() -> None:
    counter = Counter()
    counter.read(CounterReading(0.0, M, WATTS))
    exported = [counter.refuse(float(at)).value for at in range(1, HELD_READINGS + 2)]

    assert exported == [M] * HELD_READINGS + [None]
    assert counter.read(CounterReading(5.0, M + 70, WATTS)).rise == 70


def test_nothing_is_exported_before_a_reading_is_accepted() -> None:
    assert Counter().refuse(0.0) == (None, 0.0, 0.0, 1)


def test_counter_that_wraps_unseen_is_exported_again_in_the_next_session() -> None:
    counter = Counter()
    verdicts = [
        counter.read(CounterReading(float(at), value, WATTS, session, 4096))
        for at, (value, session) in enumerate(((4000, "a"), (10, "a"), (20, "a"), (4050, "a"), (70, "b"), (140, "b")))
    ]

    assert [verdict.value for verdict in verdicts] == [4000, 4000, None, None, 70, 140]
