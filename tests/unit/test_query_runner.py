"""Queries that one call answers together, each with a fate of its own."""

from collections.abc import Hashable, Iterable, Sequence

import pytest

from collectors import catalog
from collectors.contract import CollectorError, DeviceLostError, Reason, SubjectKey, UnavailableError, UnsupportedError
from collectors.metric import Cadence, Metric
from collectors.query import Batch, BatchItem, NoDataError, RawValue
from collectors.query_runner import QueryResult, QueryRunner

ALL = frozenset(Cadence)
SUBJECT = SubjectKey("GPU-0")
DENIED = UnavailableError("no", Reason.PERMISSION_DENIED)


class Library:
    """What a batch asks; it answers by key and notes what it was asked."""

    def __init__(self, **answers: float | CollectorError) -> None:
        self.answers = answers
        self.whole: CollectorError | None = None
        self.asked: list[list[Hashable]] = []

    def __call__(self, _: None, __: None, keys: Sequence[Hashable]) -> Sequence[float | CollectorError]:
        self.asked.append(list(keys))
        if self.whole is not None:
            raise self.whole
        return [self.answers[str(key)] for key in keys]


def part(key: str, metric: Metric, fallback_for: str = "") -> BatchItem:
    def read(raw: float) -> Iterable[RawValue]:
        if raw < 0:
            raise UnavailableError(f"{key}: {raw}", Reason.INVALID_VALUE)
        return (RawValue(metric, raw),)

    return BatchItem(key, (metric,), key, read, fallback_for)


class Bench:
    """A device that is asked one batch."""

    def __init__(self, library: Library, *parts: BatchItem) -> None:
        self.library = library
        self.batch: Batch[None, None] = Batch(parts, library)
        self.runner: QueryRunner[None, None] = QueryRunner(None)

    def ask(self, due: frozenset[Cadence] = ALL) -> QueryResult:
        return self.runner.run(SUBJECT, None, (self.batch,), due)

    @property
    def gaps(self) -> set[Metric]:
        return {gap.metric for gap in self.runner.unsupported()}


def power_and_energy(**answers: float | CollectorError) -> Bench:
    return Bench(Library(**answers), part("power", catalog.POWER), part("energy", catalog.ENERGY))


def values(findings: QueryResult) -> dict[Metric, float]:
    return {sample.metric: sample.value for sample in findings.samples}


def test_due_queries_take_one_call() -> None:
    bench = Bench(Library(power=1, clock=2), part("power", catalog.POWER), part("clock", catalog.PCIE_WIDTH))
    bench.ask(frozenset({Cadence.FAST}))
    bench.ask()
    assert bench.library.asked == [["power"], ["power", "clock"]]


def test_no_call_is_made_if_nothing_is_due() -> None:
    bench = power_and_energy(power=1, energy=2)
    bench.ask(frozenset({Cadence.SLOW}))
    assert bench.library.asked == []


def test_an_unsupported_item_is_left_out_of_the_next_call() -> None:
    bench = power_and_energy(power=UnsupportedError("too old"), energy=7)
    assert values(bench.ask()) == values(bench.ask()) == {catalog.ENERGY: 7}
    assert bench.library.asked == [["power", "energy"], ["energy"]]
    assert bench.gaps == {catalog.POWER}


@pytest.mark.parametrize("error", [UnavailableError("later"), UnavailableError("garbage", Reason.INVALID_VALUE)])
def test_an_item_that_fails_is_a_fault_and_is_queried_again(error: UnavailableError) -> None:
    bench = power_and_energy(power=error, energy=7)
    findings = bench.ask()
    bench.ask()
    assert [fault.reason for fault in findings.faults] == [error.reason]
    assert (findings.failed, findings.succeeded) == (1, 1)
    assert bench.library.asked[1] == ["power", "energy"]
    assert bench.gaps == set()


def test_an_invalid_value_is_a_fault() -> None:
    findings = power_and_energy(power=-1, energy=7).ask()
    assert values(findings) == {catalog.ENERGY: 7}
    assert [fault.reason for fault in findings.faults] == [Reason.INVALID_VALUE]


def test_no_data_is_neither_a_value_nor_a_fault() -> None:
    findings = power_and_energy(power=NoDataError("none yet"), energy=7).ask()
    assert values(findings) == {catalog.ENERGY: 7}
    assert findings.faults == []
    assert findings.succeeded == 2


@pytest.mark.parametrize("error", [DeviceLostError("gone"), CollectorError("the library is gone")])
def test_a_lost_device_or_library_is_raised(error: CollectorError) -> None:
    with pytest.raises(type(error)):
        power_and_energy(power=1, energy=error).ask()


def test_a_failure_of_the_whole_call_is_one_fault() -> None:
    bench = power_and_energy(power=1, energy=2)
    bench.library.whole = UnavailableError("busy")
    findings = bench.ask()
    assert [fault.reason for fault in findings.faults] == [Reason.UNAVAILABLE]
    bench.library.whole = None
    assert len(bench.ask().samples) == 2


@pytest.mark.parametrize("error", [UnsupportedError("no such function"), DENIED])
def test_an_unsupported_or_forbidden_call_is_made_once(error: CollectorError) -> None:
    bench = power_and_energy(power=1, energy=2)
    bench.library.whole = error
    bench.ask()
    bench.ask()
    assert len(bench.library.asked) == 1
    assert bench.gaps == {catalog.POWER, catalog.ENERGY}


def test_a_missing_permission_for_one_item_is_reported_once() -> None:
    bench = power_and_energy(power=DENIED, energy=2)
    assert [fault.reason for fault in bench.ask().faults] == [Reason.PERMISSION_DENIED]
    assert bench.ask().faults == []


def test_a_fallback_is_queried_once_the_first_item_is_known_to_be_unsupported() -> None:
    bench = Bench(
        Library(new=UnsupportedError("too old"), old=5),
        part("new", catalog.POWER),
        part("old", catalog.POWER, fallback_for="new"),
    )
    assert values(bench.ask()) == {}
    assert values(bench.ask()) == {catalog.POWER: 5}
    assert bench.gaps == set()
