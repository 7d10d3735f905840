"""Every value of every view converts back to the native one, whatever a node reports."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import catalog
from collectors.catalog.bounds import bounds_of
from collectors.contract import Device, Partition, Sample, SubjectKey
from collectors.metric import Kind, Metric, Subject
from exporter import families, series
from exporter.exposition import render
from exporter.kept_text import KeptText
from exporter.series import OwnSample, Shown
from exporter.snapshot import Container, Holder, HolderSample, Snapshot
from exporter.text_format import Format
from exporter.views import NAMES, NATIVE, ViewOptions, load_views
from exporter.views.arrangement import TableView
from exporter.views.facts import SnapshotFacts
from exporter.views.table import Entity, Key, Quotient, Row, Scale, Term
from tests.doubles.followed import FollowedSnapshots
from tests.property.examples import examples

OPTIONS = ViewOptions("node-1")
OWN = (OwnSample(families.SCRAPES, 3),)
VIEWS = [name for name in NAMES if name != NATIVE]
UNHURRIED = settings(deadline=None, max_examples=examples(20))
CODES = ("13", "31", "79")


def properties(random: Random, row: Metric) -> tuple[str, ...]:
    known = {
        "index": random.choice(("0", "7", "")),
        "pci_bus_id": "0000:3b:00.0",
        "gpu_instance_id": random.choice("12"),
    }
    return tuple(known.get(label.name, "") for label in row.labels)


def own_labels(random: Random, row: Metric) -> Iterable[tuple[str, ...]]:
    if row is catalog.INFO:
        return [properties(random, row)]
    values = [CODES if label.name == "code" else label.values or ("", "0") for label in row.labels]
    return product(*values)


def value(random: Random, row: Metric) -> float:
    low, high = bounds_of(row)
    if row.kind is Kind.INFO:
        return 1.0
    return random.choice(
        (low, high, random.uniform(low, min(high, 1e12)), float(int(random.uniform(low, min(high, 1e9)))))
    )


def samples(random: Random, key: SubjectKey) -> Iterator[Sample]:
    subject = Subject.PARTITION if key.partition_uuid else Subject.DEVICE
    for row in catalog.ROWS:
        if subject in row.subjects and random.random() < 0.9:
            for labels in own_labels(random, row):
                if random.random() < 0.8 or row is catalog.INFO:
                    yield Sample(row, key.device_uuid, value(random, row), key.partition_uuid, labels)


def held(random: Random, key: SubjectKey) -> Iterator[HolderSample]:
    for name in random.choice(((), ("a",), ("a", "b"))):
        container = Container("ml", name, "main")
        for row in families.ROWS:
            if {Subject.CONTAINER, Subject.ALLOCATION} & set(row.subjects):
                labels = tuple(label.values[0] if label.values else "x" for label in row.labels)
                yield HolderSample(row, container, key, value(random, row), labels)


def node(random: Random) -> Snapshot:
    """Devices of two vendors, some of them with partitions."""
    devices: dict[str, Device] = {}
    partitions: dict[str, Partition] = {}
    for number in range(random.randrange(1, 4)):
        uuid = f"GPU-{number}"
        devices[uuid] = Device(uuid, f"0000:0{number}:00.0", random.choice(("nvidia", "amd")), "Model")
        for part in range(random.choice((0, 0, 2))):
            partitions[f"MIG-{number}-{part}"] = Partition(f"MIG-{number}-{part}", uuid, random.choice(("1g", "1c.2g")))
    keys = [device.subject for device in devices.values()] + [part.subject for part in partitions.values()]
    found = [sample for key in keys for sample in samples(random, key)]
    random.shuffle(found)
    return Snapshot(
        devices, partitions, tuple(found), holder_samples=tuple(each for key in keys for each in held(random, key))
    )


def natives(snapshot: Snapshot, entity: Entity, term: Term) -> list[tuple[Mapping[str, str], float]]:
    """The own labels and values of the native samples of a term."""
    names = [label.name for label in term.metric.labels]
    key: Key = entity.key
    if term.of_device:
        subject = key.subject if isinstance(key, Holder) else key
        key = SubjectKey(subject.device_uuid)
    every: Iterator[tuple[Metric, Key, Sample | HolderSample]] = chain(
        ((sample.metric, sample.subject, sample) for sample in snapshot.samples),
        ((held.metric, Holder(held.container, held.subject), held) for held in snapshot.holder_samples),
    )
    found = [
        (dict(zip(names, sample.labels, strict=True)), sample.value)
        for metric, owner, sample in every
        if metric is term.metric and owner == key
    ]
    return [(own, value) for own, value in found if all(own[name] == text for name, text in term.where.items())]


def foreign_labels(row: Row, entity: Entity, own: Mapping[str, str]) -> frozenset[tuple[str, str]] | None:
    labels = {**entity.labels, **(entity.holder if row.of_holder else {}), **row.fixed}
    for name, label in row.labels.items():
        if label.values and own[label.name] not in label.values:
            return None
        labels[name] = label.values[own[label.name]] if label.values else own[label.name]
    return frozenset((name, text) for name, text in labels.items() if text)


def totals(row: Row, entity: Entity, snapshot: Snapshot) -> dict[frozenset[tuple[str, str]], float]:
    """What the series of a row must be in native units."""
    first, *others = ([(own, -v if t.negative else v) for own, v in natives(snapshot, entity, t)] for t in row.terms)
    found: dict[frozenset[tuple[str, str]], float] = {}
    if all(others):
        if isinstance(row.value, Quotient):
            [(_, whole)] = others[0]
            others, first = [], [(own, part / whole if whole else 0.0) for own, part in first]
        for own, native in first:
            labels = foreign_labels(row, entity, own)
            if labels is not None:
                found[labels] = found.get(labels, sum(v for other in others for _, v in other)) + native
    return found


def expected(view: TableView, snapshot: Snapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], tuple[Row, float]]:
    """For each series, the row that it is from and the native value."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], tuple[Row, float]] = {}
    entities = list(view.entities(SnapshotFacts(snapshot)))
    for row in view.rows:
        for entity in entities:
            if entity.subject in row.subjects and (not row.vendors or entity.vendor in row.vendors):
                for labels, native in totals(row, entity, snapshot).items():
                    found.setdefault((row.family.name, labels), (row, native))
    return found


def close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-8, abs_tol=1e-6)


@pytest.mark.parametrize("name", VIEWS)
@UNHURRIED
@given(st.randoms(use_true_random=True))
def test_every_value_converts_back_to_the_native_one(name: str, random: Random) -> None:
    snapshot = node(random)
    [view] = load_views([name], OPTIONS)
    assert isinstance(view, TableView)
    arranged = series.arrange(snapshot, OWN, Shown(native=False, views=(view,)))
    found = zip(arranged.series, arranged.values(series.values(snapshot, OWN)), strict=True)
    values = {(each.name, frozenset(each.written_labels)): foreign for each, foreign in found}
    wanted = expected(view, snapshot)

    assert {key for key in values if not key[0].startswith("accelerator_exporter_")} == wanted.keys()
    for key, (row, native) in wanted.items():
        if isinstance(row.value, Scale) and row.value.multiplier:
            assert close(row.value.native(values[key]), native), key
        if isinstance(row.value, Quotient):
            assert close(values[key], native), key


@UNHURRIED
@given(st.randoms(use_true_random=True))
def test_the_memory_of_the_view_dcgm_adds_up(random: Random) -> None:
    snapshot = node(random)
    arranged = series.arrange(snapshot, OWN, Shown(native=False, views=load_views(["dcgm"], OPTIONS)))
    parts: dict[object, dict[str, float]] = {}
    for each, foreign in zip(arranged.series, arranged.values(series.values(snapshot, OWN)), strict=True):
        stem = each.name.removeprefix("DCGM_FI_DEV_FB_")
        parts.setdefault(frozenset(each.written_labels), {})[stem] = foreign
    for found in parts.values():
        if {"TOTAL", "USED"} <= found.keys():
            assert close(found["FREE"] + found["USED"] + found.get("RESERVED", 0), found["TOTAL"])


@UNHURRIED
@given(st.randoms(use_true_random=True))
def test_sums_over_the_devices_of_the_view_otel_are_the_native_ones(random: Random) -> None:
    snapshot = node(random)
    arranged = series.arrange(snapshot, OWN, Shown(native=False, views=load_views(["otel"], OPTIONS)))
    foreign: dict[str, float] = {}
    for each, number in zip(arranged.series, arranged.values(series.values(snapshot, OWN)), strict=True):
        if "hw_parent" not in each.labels:
            foreign[each.name] = foreign.get(each.name, 0) + number
    for name, row in {
        "hw_gpu_memory_usage_bytes": catalog.MEMORY_USAGE,
        "hw_gpu_memory_limit_bytes": catalog.MEMORY_LIMIT,
        "hw_gpu_io_bytes_total": catalog.PCIE_BYTES,
        "hw_errors_total": catalog.MEMORY_ERRORS,
        "hw_energy_joules_total": catalog.ENERGY,
        "hw_power_watts": catalog.POWER,
        "hw_status": catalog.STATUS_STATE,
    }.items():
        native = [each.value for each in snapshot.samples if each.metric is row and not each.partition_uuid]
        assert close(foreign.get(name, 0), sum(native)), name


@UNHURRIED
@given(st.randoms(use_true_random=True))
def test_all_views_together_are_what_the_library_writes(random: Random) -> None:
    shown = Shown(views=load_views(NAMES, OPTIONS))
    text = KeptText(shown)
    first, second = node(random), node(random)
    moved = Snapshot(
        first.devices,
        first.partitions,
        tuple(
            Sample(s.metric, s.device_uuid, value(random, s.metric), s.partition_uuid, s.labels) for s in first.samples
        ),
        holder_samples=first.holder_samples,
    )
    followed = FollowedSnapshots()
    for snapshot in map(followed.after_the_last, (first, moved, second)):
        text.update(snapshot, OWN)
        for form in Format:
            assert text.body(form) == render(snapshot, OWN, form, shown)
