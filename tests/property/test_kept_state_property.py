"""What is kept from one snapshot to the next changes nothing: a process that keeps nothing exports the same."""

import zlib
from copy import copy
from dataclasses import replace
from operator import is_
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from collectors.metric import ALL_SETS, Subject
from exporter import families
from exporter.assembler import Event
from exporter.exposition import render
from exporter.poller import CallEnded
from exporter.scrape_bodies import ScrapeBodies
from exporter.selfmetrics import health_samples
from exporter.series import Shown
from exporter.snapshot import Snapshot
from exporter.text_format import Format
from exporter.views import NAMES, ViewOptions, load_views
from tests.doubles.collectors import Clock
from tests.doubles.expositions import parse
from tests.doubles.node_history import TURNS, complete, event, new_assembler
from tests.property.test_exposition_property import UNHURRIED

LAST_ACTIVE = families.CONTAINER_LAST_ACTIVE.name(Subject.CONTAINER)
_ANY = 47  # the window bits that say: any gzip member


def copied(happened: Event) -> Event:
    """An equal event, in which every sample, device and partition is another object than in earlier ones."""
    if not isinstance(happened, CallEnded) or happened.reading is None:
        return happened
    reading = happened.reading
    devices, parts = tuple(map(copy, reading.devices)), tuple(map(copy, reading.partitions))
    samples = tuple(map(copy, reading.samples))
    assert not any(map(is_, samples, reading.samples))
    return happened._replace(reading=replace(reading, devices=devices, partitions=parts, samples=samples))


def exposition(snapshot: Snapshot, shown: Shown) -> bytes:
    return render(snapshot, health_samples(snapshot), Format.TEXT, shown)


def some(random: Random) -> Shown:
    """Any sets, views and names of labels."""
    sets = frozenset(each for each in ALL_SETS if random.random() < 0.5)
    names = tuple(name for name in NAMES if random.random() < 0.5)
    views = load_views(names, ViewOptions("node-1"))
    return Shown(random.choice((Shown().holder_labels, ("a", "b", "c"))), sets, random.random() < 0.8, views)


@UNHURRIED
@given(TURNS, st.randoms(use_true_random=True))
def test_scrapes_are_the_same_whatever_was_scraped_before(turns: list[tuple[float, str]], random: Random) -> None:
    clock, shown, latest = Clock(), some(random), Snapshot()
    assembler = new_assembler(clock)
    bodies = ScrapeBodies(lambda: latest, health_samples, shown)
    for after_seconds, kind in turns:
        clock.now += after_seconds
        assembler.apply(event(random, kind, clock.now))
        latest = assembler.snapshot()
        for form in Format:
            if random.random() < 0.4:
                plain = render(latest, health_samples(latest), form, shown)
                assert zlib.decompress(bodies.get(form, gzipped=True), _ANY) == plain
                assert bodies.get(form, gzipped=False) == plain


@UNHURRIED
@given(TURNS, st.randoms(use_true_random=True))
def test_unchanged_objects_mean_the_same_as_equal_ones(turns: list[tuple[float, str]], random: Random) -> None:
    clock = Clock()
    shared, apart = new_assembler(clock), new_assembler(clock)
    for after_seconds, kind in turns:
        clock.now += after_seconds
        happened = event(random, kind, clock.now)
        shared.apply(happened)
        apart.apply(copied(happened))
        assert exposition(shared.snapshot(), Shown()) == exposition(apart.snapshot(), Shown())


def present(snapshot: Snapshot) -> set[tuple[str, frozenset[tuple[str, str]], float]]:
    """All series and values but those that remember the past: counters, and the time of the last activity."""
    return {
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in parse(render(snapshot, (), Format.TEXT), Format.TEXT)
        for sample in family.samples
        if family.type != "counter" and family.name != LAST_ACTIVE
    }


@UNHURRIED
@given(TURNS, st.randoms(use_true_random=True), st.sampled_from((0.5, 5, 60, 4000)))
def test_after_any_history_a_process_exports_what_a_new_one_does(
    turns: list[tuple[float, str]], random: Random, after_seconds: float
) -> None:
    clock = Clock()
    old = new_assembler(clock)
    for gap_seconds, kind in turns:
        clock.now += gap_seconds
        old.apply(event(random, kind, clock.now))
        old.snapshot()
    new = new_assembler(clock)
    clock.now += after_seconds
    for happened in complete(random, clock.now):
        old.apply(happened)
        old.snapshot()
        new.apply(happened)
    assert present(old.snapshot()) == present(new.snapshot())
