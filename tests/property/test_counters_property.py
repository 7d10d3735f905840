"""The rule for counters under random sequences: of one counter, and of the energy of a device with a pod."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import catalog
from collectors.contract import Reading, Sample, SubjectKey
from collectors.counters import BASE_READINGS, HELD_READINGS, Counter, CounterReading, Verdict, bound
from exporter.accounting import Accounting
from exporter.snapshot import Allocation, Container, Holder
from exporter.validation import Validator
from tests.doubles.collectors import Clock, energy, gpu, no_energy, power

# A property must not fail on a slow machine.
UNHURRIED = settings(deadline=None)
MAX_GAP = 10.0
LIMIT_WATTS = 700.0
MOST = 3 * LIMIT_WATTS
POD = Container("ns", "pod", "main")


class Step(NamedTuple):
    """What happens until the next reading, and how it goes wrong.

    Attributes:
        seconds: Time that passes.
        ratio: How much is counted, as a fraction of the most that is possible.
        read: What is read instead of the counter; None: the counter.
        reset: Whether the counter starts again from 0.
        known: Whether a reset is known.
    """

    seconds: float
    ratio: float
    read: float | None
    reset: bool
    known: bool


SECONDS = st.sampled_from([0.0, 1.0, 1.0, 1.0, 5.0, 60.0, 4000.0])
WRONG = st.none() | st.none() | st.sampled_from([0.0, 1.0, 198.0, 4_999_000.0, 5e6, 2.0**32, 1e18]) | st.floats(0, 1e7)
STEPS = st.lists(
    st.builds(Step, SECONDS, st.floats(0, 1), WRONG, st.sampled_from([False] * 5 + [True]), st.booleans()),
    min_size=2,
    max_size=30,
)


def readings(steps: Sequence[Step], most: float | None = MOST) -> list[CounterReading]:
    found, at, total, session = [], 0.0, 5_000_000.0, 0
    for step in steps:
        at += step.seconds
        total = 0.0 if step.reset else total + step.ratio * (most or 1.0) * step.seconds
        session += step.reset and step.known
        found.append(CounterReading(at, total if step.read is None else step.read, most, session))
    return found


@UNHURRIED
@given(STEPS, st.sampled_from([MOST, 1.0, 1e13, None]))
def test_rise_is_never_more_than_the_bound(steps: list[Step], most: float | None) -> None:
    counter = Counter()
    for now in readings(steps, most):
        verdict = counter.read(now)
        assert 0 <= verdict.rise <= bound(most, verdict.seconds)


@UNHURRIED
@given(st.lists(st.tuples(st.sampled_from([0.0, 3.0, 4.0, 4.0, 5.0]), st.sampled_from("aaab")), max_size=30))
def test_a_repeated_count_says_nothing_new(counts: list[tuple[float, str]]) -> None:
    quick, full = Counter(), Counter()
    for at, (count, session) in enumerate(counts):
        now = CounterReading(at, count, None, session)
        expected = full.read(now)._replace(seconds=0.0)
        if quick.repeats(now.at, now.value, now.session):
            assert expected == Verdict(now.value)
        else:
            assert quick.read(now)._replace(seconds=0.0) == expected
        assert quick.read_at == full.read_at


@UNHURRIED
@given(STEPS, st.sampled_from([MOST, 1.0, 1e13, None]))
def test_exported_value_is_one_that_was_read_and_falls_only_at_a_reset(steps: list[Step], most: float | None) -> None:
    counter = Counter()
    all_read = readings(steps, most)
    verdicts = [counter.read(now) for now in all_read]
    exported = None
    accepted = all_read[0]
    for place, (now, verdict) in enumerate(zip(all_read, verdicts, strict=True)):
        if verdict.value is None:
            continue
        assert verdict.value in (now.value, exported)
        if exported is not None and verdict.value < exported:
            before = all_read[place - 1]
            assert now.session != accepted.session or (before.value < exported and now.value >= before.value)
        if verdict.value == now.value:
            accepted = now
        exported = verdict.value


@UNHURRIED
@given(STEPS, st.sampled_from([MOST, 1.0, 1e13, None]), st.floats(0.01, 1), st.floats(0, 1e12))
def test_no_history_keeps_a_counter_that_rises_away(
    steps: list[Step], most: float | None, ratio: float, value: float
) -> None:
    counter = Counter()
    all_read = readings(steps, most)
    for now in all_read:
        counter.read(now)
    for _ in range(HELD_READINGS + 1 + BASE_READINGS):
        now = now._replace(at=now.at + 1, value=value)
        value += ratio * (most or 1.0)
        verdict = counter.read(now)
    assert verdict.value == now.value


@UNHURRIED
@given(STEPS)
def test_value_is_held_for_few_readings_only(steps: list[Step]) -> None:
    counter = Counter()
    held = 0
    for before, now in pairwise([None, *readings(steps)]):
        assert now is not None
        verdict = counter.read(now)
        held = held + 1 if before is not None and verdict.value != now.value else 0
        assert verdict.value is None or held <= HELD_READINGS


@UNHURRIED
@given(STEPS, st.lists(st.booleans(), min_size=30, max_size=30), st.lists(st.booleans(), min_size=30, max_size=30))
def test_energy_of_a_container_never_falls_and_never_rises_by_more_than_the_bound(
    steps: list[Step], lost: list[bool], unsupported: list[bool]
) -> None:
    books, validator = Accounting(MAX_GAP, Clock()), Validator()
    held = (Allocation(POD, SubjectKey("gpu-a"), "acme/gpu", "device_plugin", share_ratio=1.0, sole=True),)
    last_at = before = 0.0
    for now, gone, gap in zip(readings(steps), lost, unsupported, strict=False):
        sources = () if gap else (energy("gpu-a", now.value),)
        samples = (power("gpu-a", 300), Sample(catalog.POWER_LIMIT, "gpu-a", LIMIT_WATTS), *sources)
        reading = Reading(
            (gpu("gpu-a", lost=gone),),
            samples=() if gone else samples,
            unsupported=(no_energy("gpu-a"),) if gap else (),
            sessions={"gpu-a": now.session},
        )
        books.add_readings(now.at, validator.validate(reading, now.at))
        books.add_allocations(now.at, held)
        joules = books.usage(Holder(POD, SubjectKey("gpu-a"))).energy_joules
        assert before <= joules
        if joules > before:
            assert joules - before <= bound(MOST, now.at - last_at)
            last_at = now.at
        before = joules
