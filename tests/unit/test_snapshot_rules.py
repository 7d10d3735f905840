"""The guarantees of a snapshot: it never changes, and it is replaced as a whole."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import pytest

from collectors.contract import Reading, Reason, SubjectKey
from exporter import snapshot as module
from exporter.assembler import Assembler, Clocks, Event
from exporter.attribution.holding import Holding
from exporter.attribution.watcher import AttributionState
from exporter.snapshot import Allocation, AttributionHealth, CollectorHealth, Failure, Snapshot
from tests.doubles.collectors import LIMITS, Clock, absent, ended, failed, gpu, power, started, utilization

RECORDS = [Snapshot, Allocation, CollectorHealth, Failure, AttributionHealth]
READING = Reading((gpu("gpu-a"),), samples=(utilization("gpu-a", 0.5), power("gpu-a", 90)))
HELD = AttributionState((Holding("ns", "p", "c", "acme/gpu", "gpu-a", "device_plugin"),), True, 1.0)  # noqa: FBT003 - up


@pytest.fixture
def clock() -> Clock:
    return Clock(10.0)


@pytest.fixture
def assembler(clock: Clock) -> Assembler:
    return Assembler(["acme"], ("acme/",), LIMITS, Clocks(clock, Clock(1_700_000_000.0)))


def test_every_record_type_is_tested() -> None:
    made_here = {thing for thing in vars(module).values() if isinstance(thing, type) and is_dataclass(thing)}

    assert {thing for thing in made_here if thing.__module__ == module.__name__} == set(RECORDS)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_no_field_of_a_record_can_be_set(record: type) -> None:
    made: object = object.__new__(record)
    for field in fields(record):
        with pytest.raises(FrozenInstanceError):
            setattr(made, field.name, None)


def test_new_snapshot_is_empty() -> None:
    empty = Snapshot()

    assert not empty.ready
    assert empty.allocations is None, "unknown is not the same as none"
    assert (empty.devices, empty.partitions, empty.samples, empty.collectors) == ({}, {}, (), ())


def changes() -> Iterator[Event]:
    """Every event that can follow a reading and an answer of the kubelet."""
    yield ended(11.0, replace(READING, samples=(utilization("gpu-a", 1.0),)))
    yield started(12.0)
    yield failed(13.0, Reason.UNAVAILABLE)
    yield ended(14.0, Reading((gpu("gpu-a", lost=True), gpu("gpu-b"))))
    yield AttributionState(None, False, 1.0)  # noqa: FBT003 - up
    yield HELD._replace(holdings=())
    yield absent(15.0)


def test_snapshot_does_not_change_with_later_events(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(ended(10.0, READING))
    assembler.apply(HELD)
    before = assembler.snapshot()
    written = repr(before)

    for event in changes():
        clock.now += 1
        assembler.apply(event)
        assert assembler.snapshot() != before

    assert repr(before) == written


def test_nothing_that_snapshots_share_can_be_changed(assembler: Assembler) -> None:
    assembler.apply(ended(10.0, READING))
    assembler.apply(HELD)
    first, second = assembler.snapshot(), assembler.snapshot()
    shared = [field.name for field in fields(Snapshot) if getattr(first, field.name) is getattr(second, field.name)]

    assert {"devices", "partitions"} <= set(shared)
    for name in shared:
        value = getattr(first, name)
        assert not hasattr(value, "__setitem__"), name
        assert not hasattr(value, "append"), name


def test_device_and_its_partitions_are_distinct() -> None:
    assert SubjectKey("gpu-a") != SubjectKey("gpu-a", "s0")
    assert SubjectKey("gpu-a") < SubjectKey("gpu-a", "s0")
