"""The exposition is well-formed and consistent after any history of a node."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from collectors import catalog
from collectors.contract import SubjectKey
from exporter import families
from exporter.exposition import render
from exporter.scrape_bodies import ScrapeBodies
from exporter.selfmetrics import health_samples
from exporter.series import OwnSample
from exporter.snapshot import Container, HolderSample, Snapshot
from exporter.text_format import Format
from tests.doubles.collectors import (
    gpu,
    info,
)
from tests.doubles.expositions import parse
from tests.doubles.node_history import GAPS, KINDS, TURNS, happen
from tests.property.examples import examples

# A property must not fail on a slow machine. The explain phase is off: a history depends on a seed.
UNHURRIED = settings(deadline=None, max_examples=examples(50), phases=set(Phase) - {Phase.explain})

ERRORS = "accelerator_device_errors_total"
OF_HARDWARE = {"accelerator_device_energy_joules_total", ERRORS}
Series = tuple[str, frozenset[tuple[str, str]]]


def series(snapshot: Snapshot, form: Format) -> tuple[dict[Series, float], set[Series]]:
    """Every parsed value, and which of them are counters. Fails if a series is repeated."""
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
    """Checks each exposition, also against the previous ones."""

    counters: dict[Series, float] = field(default_factory=dict)
    latest: Snapshot = field(default_factory=Snapshot)
    restarted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.bodies = ScrapeBodies(lambda: self.latest, health_samples)

    def look(self, snapshot: Snapshot, elapsed_seconds: float) -> None:
        self.restarted |= self.latest.devices.keys() - snapshot.devices.keys()
        self.latest = snapshot
        for form in Format:
            assert self.bodies.get(form, gzipped=False) == render(snapshot, health_samples(snapshot), form)
        values, counters = series(snapshot, Format.TEXT)
        assert series(snapshot, Format.OPENMETRICS)[0] == values
        assert all(math.isfinite(value) for value in values.values())
        self.counters_never_fall(snapshot, {key: values[key] for key in counters})
        nothing_is_counted_twice(values)
        shares_and_holders_add_up(snapshot, values, elapsed_seconds)
        containers_have_no_more_than_what_they_hold(values, self.restarted)

    def counters_never_fall(self, snapshot: Snapshot, now: dict[Series, float]) -> None:
        """Except hardware counters, and those of allocations that ended and returned."""
        for key, value in now.items():
            assert value >= 0
            if key[0] not in OF_HARDWARE or (dict(key[1])["uuid"] == "est" and key[0] != ERRORS):
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


# The values of these follow from the others: no two series differ only in them.
DESCRIPTIONS = {"device", "vendor", "model", "profile"}


def nothing_is_counted_twice(values: dict[Series, float]) -> None:
    """One series for each device or partition, holder and value of a family's own labels; an info has none of these."""
    seen: set[Series] = set()
    for name, labels in values:
        key_labels = {label for label in labels if label[0] not in DESCRIPTIONS}
        if name.endswith("_info") and name != "accelerator_allocation_info":
            key_labels = {label for label in key_labels if label[0] in {"uuid", "partition_uuid"}}
        key = (name, frozenset(key_labels))
        assert key not in seen, key
        seen.add(key)
        if name.startswith(("accelerator_device_", "accelerator_partition_")):
            assert not {label for label, _ in labels} & set(families.HOLDER_LABELS), name


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
        # Whether a lost device is unallocated is unknown while an allocated id matches no device.
        unsure = {device.uuid for device in snapshot.devices.values() if device.lost and snapshot.unmatched}
        known = {uuid for (uuid,) in sums(values, "accelerator_device_allocated", "uuid")}
        assert set(snapshot.devices) - unsure <= known <= set(snapshot.devices)


SPLIT = ("utilization_ratio", "busy_seconds_total", "observed_seconds_total", "memory_usage_bytes", "power_watts")


def containers_have_no_more_than_what_they_hold(values: dict[Series, float], restarted: set[str]) -> None:
    """The counters of a device that was forgotten start again, and those of a container that still holds it do not."""
    for stem in SPLIT:
        whole = sums(values, f"accelerator_device_{stem}", "uuid", "partition_uuid")
        whole |= sums(values, f"accelerator_partition_{stem}", "uuid", "partition_uuid")
        for subject, total in sums(values, f"accelerator_container_{stem}", "uuid", "partition_uuid").items():
            if not (stem.endswith("_total") and subject[0] in restarted):
                assert total <= whole[subject] + 1e-6, (stem, subject)
    for kind in ("device", "partition", "container"):
        for (family, labels), busy in values.items():
            if family == f"accelerator_{kind}_busy_seconds_total":
                assert busy <= values[f"accelerator_{kind}_observed_seconds_total", labels]


@UNHURRIED
@given(TURNS, st.randoms(use_true_random=True))
def test_exposition_is_always_well_formed_and_consistent(turns: list[tuple[float, str]], random: Random) -> None:
    watcher = Watcher()
    for snapshot, elapsed_seconds in happen(turns, random):
        watcher.look(snapshot, elapsed_seconds)


def test_generated_histories_cover_what_the_rules_check() -> None:
    random = Random(1)  # noqa: S311 - nothing is secret here, and the same things must happen every time
    turns = [(random.choice(GAPS), random.choice(KINDS)) for _ in range(1000)]
    positive: set[str] = set()
    withdrawn = shared = lost = late = 0
    for snapshot, _ in happen(turns, random):
        positive |= {name for (name, _), value in series(snapshot, Format.TEXT)[0].items() if value > 0}
        withdrawn += bool(snapshot.devices) and not sum(s.metric is catalog.BUSY_SECONDS for s in snapshot.samples)
        shared += any(not edge.sole for edge in snapshot.allocations or ())
        lost += any(device.lost for device in snapshot.devices.values())
        late += any(health.late for health in snapshot.collectors)

    assert positive >= {f"accelerator_container_{stem}" for stem in (*SPLIT, "energy_joules_total")}
    assert positive >= {"accelerator_allocation_device_seconds_total", "accelerator_exporter_unmatched_devices"}
    assert min(withdrawn, shared, lost, late) > 20


def test_double_counting_is_detected() -> None:
    one = ("accelerator_device_power_watts", frozenset({("uuid", "a"), ("model", "A1")}))
    again = ("accelerator_device_power_watts", frozenset({("uuid", "a"), ("model", "A1 80GB")}))
    held = ("accelerator_device_power_watts", frozenset({("uuid", "b"), ("pod", "p")}))
    nothing_is_counted_twice({one: 1.0})
    for wrong in (again, held):
        with pytest.raises(AssertionError):
            nothing_is_counted_twice({one: 1.0, wrong: 1.0})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.sampled_from(Format))
def test_every_label_value_is_unchanged(model: str, pod: str, form: Format) -> None:
    held = HolderSample(families.ALLOCATION_SHARE, Container("ns", pod, "main"), SubjectKey("a"), 0.5)
    shown = Snapshot({"a": gpu("a", model=model)}, {}, (info("a", index=pod),), holder_samples=(held,))

    found = {s.name: s.labels for family in parse(render(shown, (), form), form) for s in family.samples}

    assert found["accelerator_device_info"]["model"] == model
    assert found["accelerator_device_info"]["index"] == pod
    assert found["accelerator_allocation_share_ratio"]["pod"] == pod


def served(own: list[OwnSample], form: Format) -> bytes:
    """What a scrape gets; the library writes the same."""
    body = ScrapeBodies(Snapshot, lambda _: own).get(form, gzipped=False)
    assert body == render(Snapshot(), own, form)
    return body


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(Format))
def test_every_number_is_unchanged(value: float, form: Format) -> None:
    [family] = parse(served([OwnSample(families.PROCESS_OPEN_FDS, value)], form), form)

    assert [sample.value for sample in family.samples] == [value]


@settings(deadline=None)
@given(st.floats(), st.sampled_from(Format))
def test_every_number_is_written_as_the_library_does(value: float, form: Format) -> None:
    assert served([OwnSample(families.PROCESS_OPEN_FDS, value)], form)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_written_as_valid_utf_8(text: str) -> None:
    for form in Format:
        served([OwnSample(families.UNMATCHED_DEVICES, 1, (text,))], form).decode()
