"""What scrapes get: the same bytes as `prometheus_client` writes, made once for each snapshot."""

import gzip
import math
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import pytest

from collectors import catalog
from collectors.contract import Sample, SubjectKey
from exporter import families
from exporter.exposition import render
from exporter.gzip_member import GzipMember
from exporter.scrape_bodies import ScrapeBodies
from exporter.series import OwnSample, Shown
from exporter.snapshot import Container, HolderSample, Snapshot
from exporter.text_format import Format
from exporter.views import NAMES, ViewOptions, load_views
from tests.doubles.collectors import gpu, info, part, power, temperature, utilization
from tests.doubles.followed import FollowedSnapshots

OWN = (OwnSample(families.SCRAPES, 3), OwnSample(families.COLLECTOR_UP, 1, ("acme",)))
HOLDER = Container("ml", "train-0", "main")
SNAPSHOT = Snapshot(
    devices={"gpu-a": gpu("gpu-a", model="A1 80GB")},
    partitions={"s0": part("gpu-a", "s0", "1g.10gb")},
    samples=(
        temperature("gpu-a", 61),
        temperature("gpu-a", 60.5, "board"),
        info("gpu-a"),
        utilization("gpu-a", 0.25, "s0"),
        power("gpu-a", 300.5),
    ),
    holder_samples=(
        HolderSample(families.ALLOCATION_INFO, HOLDER, SubjectKey("gpu-a", "s0"), 1, ("acme/slice", "dra", "")),
    ),
)

PROCESS = Sample(catalog.PROCESS_MEMORY_USAGE, "gpu-a", 7, "", ("12", "python"))


class Changing:
    """The latest snapshot, and the exporter's own samples; counts how often these are made."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._followed = FollowedSnapshots()
        self.snapshot = snapshot
        self.own = list(OWN)
        self.made = 0

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = self._followed.after_the_last(snapshot)

    def samples(self, _: Snapshot) -> list[OwnSample]:
        self.made += 1
        return list(self.own)

    def bodies(self) -> ScrapeBodies:
        return ScrapeBodies(lambda: self.snapshot, self.samples)


def assert_as_the_library_writes(state: Changing, bodies: ScrapeBodies) -> None:
    for form in Format:
        assert bodies.get(form, gzipped=False) == render(state.snapshot, state.own, form)


CHANGES: dict[str, Callable[[Snapshot], Snapshot]] = {
    "a value": lambda snapshot: replace(snapshot, samples=(*snapshot.samples[:-1], power("gpu-a", 301))),
    "another series in its place": lambda snapshot: replace(
        snapshot, samples=(*snapshot.samples[:-1], utilization("gpu-a", 0.5))
    ),
    "other labels in its place": lambda snapshot: replace(
        snapshot, samples=(snapshot.samples[0], temperature("gpu-a", 60.5, "memory"), *snapshot.samples[2:])
    ),
    "two exchanged": lambda snapshot: replace(
        snapshot, samples=(*snapshot.samples[:2], *snapshot.samples[3:1:-1], *snapshot.samples[4:])
    ),
    "a new series": lambda snapshot: replace(snapshot, samples=(*snapshot.samples, utilization("gpu-a", 0.5))),
    "a series that ends": lambda snapshot: replace(snapshot, samples=snapshot.samples[1:]),
    "another order": lambda snapshot: replace(snapshot, samples=snapshot.samples[::-1]),
    "a series twice": lambda snapshot: replace(snapshot, samples=snapshot.samples * 2),
    "the model": lambda snapshot: replace(snapshot, devices={"gpu-a": gpu("gpu-a", model="A2")}),
    "the profile": lambda snapshot: replace(snapshot, partitions={"s0": part("gpu-a", "s0", "2g.20gb")}),
    "no holder": lambda snapshot: replace(snapshot, holder_samples=()),
    "processes": lambda snapshot: replace(
        snapshot, process_samples=(Sample(catalog.PROCESS_MEMORY_USAGE, "gpu-a", 7, "", ("12", "python")),)
    ),
    "nothing": lambda _: Snapshot(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_snapshot_is_written_as_the_library_does(change: Callable[[Snapshot], Snapshot]) -> None:
    state = Changing(SNAPSHOT)
    bodies = state.bodies()
    assert_as_the_library_writes(state, bodies)

    state.snapshot = change(SNAPSHOT)
    assert_as_the_library_writes(state, bodies)
    state.snapshot = replace(SNAPSHOT)
    assert_as_the_library_writes(state, bodies)


def test_views_follow_a_partition_to_another_device() -> None:
    devices = {name: gpu(name, vendor="nvidia") for name in ("gpu-a", "gpu-b")}
    before = Snapshot(devices, {"s0": part("gpu-a", "s0")}, (power("gpu-a", 100), power("gpu-b", 200)))
    state = Changing(before)
    shown = Shown(views=load_views(NAMES, ViewOptions("node-1")))
    bodies = ScrapeBodies(lambda: state.snapshot, state.samples, shown)

    for snapshot in (before, replace(before, partitions={"s0": part("gpu-b", "s0")})):
        state.snapshot = snapshot
        for form in Format:
            assert bodies.get(form, gzipped=False) == render(snapshot, state.own, form, shown)


def test_own_samples_are_those_of_the_first_scrape_of_a_snapshot() -> None:
    state = Changing(SNAPSHOT)
    bodies = state.bodies()
    first = {(form, gzipped): bodies.get(form, gzipped=gzipped) for form in Format for gzipped in (False, True)}

    state.own = [OwnSample(families.SCRAPES, 9)]
    assert all(bodies.get(form, gzipped=gzipped) is body for (form, gzipped), body in first.items())
    assert state.made == 1
    state.snapshot = replace(SNAPSHOT)
    assert_as_the_library_writes(state, bodies)
    assert state.made == 2


def test_zero_and_minus_zero_are_written_as_they_are() -> None:
    state = Changing(SNAPSHOT)
    bodies = state.bodies()
    for watts in (0.0, -0.0, 0, 5, 0.0):
        state.snapshot = replace(SNAPSHOT, samples=(power("gpu-a", watts),))
        assert_as_the_library_writes(state, bodies)


def test_concurrent_scrapes_share_one_body() -> None:
    state = Changing(SNAPSHOT)
    bodies, together = state.bodies(), threading.Barrier(8)

    def scrape(_: int) -> bytes:
        together.wait()
        return bodies.get(Format.OPENMETRICS, gzipped=True)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(scrape, range(8)))
    assert {id(body) for body in found} == {id(found[0])}
    assert state.made == 1


def test_a_failure_fails_one_scrape_only() -> None:
    state = Changing(SNAPSHOT)
    bodies = state.bodies()
    unknown_device = replace(SNAPSHOT, samples=(power("gpu-b", 1),))
    for snapshot in (unknown_device, SNAPSHOT):
        state.snapshot = snapshot
        if snapshot is unknown_device:
            with pytest.raises(KeyError):
                bodies.get(Format.TEXT, gzipped=False)
        else:
            assert_as_the_library_writes(state, bodies)


def unpacked(packed: bytes) -> bytes:
    """The content of a gzip member with nothing behind it."""
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    found = reader.decompress(packed)
    assert reader.eof
    assert not reader.unused_data
    return found


def test_whatever_changes_a_member_holds_all_parts() -> None:
    random = Random(1)  # noqa: S311 - nothing is secret here
    parts = [b"part %d " % place * random.choice((1, 40, 2000)) for place in range(12)]
    member = GzipMember(len(parts))
    for _ in range(200):
        assert unpacked(member.of(parts)) == b"".join(parts)
        for place in random.sample(range(len(parts)), random.choice((0, 1, 2, 12))):
            value = b"value %d " % random.randrange(1000)
            parts[place] = random.choice((b"", value, value * 2000, random.randbytes(20_000)))
            member.changed.add(place)


def test_what_changes_is_separated_from_what_does_not() -> None:
    large = [bytes(Random(place).choices(b"0123456789abcdef", k=20_000)) for place in range(3)]  # noqa: S311
    alone = [GzipMember(1).of([part])[10:-10] for part in large]  # without head, last block, CRC and size
    member = GzipMember(3)
    first = member.of(large)
    assert not any(segment in first for segment in alone)

    for _ in range(2):
        member.changed.add(1)
        assert member.of(large)[10:-10] == b"".join(alone)


def node(powers: dict[int, float]) -> Snapshot:
    """Ninety devices, so that there are several segments, with 100 W except these."""
    uuids = [f"gpu-{number}" for number in range(90)]
    samples = [each for uuid in uuids for each in (temperature(uuid, 60), info(uuid), utilization(uuid, 0.25))]
    samples += [power(uuid, powers.get(number, 100)) for number, uuid in enumerate(uuids)]
    return Snapshot(devices={uuid: gpu(uuid) for uuid in uuids}, samples=tuple(samples))


@pytest.mark.parametrize("form", Format)
def test_what_is_kept_does_not_show_in_the_text(form: Format) -> None:
    state = Changing(Snapshot())
    kept = state.bodies()
    for powers in ({}, {3: 101.5}, {3: 101.5}, {3: math.nan}, {3: math.nan, 89: math.inf}, {0: -math.inf, 1: 1e6}, {}):
        state.snapshot = node(powers)
        packed = kept.get(form, gzipped=True)

        assert unpacked(packed) == kept.get(form, gzipped=False) == render(state.snapshot, state.own, form)


def test_a_format_that_is_asked_for_again_has_what_changed_meanwhile() -> None:
    state = Changing(node({}))
    bodies = state.bodies()
    for number in range(3):
        for form in Format if number != 1 else (Format.TEXT,):
            bodies.get(form, gzipped=True)
        state.snapshot = node({number: 1.5})
    assert_as_the_library_writes(state, bodies)
    assert gzip.decompress(bodies.get(Format.OPENMETRICS, gzipped=True)) == bodies.get(
        Format.OPENMETRICS, gzipped=False
    )
