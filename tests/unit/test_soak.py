import math
from collections.abc import Sequence

import pytest

from soak import records
from soak.figures import Fall, counters, falls, has_grown, slope
from soak.records import Measured, Record
from soak.resting import missing_series, rest
from tests.doubles.collectors import Clock

BUSY = 'accelerator_container_busy_seconds_total{pod="a"}'
ENERGY = 'accelerator_device_energy_joules_total{uuid="GPU-1"}'


def record(seconds: float, blocks: int, **others: int) -> Record:
    threads = others.get("threads", 8)
    counted = (others.get("failed", 0), others.get("container_falls", 0), 0)
    series = frozenset({"a", "b"} if others.get("series", 2) == 2 else {"a"})
    return Record(seconds, Measured(60_000_000, blocks, 11, threads), series, 100, *counted)


def course(blocks: Sequence[int]) -> list[Record]:
    return [record(30 * (number + 1), each) for number, each in enumerate(blocks)]


def test_the_slope_of_a_straight_line_has_no_error() -> None:
    assert slope([0, 1, 2, 3], [5, 7, 9, 11]) == (2.0, 0.0)


def test_the_standard_error_is_that_of_least_squares() -> None:
    # Residuals 1/6, -1/3, 1/6: squares 1/6 for one degree of freedom, over a spread of 2.
    found = slope([1, 2, 3], [1, 1, 2])
    assert found.per_hour == pytest.approx(0.5)
    assert found.error == pytest.approx(math.sqrt(1 / 12))


@pytest.mark.parametrize(("hours", "per_hour"), [([], 0.0), ([1.0], 0.0), ([1.0, 1.0], 0.0), ([1.0, 2.0], 2.0)])
def test_the_error_of_too_few_measurements_is_not_known(hours: list[float], per_hour: float) -> None:
    assert slope(hours, [2 * hour for hour in hours]) == (per_hour, math.inf)


def test_counters_are_found_by_the_end_of_their_name() -> None:
    text = f'# TYPE a counter\n# HELP x_total of {{}} 1\n{BUSY} 1.5\naccelerator_info{{a="x_total"}} 1\nmade_total 2\n'
    assert counters(text) == {BUSY: 1.5, "made_total": 2.0}


def test_a_counter_that_is_lower_than_before_fell() -> None:
    before = {BUSY: 3.0, ENERGY: 7.0, "gone_total": 1.0, "same_total": 1.0}
    found = falls(before, {BUSY: 2.0, ENERGY: 6.0, "new_total": 0.0, "same_total": 1.0})
    assert found == [Fall(BUSY, 3.0, 2.0), Fall(ENERGY, 7.0, 6.0)]
    assert [fall.of_container for fall in found] == [True, False]


@pytest.mark.parametrize(
    ("numbers", "grown"),
    [
        ([5, 5, 5, 5, 5, 5, 5, 5], False),
        ([4, 5, 5, 5, 5, 5, 5, 5], False),  # while it warms up
        ([5, 5, 5, 5, 6, 5, 6, 5], False),
        ([5, 5, 5, 5, 4, 5, 5, 5, 5, 5, 5, 5], False),  # a connection that was not there for a moment
        ([5, 5, 5, 5, 5, 5, 6, 6], True),
        ([5, 6, 7], False),  # too few to know
    ],
)
def test_a_number_has_grown_if_it_does_not_return(numbers: list[int], *, grown: bool) -> None:
    assert has_grown(numbers) is grown


def test_a_good_run_has_no_problems() -> None:
    found = course([200_000] * 60)
    assert records.problems(found) == []
    assert "blocks +0 +- 0 per hour (+0.000% in this half), series constant" in records.slopes(found)
    assert "| 30      | 60.0 MB | 200,000 |          11 |       8 |      2 |     100 |" in records.table(found)
    assert records.line(found[0]).startswith("seconds 30, memory 60.0 MB, blocks 200,000, ")


def test_growth_is_judged_in_the_second_half_of_a_long_run() -> None:
    grown = [*range(100_000, 130_000, 1000), *range(200_000, 200_300, 10)]
    assert records.growth(course(grown)) == pytest.approx(290 / 200_145)
    assert records.problems(course(grown)) == ["allocated blocks grew by 0.145% in the second half"]
    assert records.problems(course(grown[:50])) == []


def test_every_other_problem_is_named() -> None:
    found = course([200_000] * 60)
    assert records.problems([*found[:-1], record(1800, 200_000, failed=2)]) == ["2 of 100 scrapes failed"]
    assert records.problems([*found[:-1], record(1800, 200_000, container_falls=1)]) == [
        "counters of containers fell 1 times"
    ]
    assert records.problems([*found[:30], *(record(each.seconds, 200_000, threads=9) for each in found[30:])]) == [
        "the number of threads grew"
    ]
    changed = [*found[:-1], record(1800, 200_000, series=1)]
    assert records.changed_series(changed) == ["b"]
    assert records.problems(changed) == ["1 series were not in all scrapes at rest of the second half"]


@pytest.mark.parametrize(("back_at", "rested"), [(0, 8), (8, 8), (20, 20), (100, 60)])
def test_a_rest_lasts_until_all_series_of_earlier_rests_are_back(back_at: int, rested: int) -> None:
    clock = Clock()
    earlier = [record(30, 200_000, series=1), record(60, 200_000)]

    def step() -> None:
        clock.now += 1

    def is_incomplete() -> bool:
        return bool(missing_series(earlier, frozenset({"a", "b"} if clock.now >= back_at else {"a", "new"})))

    rest(8, 60, is_incomplete, step, clock)

    assert clock.now == rested
