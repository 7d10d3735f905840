"""Whatever happens on a node, the exposition is well-formed and adds up."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import catalog
from collectors.contract import Device, Fault, Partition, Reading, Reason, Sample
from collectors.metric import Cadence
from exporter import families
from exporter.assembler import Assembler, Clocks, Event
from exporter.attribution.holding import Holding
from exporter.attribution.watcher import AttributionState
from exporter.exposition import Format, OwnSample, render
from exporter.poller import CallEnded, CallStarted
from exporter.selfmetrics import health_samples
from exporter.snapshot import Container, HolderSample, Snapshot, SubjectKey
from tests.doubles.collectors import (
    LIMITS,
    Clock,
    compute,
    energy,
    gpu,
    info,
    no_energy,
    part,
    power,
    status,
    temperature,
    utilization,
)
from tests.doubles.expositions import parse

# A slow machine fails no property.
UNHURRIED = settings(deadline=None, max_examples=60)

# hw has an energy counter that may be reset, est has none, odd has one now and then.
COLLECTORS = {"acme": ("hw", "odd"), "bolt": ("est",)}
PARTITIONS = {"odd": ("s0", "s1"), "est": ("t0",)}
PODS = ("p", "q", "r")
IDS = ("hw", "hw::0", "hw::1", "odd", "s0", "s1", "s0::4", "est", "t0", "nobody")
RATIOS = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


@dataclass(frozen=True)
class Turn:
    """One thing that happens, some time after the one before."""

    after_seconds: float
    event: Event


def devices_of(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[Device, ...]:
    present = [name for name in names if draw(st.integers(0, 9))]
    return tuple(gpu(name, lost=draw(st.integers(0, 4)) == 0) for name in present)


def samples_of(draw: st.DrawFn, device: str, parts: tuple[Partition, ...]) -> Iterator[Sample]:
    yield info(device)
    yield status(device, draw(st.sampled_from(["ok", "failed"])))
    yield utilization(device, draw(RATIOS))
    yield power(device, draw(st.floats(0, 700)))
    yield temperature(device, draw(st.floats(-20, 120)))
    yield Sample(catalog.MEMORY_USAGE, device, draw(st.integers(0, 2**40)))
    if device == "hw" or (device == "odd" and draw(st.booleans())):
        yield energy(device, draw(st.floats(0, 1e9)))
    for partition in parts:
        yield info(device, partition.uuid)
        yield utilization(device, draw(RATIOS), partition.uuid)
        yield compute(device, partition.uuid, draw(RATIOS))


@st.composite
def readings(draw: st.DrawFn, collector: str, due: frozenset[Cadence]) -> Reading:
    """A reading as the contract allows it, with whatever may be missing missing now and then."""
    devices = devices_of(draw, COLLECTORS[collector])
    parts = tuple(
        part(device.uuid, name) for device in devices for name in PARTITIONS.get(device.uuid, ()) if draw(st.booleans())
    )
    samples = [
        sample
        for device in devices
        for sample in samples_of(draw, device.uuid, tuple(p for p in parts if p.device_uuid == device.uuid))
        if sample.metric.cadence in due and draw(st.integers(0, 9))
    ]
    counted = {sample.device_uuid for sample in samples if sample.metric is catalog.ENERGY}
    faults = draw(st.lists(st.builds(Fault, st.sampled_from(Reason), st.just("x"), st.just("y")), max_size=1))
    without = tuple(no_energy(d.uuid) for d in devices if d.uuid != "hw" and d.uuid not in counted)
    return Reading(devices, parts, tuple(samples), faults=tuple(faults), unsupported=without)


@st.composite
def calls(draw: st.DrawFn) -> Event:
    """Something a poller reports. Times are put in when it happens."""
    collector = draw(st.sampled_from(sorted(COLLECTORS)))
    due = draw(st.sampled_from([frozenset(Cadence), frozenset({Cadence.FAST}), frozenset({Cadence.MEDIUM})]))
    kind = draw(st.sampled_from(["read", "read", "read", "read", "start", "fail", "absent"]))
    if kind == "start":
        return CallStarted(collector, 0)
    if kind == "read":
        return CallEnded(collector, 0, 0, due, draw(readings(collector, due)))
    return CallEnded(collector, 0, 0, due, None, draw(st.sampled_from(Reason)) if kind == "fail" else None)


HOLDINGS = st.builds(
    Holding,
    st.just("ns"),
    st.sampled_from(PODS),
    st.sampled_from(["main", "sidecar"]),
    st.sampled_from(["acme/gpu", "acme/gpu.shared", "other/nic"]),
    st.sampled_from(IDS),
    st.sampled_from(["device_plugin", "dra"]),
)
MAPS = st.builds(
    AttributionState,
    st.none() | st.lists(HOLDINGS, max_size=6).map(tuple),
    st.booleans(),
    st.none() | st.just(5.0),
)
TURNS = st.builds(
    Turn, st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, 5.0, 15.0, 4000.0]), st.one_of(calls(), calls(), MAPS)
)


def timed(event: Event, now: float) -> Event:
    if isinstance(event, CallStarted):
        return replace(event, at=now)
    return replace(event, started=now, ended=now) if isinstance(event, CallEnded) else event


Series = tuple[str, frozenset[tuple[str, str]]]


def series(snapshot: Snapshot, form: Format) -> tuple[dict[Series, float], set[Series]]:
    """Every value, and which of them are counters. Parsed, and no series twice."""
    found: dict[Series, float] = {}
    counters: set[Series] = set()
    for family in parse(render(snapshot, health_samples(snapshot), form), form):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
            if family.type == "counter":
                counters.add(key)
    return found, counters


@dataclass
class Watcher:
    """Checks each exposition by itself and against those before it."""

    counters: dict[Series, float] = field(default_factory=dict)

    def look(self, snapshot: Snapshot, elapsed_seconds: float) -> None:
        values, counters = series(snapshot, Format.TEXT)
        assert series(snapshot, Format.OPENMETRICS)[0] == values
        assert all(math.isfinite(value) for value in values.values())
        self.counters_never_fall(snapshot, {key: values[key] for key in counters})
        shares_and_holders_add_up(snapshot, values, elapsed_seconds)
        containers_have_no_more_than_what_they_hold(values)

    def counters_never_fall(self, snapshot: Snapshot, now: dict[Series, float]) -> None:
        """But for the hardware's, and those of who left and came back."""
        for key, value in now.items():
            assert value >= 0
            if key[0] != "accelerator_device_energy_joules_total" or dict(key[1])["uuid"] == "est":
                assert value >= self.counters.get(key, 0), key
        self.counters |= now
        edges = None if snapshot.allocations is None else {(e.container, e.subject) for e in snapshot.allocations}
        for key in list(self.counters):
            labels = dict(key[1])
            subject = SubjectKey(labels.get("uuid", ""), labels.get("partition_uuid", ""))
            holder = tuple(labels.get(name, "") for name in families.HOLDER_LABELS)
            left = any(holder) and edges is not None and (holder, subject) not in edges
            known = subject.device_uuid in snapshot.devices and subject.partition_uuid in {"", *snapshot.partitions}
            if left or (subject.device_uuid and not known):
                del self.counters[key]


def sums(values: dict[Series, float], name: str, *by: str) -> dict[tuple[str, ...], float]:
    """`sum by (...) (name)`."""
    found: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for (family, labels), value in values.items():
        if family == name:
            found[tuple(dict(labels).get(label, "") for label in by)] += value
    return found


def shares_and_holders_add_up(snapshot: Snapshot, values: dict[Series, float], elapsed_seconds: float) -> None:
    shares = sums(values, "accelerator_allocation_share_ratio", "uuid")
    assert all(total <= 1 + 1e-9 for total in shares.values())
    handed_out = sums(values, "accelerator_allocation_device_seconds_total", "uuid")
    assert all(total <= elapsed_seconds + 1e-6 for total in handed_out.values())
    edges = sum(sums(values, "accelerator_allocation_info").values())
    assert edges == len(snapshot.allocations or ())
    if snapshot.allocations is not None:
        holders = [sums(values, f"accelerator_{kind}_allocations") for kind in ("device", "partition")]
        assert sum(sum(found.values()) for found in holders) == edges
        assert set(sums(values, "accelerator_device_allocated", "uuid")) == {(uuid,) for uuid in snapshot.devices}


SPLIT = ("utilization_ratio", "busy_seconds_total", "observed_seconds_total", "memory_usage_bytes", "power_watts")


def containers_have_no_more_than_what_they_hold(values: dict[Series, float]) -> None:
    for stem in SPLIT:
        whole = sums(values, f"accelerator_device_{stem}", "uuid", "partition_uuid")
        whole |= sums(values, f"accelerator_partition_{stem}", "uuid", "partition_uuid")
        for subject, total in sums(values, f"accelerator_container_{stem}", "uuid", "partition_uuid").items():
            assert total <= whole[subject] + 1e-6, (stem, subject)
    for kind in ("device", "partition", "container"):
        for (family, labels), busy in values.items():
            if family == f"accelerator_{kind}_busy_seconds_total":
                assert busy <= values[f"accelerator_{kind}_observed_seconds_total", labels]


@UNHURRIED
@given(st.lists(TURNS, min_size=1, max_size=25))
def test_whatever_happens_the_exposition_is_well_formed_and_adds_up(turns: list[Turn]) -> None:
    clock = Clock()
    assembler = Assembler(list(COLLECTORS), ("acme/",), LIMITS, Clocks(clock, lambda: 1e9 + clock.now))
    watcher = Watcher()
    for turn in turns:
        clock.now += turn.after_seconds
        assembler.take(timed(turn.event, clock.now))
        watcher.look(assembler.snapshot(), clock.now)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.sampled_from(Format))
def test_every_text_arrives_as_it_is(model: str, pod: str, form: Format) -> None:
    held = HolderSample(families.ALLOCATION_SHARE, Container("ns", pod, "main"), SubjectKey("a"), 0.5)
    shown = Snapshot({"a": gpu("a", model=model)}, {}, (info("a", index=pod),), holder_samples=(held,))

    found = {s.name: s.labels for family in parse(render(shown, (), form), form) for s in family.samples}

    assert found["accelerator_device_info"]["model"] == model
    assert found["accelerator_device_info"]["index"] == pod
    assert found["accelerator_allocation_share_ratio"]["pod"] == pod


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(Format))
def test_every_number_arrives_as_it_is(value: float, form: Format) -> None:
    [family] = parse(render(Snapshot(), [OwnSample(families.PROCESS_OPEN_FDS, value)], form), form)

    assert [sample.value for sample in family.samples] == [value]


@settings(deadline=None)
@given(st.text())
def test_any_text_at_all_is_written_as_valid_utf_8(text: str) -> None:
    for form in Format:
        render(Snapshot(), [OwnSample(families.UNMATCHED_DEVICES, 1, (text,))], form).decode()
