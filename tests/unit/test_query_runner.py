"""Batches: queries that one call answers, each with its own result or error."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

import pytest

from collectors import catalog
from collectors.contract import CollectorError, DeviceLostError, Reason, SubjectKey, UnavailableError, UnsupportedError
from collectors.metric import Cadence, Metric
from collectors.query import Batch, BatchItem, NoDataError, PermanentlyUnsupportedError, RawValue
from collectors.query_runner import QueryResult, QueryRunner

ALL = frozenset(Cadence)
SUBJECT = SubjectKey("GPU-0")
DENIED = UnavailableError("no", Reason.PERMISSION_DENIED)


class Library:
    """The function that a batch calls; it answers by key and records the requested keys."""

    def __init__(self, **answers: float | CollectorError) -> None:
        self.answers = answers
        self.whole: CollectorError | None = None
        self.requests: list[list[Hashable]] = []

    def __call__(self, _: None, __: None, keys: Sequence[Hashable]) -> Sequence[float | CollectorError]:
        self.requests.append(list(keys))
        if self.whole is not None:
            raise self.whole
        return [self.answers[str(key)] for key in keys]


def item(key: str, metric: Metric, fallback_for: str = "") -> BatchItem:
    def read(raw: float) -> Iterable[RawValue]:
        if raw < 0:
            raise UnavailableError(f"{key}: {raw}", Reason.INVALID_VALUE)
        return (RawValue(metric, raw),)

    return BatchItem(key, (metric,), key, read, fallback_for)


class Bench:
    """A device with one batch of queries."""

    def __init__(self, library: Library, *items: BatchItem) -> None:
        self.library = library
        self.queries: tuple[Batch[None, None]] = (Batch(items, library),)
        self.now = 0.0
        self.runner: QueryRunner[None, None] = QueryRunner(None, clock=lambda: self.now)

    def new_session(self) -> None:
        self.runner = QueryRunner(None, clock=lambda: self.now, expected=self.runner.answered())

    def query(self, due: frozenset[Cadence] = ALL) -> QueryResult:
        return self.runner.run(SUBJECT, None, self.queries, due)

    @property
    def gaps(self) -> set[Metric]:
        return {gap.metric for gap in self.runner.unsupported()}


def power_and_energy(**answers: float | CollectorError) -> Bench:
    return Bench(Library(**answers), item("power", catalog.POWER), item("energy", catalog.ENERGY))


def values(result: QueryResult) -> dict[Metric, float]:
    return {sample.metric: sample.value for sample in result.samples}


def test_due_queries_take_one_call() -> None:
    bench = Bench(Library(power=1, clock=2), item("power", catalog.POWER), item("clock", catalog.PCIE_WIDTH))
    bench.query(frozenset({Cadence.FAST}))
    bench.query()
    assert bench.library.requests == [["power"], ["power", "clock"]]


def test_no_call_is_made_if_nothing_is_due() -> None:
    bench = power_and_energy(power=1, energy=2)
    bench.query(frozenset({Cadence.SLOW}))
    assert bench.library.requests == []


def test_an_unsupported_item_is_left_out_of_the_next_call() -> None:
    bench = power_and_energy(power=UnsupportedError("too old"), energy=7)
    assert values(bench.query()) == values(bench.query()) == {catalog.ENERGY: 7}
    assert bench.library.requests == [["power", "energy"], ["energy"]]
    assert bench.gaps == {catalog.POWER}


@pytest.mark.parametrize("error", [UnavailableError("later"), UnavailableError("garbage", Reason.INVALID_VALUE)])
def test_an_item_that_fails_is_a_fault_and_is_queried_again(error: UnavailableError) -> None:
    bench = power_and_energy(power=error, energy=7)
    result = bench.query()
    bench.query()
    assert [fault.reason for fault in result.faults] == [error.reason]
    assert (result.failed, result.succeeded) == (1, 1)
    assert bench.library.requests[1] == ["power", "energy"]
    assert bench.gaps == set()


def test_an_invalid_value_is_a_fault() -> None:
    result = power_and_energy(power=-1, energy=7).query()
    assert values(result) == {catalog.ENERGY: 7}
    assert [fault.reason for fault in result.faults] == [Reason.INVALID_VALUE]


def test_no_data_is_neither_a_value_nor_a_fault() -> None:
    result = power_and_energy(power=NoDataError("none yet"), energy=7).query()
    assert values(result) == {catalog.ENERGY: 7}
    assert result.faults == []
    assert result.succeeded == 2


@pytest.mark.parametrize("error", [DeviceLostError("lost"), CollectorError("the library is closed")])
def test_a_lost_device_or_library_is_raised(error: CollectorError) -> None:
    with pytest.raises(type(error)):
        power_and_energy(power=1, energy=error).query()


def test_a_failure_of_the_whole_call_is_one_fault() -> None:
    bench = power_and_energy(power=1, energy=2)
    bench.library.whole = UnavailableError("busy")
    result = bench.query()
    assert [fault.reason for fault in result.faults] == [Reason.UNAVAILABLE]
    bench.library.whole = None
    assert len(bench.query().samples) == 2


@pytest.mark.parametrize("error", [UnsupportedError("no such function"), DENIED])
def test_an_unsupported_or_forbidden_call_is_made_once(error: CollectorError) -> None:
    bench = power_and_energy(power=1, energy=2)
    bench.library.whole = error
    bench.query()
    bench.query()
    assert len(bench.library.requests) == 1
    assert bench.gaps == {catalog.POWER, catalog.ENERGY}


def test_a_missing_permission_for_one_item_is_reported_once() -> None:
    bench = power_and_energy(power=DENIED, energy=2)
    assert [fault.reason for fault in bench.query().faults] == [Reason.PERMISSION_DENIED]
    assert bench.query().faults == []


def test_a_value_that_stays_is_the_same_sample() -> None:
    bench = power_and_energy(power=300, energy=7)
    first = bench.query()
    bench.library.answers["energy"] = 8
    second = bench.query()
    bench.library.answers |= {"power": UnavailableError("busy"), "energy": 8}
    bench.query()
    bench.library.answers["power"] = 300
    third = bench.query()
    assert [sample.value for sample in second.samples] == [300, 8]
    assert second.samples[0] is first.samples[0] is third.samples[0]
    assert second.samples[1] is third.samples[1]
    assert {type(sample.value) for sample in first.samples} == {float}


def test_what_is_unsupported_is_the_same_object_until_it_changes() -> None:
    bench = power_and_energy(power=UnsupportedError("too old"), energy=7)
    bench.query()
    first = bench.runner.unsupported()
    bench.query()
    assert bench.runner.unsupported() is first
    bench.library.answers["energy"] = UnsupportedError("too old")
    bench.query()
    assert bench.gaps == {catalog.POWER, catalog.ENERGY}


def times_of_requests(bench: Bench, key: str, until: int, due: frozenset[Cadence] | None = None) -> list[int]:
    """The seconds at which a key was requested, if fast readings are due every second, and slow ones every minute."""
    found = []
    for second in range(until):
        bench.now = second
        before = len(bench.library.requests)
        bench.query(due or (ALL if second % 60 == 0 else FAST))
        if any(key in keys for keys in bench.library.requests[before:]):
            found.append(second)
    return found


FAST = frozenset({Cadence.FAST})
DENIED_AND_UNSUPPORTED = [DENIED, UnsupportedError("not now")]


@pytest.mark.parametrize("error", DENIED_AND_UNSUPPORTED)
@pytest.mark.parametrize("whole", [False, True])
def test_an_unsupported_query_is_run_again_with_the_slow_readings_and_later_every_ten_minutes(
    error: CollectorError,
    whole: bool,  # noqa: FBT001 - the two cases
) -> None:
    bench = power_and_energy(power=error, energy=error)
    bench.library.whole = error if whole else None
    seconds = times_of_requests(bench, "power", 3000)
    assert seconds == [*range(0, 601, 60), 1200, 1800, 2400]
    bench.library.answers["power"], bench.library.whole = 5.0, None
    bench.now = 3000
    assert catalog.POWER in values(bench.query())
    assert catalog.POWER not in bench.gaps


@pytest.mark.parametrize("error", DENIED_AND_UNSUPPORTED)
def test_a_query_that_has_answered_with_nothing_has_answered(error: CollectorError) -> None:
    bench = Bench(Library(listing=0), BatchItem("listing", (catalog.PROCESSES,), "listing", lambda _: ()))
    for _ in range(3):
        bench.library.answers["listing"] = 0
        bench.query()
        assert bench.gaps == set()
        bench.library.answers["listing"] = error
        (fault,) = bench.query().faults
        assert fault.reason is (DENIED.reason if error is DENIED else Reason.UNAVAILABLE)
        assert bench.gaps == {catalog.PROCESSES}
        bench.now += 2  # the first pause is a second


@pytest.mark.parametrize("error", DENIED_AND_UNSUPPORTED)
def test_a_query_that_has_answered_before_is_run_again_soon_and_its_loss_counts_once(error: CollectorError) -> None:
    bench = power_and_energy(power=300, energy=7)
    bench.query(FAST)
    bench.library.answers["power"] = error
    faults = []
    for second in range(1, 300):
        bench.now = second
        faults += bench.query(FAST).faults
    (fault,) = faults
    expected = DENIED.reason if error is DENIED else Reason.UNAVAILABLE
    assert fault.reason is expected
    assert error is DENIED or fault.detail == "power: answered before, now unsupported: not now"
    requested = [number for number, keys in enumerate(bench.library.requests) if "power" in keys]
    assert requested == [0, 1, 2, 4, 8, 16, 32, 64, 124, 184, 244]
    bench.library.answers["power"] = 301.0
    bench.now = 304
    assert values(bench.query(FAST))[catalog.POWER] == 301


def test_a_fact_of_the_library_is_not_asked_for_again() -> None:
    bench = power_and_energy(power=PermanentlyUnsupportedError("no such function"), energy=7)
    assert times_of_requests(bench, "power", 3000) == [0]


def test_a_query_that_blocks_the_device_is_not_run_again() -> None:
    library = Library(power=UnsupportedError("no"))
    bench = Bench(library, replace(item("power", catalog.POWER), once=True))
    assert times_of_requests(bench, "power", 3000) == [0]


def test_slow_readings_need_not_be_due_together_with_the_query() -> None:
    bench = power_and_energy(power=UnsupportedError("no"), energy=7)
    bench.query(FAST)
    bench.now = 60
    bench.query(frozenset({Cadence.SLOW}))
    bench.now = 61
    bench.query(FAST)
    assert ["power" in keys for keys in bench.library.requests] == [True, True]


def test_a_primary_that_answers_again_takes_over_from_its_fallback_unless_it_is_a_counter() -> None:
    for metric, expected in ((catalog.POWER, [3, 100]), (catalog.PCIE_REPLAYS, [3, 3])):
        first, second = item("new", metric), item("old", metric, fallback_for="new")
        bench = Bench(Library(new=UnsupportedError("not yet"), old=3), first, second)
        bench.query()
        found = [values(bench.query())[metric]]
        bench.library.answers["new"] = 100
        bench.now = 60
        bench.query()
        found.append(values(bench.query())[metric])
        assert found == expected


def test_a_fallback_is_queried_once_the_first_item_is_known_to_be_unsupported() -> None:
    bench = Bench(
        Library(new=UnsupportedError("too old"), old=5),
        item("new", catalog.POWER),
        item("old", catalog.POWER, fallback_for="new"),
    )
    assert values(bench.query()) == {}
    assert values(bench.query()) == {catalog.POWER: 5}
    assert bench.gaps == set()


def two_counters(**answers: float | CollectorError) -> Bench:
    return Bench(
        Library(**answers),
        item("new", catalog.PCIE_REPLAYS),
        item("old", catalog.PCIE_REPLAYS, fallback_for="new"),
    )


def test_counter_that_becomes_unsupported_is_not_replaced_in_the_same_session() -> None:
    bench = two_counters(new=100, old=3)
    assert values(bench.query()) == {catalog.PCIE_REPLAYS: 100}
    bench.library.answers["new"] = UnsupportedError("gone")
    for _ in range(3):
        assert values(bench.query()) == {}
    assert bench.gaps == {catalog.PCIE_REPLAYS}
    bench.runner.forget(SUBJECT.device_uuid)
    assert values(bench.query()) == {}
    bench.new_session()
    bench.query()
    assert values(bench.query()) == {catalog.PCIE_REPLAYS: 3}


def test_counter_that_is_supported_later_does_not_replace_its_fallback_in_the_same_session() -> None:
    bench = two_counters(new=UnsupportedError("not yet"), old=3)
    bench.query()
    assert values(bench.query()) == {catalog.PCIE_REPLAYS: 3}
    bench.library.answers["new"] = 100
    bench.runner.forget(SUBJECT.device_uuid)
    assert values(bench.query()) == {catalog.PCIE_REPLAYS: 3}
    assert bench.gaps == set()
    bench.new_session()
    assert values(bench.query()) == {catalog.PCIE_REPLAYS: 100}


def test_queries_that_have_answered_before_are_retried_without_a_pause() -> None:
    bench = power_and_energy(power=1, energy=UnsupportedError("never"))
    bench.query()
    bench.library.answers = {"power": UnsupportedError("dying"), "energy": UnsupportedError("never")}
    bench.query()
    bench.library.answers = {"power": 3, "energy": 4}
    assert values(bench.query()) == {}
    bench.runner.retry("GPU-1")
    assert values(bench.query()) == {}
    bench.runner.retry(SUBJECT.device_uuid)
    assert bench.gaps == {catalog.ENERGY}
    assert values(bench.query()) == {catalog.POWER: 3}


def test_counter_at_zero_is_unsupported_only_before_it_has_counted() -> None:
    def read(raw: float) -> Iterable[RawValue]:
        return (RawValue(catalog.ENERGY, raw, unsupported_at_zero=True),)

    counter = BatchItem("energy", (catalog.ENERGY,), "energy", read)
    still, dips = Bench(Library(energy=0), counter), Bench(Library(energy=7), counter)
    assert (values(still.query()), still.gaps) == ({}, {catalog.ENERGY})
    dips.query()
    dips.library.answers["energy"] = 0
    assert (values(dips.query()), dips.gaps) == ({catalog.ENERGY: 0}, set())


def test_width_of_a_narrow_counter_is_converted_with_its_values() -> None:
    def read(raw: float) -> Iterable[RawValue]:
        return (RawValue(catalog.PCIE_BYTES, raw, lambda kib: kib * 1024, ("receive",), 2**32),)

    [sample] = Bench(Library(bytes=3), BatchItem("bytes", (catalog.PCIE_BYTES,), "bytes", read)).query().samples
    assert (sample.value, sample.width) == (3 * 1024, 2**42)


@pytest.mark.parametrize(("raw", "samples"), [(1e18, 1), (-1.0, 0), (float("nan"), 0)])
def test_high_value_of_a_counter_is_left_to_the_exporter(raw: float, samples: int) -> None:
    def read(_: float) -> Iterable[RawValue]:
        return (RawValue(catalog.ENERGY, raw),)

    found = Bench(Library(energy=1), BatchItem("energy", (catalog.ENERGY,), "energy", read)).query()
    assert (len(found.samples), len(found.faults)) == (samples, 1 - samples)
