"""Snapshots with the same series are recognized, and no others."""

import random
from dataclasses import replace

import pytest

from collectors.contract import SubjectKey
from collectors.metric import Cadence
from exporter import families, series
from exporter.assembler import Assembler
from exporter.attribution.watcher import AttributionState
from exporter.poller import CallEnded
from exporter.sample_group import SampleGroup, samples_of
from exporter.snapshot import Container, HolderSample, Snapshot
from tests.doubles.collectors import Clock, power, temperature, utilization
from tests.doubles.followed import FollowedSnapshots
from tests.doubles.node_history import complete, new_assembler

SAMPLES = (temperature("gpu-a", 61), temperature("gpu-a", 60.5, "board"), power("gpu-a", 300), power("gpu-b", 200))
HELD = HolderSample(families.ALLOCATION_INFO, Container("ml", "a", "main"), SubjectKey("gpu-a"), 1, ("r", "dra", ""))
SNAPSHOT = Snapshot(samples=SAMPLES, holder_samples=(HELD,))

OTHERS: dict[str, Snapshot] = {
    "a label": replace(SNAPSHOT, samples=(temperature("gpu-a", 61, "memory"), *SAMPLES[1:])),
    "a device": replace(SNAPSHOT, samples=(*SAMPLES[:-1], power("gpu-c", 200))),
    "a partition": replace(SNAPSHOT, samples=(*SAMPLES[:-1], replace(SAMPLES[-1], partition_uuid="s0"))),
    "a metric": replace(SNAPSHOT, samples=(*SAMPLES[:-1], utilization("gpu-b", 0.5))),
    "the order": replace(SNAPSHOT, samples=SAMPLES[::-1]),
    "one less": replace(SNAPSHOT, samples=SAMPLES[1:]),
    "one more": replace(SNAPSHOT, samples=(*SAMPLES, utilization("gpu-b", 0.5))),
    "one as that of a process": replace(SNAPSHOT, samples=SAMPLES[:-1], process_samples=SAMPLES[-1:]),
    "a pod": replace(SNAPSHOT, holder_samples=(HELD._replace(container=Container("ml", "b", "main")),)),
    "what is held": replace(SNAPSHOT, holder_samples=(HELD._replace(subject=SubjectKey("gpu-b")),)),
    "a claim": replace(SNAPSHOT, holder_samples=(HELD._replace(labels=("r", "dra", "claim")),)),
    "nothing": Snapshot(),
}


def series_after_the_last(followed: FollowedSnapshots, snapshot: Snapshot) -> object:
    values = followed.after_the_last(snapshot).values
    assert values is not None
    assert list(values.every) == series.values(snapshot, ())
    return values.series


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_series_is_noticed(other: Snapshot) -> None:
    followed = FollowedSnapshots()
    first, second, third = (series_after_the_last(followed, each) for each in (SNAPSHOT, other, other))

    assert first is not second
    assert second is third


def test_other_values_are_the_same_series() -> None:
    followed = FollowedSnapshots()
    warmer = replace(SNAPSHOT, samples=tuple(replace(each, value=each.value + 1) for each in SAMPLES))

    assert series_after_the_last(followed, SNAPSHOT) is series_after_the_last(followed, warmer)


def test_groups_are_read_in_their_order() -> None:
    groups = [SampleGroup.of(SAMPLES[:1]), SampleGroup.of(()), SampleGroup.of(iter(SAMPLES[1:]))]

    assert samples_of(groups) == SAMPLES


def answers(now: float) -> tuple[list[CallEnded], list[AttributionState]]:
    """The same devices, series and pods every time."""
    found = list(complete(random.Random(7), now))  # noqa: S311 - nothing is secret here
    return [each for each in found if isinstance(each, CallEnded)], [
        each for each in found if isinstance(each, AttributionState)
    ]


def second_later(assembler: Assembler, clock: Clock, due: frozenset[Cadence]) -> Snapshot:
    clock.now += 1
    calls, pods = answers(clock.now)
    for call in calls:
        assert call.reading is not None
        samples = tuple(each for each in call.reading.samples if each.metric.cadence in due)
        assembler.apply(call._replace(due=due, reading=replace(call.reading, samples=samples)))
    for each in pods:
        assembler.apply(each)
    return assembler.snapshot()


def test_the_same_series_are_recognized_whichever_cadences_are_due() -> None:
    clock = Clock()
    assembler = new_assembler(clock)
    every, fast = frozenset(Cadence), frozenset({Cadence.FAST})
    second_later(assembler, clock, every)
    second_later(assembler, clock, fast)  # the counters of the exporter begin
    turns = (fast, fast, every, fast, fast | {Cadence.MEDIUM}, fast, every, fast)
    snapshots = [second_later(assembler, clock, due) for due in turns]

    assert len(snapshots[0].samples) > 30
    assert len(snapshots[0].holder_samples) > 5
    assert len({id(each.values.series) for each in snapshots if each.values is not None}) == 1
    assert len({id(each) for each in snapshots}) == len(turns)
