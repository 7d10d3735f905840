import math
from collections import defaultdict
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.contract import Sample, SubjectKey
from exporter.accounting import Accounting, Integral
from exporter.attribution.join import with_shares
from exporter.snapshot import Allocation, Container, Holder
from exporter.validation import Accepted
from tests.doubles.collectors import Clock, power, utilization

# A property must not fail on a slow machine.
UNHURRIED = settings(deadline=None)
MAX_GAP = 10.0
STEPS = st.one_of(st.floats(0, 12), st.sampled_from([0.0, 1.0, MAX_GAP, 3600.0]))
RATIOS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0]))
CONTAINERS = [Container("ns", name, "main") for name in ("p", "q", "r")]
SUBJECTS = [SubjectKey(*key) for key in (("a",), ("b",), ("b", "b0"), ("b", "b1"), ("c", "c0"))]
EDGES = st.sets(st.tuples(st.sampled_from(CONTAINERS), st.sampled_from(SUBJECTS)), max_size=12)
COMPUTE = st.dictionaries(st.sampled_from([key for key in SUBJECTS if key.partition_uuid]), RATIOS)


def edges(pairs: set[tuple[Container, SubjectKey]], compute: dict[SubjectKey, float]) -> tuple[Allocation, ...]:
    return with_shares([Allocation(*pair, "acme/gpu", "device_plugin") for pair in sorted(pairs)], compute)


@UNHURRIED
@given(st.lists(st.tuples(STEPS, RATIOS), min_size=1))
def test_busy_is_at_most_observed_and_observed_at_most_elapsed(polls: list[tuple[float, float]]) -> None:
    integral = Integral()
    for at, (_, value) in zip(accumulate(step for step, _ in polls), polls, strict=True):
        before = (integral.total, integral.covered_seconds)
        area, covered = integral.add(at, value, MAX_GAP)

        assert 0 <= area <= covered <= MAX_GAP
        assert (integral.total, integral.covered_seconds) == (before[0] + area, before[1] + covered)
        assert integral.total <= integral.covered_seconds

    # Differences of the times differ from the steps by the rounding error of a sum of floats.
    assert integral.covered_seconds <= sum(step for step, _ in polls[1:] if step <= MAX_GAP + 1e-6) + 1e-6


@UNHURRIED
@given(st.floats(0, 1), st.lists(st.floats(0.01, 9), min_size=1, max_size=30))
def test_constant_load_is_measured_exactly_at_irregular_polls(load: float, steps: list[float]) -> None:
    integral = Integral()
    for at in accumulate([0.0, *steps]):
        integral.add(at, load, MAX_GAP)

    assert integral.total == pytest.approx(load * sum(steps))
    assert integral.covered_seconds == pytest.approx(sum(steps))


@UNHURRIED
@given(EDGES, COMPUTE)
def test_shares_of_a_device_never_exceed_one(
    pairs: set[tuple[Container, SubjectKey]], compute: dict[SubjectKey, float]
) -> None:
    handed_out: defaultdict[str, float] = defaultdict(float)
    for edge in edges(pairs, compute):
        known = not edge.subject.partition_uuid or edge.subject in compute
        assert (edge.share_ratio is not None) == known
        if edge.share_ratio is not None:
            assert 0 <= edge.share_ratio <= 1
            handed_out[edge.subject.device_uuid] += edge.share_ratio

    assert all(total <= 1 + 1e-9 for total in handed_out.values())


@UNHURRIED
@given(EDGES, COMPUTE)
def test_no_device_or_partition_has_two_sole_holders(
    pairs: set[tuple[Container, SubjectKey]], compute: dict[SubjectKey, float]
) -> None:
    found = edges(pairs, compute)
    for edge in found:
        rivals = [
            other
            for other in found
            if other is not edge
            and other.subject.device_uuid == edge.subject.device_uuid
            and (other.subject == edge.subject or "" in (other.subject.partition_uuid, edge.subject.partition_uuid))
            and (other.subject, other.container) != (edge.subject, edge.container)
        ]
        assert edge.sole == (not rivals)


def readings(load: float, watts: float) -> list[Sample]:
    return [*(utilization(key.device_uuid, load, key.partition_uuid) for key in SUBJECTS), power("a", watts)]


TURNS = st.tuples(STEPS, RATIOS, st.floats(0, 700), st.none() | EDGES)


@UNHURRIED
@given(COMPUTE, st.lists(TURNS, min_size=2, max_size=20))
def test_credit_of_all_holders_never_exceeds_the_device(
    compute: dict[SubjectKey, float],
    turns: list[tuple[float, float, float, set[tuple[Container, SubjectKey]] | None]],
) -> None:
    books = Accounting(MAX_GAP, Clock())
    now = 0.0
    for step, load, watts, pairs in turns:
        now += step
        held = None if pairs is None else edges(pairs, compute)
        live = readings(load, watts)
        books.add_readings(now, Accepted(samples=tuple(live), integrated_power=frozenset({"a"})))
        books.add_allocations(now, held)
        totals = {(s.metric.stem, SubjectKey(s.device_uuid, s.partition_uuid)): s.value for s in books.samples(live)}
        used = {(who, key): books.usage(Holder(who, key)) for who in CONTAINERS for key in SUBJECTS}
        for key in SUBJECTS:
            mine = [found for (_, subject), found in used.items() if subject == key]
            assert sum(found.busy_seconds for found in mine) <= totals["busy_seconds_total", key] + 1e-6
            assert sum(found.observed_seconds for found in mine) <= totals["observed_seconds_total", key] + 1e-6
            assert sum(found.device_seconds for found in mine) <= now + 1e-6
            assert all(found.busy_seconds <= found.observed_seconds for found in mine)
        of_device = [found for (_, subject), found in used.items() if subject == SubjectKey("a")]
        joules = totals["energy_joules_total", SubjectKey("a")] + 1e-6
        assert sum(found.energy_joules for found in of_device) <= joules
        assert sum(found.allocated_energy_joules for found in of_device) <= joules
        assert all(math.isfinite(value) for value in totals.values())
