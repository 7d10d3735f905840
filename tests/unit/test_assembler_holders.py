"""What holders are credited with, and for how long, while partitions, collectors and allocations come and go."""

from dataclasses import replace

import pytest

from collectors.condition import CriticalEvent
from collectors.contract import Reading, Reason
from exporter.assembler import Assembler, Clocks
from exporter.attribution.holding import ClaimDevice, Holding
from exporter.attribution.join import MOST_ALLOCATIONS
from exporter.attribution.watcher import AttributionState
from tests.doubles.assembled import BOTH, held, poll, reading, series, who_has
from tests.doubles.collectors import LIMITS, Clock, compute, ended, failed, gpu, info, part, utilization

BUSY = "accelerator_device_busy_seconds_total"
CONTAINER_BUSY = "accelerator_container_busy_seconds_total"
USED = reading(utilization("gpu-a", 0.5), info("gpu-a"), devices=BOTH[:1])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def assembler(clock: Clock) -> Assembler:
    return Assembler(["acme"], ("acme/",), LIMITS, Clocks(clock, lambda: 1_700_000_000.0 + clock.now))


DEVICE_SECONDS = "accelerator_allocation_device_seconds_total"


def sliced(ratio: float = 0.5, *present: str) -> Reading:
    """GPU a with these partitions, each of them with a utilization."""
    partitions = tuple(part("gpu-a", name) for name in present)
    samples = [utilization("gpu-a", ratio, name) for name in present]
    return reading(*samples, *(compute("gpu-a", name, 0.5) for name in present), partitions=partitions)


def test_counters_of_a_pod_continue_after_its_partition_was_unknown(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("one", "s0"), ("two", "gpu-b")))
    for at in (0.0, 1.0, 2.0):
        before = poll(assembler, clock, at, sliced(1.0, "s0", "s1"))
    during = poll(assembler, clock, 3.0, sliced(1.0, "s1"))
    after = poll(assembler, clock, 4.0, sliced(1.0, "s0", "s1"))

    assert (series(before)[CONTAINER_BUSY, "one"], series(before)[DEVICE_SECONDS, "one"]) == (2.0, 1.0)
    assert who_has(during, DEVICE_SECONDS) == {"two": 3.0}
    assert who_has(during, "accelerator_device_allocated") == {"gpu-a": 1.0, "gpu-b": 1.0}
    assert (series(after)[CONTAINER_BUSY, "one"], series(after)[DEVICE_SECONDS, "one"]) == (4.0, 2.0)


def test_counters_of_a_pod_end_when_its_allocation_is_no_longer_listed(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("one", "s0")))
    for at in (0.0, 1.0):
        poll(assembler, clock, at, sliced(1.0, "s0"))
    poll(assembler, clock, 2.0, sliced(1.0))
    assembler.apply(held())
    assembler.apply(held(("one", "s0")))

    assert who_has(poll(assembler, clock, 3.0, sliced(1.0, "s0")), CONTAINER_BUSY) == {"one": 0.0}


def test_shares_and_bill_of_a_partition_continue_while_its_collector_fails(assembler: Assembler, clock: Clock) -> None:
    assembler.apply(held(("one", "s0")))
    poll(assembler, clock, 0.0, sliced(0.5, "s0", "s1"))
    for second in range(1, 201):
        clock.now = float(second)
        assembler.apply(failed(clock.now, Reason.UNAVAILABLE))
        if second == 150:  # after every maximum age
            assembler.apply(held(("one", "s0"), ("two", "s1")))
        snapshot = assembler.snapshot()

    assert who_has(snapshot, "accelerator_allocation_share_ratio") == {"one": 0.5, "two": 0.5}
    assert who_has(snapshot, DEVICE_SECONDS) == {"one": 100.0, "two": 25.0}
    assert who_has(snapshot, "accelerator_partition_compute_ratio") == {"s0": 0.5, "s1": 0.5}
    assert who_has(snapshot, CONTAINER_BUSY) == {}


def test_new_holder_is_credited_from_its_allocation_and_not_from_the_last_poll(
    assembler: Assembler, clock: Clock
) -> None:
    assembler.apply(held(("one", "gpu-a")))
    poll(assembler, clock, 0.0, USED)
    clock.now = 8.0
    assembler.apply(held(("two", "gpu-a")))
    snapshot = poll(assembler, clock, 10.0, USED)

    assert who_has(snapshot, CONTAINER_BUSY) == {"two": 1.0}
    assert who_has(snapshot, DEVICE_SECONDS) == {"two": 2.0}
    assert who_has(snapshot, BUSY) == {"gpu-a": 5.0}


def test_devices_that_claims_may_hold_are_neither_free_nor_allocated(clock: Clock) -> None:
    assembler = Assembler(
        ["acme", "bolt"], ("acme/",), LIMITS, Clocks(clock, clock), dra_drivers={"acme": ("gpu.acme.example",)}
    )
    for name, device in (("acme", "gpu-a"), ("bolt", "gpu-b")):
        assembler.apply(ended(0.0, reading(info(device), devices=(gpu(device),)), collector=name))
    drivers = ("gpu.acme.example", "gpu.acme.example", "net.example")
    claims = tuple(ClaimDevice("ns", pod, driver, "n", "x") for pod, driver in zip("pqr", drivers, strict=True))
    assembler.apply(AttributionState((), up=True, last_success_timestamp_seconds=1.0, claim_devices=claims))
    snapshot = assembler.snapshot()

    assert who_has(snapshot, "accelerator_device_allocated") == {"gpu-b": 0.0}
    assert who_has(snapshot, "accelerator_device_allocations") == {"gpu-b": 0.0}
    assert snapshot.unresolved_claims == {"gpu.acme.example": 1, "net.example": 1}

    assembler.apply(held())
    assert who_has(assembler.snapshot(), "accelerator_device_allocated") == {"gpu-a": 0.0, "gpu-b": 0.0}
    assert assembler.snapshot().unresolved_claims == {}


def test_use_of_a_device_is_credited_to_its_pod_at_that_time(assembler: Assembler, clock: Clock) -> None:
    for at, pod in ((0.0, "one"), (1.0, "one"), (2.0, "two"), (4.0, "two")):
        assembler.apply(held((pod, "gpu-a")))
        snapshot = poll(assembler, clock, at, USED)

    assert who_has(snapshot, CONTAINER_BUSY) == {"two": 1.5}
    assert who_has(snapshot, DEVICE_SECONDS) == {"two": 3.0}
    assert who_has(snapshot, BUSY) == {"gpu-a": 2.0}


def test_allocations_are_unknown_while_there_are_more_than_are_exported(
    assembler: Assembler, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def listed(pods: int) -> AttributionState:
        return held(*((f"pod-{number}", "gpu-a") for number in range(pods)))

    assembler.apply(listed(1))
    poll(assembler, clock, 0.0, USED)
    for _ in range(2):
        assembler.apply(listed(MOST_ALLOCATIONS + 1))
    during = poll(assembler, clock, 1.0, USED)
    assembler.apply(listed(1))
    after = poll(assembler, clock, 2.0, USED)

    assert during.allocations is None
    assert who_has(during, "accelerator_device_allocated") == {}
    text = "the kubelet lists 5001 of known devices, more than the 5000 that are exported"
    assert caplog.text.count(text) == 1
    assert who_has(after, CONTAINER_BUSY).keys() == {"pod-0"}


def test_resources_with_unmatched_ids_have_few_series(assembler: Assembler, clock: Clock) -> None:
    holdings = tuple(Holding("ns", "p", "c", f"acme/gpu-{number:03}", "x", "device_plugin") for number in range(150))
    poll(assembler, clock, 1.0, reading())
    assembler.apply(AttributionState(holdings, up=True, last_success_timestamp_seconds=1.0))
    unmatched = assembler.snapshot().unmatched
    assert (len(unmatched), unmatched["other"]) == (101, 50)


def test_ids_that_match_no_device_for_some_time_are_one_line_with_their_pods(
    assembler: Assembler, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    poll(assembler, clock, 0.0, USED)
    strangers = held(("known", "gpu-a"), *((f"pod-{number}", f"gpu-x{number}") for number in range(4)))
    for second in (1.0, 10.0, 20.0, 30.0):
        clock.now = second
        assembler.apply(strangers)
    [line] = [record for record in caplog.records if record.getMessage() == "allocated ids match no device"]
    fields = vars(line)["fields"]
    assert line.levelname == "WARNING"
    assert fields["ids"] == "gpu-x0, gpu-x1, gpu-x2 and 1 more id"
    assert fields["pods"] == "ns/pod-0, ns/pod-1, ns/pod-2, ns/pod-3"
    assert fields["do"].startswith("run accelerator-exporter check")


def test_ids_that_match_a_device_soon_are_not_logged(
    assembler: Assembler, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assembler.apply(held(("pod", "gpu-a")))
    for second in (10.0, 30.0):
        poll(assembler, clock, second, USED)
        assembler.apply(held(("pod", "gpu-a")))
    assert "match no device" not in caplog.text


def test_critical_events_are_known_for_ten_minutes(assembler: Assembler, clock: Clock) -> None:
    hardware = CriticalEvent("gpu-a", "xid", "63", "hardware", "XID 63", "see it")
    program = hardware._replace(code="31", error_class="application")
    poll(assembler, clock, 1.0, replace(USED, events=(hardware, program)))
    poll(assembler, clock, 101.0, replace(USED, events=(hardware._replace(code="94"),)))
    known = poll(assembler, clock, 601.0, USED).events
    assert [(each.event.code, each.age_seconds) for each in known] == [("94", 500.0), ("63", 600.0)]
    assert [each.event.code for each in poll(assembler, clock, 602.0, USED).events] == ["94"]
