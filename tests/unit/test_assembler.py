import math

import pytest

from collectors.contract import Reading, Reason
from collectors.metric import Cadence
from exporter.assembler import Assembler, Clocks, Event
from exporter.attribution.watcher import AttributionState
from exporter.collector_state import Limits
from exporter.exposition import render
from exporter.text_format import Format
from tests.doubles.assembled import BOTH, GPU, held, poll, reading, series, who_has
from tests.doubles.collectors import (
    FAST,
    LIMITS,
    Clock,
    absent,
    compute,
    ended,
    energy,
    failed,
    gpu,
    info,
    no_energy,
    part,
    power,
    started,
    status,
    utilization,
)
from tests.doubles.expositions import parse

UNKNOWN = AttributionState(None, up=False, last_success_timestamp_seconds=None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def assembler(clock: Clock) -> Assembler:
    return Assembler(["acme"], ("acme/",), LIMITS, Clocks(clock, lambda: 1_700_000_000.0 + clock.now))


A = 'device="dev-gpu-a",model="A1"'
B = 'device="dev-gpu-b",model="A1"'
A_END = 'uuid="gpu-a",vendor="acme"'
B_END = 'uuid="gpu-b",vendor="acme"'
SMALL = f"""\
# TYPE accelerator_device_info gauge
accelerator_device_info{{device="dev-gpu-a",index="0",model="A1",{A_END}}} 1.0
accelerator_device_info{{device="dev-gpu-b",index="1",model="A1",{B_END}}} 1.0
# TYPE accelerator_device_allocated gauge
accelerator_device_allocated{{{A},{A_END}}} 1.0
accelerator_device_allocated{{{B},{B_END}}} 1.0
# TYPE accelerator_device_allocations gauge
accelerator_device_allocations{{{A},{A_END}}} 1.0
accelerator_device_allocations{{{B},{B_END}}} 2.0
# TYPE accelerator_device_utilization_ratio gauge
accelerator_device_utilization_ratio{{{A},{A_END}}} 1.0
accelerator_device_utilization_ratio{{{B},{B_END}}} 0.25
# TYPE accelerator_device_busy_seconds_total counter
accelerator_device_busy_seconds_total{{{A},{A_END}}} 1.5
accelerator_device_busy_seconds_total{{{B},{B_END}}} 0.5
# TYPE accelerator_device_observed_seconds_total counter
accelerator_device_observed_seconds_total{{{A},{A_END}}} 2.0
accelerator_device_observed_seconds_total{{{B},{B_END}}} 2.0
# TYPE accelerator_device_power_watts gauge
accelerator_device_power_watts{{{A},{A_END}}} 100.0
accelerator_device_power_watts{{{B},{B_END}}} 50.0
# TYPE accelerator_device_energy_joules_total counter
accelerator_device_energy_joules_total{{{A},{A_END}}} 1200.0
accelerator_device_energy_joules_total{{{B},{B_END}}} 100.0
# TYPE accelerator_container_utilization_ratio gauge
accelerator_container_utilization_ratio{{container="main",{A},namespace="ns",pod="train",{A_END}}} 1.0
# TYPE accelerator_container_busy_seconds_total counter
accelerator_container_busy_seconds_total{{container="main",{A},namespace="ns",pod="train",{A_END}}} 1.5
# TYPE accelerator_container_observed_seconds_total counter
accelerator_container_observed_seconds_total{{container="main",{A},namespace="ns",pod="train",{A_END}}} 2.0
# TYPE accelerator_container_last_active_timestamp_seconds gauge
accelerator_container_last_active_timestamp_seconds\
{{container="main",{A},namespace="ns",pod="train",{A_END}}} 1.700000002e+09
# TYPE accelerator_container_power_watts gauge
accelerator_container_power_watts{{container="main",{A},namespace="ns",pod="train",{A_END}}} 100.0
# TYPE accelerator_container_energy_joules_total counter
accelerator_container_energy_joules_total{{container="main",{A},namespace="ns",pod="train",{A_END}}} 200.0
# TYPE accelerator_allocation_info gauge
accelerator_allocation_info{{container="main",{A},namespace="ns",pod="train",resource="acme/gpu",\
source="device_plugin",{A_END}}} 1.0
accelerator_allocation_info{{container="main",{B},namespace="ns",pod="web-0",resource="acme/gpu",\
source="device_plugin",{B_END}}} 1.0
accelerator_allocation_info{{container="main",{B},namespace="ns",pod="web-1",resource="acme/gpu",\
source="device_plugin",{B_END}}} 1.0
# TYPE accelerator_allocation_share_ratio gauge
accelerator_allocation_share_ratio{{container="main",{A},namespace="ns",pod="train",{A_END}}} 1.0
accelerator_allocation_share_ratio{{container="main",{B},namespace="ns",pod="web-0",{B_END}}} 0.5
accelerator_allocation_share_ratio{{container="main",{B},namespace="ns",pod="web-1",{B_END}}} 0.5
# TYPE accelerator_allocation_device_seconds_total counter
accelerator_allocation_device_seconds_total{{container="main",{A},namespace="ns",pod="train",{A_END}}} 2.0
accelerator_allocation_device_seconds_total{{container="main",{B},namespace="ns",pod="web-0",{B_END}}} 1.0
accelerator_allocation_device_seconds_total{{container="main",{B},namespace="ns",pod="web-1",{B_END}}} 1.0
"""


def test_two_devices_one_with_a_sole_holder_and_one_shared(assembler: Assembler, clock: Clock) -> None:
    def both(busy: float, joules: float) -> Reading:
        return reading(
            *(info("gpu-a"), info("gpu-b", index="1")),
            *(utilization("gpu-a", busy), power("gpu-a", 100), energy("gpu-a", joules)),
            *(utilization("gpu-b", 0.25), power("gpu-b", 50)),
            unsupported=(no_energy("gpu-b"),),
        )

    assembler.apply(held(("train", "gpu-a"), ("web-0", "gpu-b::0"), ("web-1", "gpu-b::1")))
    poll(assembler, clock, 0.0, both(0.5, 1000))
    snapshot = poll(assembler, clock, 2.0, both(1.0, 1200))

    lines = render(snapshot, (), Format.TEXT).decode().splitlines(keepends=True)
    assert "".join(line for line in lines if not line.startswith("# HELP")) == SMALL


USED = reading(utilization("gpu-a", 0.5), status("gpu-a", "ok"), info("gpu-a"), devices=BOTH[:1])
BUSY = "accelerator_device_busy_seconds_total"
OBSERVED = "accelerator_device_observed_seconds_total"
CONTAINER_BUSY = "accelerator_container_busy_seconds_total"
PARTITION_BUSY = "accelerator_partition_busy_seconds_total"


def test_readings_of_a_hung_collector_expire_and_its_counters_resume(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("train", "gpu-a")))
    for at in (0.0, 1.0, 2.0):
        poll(assembler, clock, at, USED)
    assembler.apply(started(3.0))

    clock.now = 2.0 + 11.0
    before = series(assembler.snapshot())
    clock.now = 2.0 + 11.1
    during = assembler.snapshot()

    assert (before[BUSY, "gpu-a"], before[OBSERVED, "gpu-a"], before[CONTAINER_BUSY, "train"]) == (1.0, 2.0, 1.0)
    assert series(during).keys() == {
        ("accelerator_device_info", "gpu-a"),
        ("accelerator_device_allocated", "gpu-a"),
        ("accelerator_device_allocations", "gpu-a"),
        ("accelerator_allocation_info", "train"),
        ("accelerator_allocation_share_ratio", "train"),
        ("accelerator_allocation_device_seconds_total", "train"),
    }
    assert (during.collectors[0].late, during.collectors[0].errors[Reason.LATE]) == (True, 1)

    resumed = series(poll(assembler, clock, 500.0, USED))
    after = series(poll(assembler, clock, 501.0, USED))
    assert (resumed[BUSY, "gpu-a"], resumed[OBSERVED, "gpu-a"], resumed[CONTAINER_BUSY, "train"]) == (1.0, 2.0, 1.0)
    assert (after[BUSY, "gpu-a"], after[OBSERVED, "gpu-a"], after[CONTAINER_BUSY, "train"]) == (1.5, 3.0, 1.5)


def test_counters_resume_after_more_than_an_hour_without_readings(assembler: Assembler, clock: Clock) -> None:
    for at in (0.0, 1.0):
        poll(assembler, clock, at, USED)
    clock.now = 7200.0
    assembler.snapshot()

    assert series(poll(assembler, clock, 7201.0, USED))[BUSY, "gpu-a"] == 0.5


def test_hung_collector_does_not_affect_another(clock: Clock) -> None:
    assembler = Assembler(["acme", "bolt"], (), LIMITS, Clocks(clock, clock))
    for name, device in (("acme", "gpu-a"), ("bolt", "gpu-b")):
        brought = reading(utilization(device, 0.5), devices=(gpu(device),))
        assembler.apply(ended(0.0, brought, collector=name))
    assembler.apply(started(1.0, "acme"))
    clock.now = 100.0
    assembler.apply(ended(100.0, reading(utilization("gpu-b", 0.7), devices=BOTH[1:]), collector="bolt"))

    assert who_has(assembler.snapshot(), "accelerator_device_utilization_ratio") == {"gpu-b": 0.7}


def test_device_series_do_not_change_with_its_pods(assembler: Assembler, clock: Clock) -> None:
    def labels_of_devices() -> list[tuple[str, dict[str, str]]]:
        families = parse(render(assembler.snapshot(), (), Format.TEXT), Format.TEXT)
        found = [(sample.name, sample.labels) for family in families for sample in family.samples]
        return [(name, labels) for name, labels in found if name.startswith("accelerator_device_")]

    assembler.apply(held())
    poll(assembler, clock, 0.0, USED)
    before = labels_of_devices()
    assembler.apply(held(("train", "gpu-a")))
    during = labels_of_devices()
    assembler.apply(held())

    assert before == during == labels_of_devices()


def test_unknown_allocations_export_no_holder_series(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("train", "gpu-a"), ("lost", "gpu-z")))
    poll(assembler, clock, 0.0, USED)
    assembler.apply(UNKNOWN)
    snapshot = poll(assembler, clock, 1.0, USED)

    assert (snapshot.allocations, snapshot.holder_samples, snapshot.unmatched) == (None, (), {})
    assert {name for name, _ in series(snapshot)} == {
        "accelerator_device_info",
        "accelerator_device_status",
        "accelerator_device_utilization_ratio",
        BUSY,
        OBSERVED,
    }

    assembler.apply(held(("train", "gpu-a")))
    assert who_has(poll(assembler, clock, 2.5, USED), "accelerator_allocation_device_seconds_total") == {"train": 1.5}


def test_allocations_may_arrive_before_the_devices(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("train", "gpu-a")))
    early = assembler.snapshot()
    late = poll(assembler, clock, 1.0, USED)

    assert (early.allocations, early.unmatched) == ((), {GPU: 1})
    assert who_has(late, "accelerator_allocation_share_ratio") == {"train": 1.0}
    assert late.unmatched == {}


def test_lost_device_keeps_its_allocation(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("train", "gpu-a")))
    poll(assembler, clock, 0.0, USED)
    gone = reading(status("gpu-a", "failed"), utilization("gpu-a", 0.5), devices=(gpu("gpu-a", lost=True),))
    clock.now = 1.0
    assembler.apply(ended(1.0, gone, FAST))
    snapshot = assembler.snapshot()

    assert who_has(snapshot, "accelerator_device_allocated") == {"gpu-a": 1.0}
    assert who_has(snapshot, "accelerator_allocation_device_seconds_total") == {"train": 1.0}
    assert {name for name, _ in series(snapshot)} & {
        "accelerator_device_utilization_ratio",
        BUSY,
        CONTAINER_BUSY,
    } == set()


def test_counters_of_a_subject_unknown_for_an_hour_restart(assembler: Assembler, clock: Clock) -> None:
    in_use = reading(utilization("gpu-a", 0.5, "s0"), devices=BOTH[:1], partitions=(part("gpu-a", "s0"),))
    for at in (0.0, 10.0):
        poll(assembler, clock, at, in_use)
    taken_apart = reading(devices=BOTH[:1])
    poll(assembler, clock, 11.0, taken_apart)

    clock.now = 10.0 + 3600.0
    assembler.snapshot()
    kept = who_has(poll(assembler, clock, clock.now, in_use), PARTITION_BUSY)
    poll(assembler, clock, 3612.0, taken_apart)
    clock.now = 3610.0 + 3601.0
    assembler.snapshot()
    forgotten = who_has(poll(assembler, clock, clock.now, in_use), PARTITION_BUSY)

    assert (kept, forgotten) == ({"s0": 5.0}, {"s0": 0.0})


def limits(fast_seconds: float) -> Limits:
    return Limits(2.0, {**LIMITS.max_age_seconds, Cadence.FAST: fast_seconds})


def test_new_maximum_age_also_changes_the_maximum_gap_of_counters(clock: Clock) -> None:
    assembler = Assembler(["acme"], (), limits(3.0), Clocks(clock, clock))
    for at in (0.0, 3.0, 7.0):
        shorter = poll(assembler, clock, at, USED)
    assembler.apply(limits(4.0))
    longer = poll(assembler, clock, 11.0, USED)

    assert (who_has(shorter, BUSY), who_has(longer, BUSY)) == ({"gpu-a": 1.5}, {"gpu-a": 3.5})


def test_readings_of_longer_intervals_are_exported_and_integrated_after_the_change_to_shorter_ones(
    clock: Clock,
) -> None:
    assembler = Assembler(["acme"], (), limits(190.0), Clocks(clock, clock))
    for at in (0.0, 60.0):
        poll(assembler, clock, at, USED)
    clock.now = 119.0
    assembler.apply(limits(5.0))
    before_the_poll = assembler.snapshot()
    after_the_poll = poll(assembler, clock, 120.0, USED)
    clock.now = 126.0
    expired = assembler.snapshot()
    after_a_gap = poll(assembler, clock, 330.0, USED)

    assert who_has(before_the_poll, BUSY) == {"gpu-a": 30.0}
    assert who_has(after_the_poll, BUSY) == {"gpu-a": 60.0}
    assert who_has(expired, BUSY) == {}
    assert who_has(after_a_gap, BUSY) == {"gpu-a": 60.0}


SLICED = reading(
    *(compute("gpu-a", "s0", 0.5), compute("gpu-a", "s1", 0.25), info("gpu-a", "s0")),
    devices=BOTH[:1],
    partitions=(part("gpu-a", "s0"), part("gpu-a", "s1")),
)


def test_shares_follow_the_partition_sizes(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("one", "s0"), ("two", "s1")))
    snapshot = poll(assembler, clock, 0.0, SLICED)

    assert who_has(snapshot, "accelerator_allocation_share_ratio") == {"one": 0.5, "two": 0.25}
    assert who_has(snapshot, "accelerator_device_allocated") == {"gpu-a": 1.0}
    assert who_has(snapshot, "accelerator_device_allocations") == {"gpu-a": 0.0}
    assert who_has(snapshot, "accelerator_partition_allocations") == {"s0": 1.0, "s1": 1.0}


def test_share_is_known_as_soon_as_the_partition_size_is(assembler: Assembler, clock: Clock) -> None:
    unsized = reading(devices=SLICED.devices, partitions=SLICED.partitions)
    assembler.apply(held(("one", "s0")))

    assert who_has(poll(assembler, clock, 0.0, unsized), "accelerator_allocation_share_ratio") == {}
    assert who_has(poll(assembler, clock, 60.0, SLICED), "accelerator_allocation_share_ratio") == {"one": 0.5}


def test_nan_does_not_affect_a_counter(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("train", "gpu-a")))
    for at, ratio in ((0.0, 0.5), (1.0, math.nan), (2.0, 0.5)):
        snapshot = poll(assembler, clock, at, reading(utilization("gpu-a", ratio)))

    assert who_has(snapshot, BUSY) == {"gpu-a": 1.0}
    assert who_has(snapshot, CONTAINER_BUSY) == {"train": 1.0}


def test_deleted_partition_loses_its_allocations(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("one", "s0")))
    poll(assembler, clock, 0.0, SLICED)
    clock.now = 1.0
    assembler.apply(ended(1.0, reading(devices=BOTH[:1]), FAST))
    snapshot = assembler.snapshot()

    assert (snapshot.allocations, snapshot.holder_samples, snapshot.unmatched) == ((), (), {GPU: 1})


def test_ready_when_every_collector_has_answered_failed_or_been_late(clock: Clock) -> None:
    assembler = Assembler(["a", "b", "c", "d"], (), LIMITS, Clocks(clock, clock))
    steps: list[Event] = [
        ended(1.0, reading(), collector="a"),
        failed(1.0, Reason.LIBRARY_MISSING, collector="b"),
        absent(1.0, "c"),
        started(1.0, "d"),
    ]
    for step in steps:
        assert not assembler.snapshot().ready
        assembler.apply(step)
    assert not assembler.snapshot().ready

    clock.now = 10.0
    assert assembler.snapshot().ready


def test_ready_at_once_without_collectors(clock: Clock) -> None:
    assert Assembler([], (), LIMITS, Clocks(clock, clock)).snapshot().ready


def test_source_of_allocations_is_exported_from_its_first_report(assembler: Assembler) -> None:
    assert assembler.snapshot().attribution == ()
    assembler.apply(UNKNOWN)

    [health] = assembler.snapshot().attribution
    assert (health.source, health.up, health.last_success_timestamp_seconds) == ("podresources", False, None)
