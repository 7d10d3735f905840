"""Claims in snapshots: what resolves them besides the kubelet's answer, and what a claim's holder gets."""

import pytest

from collectors.contract import Reading, Reason
from exporter.assembler import Assembler, Clocks
from exporter.attribution.claim_lookups import LookupsChanged
from exporter.attribution.claim_resolution import Lookups
from exporter.attribution.claims import Claims
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.watcher import AttributionState
from tests.doubles.assembled import poll, reading, series, who_has
from tests.doubles.claims import UID, CdiTable, claimed, device, partition
from tests.doubles.collectors import EVERY, FAST, LIMITS, Clock, compute, ended, failed, info, utilization

DRIVER = "gpu.acme.example"
NODE = "/dev/acme-part0"
ALLOCATED, BUSY = "accelerator_device_allocated", "accelerator_container_busy_seconds_total"
DEVICE_SECONDS = "accelerator_allocation_device_seconds_total"
DEVICES = (device("gpu-a", "gpu-0", driver=DRIVER), device("gpu-b", "gpu-1", driver=DRIVER))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def read() -> list[str]:
    return []


@pytest.fixture
def cdi() -> CdiTable:
    return CdiTable({f"{UID}-gpu-0-part-0": ("/dev/acme0", NODE)})


@pytest.fixture
def assembler(clock: Clock, read: list[str], cdi: CdiTable) -> Assembler:
    return Assembler(
        ["acme"],
        ("acme/",),
        LIMITS,
        Clocks(clock, clock),
        dra_drivers={"acme": (DRIVER,)},
        claims=Claims(None, Lookups(cdi)),
        read_now=read.append,
        read_files=lambda: read.append("files"),
    )


def answer(*listed: ClaimDevice, up: bool = True, answers: int = 1) -> AttributionState:
    return AttributionState((), up=up, last_success_timestamp_seconds=1.0, claim_devices=listed, answers=answers)


def whole() -> Reading:
    return reading(*(utilization(each.uuid, 1.0) for each in DEVICES), devices=DEVICES, partitions=())


def cut() -> Reading:
    """The first device has a partition, half of it."""
    parts = (partition("gpu-a", "part-0", NODE),)
    samples = (utilization("gpu-a", 1.0, "part-0"), compute("gpu-a", "part-0", 0.5), info("gpu-a", "part-0"))
    return reading(*samples, devices=DEVICES, partitions=parts)


def test_containers_of_a_claim_share_its_device(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(answer(*(claimed("gpu-0", DRIVER, pod=pod) for pod in ("one", "two")), claimed("gpu-1", DRIVER)))
    for at in (0.0, 1.0, 2.0):
        snapshot = poll(assembler, clock, at, whole())
    assert who_has(snapshot, DEVICE_SECONDS) == {"one": 1.0, "two": 1.0, "train": 2.0}
    assert who_has(snapshot, BUSY) == {"train": 2.0}
    assert who_has(snapshot, ALLOCATED) == {"gpu-a": 1.0, "gpu-b": 1.0}
    assert snapshot.unresolved_claims == {}


def test_a_new_partition_is_read_out_of_turn_and_then_held(assembler: Assembler, clock: Clock, read: list[str]) -> None:
    poll(assembler, clock, 0.0, whole())
    clock.now = 5.0
    assembler.apply(answer(claimed("gpu-0-part-0", DRIVER)))
    assert read == ["acme"]
    assert who_has(assembler.snapshot(), ALLOCATED) == {"gpu-b": 0.0}
    assert assembler.snapshot().unresolved_claims == {DRIVER: 1}

    snapshot = poll(assembler, clock, 6.0, cut())
    assert who_has(snapshot, "accelerator_allocation_share_ratio") == {"train": 0.5}
    assert who_has(snapshot, ALLOCATED) == {"gpu-a": 1.0, "gpu-b": 0.0}
    assert snapshot.unresolved_claims == {}
    assert read == ["acme"]


def test_a_reading_that_began_before_the_claim_does_not_resolve_its_partition(
    assembler: Assembler, clock: Clock
) -> None:
    clock.now = 5.0
    assembler.apply(answer(claimed("gpu-0-part-0", DRIVER)))
    clock.now = 6.0
    assembler.apply(ended(6.0, cut(), took=2.0))
    assert assembler.snapshot().unresolved_claims == {DRIVER: 1}
    clock.now = 7.0
    assembler.apply(ended(7.0, cut(), FAST))
    assert assembler.snapshot().unresolved_claims == {DRIVER: 1}
    clock.now = 8.0
    assembler.apply(ended(8.0, cut(), EVERY))
    assert assembler.snapshot().unresolved_claims == {}


def test_a_file_that_is_written_after_the_answer_resolves_the_claim(
    assembler: Assembler, clock: Clock, cdi: CdiTable
) -> None:
    nodes = cdi.entries.pop(f"{UID}-gpu-0-part-0")
    assembler.apply(answer(claimed("gpu-0-part-0", DRIVER)))
    assert poll(assembler, clock, 1.0, cut()).unresolved_claims == {DRIVER: 1}
    cdi.entries[f"{UID}-gpu-0-part-0"] = nodes
    assembler.apply(LookupsChanged())
    assert assembler.snapshot().unresolved_claims == {}


def test_the_files_are_looked_at_again_after_a_reading_before_it_resolves_a_claim(
    assembler: Assembler, clock: Clock, cdi: CdiTable, read: list[str]
) -> None:
    cdi.as_of = 0.5
    assembler.apply(answer(claimed("gpu-0-part-0", DRIVER)))
    assert poll(assembler, clock, 1.0, cut()).unresolved_claims == {DRIVER: 1}
    assert read == ["files"]
    cdi.as_of = 1.0
    assembler.apply(LookupsChanged())
    assert assembler.snapshot().unresolved_claims == {}
    cdi.as_of = 0.5
    assert poll(assembler, clock, 2.0, cut()).unresolved_claims == {}
    assert read == ["files"]


def test_a_partition_that_a_quick_reading_lists_waits_for_the_files_too(
    assembler: Assembler, clock: Clock, cdi: CdiTable
) -> None:
    cdi.as_of = 1.0
    assembler.apply(answer(claimed("gpu-0-part-0", DRIVER)))
    poll(assembler, clock, 1.0, whole())
    clock.now = 2.0
    assembler.apply(ended(2.0, cut(), FAST))
    assert assembler.snapshot().unresolved_claims == {DRIVER: 1}
    cdi.as_of = 2.0
    assembler.apply(LookupsChanged())
    assert assembler.snapshot().unresolved_claims == {}


def test_a_holder_by_claim_keeps_its_counters_while_its_collector_fails(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(answer(claimed("gpu-0-part-0", DRIVER)))
    for at in (1.0, 2.0):
        poll(assembler, clock, at, cut())
    for at in range(3, 9):
        clock.now = float(at)
        assembler.apply(failed(clock.now, Reason.UNAVAILABLE))
        assembler.apply(answer(claimed("gpu-0-part-0", DRIVER)))
        snapshot = assembler.snapshot()
    assert series(snapshot)[DEVICE_SECONDS, "train"] == 3.5


def test_a_partition_that_is_gone_ends_the_allocation_after_two_more_answers(
    assembler: Assembler, clock: Clock
) -> None:
    assembler.apply(answer(claimed("gpu-0-part-0", DRIVER)))
    poll(assembler, clock, 1.0, cut())
    assert poll(assembler, clock, 2.0, whole()).unresolved_claims == {DRIVER: 1}
    for at, up, answers in ((3.0, False, 1), (4.0, True, 1), (5.0, True, 2), (6.0, True, 2), (7.0, True, 3)):
        clock.now = at
        assert who_has(assembler.snapshot(), ALLOCATED) == {"gpu-a": 1.0, "gpu-b": 0.0}
        assembler.apply(answer(claimed("gpu-0-part-0", DRIVER), up=up, answers=answers))
    assert who_has(assembler.snapshot(), ALLOCATED) == {"gpu-b": 0.0}
