"""A count of critical events that begins above 0 is exported at 0 first, so that `increase()` sees its first events."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import catalog
from collectors.contract import Reading, Reason, Sample
from collectors.metric import Cadence
from exporter.collector_state import CollectorState, Limits
from exporter.first_counts import HELD_SECONDS, FirstCounts
from exporter.poller import CallEnded
from tests.doubles.collectors import FAST, LIMITS, absent, ended, failed, gpu
from tests.doubles.simulated_node import ALL, SimulatedNode, scenario

_SCRAPE_SECONDS = 60


def count(code: str, value: float, device: str = "gpu-a") -> Sample:
    return Sample(catalog.ERRORS, device, value, labels=("xid", code, "hardware"))


def of(value: float) -> Reading:
    return Reading((gpu("gpu-a"),), (), (count("63", value),))


def exported(readings: list[tuple[float, float]]) -> list[float]:
    """What is exported of a code, given the time and the count of each reading."""
    counts = FirstCounts()
    return [counts.held_first((count("63", value),), FAST, at)[0].value for at, value in readings]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([(0, 0), (1, 1), (2, 2)], [0, 1, 2]),
        ([(0, 1), (10, 2), (74.9, 3), (75, 3), (76, 4)], [0, 0, 0, 3, 4]),
        ([(0, 1), (3600, 1)], [0, 1]),
        ([(0, 1), (10, 0), (11, 1), (75, 1)], [0, 0, 0, 1]),
    ],
    ids=["at 0 from the start", "above 0 at first", "no reading for an hour", "lower meanwhile"],
)
def test_a_count_that_begins_above_zero_is_at_zero_for_a_while(
    readings: list[tuple[float, float]], expected: list[float]
) -> None:
    assert exported(readings) == expected


def test_every_series_has_its_own_time_and_other_families_are_unchanged() -> None:
    counts = FirstCounts()
    last = Sample(catalog.ERROR_LAST_TIMESTAMP, "gpu-a", 1e9, labels=("xid", "63", "hardware"))
    counts.held_first((count("63", 1),), FAST, 0)
    now = (count("63", 1), count("64", 1), count("63", 1, "gpu-b"), last)
    assert [sample.value for sample in counts.held_first(now, FAST, HELD_SECONDS)] == [1, 0, 0, 1e9]


def test_a_count_that_is_back_after_a_gap_is_what_it_was_before_for_a_while() -> None:
    counts = FirstCounts()
    readings = {0: 0, 1: 3, 2: None, 900: 5, 901: 6, 974: 6, 975: 6, 976: None, 977: 6, 978: None, 979: 2}
    seen: list[Sample] = []
    for at, value in readings.items():
        seen += counts.held_first((count("63", value),) if value is not None else (), FAST, at)
    assert [sample.value for sample in seen] == [0, 3, 3, 3, 3, 6, 6, 2]


def test_a_count_is_held_again_when_the_vendor_was_absent() -> None:
    state = CollectorState("acme", LIMITS, lambda: 0.0)
    seen = []
    for event in (ended(0, of(1)), ended(80, of(1)), absent(81), ended(900, of(2)), ended(975, of(2))):
        state.ended(event)
        seen.append([sample.value for sample in state.samples(event.ended)])
    assert seen == [[0], [1], [], [1], [2]]


def test_a_failed_call_and_one_of_other_cadences_are_no_gap() -> None:
    state = CollectorState("acme", LIMITS, lambda: 0.0)
    slow = ended(3, Reading((gpu("gpu-a"),), (), ()), frozenset({Cadence.SLOW}))
    seen = []
    for event in (ended(0, of(0)), failed(1, Reason.UNAVAILABLE), ended(2, of(1)), slow, ended(4, of(2))):
        state.ended(event)
        seen.append([sample.value for sample in state.samples(event.ended)])
    assert seen == [[0], [0], [1], [1], [2]]


def test_samples_stay_the_same_object_if_nothing_is_early() -> None:
    samples = (count("48", 0),)
    assert FirstCounts().held_first(samples, FAST, 0) is samples


@given(st.lists(st.floats(0, 600), max_size=5), st.floats(0, _SCRAPE_SECONDS))
def test_scrapes_see_every_event_rise(events: list[float], first_scrape: float) -> None:
    counts, at_scrapes = FirstCounts(), []
    for at in range(900):
        found = sum(event <= at for event in events)
        samples = counts.held_first((count("63", found),) if found else (), FAST, at)
        if (at - int(first_scrape)) % _SCRAPE_SECONDS == 0:
            at_scrapes += [sample.value for sample in samples]
    assert sum(after - before for before, after in pairwise(at_scrapes)) == len(events)


def test_a_simulated_code_that_does_not_exist_from_the_start_is_exported_at_zero_first() -> None:
    fault = 'faults: [{kind: critical_error, devices: [0], code: "31", at: 20}]'
    node = SimulatedNode(scenario(f"devices: [{{profile: h100}}]\n{fault}"))
    state = CollectorState("simulated", Limits(5, dict.fromkeys(Cadence, 20.0)), lambda: 0.0)
    seen = []
    for second in range(120):
        state.ended(CallEnded("simulated", second, second, ALL, node.read(second)))
        seen.append([s.value for s in state.samples(second) if s.metric is catalog.ERRORS and s.labels[1] == "31"])
    assert seen == [[]] * 20 + [[0.0]] * 75 + [[1.0]] * 25
