"""The energy of one time is credited once, whatever its source; refused readings are no gap."""

from collections.abc import Hashable, Sequence

import pytest

from collectors.contract import Reading, Sample, SubjectKey, Unsupported
from exporter.accounting import Accounting, Integral
from exporter.snapshot import Allocation, Container, Holder
from exporter.validation import Increase, Validator
from tests.doubles.collectors import Clock, energy, gpu, no_energy, power

MAX_GAP = 20.0
WATTS = 300.0
TRAIN, A = Container("ml", "train-0", "main"), SubjectKey("gpu-a")
HELD = (Allocation(TRAIN, A, "acme.example/gpu", "device_plugin", share_ratio=1.0, sole=True),)


class Books:
    """One device with constant power, held by one container from the start."""

    def __init__(self) -> None:
        self.validator = Validator()
        self.accounting = Accounting(MAX_GAP, Clock())
        self.accounting.add_allocations(0.0, HELD)

    def poll(
        self, at: float, joules: float | None, session: Hashable = None, held: Sequence[Allocation] = HELD
    ) -> None:
        """One poll; without joules the device has no energy counter."""
        samples: tuple[Sample, ...] = (power("gpu-a", WATTS),)
        unsupported: tuple[Unsupported, ...] = (no_energy("gpu-a"),)
        if joules is not None:
            samples, unsupported = (*samples, energy("gpu-a", joules)), ()
        reading = Reading((gpu("gpu-a"),), (), samples, unsupported=unsupported, sessions={"gpu-a": session})
        self.accounting.add_readings(at, self.validator.validate(reading, at))
        self.accounting.add_allocations(at, held)

    @property
    def credited(self) -> tuple[float, float]:
        """The joules of the container, measured and allocated."""
        usage = self.accounting.usage(Holder(TRAIN, A))
        return usage.energy_joules, usage.allocated_energy_joules

    def integrated(self) -> float:
        """The energy of the device, while its power is integrated."""
        [counter] = self.accounting.samples([power("gpu-a", WATTS)])
        return counter.value


@pytest.fixture
def books() -> Books:
    return Books()


def counted(at: float) -> float:
    return 5_000_000 + WATTS * at


def test_power_then_counter_then_power_credits_no_time_twice(books: Books) -> None:
    for at in range(9):
        session = at // 3
        books.poll(float(at), counted(at) if session == 1 else None, session)

    assert books.credited == (1800, 1800)  # three sessions of 2 s
    assert books.integrated() == 1200


def test_counter_then_power_then_counter_credits_only_the_part_after_the_power(books: Books) -> None:
    for at in range(9):
        session = at // 3
        books.poll(float(at), None if session == 1 else counted(at), session)

    # The first rise of the last session is over 4 s, from 2 to 6, of which the power has been credited from 3 to 5.
    assert books.credited == pytest.approx((600 + 600 + 300 + 600,) * 2)


def test_sum_of_all_sessions_never_exceeds_what_the_device_used(books: Books) -> None:
    for at in range(60):
        session = at // 2
        books.poll(float(at), counted(at) if session % 2 else None, session)

        assert max(books.credited) <= WATTS * at + 1e-6


def test_nothing_is_kept_of_the_credit_of_a_device_that_is_unknown_for_an_hour(books: Books) -> None:
    for at in range(3):
        books.poll(float(at), counted(at))
    books.accounting.forget(3602.0, {A})
    assert vars(books.accounting)["_credited_until"] == {"gpu-a": 2.0}
    books.accounting.forget(3603.0, frozenset())

    assert vars(books.accounting)["_credited_until"] == {}


def test_interrupted_integral_resumes_at_its_next_value() -> None:
    integral = Integral()
    for at in (0.0, 1.0):
        integral.add(at, 1.0, MAX_GAP)
    integral.interrupt()

    assert integral.add(3.0, 1.0, MAX_GAP) == (0.0, 0.0)
    assert integral.add(4.0, 1.0, MAX_GAP) == (1.0, 1.0)
    assert integral.total == 2


@pytest.mark.parametrize("dips", [{4}, {4, 5}, {4, 5, 6}], ids=["one dip", "two", "three"])
@pytest.mark.parametrize("interval", [1.0, 10.0, MAX_GAP])
def test_refused_reading_is_no_gap(books: Books, interval: float, dips: set[int]) -> None:
    for poll in range(10):
        at = poll * interval
        books.poll(at, 0.0 if poll in dips else counted(at))

    assert books.credited == pytest.approx((WATTS * 9 * interval,) * 2)


def test_time_without_readings_is_a_gap_also_when_a_refused_reading_ends_it(books: Books) -> None:
    books.poll(0.0, counted(0))
    books.poll(MAX_GAP + 1, 0.0)
    books.poll(MAX_GAP + 2, counted(MAX_GAP + 2))
    assert books.credited == (0, 0)

    books.poll(MAX_GAP + 3, counted(MAX_GAP + 3))
    assert books.credited == (WATTS, WATTS)


def test_increase_has_its_longest_gap(books: Books) -> None:
    found: list[Increase] = []
    for at, joules in ((0.0, counted(0)), (3.0, 0.0), (4.0, counted(4)), (6.0, counted(6))):
        reading = Reading((gpu("gpu-a"),), (), (energy("gpu-a", joules),))
        found.append(books.validator.validate(reading, at).energy["gpu-a"])

    assert found == [(0, 0, 0), (0, 0, 0), (4 * WATTS, 4, 3), (2 * WATTS, 2, 2)]


def test_gap_before_the_first_accepted_reading_does_not_count(books: Books) -> None:
    books.poll(0.0, 2.0**60)
    books.poll(100.0, counted(100))
    books.poll(101.0, counted(101))

    assert books.credited == (WATTS, WATTS)
