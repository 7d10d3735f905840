"""What the exporter accepts of any collector's reading: the rules for counters and values, over every family."""

import math
from collections.abc import Iterator, Sequence

import pytest

from collectors import catalog
from collectors.catalog.bounds import HIGHEST_WATTS, bounds_of
from collectors.contract import Partition, Process, Reading, Reason, Sample, SubjectKey, Unsupported
from collectors.counters import bound
from collectors.metric import Kind, Metric, Origin, Subject
from exporter.validation import Accepted, Validator
from tests.doubles.collectors import energy, gpu, no_energy, part, power, utilization

A, SLICE = gpu("gpu-a"), part("gpu-a", "s0")
SUPPLIED = [row for row in catalog.ROWS if row.origin is Origin.COLLECTOR and row is not catalog.INFO]
COUNTERS = [row for row in SUPPLIED if row.kind is Kind.COUNTER]
GAUGES = [row for row in SUPPLIED if row.kind is Kind.GAUGE]
LIMIT_WATTS = 700.0


def labels_of(row: Metric) -> tuple[str, ...]:
    return tuple(label.values[0] if label.values else "0" for label in row.labels)


def of_each_subject(rows: Sequence[Metric]) -> list[tuple[Metric, str]]:
    """Every row with the uuid of a partition, or none."""
    return [(row, "s0" if subject is Subject.PARTITION else "") for row in rows for subject in row.subjects]


def names(pairs: Sequence[tuple[Metric, str]]) -> list[str]:
    return [f"{row.stem}-{'partition' if uuid else 'device'}" for row, uuid in pairs]


EVERY_COUNTER, EVERY_GAUGE = of_each_subject(COUNTERS), of_each_subject(GAUGES)


class Bench:
    """One device with one partition, read once a second."""

    def __init__(self) -> None:
        self.validator = Validator()
        self.now = 0.0

    def read(
        self, *samples: Sample, session: int = 0, lost: bool = False, unsupported: tuple[Unsupported, ...] = ()
    ) -> Accepted:
        self.now += 1
        device = gpu("gpu-a", lost=lost)
        reading = Reading((device,), (SLICE,), samples, unsupported=unsupported, sessions={"gpu-a": session})
        return self.validator.validate(reading, self.now)

    def value(self, row: Metric, uuid: str, value: float, session: int = 0) -> float | None:
        """Read one value; return what is exported."""
        found = [s.value for s in self.read(Sample(row, "gpu-a", value, uuid, labels_of(row)), session=session).samples]
        return found[0] if found else None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def reasons(accepted: Accepted) -> list[Reason]:
    return [fault.reason for fault in accepted.faults]


def steps(row: Metric) -> tuple[float, float]:
    """A value far above what the counter can rise by in some seconds, and a possible rise in one second."""
    most = HIGHEST_WATTS if row is catalog.ENERGY else row.most_per_second
    return (1000.0, 7.0) if most is None else (1000 * most, most / 10)


@pytest.mark.parametrize(("row", "uuid"), EVERY_COUNTER, ids=names(EVERY_COUNTER))
class TestEveryCounter:
    def series(
        self, bench: Bench, row: Metric, uuid: str, values: Sequence[float], sessions: Sequence[int] = ()
    ) -> Iterator[float | None]:
        for value, session in zip(values, sessions or [0] * len(values), strict=True):
            yield bench.value(row, uuid, value, session=session)

    def test_dip(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, step = steps(row)
        values = [base, base + step, 0, base + 2 * step]
        assert list(self.series(bench, row, uuid, values)) == [base, base + step, base + step, base + 2 * step]

    def test_three_zeros(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, step = steps(row)
        held, reset = [base] * 3, [base, base, 0]
        exported = list(self.series(bench, row, uuid, [base, 0, 0, 0, base + step]))
        # Three equal counts of errors are what an administrator's clear looks like.
        assert exported[1:4] == (reset if row.most_per_second is None else held)
        assert exported[4] == base + step

    def test_reset_that_is_known(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, step = steps(row)
        assert list(self.series(bench, row, uuid, [base, step / 7], [0, 1])) == [base, step / 7]

    def test_reset_after_the_device_was_lost(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, step = steps(row)
        bench.value(row, uuid, base)
        bench.read(lost=True)
        assert bench.value(row, uuid, step) == step

    def test_reset_that_is_not_known(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, step = steps(row)
        exported = list(self.series(bench, row, uuid, [base, step, 2 * step, 3 * step]))
        assert exported[:2] == [base, base]
        assert exported[3] == 3 * step

    def test_implausible_once(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, step = steps(row)
        assert list(self.series(bench, row, uuid, [base, 2.0**64, base + step])) == [base, base, base + step]

    def test_implausible_for_good(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, _ = steps(row)
        values = [base, *[2.0**64] * 5]
        assert list(self.series(bench, row, uuid, values)) == [base, base, base, base, None, None]

    def test_first_value_is_implausible(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, _ = steps(row)
        assert list(self.series(bench, row, uuid, [2.0**64, base])) == [None, base]

    def test_refused_reading_is_counted(self, bench: Bench, row: Metric, uuid: str) -> None:
        base, step = steps(row)
        list(self.series(bench, row, uuid, [base, 0]))
        found = bench.read(Sample(row, "gpu-a", base + step, uuid, labels_of(row)))
        assert reasons(found) == [Reason.INVALID_VALUE]
        assert found.faults[0].where == f"{row.stem} of {uuid or 'gpu-a'}"


@pytest.mark.parametrize("row", [row for row in COUNTERS if row.labels and len(row.labels[0].values) > 1])
def test_two_series_of_one_family_are_separate(bench: Bench, row: Metric) -> None:
    base, step = steps(row)
    first, second = ((value, *labels_of(row)[1:]) for value in row.labels[0].values[:2])
    for low, high in ((base, 3 * base), (base + step, 3 * base + step)):
        found = bench.read(Sample(row, "gpu-a", low, labels=first), Sample(row, "gpu-a", high, labels=second))
        assert [sample.value for sample in found.samples] == [low, high]


@pytest.mark.parametrize(("row", "uuid"), EVERY_GAUGE, ids=names(EVERY_GAUGE))
class TestEveryGauge:
    def test_bounds_are_possible(self, bench: Bench, row: Metric, uuid: str) -> None:
        assert [bench.value(row, uuid, value) for value in bounds_of(row)] == list(bounds_of(row))

    def test_values_outside_the_bounds_are_refused_and_counted(self, bench: Bench, row: Metric, uuid: str) -> None:
        low, high = bounds_of(row)
        for value in (low - 1e-6, high * 1.001, math.nan, math.inf, 2.0**64 - 4096, -(2.0**31)):
            found = bench.read(Sample(row, "gpu-a", value, uuid, labels_of(row)))
            assert (found.samples, reasons(found)) == ((), [Reason.INVALID_VALUE])


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (catalog.POWER, 4_000_000),
        (catalog.POWER, 2101),
        (catalog.POWER, 4294967.295),
        (catalog.TEMPERATURE, 65_535),
        (catalog.TEMPERATURE, 255),
        (catalog.CLOCK, 2**31 * 1e6),
        (catalog.CLOCK, 65_535e6),
        (catalog.MEMORY_USAGE, 2.0**64 - 4096),
        (catalog.MEMORY_USAGE, 25 * 2.0**30),
        (catalog.MEMORY_RESERVED, 25 * 2.0**30),
        (catalog.FAN_SPEED, 80_833.44),
        (catalog.UTILIZATION, 1.01),
    ],
)
def test_impossible_on_this_device(bench: Bench, row: Metric, value: float) -> None:
    limits = (Sample(catalog.POWER_LIMIT, "gpu-a", LIMIT_WATTS), Sample(catalog.MEMORY_LIMIT, "gpu-a", 24 * 2.0**30))
    found = bench.read(Sample(row, "gpu-a", value, labels=labels_of(row)), *limits)

    assert found.samples == limits
    assert reasons(found) == [Reason.INVALID_VALUE]


@pytest.mark.parametrize(
    ("row", "value"),
    [(catalog.FAN_SPEED, 1.3), (catalog.POWER, 3 * LIMIT_WATTS), (catalog.TEMPERATURE, -5), (catalog.CLOCK, 15e9)],
)
def test_unusual_but_possible(bench: Bench, row: Metric, value: float) -> None:
    sample = Sample(row, "gpu-a", value, labels=labels_of(row))
    assert sample in bench.read(sample, Sample(catalog.POWER_LIMIT, "gpu-a", LIMIT_WATTS)).samples


def test_limits_are_remembered_and_an_impossible_limit_is_not(bench: Bench) -> None:
    bench.read(Sample(catalog.POWER_LIMIT, "gpu-a", LIMIT_WATTS), Sample(catalog.POWER_MAX_LIMIT, "gpu-a", 800))
    bench.read(Sample(catalog.POWER_MAX_LIMIT, "gpu-a", 4294967))

    assert bench.value(catalog.POWER, "", 2401) is None
    assert bench.value(catalog.POWER, "", 2399) == 2399


def test_memory_of_a_partition_is_compared_with_its_own_size(bench: Bench) -> None:
    bench.read(Sample(catalog.MEMORY_LIMIT, "gpu-a", 80e9), Sample(catalog.MEMORY_LIMIT, "gpu-a", 10e9, "s0"))

    assert bench.value(catalog.MEMORY_USAGE, "s0", 11e9) is None
    assert bench.value(catalog.MEMORY_USAGE, "", 11e9) == 11e9


def test_impossible_memory_of_a_process_is_unknown() -> None:
    processes = (Process(7, "gpu-a", "", 2**64 - 4096), Process(8, "gpu-a", "", 5))
    accepted = Validator().validate(Reading((A,), processes=processes), 0.0)

    assert accepted.processes == (Process(7, "gpu-a"), Process(8, "gpu-a", "", 5))
    assert reasons(accepted) == [Reason.INVALID_VALUE]


def test_counter_and_ratios_of_a_process_follow_the_rules() -> None:
    validator = Validator()
    read = [
        validator.validate(
            Reading((A,), processes=(Process(7, "gpu-a", "", 5, 0.5, 1.5, copy_seconds=seconds),)), float(at)
        ).processes[0]
        for at, seconds in enumerate((900.0, 0.0, 901.0, 1e9))
    ]

    assert [process.copy_seconds for process in read] == [900, 900, 901, 901]
    assert {(process.utilization_ratio, process.occupancy_ratio) for process in read} == {(0.5, None)}


def test_counters_of_processes_that_are_not_listed_are_dropped() -> None:
    validator = Validator()
    read = []
    for at, (pid, started, seconds) in enumerate([(7, 1, 900), (7, 2, 3), (8, 3, 5), (7, 2, 1), (7, 2, 0.5)]):
        process = Process(pid, "gpu-a", copy_seconds=seconds, started=started)
        accepted = validator.validate(Reading((A,), processes=(process,)), float(at))
        validator.validate(Reading((A,)), at + 0.5)  # processes are not due
        read += [process.copy_seconds for process in accepted.processes]

    assert read == [900, 3, 5, 1, 1]


def test_lowest_power_limit_and_a_memory_of_no_size_are_no_limits(bench: Bench) -> None:
    usable = (power("gpu-a", 350), Sample(catalog.MEMORY_USAGE, "gpu-a", 1e9))
    bench.read(Sample(catalog.POWER_MIN_LIMIT, "gpu-a", 100), Sample(catalog.MEMORY_LIMIT, "gpu-a", 0))

    assert bench.read(*usable).samples == usable


@pytest.mark.parametrize("mark", [2**32 - 1, 2**62, 2**64 - 1])
def test_marks_for_an_unknown_count_are_never_exported(bench: Bench, mark: float) -> None:
    def errors(count: float) -> Sample:
        return Sample(catalog.MEMORY_ERRORS, "gpu-a", count, labels=("uncorrected",))

    assert bench.read(errors(mark)).samples == ()
    assert bench.read(errors(0)).samples == (errors(0),)
    assert bench.read(errors(mark)).samples == (errors(0),)
    assert bench.read(errors(1)).samples == (errors(1),)


@pytest.mark.parametrize("row", [catalog.POWER_LIMIT, catalog.POWER_DEFAULT_LIMIT, catalog.POWER_MAX_LIMIT])
def test_one_low_limit_makes_no_power_impossible(bench: Bench, row: Metric) -> None:
    for watts in (LIMIT_WATTS, 1.0):
        bench.read(Sample(row, "gpu-a", watts))

    assert bench.read(power("gpu-a", LIMIT_WATTS)).samples == (power("gpu-a", LIMIT_WATTS),)
    bench.read(Sample(row, "gpu-a", 1.0))  # a limit that stays low is one
    assert bench.read(power("gpu-a", LIMIT_WATTS)).samples == ()


def test_limit_below_the_lowest_that_can_be_set_makes_no_power_impossible(bench: Bench) -> None:
    bench.read(Sample(catalog.POWER_LIMIT, "gpu-a", 1.0), Sample(catalog.POWER_MIN_LIMIT, "gpu-a", 100))

    assert bench.read(power("gpu-a", 350)).samples == (power("gpu-a", 350),)


def test_energy_that_jumps_is_never_credited(bench: Bench) -> None:
    bench.read(energy("gpu-a", 1_000_000), Sample(catalog.POWER_LIMIT, "gpu-a", LIMIT_WATTS))
    risen = [bench.read(energy("gpu-a", joules)).energy["gpu-a"].amount for joules in (2_480_000, 1_000_600, 1_001_200)]

    assert risen == [0, 600, 600]


def test_energy_is_bounded_by_three_times_the_highest_power_limit(bench: Bench) -> None:
    bench.read(energy("gpu-a", 0), Sample(catalog.POWER_LIMIT, "gpu-a", LIMIT_WATTS))
    most = bound(3 * LIMIT_WATTS, 1.0)

    assert bench.read(energy("gpu-a", most + 1)).energy["gpu-a"].amount == 0
    assert bench.read(energy("gpu-a", most + 2)).energy["gpu-a"].amount == most + 2


def test_energy_is_absent_until_the_next_session_once_its_counter_stands_still(bench: Bench) -> None:
    first = bench.read(power("gpu-a", 300), energy("gpu-a", 5_000_000))
    for _ in range(70):
        frozen = bench.read(power("gpu-a", 300), energy("gpu-a", 5_000_000))
    again = bench.read(power("gpu-a", 300), energy("gpu-a", 5_000_900))
    next_session = bench.read(power("gpu-a", 300), energy("gpu-a", 5_001_200), session=1)

    assert [joules_of(each) for each in (first, frozen, again, next_session)] == [5_000_000, None, None, 5_001_200]
    assert {each.integrated_power for each in (first, frozen, again, next_session)} == {frozenset()}
    assert reasons(again) == [Reason.INVALID_VALUE]


def test_energy_is_absent_while_its_counter_is_unsupported_and_power_is_not_integrated_meanwhile(bench: Bench) -> None:
    read = [bench.read(power("gpu-a", 300), energy("gpu-a", 5_000_000))]
    read += [bench.read(power("gpu-a", 300), unsupported=(no_energy("gpu-a"),)) for _ in range(2)]
    read += [bench.read(power("gpu-a", 300), energy("gpu-a", 5_000_900))]

    assert [joules_of(each) for each in read] == [5_000_000, None, None, 5_000_900]
    assert {each.integrated_power for each in read} == {frozenset()}
    assert read[-1].energy["gpu-a"].amount == 900


def joules_of(accepted: Accepted) -> float | None:
    return next((sample.value for sample in accepted.samples if sample.metric is catalog.ENERGY), None)


@pytest.mark.parametrize("wrong", [2.0**62, 2.0**49, 0.0])
def test_refused_values_are_no_counter_that_stands_still(bench: Bench, wrong: float) -> None:
    values = [5_000_000.0 + 700 * second for second in range(20)]
    values[3:9] = [wrong] * 6
    exported = [joules_of(bench.read(power("gpu-a", 700), energy("gpu-a", value))) for value in values]

    assert exported[9:] == values[9:]
    assert exported[6:9] == [None] * 3


def test_impossible_values_for_minutes_are_no_counter_that_stands_still(bench: Bench) -> None:
    bench.read(power("gpu-a", 700), energy("gpu-a", 5_000_000))
    for _ in range(300):
        bench.read(power("gpu-a", 700), energy("gpu-a", 2.0**62))

    assert joules_of(bench.read(power("gpu-a", 700), energy("gpu-a", 5_210_700))) == 5_210_700


def test_counter_that_stalls_for_some_seconds_is_kept(bench: Bench) -> None:
    values = [5_000_000 + 200 * (second if not 3 <= second <= 8 else 3) for second in range(12)]

    assert [joules_of(bench.read(power("gpu-a", 210), energy("gpu-a", value))) for value in values] == values


@pytest.mark.parametrize(
    ("watts", "seconds", "readings", "exported"),
    [(300, 1, 60, 5_000_000), (300, 1, 63, None), (300, 60, 5, 5_000_000), (300, 60, 8, None), (2, 10, 40, 5_000_000)],
)
def test_counter_stands_still_after_a_minute_five_readings_and_1000_joules(
    bench: Bench, watts: float, seconds: float, readings: int, exported: float | None
) -> None:
    for _ in range(readings):
        bench.now += seconds - 1
        found = bench.read(power("gpu-a", watts), energy("gpu-a", 5_000_000))

    assert joules_of(found) == exported


def test_counter_of_an_idle_device_may_stand_still(bench: Bench) -> None:
    for _ in range(200):
        found = bench.read(power("gpu-a", 2), energy("gpu-a", 5_000_000))

    assert energy("gpu-a", 5_000_000) in found.samples


def test_integrated_power_stays_the_source_until_the_next_session(bench: Bench) -> None:
    gap = (no_energy("gpu-a"),)
    assert bench.read(power("gpu-a", 300), unsupported=gap).integrated_power == {"gpu-a"}
    counted = bench.read(power("gpu-a", 300), energy("gpu-a", 7_000))
    assert counted.samples == (power("gpu-a", 300),)
    assert counted.integrated_power == {"gpu-a"}
    assert bench.read(power("gpu-a", 300), energy("gpu-a", 7_300), session=1).integrated_power == frozenset()


def test_source_is_not_chosen_while_neither_is_known(bench: Bench) -> None:
    assert bench.read(power("gpu-a", 300)).integrated_power == frozenset()
    assert energy("gpu-a", 7_000) in bench.read(power("gpu-a", 300), energy("gpu-a", 7_000)).samples


def test_sample_of_a_subject_that_is_not_listed_is_refused(bench: Bench) -> None:
    found = bench.read(utilization("gpu-z", 0.5), utilization("gpu-a", 0.5, "s9"), utilization("gpu-a", 0.5))

    assert found.samples == (utilization("gpu-a", 0.5),)
    assert reasons(found) == [Reason.INVALID_VALUE] * 2


def test_memory_is_bounded_when_devices_partitions_and_labels_change() -> None:
    validator = Validator()
    for hour in range(100):
        for minute in range(0, 60, 5):
            at = 3600.0 * hour + 60 * minute
            device, partition = gpu(f"gpu-{hour}"), Partition(f"s{hour}", f"gpu-{hour}", "1g")
            samples = (
                Sample(catalog.ENERGY, device.uuid, at),
                Sample(catalog.MEMORY_LIMIT, device.uuid, 1, partition.uuid),
                Sample(catalog.PIPE_ELAPSED_CYCLES, device.uuid, at, partition.uuid),
                Sample(catalog.ERRORS, "gpu-same", 1, labels=("xid", str(hour), "hardware")),
            )
            validator.validate(Reading((device, gpu("gpu-same")), (partition,), samples), at)

    kept = vars(validator)
    assert all(len(kept[name]) < 12 for name in ("_limits", "_listed_at")), kept
    assert len(kept["_counters"]) < 40
    assert SubjectKey("gpu-0") not in kept["_listed_at"]
