from collections.abc import Sequence
from dataclasses import replace

import pytest

from collectors.contract import Alias, Device, Partition, Reading, Reason, Sample
from exporter.assembler import Assembler, Clocks
from exporter.attribution.holding import ClaimDevice, Holding, PodResourcesList
from exporter.attribution.watcher import AttributionState
from exporter.check.facts import CallOutcome, CollectorFacts
from exporter.check.kubelet import allocation_facts
from exporter.exposition import render
from exporter.precedence import Listing, without_duplicates
from exporter.selfmetrics import health_samples
from exporter.snapshot import Snapshot
from exporter.text_format import Format
from tests.doubles.collectors import (
    EVERY,
    FAST,
    LIMITS,
    Clock,
    absent,
    ended,
    energy,
    failed,
    info,
    no_energy,
    part,
    power,
    utilization,
)
from tests.doubles.expositions import parse


def at(address: str, uuid: str) -> Device:
    return Device(uuid, address, "acme", "A1")


ADDRESS = "0000:3b:00.0"
A, B = at(ADDRESS, "gpu-a"), at("0000:86:00.0", "gpu-b")


def uuids(listings: Sequence[Listing]) -> list[list[str]]:
    return [[*(d.uuid for d in listing.devices), *(p.uuid for p in listing.partitions)] for listing in listings]


@pytest.mark.parametrize(
    ("other", "exported"),
    [
        (at("0000:86:00.0", "gpu-a"), []),
        (at("0000:86:00.0", "GPU-A"), []),
        (at(ADDRESS, "other"), []),
        (at("00000000:3B:00.0", "other"), []),
        (at("0000:86:00.0", "other"), ["other"]),
        (at("accel0", "other"), ["other"]),
    ],
)
def test_a_device_of_two_collectors_is_the_first_ones(other: Device, exported: list[str]) -> None:
    assert uuids(without_duplicates([Listing((A,)), Listing((other,))])) == [["gpu-a"], exported]


def test_devices_with_one_kernel_name_are_different_devices() -> None:
    listings = [Listing((at("accel0", "one"),)), Listing((at("accel0", "two"),))]
    assert without_duplicates(listings) == listings


def test_within_one_collector_only_the_uuid_counts() -> None:
    listing = Listing((A, at(ADDRESS, "second-chip"), at("0000:86:00.0", "gpu-a")))
    assert uuids(without_duplicates([listing])) == [["gpu-a", "second-chip"]]


def test_partitions_go_with_their_device_and_are_listed_once() -> None:
    first = Listing((A,), (part("gpu-a", "p0"), part("gpu-a", "p0"), part("unknown", "p9")))
    second = Listing((A, B), (part("gpu-a", "p1"), part("gpu-b", "P0"), part("gpu-b", "p2")))
    assert uuids(without_duplicates([first, second])) == [["gpu-a", "p0"], ["gpu-b", "p2"]]


class Node:
    """Two collectors in their order of precedence, each of which lists the devices that it is given."""

    def __init__(self, *names: str) -> None:
        self.clock = Clock()
        clocks = Clocks(self.clock, lambda: 1_700_000_000.0 + self.clock.now)
        drivers = {"acme": ("gpu.acme.com",)}
        self.assembler = Assembler(names, ("acme/",), LIMITS, clocks, dra_drivers=drivers)

    def poll(
        self, second: float, collector: str, watts: float, *devices: Device, partitions: tuple[Partition, ...] = ()
    ) -> Snapshot:
        self.clock.now = second
        samples: list[Sample] = []
        for device in devices:
            samples += (info(device.uuid), power(device.uuid, watts), utilization(device.uuid, 0.5))
        samples += (utilization(each.device_uuid, 0.25, each.uuid) for each in partitions)
        gaps = tuple(no_energy(device.uuid) for device in devices)
        reading = Reading(devices, partitions, tuple(samples), unsupported=gaps)
        self.assembler.apply(ended(second, reading, EVERY if second == 0 else FAST, collector))
        return self.assembler.snapshot()


def series(snapshot: Snapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every series of the exposition; a series that is there twice fails the test."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in parse(render(snapshot, health_samples(snapshot), Format.TEXT), Format.TEXT):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(snapshot: Snapshot, name: str, **labels: str) -> float | None:
    matching = [
        v for (found, of), v in series(snapshot).items() if found == name and labels.items() <= dict(of).items()
    ]
    assert len(matching) <= 1
    return matching[0] if matching else None


def test_each_series_is_exported_once_as_the_first_collector_in_the_list_reads_it() -> None:
    node = Node("zeta", "acme")
    for second in range(3):
        node.poll(second, "acme", 300.0, A, B, partitions=(part("gpu-a", "p0"),))
        snapshot = node.poll(second, "zeta", 100.0, A)
    assert value(snapshot, "accelerator_device_power_watts", uuid="gpu-a") == 100
    assert value(snapshot, "accelerator_device_power_watts", uuid="gpu-b") == 300
    assert value(snapshot, "accelerator_partition_utilization_ratio") is None
    assert value(snapshot, "accelerator_exporter_collector_devices", collector="zeta") == 1
    assert value(snapshot, "accelerator_exporter_collector_devices", collector="acme") == 1
    assert value(snapshot, "accelerator_exporter_duplicate_devices", collector="acme") == 1
    assert value(snapshot, "accelerator_exporter_duplicate_devices", collector="zeta") is None


def test_readings_of_two_collectors_are_not_integrated_twice() -> None:
    node = Node("acme", "zeta")
    for second in range(11):
        node.poll(second, "acme", 100.0, A)
        snapshot = node.poll(second, "zeta", 100.0, A)
    assert value(snapshot, "accelerator_device_observed_seconds_total") == 10
    assert value(snapshot, "accelerator_device_busy_seconds_total") == 5
    assert value(snapshot, "accelerator_device_energy_joules_total") == 1000


def test_a_device_stays_with_the_first_collector_while_it_fails_and_goes_to_the_next_when_it_is_absent() -> None:
    node = Node("acme", "zeta")
    node.poll(0, "acme", 100.0, A)
    node.poll(0, "zeta", 300.0, A)
    node.assembler.apply(failed(1, Reason.UNAVAILABLE, collector="acme"))
    snapshot = node.poll(1, "zeta", 300.0, A)
    assert value(snapshot, "accelerator_device_power_watts") == 100
    node.assembler.apply(absent(2, "acme"))
    snapshot = node.poll(2, "zeta", 300.0, A)
    assert value(snapshot, "accelerator_device_power_watts") == 300
    assert value(snapshot, "accelerator_exporter_duplicate_devices") is None


def test_energy_is_one_series_while_the_next_collector_takes_over() -> None:
    node = Node("acme", "zeta")
    for second in range(3):
        node.poll(second, "acme", 100.0, A)
        reading = Reading((A,), (), (power("gpu-a", 100.0), energy("gpu-a", 5_000_000 + 100 * second)))
        node.assembler.apply(ended(second, reading, EVERY if second == 0 else FAST, "zeta"))
    node.assembler.apply(absent(3, "acme"))
    snapshot = node.assembler.snapshot()
    assert value(snapshot, "accelerator_device_energy_joules_total") == 5_000_200


def test_a_duplicate_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    node = Node("acme", "zeta")
    for second in range(3):
        node.poll(second, "acme", 100.0, A)
        node.poll(second, "zeta", 100.0, A, at("accel0", f"new-{second}"))
    (record,) = (each for each in caplog.records if each.levelname == "WARNING")
    assert record.getMessage().startswith("device not exported: ")
    assert vars(record)["fields"] == {"collector": "zeta", "uuid": "gpu-a"}


def named(device: Device, name: str) -> Device:
    return replace(device, aliases=frozenset({Alias(name)}))


@pytest.mark.parametrize("order", [("acme", "zeta"), ("zeta", "acme")])
@pytest.mark.parametrize(
    ("device_id", "claim", "allocated"),
    [("gpu-known-to-acme", "", 1), ("slice-known-to-acme", "", 1), ("", "gpu.acme.com", None), ("", "", 0)],
)
def test_a_container_is_found_by_a_name_that_only_one_of_the_collectors_knows(
    order: tuple[str, str], device_id: str, claim: str, allocated: int | None
) -> None:
    node = Node(*order)
    acme = named(at(ADDRESS, "gpu-known-to-acme"), "gpu-known-to-acme")
    slices = (Partition("slice-known-to-acme", acme.uuid, "1g", frozenset({Alias("slice-known-to-acme")})),)
    node.poll(0, "acme", 100.0, acme, partitions=slices)
    node.poll(0, "zeta", 100.0, at(ADDRESS, "zeta-0"))
    holdings = (Holding("ml", "train", "main", "acme/gpu", device_id, "device_plugin"),) if device_id else ()
    claims = (ClaimDevice("ml", "train", claim, "pool", "gpu-0", ""),) if claim else ()
    node.assembler.apply(AttributionState(holdings, up=True, last_success_timestamp_seconds=0, claim_devices=claims))
    snapshot = node.assembler.snapshot()
    assert value(snapshot, "accelerator_device_allocated") == allocated
    not_exported = device_id == "slice-known-to-acme" and order[0] == "zeta"
    assert snapshot.unmatched == ({"acme/gpu": 1} if not_exported else {})


@pytest.mark.parametrize("uuid", ["slice-of-zeta", "MIG-ABC"])
@pytest.mark.parametrize("steps", ["az", "aKz", "zKa", "Kaz"])
def test_partition_with_two_names_is_one(uuid: str, steps: str) -> None:
    """K: the kubelet answers before one or both collectors."""
    node = Node("acme", "zeta")
    of_acme = Partition("MIG-abc", "gpu-a", "1g", frozenset({Alias("MIG-abc")}))
    of_zeta = Partition(uuid, "zeta-0", "1g", frozenset({Alias("mig-ABC")}))
    held = AttributionState(
        (Holding("ml", "a", "main", "acme/gpu", "MIG-abc", "device_plugin"),), up=True, last_success_timestamp_seconds=0
    )
    for second, step in enumerate(steps if "K" in steps else f"{steps}K"):
        if step == "K":
            node.assembler.apply(held)
        elif step == "a":
            node.poll(second, "acme", 100.0, at(ADDRESS, "gpu-a"), partitions=(of_acme,))
        else:
            node.poll(second, "zeta", 100.0, at(ADDRESS, "zeta-0"), partitions=(of_zeta,))
    snapshot = node.assembler.snapshot()

    assert value(snapshot, "accelerator_partition_allocated") == 1
    assert [(edge.subject, edge.holder.container.pod) for edge in snapshot.allocations or ()] == [
        (of_acme.subject, "a")
    ]
    assert snapshot.unmatched == {}


@pytest.mark.parametrize("order", [("acme", "zeta"), ("zeta", "acme")])
def test_check_shows_a_device_of_two_collectors_once_with_its_container(order: tuple[str, str]) -> None:
    devices = {"acme": named(at(ADDRESS, "gpu-a"), "gpu-a"), "zeta": at(ADDRESS, "zeta-0")}
    collectors = [CollectorFacts(name, CallOutcome.OK, ("acme/",), 0.0, Reading((devices[name],))) for name in order]
    holding = Holding("ml", "train", "main", "acme/gpu", "gpu-a", "device_plugin")
    facts = allocation_facts(PodResourcesList(frozenset({("ml", "train")}), (holding,)), collectors)
    [row] = facts.device_holders
    assert row.device == devices[order[0]]
    assert [holder.container.pod for holder in row.holders or ()] == ["train"]
    assert facts.unmatched == ()
