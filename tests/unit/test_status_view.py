from dataclasses import replace

import pytest

from collectors import catalog
from collectors.contract import Partition, Reason
from exporter.snapshot import AttributionHealth, CollectorHealth, Container, Snapshot
from exporter.web.status_view import (
    MAX_SHOWN_HOLDERS,
    CollectorStatus,
    DeviceRow,
    Holders,
    PartitionRow,
    Readings,
    StatusView,
    Temperature,
    build_view,
)
from tests.doubles.collectors import gpu, temperature
from tests.doubles.status_snapshot import (
    FREE,
    FREE_PART,
    GIB,
    HELD_PART,
    LOST,
    NOW,
    PARTITIONED,
    SHARED,
    WHOLE,
    collector,
    edge,
    rich,
    sample,
)


def seen(snapshot: Snapshot) -> StatusView:
    return build_view(snapshot, NOW, 0.5)


def devices(snapshot: Snapshot) -> dict[str, DeviceRow]:
    return {device.uuid: device for device in seen(snapshot).devices}


def test_a_device_is_shown_whole() -> None:
    assert devices(rich())[WHOLE] == DeviceRow(
        uuid=WHOLE,
        address="0000:04:00.0",
        vendor="nvidia",
        model="NVIDIA H100 80GB HBM3",
        lost=False,
        state="ok",
        readings=Readings(0.934, 71.25 * GIB, 80 * GIB, 641.4, Temperature(66, "core")),
        holders=Holders((Container("ml", "llama-finetune-0", "trainer"),), 1),
        partitions=(),
    )


def test_partitions_are_shown_with_their_device_and_only_there() -> None:
    by_uuid = devices(rich())

    assert by_uuid[PARTITIONED].partitions == (
        PartitionRow(
            HELD_PART,
            "1g.10gb",
            Readings(0.5, 3 * GIB, 10 * GIB),
            Holders((Container("ml", "embedder-7c9f5d6b8-x2x7k", "main"),), 1),
        ),
        PartitionRow(FREE_PART, "1g.10gb", Readings(0, 0, 10 * GIB), Holders()),
    )
    assert by_uuid[PARTITIONED].readings.utilization_ratio is None
    assert by_uuid[PARTITIONED].allocated_partitions == 1
    assert [uuid for uuid, device in by_uuid.items() if device.partitions] == [PARTITIONED]


def test_a_partition_of_an_unknown_device_is_left_out() -> None:
    orphan = Partition("orphan", "gone", "1g.10gb")
    assert seen(Snapshot(partitions={"orphan": orphan})).devices == ()


def test_devices_stand_in_the_order_of_vendor_and_address() -> None:
    assert list(devices(rich())) == [FREE, WHOLE, SHARED, PARTITIONED, LOST]
    named = (replace(gpu("a"), device="accel10"), replace(gpu("b"), device="accel2"))
    assert list(devices(Snapshot({device.uuid: device for device in named}))) == ["b", "a"]


def test_only_a_device_without_any_allocation_is_free() -> None:
    assert [uuid for uuid, device in devices(rich()).items() if device.free] == [FREE]


def test_while_allocations_are_unknown_nothing_is_held_or_free() -> None:
    unknown = seen(replace(rich(), allocations=None))

    assert not unknown.allocations_known
    for device in unknown.devices:
        assert device.holders is None
        assert not device.free
        assert all(part.holders is None for part in device.partitions)


def test_holders_are_sorted_counted_and_capped() -> None:
    edges = tuple(edge("g", f"pod-{number:04}") for number in reversed(range(1_500)))
    (device,) = seen(Snapshot({"g": gpu("g")}, allocations=edges)).devices

    assert device.holders is not None
    assert device.holders.count == 1_500
    assert [holder.pod for holder in device.holders.first] == [f"pod-{n:04}" for n in range(MAX_SHOWN_HOLDERS)]


def test_without_readings_nothing_is_made_up() -> None:
    (device,) = seen(Snapshot({"g": gpu("g")})).devices

    assert device.readings == Readings()
    assert device.state is None


def test_a_zero_is_a_reading() -> None:
    (device,) = seen(Snapshot({"g": gpu("g")}, samples=(sample(catalog.UTILIZATION, 0, "g"),))).devices

    assert device.readings.utilization_ratio == 0


def test_the_temperature_is_the_cores_or_else_the_hottest() -> None:
    memory, core, hotspot = temperature("g", 70, "memory"), temperature("g", 50), temperature("g", 80, "hotspot")
    for samples, expected in (
        ((memory, core, hotspot), Temperature(50, "core")),
        ((memory, hotspot), Temperature(80, "hotspot")),
        ((), None),
    ):
        (device,) = seen(Snapshot({"g": gpu("g")}, samples=samples)).devices
        assert device.readings.temperature == expected


def test_a_lost_device_keeps_its_state_and_holders() -> None:
    lost = devices(rich())[LOST]

    assert (lost.lost, lost.state, lost.readings) == (True, "failed", Readings())
    assert lost.holders is not None
    assert lost.holders.count == 1


def test_a_lost_device_without_a_known_allocation_is_not_free() -> None:
    lost = Snapshot({"g": gpu("g", lost=True)}, allocations=(), unmatched={"acme.example/gpu": 1})
    (unknown,) = seen(lost).devices
    assert (unknown.holders, unknown.free) == (None, False)

    (known,) = seen(replace(lost, samples=(sample(catalog.ALLOCATED, 0, "g"),), unmatched={})).devices
    assert (known.holders, known.free) == (Holders(), True)


UNASKED = CollectorHealth("x", False, False, False, 0, None, None, dict.fromkeys(Reason, 0))  # noqa: FBT003 - present, up, late


@pytest.mark.parametrize(
    ("health", "state"),
    [
        (UNASKED, CollectorStatus.WAITING),
        (collector("x", present=False, up=False), CollectorStatus.ABSENT),
        (collector("x"), CollectorStatus.UP),
        (collector("x", up=False), CollectorStatus.DOWN),
        (collector("x", up=False, late=True), CollectorStatus.LATE),
        (collector("x", up=False, released=True), CollectorStatus.RELEASED),
        (collector("x", up=False, late=True, released=True), CollectorStatus.LATE),
        (replace(UNASKED, present=True, late=True, duration_seconds=3.0), CollectorStatus.LATE),
    ],
)
def test_the_state_of_a_collector(health: CollectorHealth, state: CollectorStatus) -> None:
    (shown,) = seen(Snapshot(collectors=(health,))).collectors
    assert shown.state is state


def test_only_errors_that_occurred_are_shown() -> None:
    nvidia = next(shown for shown in seen(rich()).collectors if shown.name == "nvidia")
    assert dict(nvidia.errors) == {"device_lost": 12, "late": 1}


def test_ages_are_of_the_last_success() -> None:
    shown = seen(rich())

    assert {c.name: c.last_success_age_seconds for c in shown.collectors} == {"amd": 2, "nvidia": 2, "tpu": None}
    assert [(s.name, s.up, s.last_success_age_seconds) for s in shown.sources] == [("podresources", True, 4)]
    assert shown.snapshot_age_seconds == 0.5


def test_readings_are_as_old_as_the_oldest_collector_that_has_devices() -> None:
    old = replace(collector("old", 1), last_success_timestamp_seconds=NOW - 30)
    without_devices = replace(collector("none"), last_success_timestamp_seconds=NOW - 300)

    assert seen(Snapshot(collectors=(collector("new", 1), old, without_devices))).readings_age_seconds == 30
    assert seen(Snapshot(collectors=(without_devices,))).readings_age_seconds is None


def test_a_clock_that_was_set_back_gives_no_negative_age() -> None:
    ahead = AttributionHealth("podresources", up=True, last_success_timestamp_seconds=NOW + 60)
    (source,) = seen(Snapshot(attribution=(ahead,))).sources
    assert source.last_success_age_seconds == 0


def test_unmatched_ids_are_sorted() -> None:
    assert seen(Snapshot(unmatched={"b/gpu": 1, "a/gpu": 2})).unmatched == (("a/gpu", 2), ("b/gpu", 1))
