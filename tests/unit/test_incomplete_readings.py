"""When a collector is called again whose reading was incomplete."""

import time
from dataclasses import replace
from itertools import pairwise

import pytest

from collectors.contract import Reading
from collectors.metric import Cadence
from exporter.poller import Poller, Schedule, answering_subjects
from tests.doubles.collectors import BOUND_SECONDS, EVERY, INTERVALS, ScriptedCollector, gpu
from tests.doubles.exporter_process import wait_until

READING = Reading((gpu("gpu-a"),))
INCOMPLETE = replace(READING, incomplete=True)


def test_a_collector_whose_reading_is_incomplete_is_soon_called_with_all_cadences_again() -> None:
    collector = ScriptedCollector(INCOMPLETE)
    poller = Poller("acme", collector, {**INTERVALS, Cadence.FAST: 0.001}, time.monotonic, lambda _: None)
    poller.start()
    wait_until(lambda: collector.calls.count(EVERY) >= 3, BOUND_SECONDS)
    poller.stop()
    assert poller.join(BOUND_SECONDS)


@pytest.mark.parametrize(
    ("readings", "pauses"),
    [
        ([INCOMPLETE] * 8, [1, 2, 4, 8, 16, 32, 60]),
        ([INCOMPLETE, INCOMPLETE, READING, INCOMPLETE], [1, 2, 60]),
        ([INCOMPLETE, INCOMPLETE, replace(INCOMPLETE, devices=(gpu("gpu-b"),)), INCOMPLETE], [1, 2, 1]),
    ],
    ids=["never complete", "complete", "another device"],
)
def test_slow_readings_are_due_until_they_are_complete(readings: list[Reading], pauses: list[float]) -> None:
    schedule, now, slow = Schedule(INTERVALS), 0.0, list[float]()
    latest = readings[0]
    for reading in readings:
        while Cadence.SLOW not in (due := schedule.due(now)):
            schedule.succeeded(due, now)
            schedule.add_missing(due, answering_subjects(latest), now, incomplete=latest.incomplete)
            now += schedule.wait_seconds(now)
        slow.append(now)
        latest = reading
        schedule.succeeded(due, now)
        schedule.add_missing(due, answering_subjects(latest), now, incomplete=latest.incomplete)
    assert [later - earlier for earlier, later in pairwise(slow)] == pauses
