from dataclasses import replace

import pytest

from collectors import catalog
from collectors.contract import Sample
from exporter.accounting import Integral
from exporter.snapshot import Holder
from tests.doubles.books import MAX_GAP, SERVE, SLICE, TRAIN, A, B, Books, poll, sharing, sole
from tests.doubles.collectors import Clock, energy, power, utilization


@pytest.fixture
def wall() -> Clock:
    return Clock(1_700_000_000.0)


@pytest.fixture
def books(wall: Clock) -> Books:
    return Books(wall)


def counters(books: Books, *live: Sample) -> dict[tuple[str, str, str], float]:
    return {(s.metric.stem, s.device_uuid, s.partition_uuid): s.value for s in books.samples(live)}


def busy_and_observed(books: Books, device: str = "gpu-a", partition: str = "") -> tuple[float, float]:
    found = counters(books, utilization(device, 0, partition))
    return found["busy_seconds_total", device, partition], found["observed_seconds_total", device, partition]


def test_first_value_adds_nothing_and_the_next_adds_a_trapezoid() -> None:
    integral = Integral()

    assert integral.add(100.0, 0.2, MAX_GAP) == (0.0, 0.0)
    assert integral.add(104.0, 0.7, MAX_GAP) == pytest.approx((1.8, 4.0))
    assert (integral.total, integral.covered_seconds) == pytest.approx((1.8, 4.0))


def test_gap_up_to_the_maximum_is_integrated_and_a_longer_one_is_not() -> None:
    integral = Integral()
    integral.add(0.0, 1.0, MAX_GAP)

    assert integral.add(10.0, 1.0, MAX_GAP) == (10.0, 10.0)
    assert integral.add(20.5, 1.0, MAX_GAP) == (0.0, 0.0)
    assert (integral.total, integral.covered_seconds) == (10.0, 10.0)


def test_integral_resumes_after_a_gap() -> None:
    integral = Integral()
    for at in (0.0, 1.0, 500.0, 502.0):
        integral.add(at, 0.5, MAX_GAP)

    assert (integral.total, integral.covered_seconds) == (1.5, 3.0)


@pytest.mark.parametrize("back_to", [5.0, 4.0])
def test_unchanged_or_earlier_time_adds_nothing(back_to: float) -> None:
    integral = Integral()
    integral.add(5.0, 1.0, MAX_GAP)

    assert integral.add(back_to, 1.0, MAX_GAP) == (0.0, 0.0)
    assert integral.add(back_to + 1, 1.0, MAX_GAP) == (1.0, 1.0)


def test_devices_and_partitions_are_counted_separately(books: Books) -> None:
    for at in (0.0, 2.0):
        poll(books, at, utilization("gpu-a", 0.5), utilization("gpu-a", 1.0, "slice-0"), utilization("gpu-b", 0.0))

    assert busy_and_observed(books, "gpu-a") == (1.0, 2.0)
    assert busy_and_observed(books, "gpu-a", "slice-0") == (2.0, 2.0)
    assert busy_and_observed(books, "gpu-b") == (0.0, 2.0)


def test_counters_are_exported_only_while_their_input_is_live(books: Books) -> None:
    for at in (0.0, 1.0):
        poll(books, at, utilization("gpu-a", 1.0), power("gpu-a", 100), estimated="gpu-a")

    assert counters(books) == {}
    assert counters(books, utilization("gpu-a", 1.0)).keys() == {
        ("busy_seconds_total", "gpu-a", ""),
        ("observed_seconds_total", "gpu-a", ""),
    }
    assert counters(books, power("gpu-a", 100)) == {("energy_joules_total", "gpu-a", ""): 100.0}


def test_new_device_starts_at_zero(books: Books) -> None:
    poll(books, 0.0, utilization("gpu-a", 1.0))

    assert busy_and_observed(books) == (0.0, 0.0)


def test_sole_holder_is_credited_while_the_device_is_allocated(books: Books, wall: Clock) -> None:
    poll(books, 0.0, utilization("gpu-a", 0.5), held=(sole(TRAIN),))
    wall.now += 2
    poll(books, 2.0, utilization("gpu-a", 0.5), held=(sole(TRAIN),))

    held = books.usage(Holder(TRAIN, A))
    assert (held.busy_seconds, held.observed_seconds, held.last_active) == (1.0, 2.0, wall.now)


def test_idle_holder_has_no_last_active_time(books: Books) -> None:
    for at in (0.0, 1.0):
        poll(books, at, utilization("gpu-a", 0.0), held=(sole(TRAIN),))

    held = books.usage(Holder(TRAIN, A))
    assert (held.busy_seconds, held.observed_seconds, held.last_active) == (0.0, 1.0, None)


def test_sharing_holders_get_no_measured_credit(books: Books) -> None:
    both = (sharing(TRAIN), sharing(SERVE))
    for at, joules in ((0.0, 500.0), (1.0, 600.0)):
        poll(books, at, utilization("gpu-a", 1.0), energy("gpu-a", joules), held=both)

    for container in (TRAIN, SERVE):
        held = books.usage(Holder(container, A))
        assert (held.busy_seconds, held.observed_seconds, held.energy_joules) == (0.0, 0.0, 0.0)
        assert held.last_active is None
        assert held.device_seconds == 0.5


def test_partition_holder_is_credited_for_the_partition_only(books: Books) -> None:
    for at in (0.0, 2.0):
        poll(
            books,
            at,
            utilization("gpu-a", 1.0),
            utilization("gpu-a", 0.25, "slice-0"),
            energy("gpu-a", 100 * at),
            held=(sole(TRAIN, SLICE, 0.5),),
        )

    held = books.usage(Holder(TRAIN, SLICE))
    assert (held.busy_seconds, held.observed_seconds, held.energy_joules) == (0.5, 2.0, 0.0)
    assert held.device_seconds == 1.0


def test_current_holder_is_credited(books: Books) -> None:
    poll(books, 0.0, utilization("gpu-a", 1.0), energy("gpu-a", 0), held=(sole(TRAIN),))
    poll(books, 1.0, utilization("gpu-a", 1.0), energy("gpu-a", 100), held=(sole(TRAIN),))
    books.add_allocations(1.0, (sole(SERVE),))
    poll(books, 3.0, utilization("gpu-a", 1.0), energy("gpu-a", 250), held=(sole(SERVE),))

    held = books.usage(Holder(SERVE, A))
    assert (held.busy_seconds, held.observed_seconds, held.energy_joules) == (2.0, 2.0, 150.0)
    assert held.device_seconds == 2.0
    assert busy_and_observed(books) == (3.0, 3.0)


def test_new_holder_is_credited_from_the_time_of_its_allocation_and_not_from_the_last_poll(books: Books) -> None:
    busy = (utilization("gpu-a", 1.0), utilization("gpu-b", 1.0))
    held = (sole(TRAIN, A), sole(TRAIN, B))
    # The one has an energy counter, the power of the other is integrated.
    poll(books, 0.0, *busy, energy("gpu-a", 0), power("gpu-b", 100), estimated="gpu-b")
    books.add_allocations(8.0, held)
    poll(books, 10.0, *busy, energy("gpu-a", 1000), power("gpu-b", 100), held=held, estimated="gpu-b")

    for subject in (A, B):
        usage = books.usage(Holder(TRAIN, subject))
        assert (usage.busy_seconds, usage.observed_seconds, usage.energy_joules) == pytest.approx((2.0, 2.0, 200.0))
        assert usage.device_seconds == 2.0


def test_holder_of_a_shared_device_is_measured_from_when_it_is_the_sole_holder(books: Books) -> None:
    both = (sharing(TRAIN), sharing(SERVE))
    poll(books, 0.0, utilization("gpu-a", 1.0), held=both)
    books.add_allocations(6.0, both)
    books.add_allocations(6.0, (sole(TRAIN),))
    poll(books, 10.0, utilization("gpu-a", 1.0), held=(sole(TRAIN),))

    usage = books.usage(Holder(TRAIN, A))
    assert (usage.busy_seconds, usage.observed_seconds, usage.device_seconds) == (4.0, 4.0, 0.5 * 6 + 4)


def test_unknown_allocations_credit_nothing_and_drop_nothing(books: Books) -> None:
    mine = (sole(TRAIN),)
    for at, held in ((0.0, mine), (1.0, mine), (2.0, None), (4.0, None), (5.0, mine), (6.0, mine)):
        if held is None:
            books.add_allocations(at - 1, held)
        poll(books, at, utilization("gpu-a", 1.0), energy("gpu-a", 100 * at), held=held)

    held_now = books.usage(Holder(TRAIN, A))
    assert held_now.device_seconds == 2.0  # from 0 to 1 and from 5 to 6
    assert (held_now.busy_seconds, held_now.energy_joules) == (2.0, 200.0)
    assert busy_and_observed(books) == (6.0, 6.0)


def test_ended_container_is_dropped_and_a_new_one_of_the_same_name_starts_at_zero(books: Books) -> None:
    for at in (0.0, 1.0):
        poll(books, at, utilization("gpu-a", 1.0), held=(sole(TRAIN),))
    poll(books, 2.0, utilization("gpu-a", 1.0))

    assert books.usage(Holder(TRAIN, A)).busy_seconds == 0.0

    books.add_allocations(2.5, (sole(TRAIN),))
    poll(books, 3.0, utilization("gpu-a", 1.0), held=(sole(TRAIN),))
    held = books.usage(Holder(TRAIN, A))
    assert (held.busy_seconds, held.observed_seconds, held.device_seconds) == (0.5, 0.5, 0.5)


def test_use_of_each_device_is_counted_separately(books: Books) -> None:
    both = (sole(TRAIN, A), sole(TRAIN, B))
    for at in (0.0, 1.0):
        poll(books, at, utilization("gpu-a", 1.0), utilization("gpu-b", 0.5), held=both)

    assert (books.usage(Holder(TRAIN, A)).busy_seconds, books.usage(Holder(TRAIN, B)).busy_seconds) == (1.0, 0.5)


def test_device_seconds_integrate_the_share(books: Books) -> None:
    for at, share in ((0.0, 1.0), (2.0, 1.0), (4.0, 0.5), (5.0, 0.25)):
        books.add_allocations(at, (sole(TRAIN, A, share),))

    assert books.usage(Holder(TRAIN, A)).device_seconds == pytest.approx(2.0 + 1.0 + 0.25)


def test_device_seconds_do_not_rise_while_the_share_is_unknown(books: Books) -> None:
    for at, share in ((0.0, 0.5), (2.0, 0.5), (4.0, None), (6.0, 0.5)):
        books.add_allocations(at, (sole(TRAIN, SLICE, share),))

    assert books.usage(Holder(TRAIN, SLICE)).device_seconds == 2.0


def test_device_seconds_do_not_count_a_gap(books: Books) -> None:
    for at in (0.0, 1.0, 60.0, 61.0):
        books.add_allocations(at, (sole(TRAIN),))

    assert books.usage(Holder(TRAIN, A)).device_seconds == 2.0


def test_reset_of_the_hardware_energy_counter_is_handled(books: Books) -> None:
    for at, joules in ((0.0, 9_000.0), (1.0, 9_100.0), (2.0, 30.0), (3.0, 130.0)):
        poll(books, at, energy("gpu-a", joules), held=(sole(TRAIN),))

    assert books.usage(Holder(TRAIN, A)).energy_joules == 100.0 + 30.0 + 100.0


def test_energy_over_a_gap_is_not_credited(books: Books) -> None:
    for at, joules in ((0.0, 0.0), (60.0, 6_000.0), (61.0, 6_100.0)):
        poll(books, at, energy("gpu-a", joules), held=(sole(TRAIN),))

    assert books.usage(Holder(TRAIN, A)).energy_joules == 100.0


def test_energy_before_an_allocation_is_not_credited(books: Books) -> None:
    poll(books, 0.0, energy("gpu-a", 1_000.0))
    poll(books, 1.0, energy("gpu-a", 1_100.0))
    books.add_allocations(1.0, (sole(TRAIN),))
    poll(books, 2.0, energy("gpu-a", 1_150.0), held=(sole(TRAIN),))

    assert books.usage(Holder(TRAIN, A)).energy_joules == 50.0


def test_power_is_integrated_without_an_energy_counter(books: Books) -> None:
    for at, watts in ((0.0, 100.0), (2.0, 200.0), (3.0, 200.0)):
        poll(books, at, power("gpu-a", watts), power("gpu-b", watts), held=(sole(TRAIN),), estimated="gpu-a")

    assert counters(books, power("gpu-a", 0), power("gpu-b", 0)) == {("energy_joules_total", "gpu-a", ""): 500.0}
    assert books.usage(Holder(TRAIN, A)).energy_joules == 500.0


def test_integrated_energy_is_not_replaced_by_a_counter_that_appears_later(books: Books) -> None:
    for at in (0.0, 1.0):
        poll(books, at, power("gpu-a", 100.0), estimated="gpu-a")
    books.add_allocations(1.0, (sole(TRAIN),))
    poll(books, 2.0, power("gpu-a", 100.0), energy("gpu-a", 7_000.0), held=(sole(TRAIN),))

    assert counters(books, power("gpu-a", 100.0)) == {("energy_joules_total", "gpu-a", ""): 200.0}
    assert books.usage(Holder(TRAIN, A)).energy_joules == 100.0


def test_power_is_not_integrated_in_place_of_a_counter_that_is_missing_for_a_while(books: Books) -> None:
    for at, joules in ((0.0, 5_000_000.0), (1.0, 5_000_100.0)):
        poll(books, at, power("gpu-a", 100.0), energy("gpu-a", joules), held=(sole(TRAIN),))
    poll(books, 2.0, power("gpu-a", 100.0), held=(sole(TRAIN),), estimated="gpu-a")
    poll(books, 3.0, power("gpu-a", 100.0), energy("gpu-a", 5_000_300.0), held=(sole(TRAIN),))

    assert counters(books, power("gpu-a", 100.0)) == {}
    assert books.usage(Holder(TRAIN, A)).energy_joules == 300.0  # what the counter has risen by


def test_unknown_subject_is_dropped_after_an_hour(books: Books) -> None:
    for at in (0.0, 1.0):
        poll(books, at, utilization("gpu-a", 1.0), utilization("gpu-a", 1.0, "slice-0"))

    books.forget(3600.0, {A})
    assert busy_and_observed(books, "gpu-a", "slice-0") == (1.0, 1.0)
    books.forget(3602.0, {A})
    assert busy_and_observed(books, "gpu-a", "slice-0") == (0.0, 0.0)


def test_nothing_is_kept_of_a_device_unknown_for_an_hour(books: Books) -> None:
    for at in (0.0, 1.0):
        poll(books, at, energy("gpu-a", 100 * at), power("gpu-b", 100), estimated="gpu-b")

    books.forget(3602.0, frozenset())
    assert counters(books, power("gpu-b", 100)) == {}
    poll(books, 3603.0, power("gpu-b", 100), estimated="gpu-b")
    assert counters(books, power("gpu-b", 100)) == {("energy_joules_total", "gpu-b", ""): 0.0}


def test_known_device_resumes_after_any_gap(books: Books) -> None:
    for at in (0.0, 1.0):
        poll(books, at, utilization("gpu-a", 1.0))
    books.forget(1e6, {A})
    poll(books, 1e6, utilization("gpu-a", 1.0))
    poll(books, 1e6 + 1, utilization("gpu-a", 1.0))

    assert busy_and_observed(books) == (2.0, 2.0)


def test_other_readings_are_ignored(books: Books) -> None:
    for at in (0.0, 1.0):
        poll(books, at, Sample(catalog.MEMORY_BANDWIDTH, "gpu-a", 1.0), held=(sole(TRAIN),))

    held = books.usage(Holder(TRAIN, A))
    assert (held.busy_seconds, held.observed_seconds, held.energy_joules) == (0.0, 0.0, 0.0)


def test_allocations_that_stay_the_same_are_credited_like_new_ones_that_are_equal(wall: Clock) -> None:
    kept, renewed = Books(wall), Books(wall)
    both = (sole(TRAIN), sole(SERVE, B, None))
    for at, known in ((0.0, True), (2.0, True), (3.0, False), (4.0, True), (6.0, True), (60.0, True), (61.0, True)):
        samples = utilization("gpu-a", 0.5), energy("gpu-a", 100 * at), utilization("gpu-b", 1.0)
        poll(kept, at, *samples, held=both if known else None)
        poll(renewed, at, *samples, held=tuple(replace(each) for each in both) if known else None)
        for container, subject in ((TRAIN, A), (SERVE, B)):
            assert kept.usage(Holder(container, subject)) == renewed.usage(Holder(container, subject))
    assert kept.usage(Holder(TRAIN, A)).device_seconds == 5.0  # without the gaps
