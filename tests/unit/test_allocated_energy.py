"""The energy of a device, divided among those that it is allocated to."""

from dataclasses import replace

import pytest

from collectors.contract import SubjectKey
from exporter.snapshot import Container, Holder
from tests.doubles.books import MAX_GAP, SERVE, SLICE, TRAIN, A, B, Books, poll, sharing, sole
from tests.doubles.collectors import Clock, energy, power


@pytest.fixture
def books() -> Books:
    return Books(Clock())


def allocated_joules(books: Books, container: Container, subject: SubjectKey = A) -> float:
    return books.usage(Holder(container, subject)).allocated_energy_joules


def test_every_allocation_is_credited_with_its_share_of_the_energy(books: Books) -> None:
    whole, half, cut = sole(TRAIN, B), sharing(SERVE), replace(sharing(TRAIN, SLICE), share_ratio=0.125)
    for at, joules in ((0.0, 5_000_000), (1.0, 5_000_080), (2.0, 5_000_160)):
        poll(books, at, energy("gpu-a", joules), energy("gpu-b", joules), held=(whole, half, cut))

    assert allocated_joules(books, TRAIN, B) == books.usage(Holder(TRAIN, B)).energy_joules == 160
    assert allocated_joules(books, SERVE) == 80
    assert allocated_joules(books, TRAIN, SLICE) == 20
    assert books.usage(Holder(SERVE, A)).energy_joules == 0


def test_integrated_power_is_allocated_by_share_too(books: Books) -> None:
    for at in (0.0, 1.0, 3.0):
        poll(books, at, power("gpu-a", 100), held=(sharing(TRAIN), sharing(SERVE)), estimated="gpu-a")

    assert (allocated_joules(books, TRAIN), allocated_joules(books, SERVE)) == (150, 150)


def test_new_allocation_is_credited_with_energy_since_it_was_listed(books: Books) -> None:
    poll(books, 0.0, energy("gpu-a", 1000), held=(sole(TRAIN),))
    books.add_allocations(1.5, (sharing(TRAIN), sharing(SERVE)))
    poll(books, 2.0, energy("gpu-a", 1400), held=(sharing(TRAIN), sharing(SERVE)))

    assert (allocated_joules(books, TRAIN), allocated_joules(books, SERVE)) == (300 + 50, 50)
    assert books.usage(Holder(TRAIN, A)).energy_joules == 300  # until it was no longer the sole holder


def test_energy_is_allocated_by_the_share_of_each_moment(books: Books) -> None:
    both, alone = (sharing(TRAIN), sharing(SERVE)), (sole(TRAIN),)
    poll(books, 0.0, energy("gpu-a", 0), held=both)
    for at, held in ((1.0, both), (4.0, both), (4.0, alone), (6.0, alone), (6.0, both)):
        books.add_allocations(at, held)
    poll(books, 10.0, energy("gpu-a", 1000), held=both)

    assert (allocated_joules(books, TRAIN), allocated_joules(books, SERVE)) == (200 + 200 + 200, 200)
    assert books.usage(Holder(TRAIN, A)).energy_joules == 200


def test_energy_is_not_allocated_over_a_gap_or_by_an_unknown_share(books: Books) -> None:
    for at, joules in ((0.0, 0), (MAX_GAP + 1, 100)):
        poll(books, at, energy("gpu-a", joules), held=(sharing(TRAIN),))
    unknown = (replace(sharing(TRAIN), share_ratio=None),)
    books.add_allocations(MAX_GAP + 1, unknown)
    poll(books, MAX_GAP + 2, energy("gpu-a", 200), held=unknown)

    assert allocated_joules(books, TRAIN) == 0


def test_refused_energy_is_not_allocated(books: Books) -> None:
    for at, joules in enumerate((5_000_000, 5_000_070, 0, 5_000_140)):
        poll(books, float(at), energy("gpu-a", joules), held=(sharing(TRAIN), sharing(SERVE)))

    assert (allocated_joules(books, TRAIN), allocated_joules(books, SERVE)) == (70, 70)
