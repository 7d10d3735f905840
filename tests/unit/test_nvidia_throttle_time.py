"""The time in throttling: the sum of the bits, and the driver's counters once they agree with them."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from collectors import catalog
from collectors.metric import Cadence
from exporter.validation import Validator
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvidia_device import gpus
from tests.doubles.nvml import NvmlState, ValueType
from tests.doubles.options import DIAGNOSED

FAST, MEDIUM = Cadence.FAST, Cadence.MEDIUM
BITS = {"power": 0x4, "board": 0x200, "thermal": 0x20, "external": 0x88, "hardware": 0x8}
NOTHING = dict.fromkeys(("power", "thermal", "external", "hardware"), 0)
FIELDS = "nvmlDeviceGetFieldValues"
REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
POWER, BOARD = 74, 77
NANOSECONDS, MICROSECONDS = 1_000_000_000, 1_000_000
WIDE = ValueType.UNSIGNED_LONG_LONG
NOT_SUPPORTED, TIMEOUT = 3, 10


class Throttled:
    """A card that is read once a second, and its driver, which counts the time of each reason.

    Every reading passes the rule for counters, and its time never falls and never rises faster than the clock.
    """

    def __init__(self, bench: CollectorBench) -> None:
        self.bench = bench
        self.unit = NANOSECONDS
        self.value_type = WIDE
        self.wraps_at = 2**64
        self.counts: dict[int, float] = {}  # seconds, by field number
        self.seconds: dict[str, float] = {}
        self._read_at = 0.0
        self._validator = Validator()

    def count(self, *numbers: int, since: float = 1000.0) -> None:
        """Have counters with these numbers, which began before the exporter."""
        self.counts |= dict.fromkeys(numbers, since)
        self._write()

    def read(self, *due: Cadence) -> Mapping[str, float]:
        """One reading; returns the time by reason, as it is exported."""
        reading = self.bench.read(frozenset(due or Cadence))
        times = tuple(sample for sample in reading.samples if sample.metric is catalog.THROTTLE_SECONDS)
        accepted = self._validator.validate(replace(reading, samples=times, faults=()), self.bench.now)
        assert (accepted.samples, accepted.faults) == (times, ())
        found = {sample.labels[0]: sample.value for sample in times}
        if found:
            most = self.bench.now - self._read_at + 0.5
            assert all(0 <= value - self.seconds.get(name, 0.0) <= most for name, value in found.items())
            self.seconds, self._read_at = found, self.bench.now
        return found

    def run(self, seconds: int, *active: str, rates: Mapping[int, float] | float = 1.0) -> Mapping[str, float]:
        """Let time pass in which these reasons apply and counters rise at these rates; returns the time by reason."""
        self.bench.card.clocks_event_reasons = sum(BITS[name] for name in active)
        for _ in range(seconds):
            for number in self.counts:
                self.counts[number] += rates.get(number, 0.0) if isinstance(rates, Mapping) else rates
            self._write()
            self.bench.pass_time(1)
            self.read(*(FAST, MEDIUM) if self.bench.now % 10 == 0 else (FAST,))
        return self.seconds

    def _write(self) -> None:
        for number, seconds in self.counts.items():
            self.bench.card.set_field(number, seconds * self.unit % self.wraps_at, self.value_type)


@pytest.fixture
def throttled(nvml: NvmlState, tmp_path: Path) -> Iterator[Throttled]:
    nvml.devices = gpus(1)
    nvml.devices[0].clocks_event_reasons = 0
    with collector_bench(tmp_path, nvml, DIAGNOSED) as bench:
        yield Throttled(bench)


def started(throttled: Throttled, *active: str) -> None:
    """The first reading, at which these reasons already apply."""
    throttled.bench.card.clocks_event_reasons = sum(BITS[name] for name in active)
    assert throttled.read() == NOTHING


def in_use(throttled: Throttled, number: int = POWER, reason: str = "power") -> None:
    """Let a counter agree with the bits of its reason in the first minute."""
    throttled.count(number)
    started(throttled, reason)
    assert throttled.run(60, reason, rates=0.75)[reason] == 60  # still by the bits
    assert throttled.run(10, reason, rates=0.75)[reason] == 67.5


@pytest.mark.parametrize("reason", ["power", "thermal", "hardware"])
def test_a_bit_counts_by_the_time_between_readings(throttled: Throttled, reason: str) -> None:
    started(throttled)
    assert throttled.run(10, reason)[reason] == 9.5  # half of the interval at whose end it is set
    assert throttled.run(10)[reason] == 10  # and half of the one at whose beginning it was
    assert throttled.run(20, reason)[reason] == 29.5
    assert {name for name, seconds in throttled.seconds.items() if seconds} == {reason}


def test_counters_in_nanoseconds_are_used_from_their_agreement_on(throttled: Throttled) -> None:
    in_use(throttled)
    assert throttled.run(30, rates=0.5)["power"] == pytest.approx(82.5)  # short times that no bit shows


@pytest.mark.parametrize(
    ("unit", "value_type", "wraps_at"),
    [
        (MICROSECONDS, WIDE, 2**64),
        (0, WIDE, 2**64),  # stands still
        (1000 * NANOSECONDS, WIDE, 2**64),  # rises too fast
        (NANOSECONDS, ValueType.UNSIGNED_INT, 2**32),
        (NANOSECONDS, WIDE, 2**32),
        (NANOSECONDS, ValueType.DOUBLE, 2**64),
    ],
)
def test_counters_of_another_unit_or_size_are_not_used(
    throttled: Throttled, unit: int, value_type: ValueType, wraps_at: int
) -> None:
    throttled.unit, throttled.value_type, throttled.wraps_at = unit, value_type, wraps_at
    throttled.count(POWER)
    started(throttled, "power")
    assert throttled.run(200, "power", rates=0.75)["power"] == 200


def test_without_counters_the_bits_count_and_refused_fields_are_not_used_later(throttled: Throttled) -> None:
    started(throttled, "power")
    assert throttled.run(40, "power")["power"] == 40
    throttled.count(POWER)
    assert throttled.run(100, "power", rates=0.75)["power"] == 140


@pytest.mark.parametrize(
    ("reason", "numbers", "others"),
    [
        ("thermal", (251, 252), (269, 270)),
        ("thermal", (269, 270), (251, 252)),
        ("external", (253,), (271,)),
        ("external", (271,), (253,)),
    ],
)
def test_the_numbers_that_agree_are_used(
    throttled: Throttled, reason: str, numbers: tuple[int, ...], others: tuple[int, ...]
) -> None:
    """The other numbers are a switch and a counter of something else."""
    throttled.count(*numbers, *others)
    started(throttled, reason)
    rates = dict.fromkeys(numbers, 0.75) | dict.fromkeys(others[1:], 0.25)
    assert throttled.run(60, reason, rates=rates)[reason] == 60
    assert throttled.run(40, reason, rates=rates)[reason] == 90


def test_counters_of_one_reason_overlap(throttled: Throttled) -> None:
    throttled.count(251, 252)
    started(throttled, "thermal")
    assert throttled.run(60, "thermal", rates={251: 0.9, 252: 0.5})["thermal"] == 60
    assert throttled.run(10, "thermal", rates={251: 0.5, 252: 0.9})["thermal"] == pytest.approx(69)


def test_the_limit_of_the_board_counts_as_power(throttled: Throttled) -> None:
    """Its counter is used with that of the limit of power, also if it stood still while they were compared."""
    throttled.count(POWER, BOARD)
    started(throttled, "power")
    assert throttled.run(60, "power", rates={POWER: 0.75})["power"] == 60
    assert throttled.run(10, "board", rates={BOARD: 0.75})["power"] == 67.5


def test_reasons_are_compared_separately(throttled: Throttled) -> None:
    throttled.count(POWER, 253)
    started(throttled, "power", "external")
    assert throttled.run(60, "power", "external", rates={POWER: 0.75, 253: 0.1})["power"] == 60
    seconds = throttled.run(40, "power", "external", rates={POWER: 0.75, 253: 0.1})
    assert (seconds["power"], seconds["external"]) == (90, 100)


@pytest.mark.parametrize(
    ("rate", "used"), [(0.51, True), (0.49, False)], ids=["within a factor of 2", "beyond a factor of 2"]
)
def test_counters_may_differ_from_the_bits_by_a_factor_of_2(throttled: Throttled, rate: float, *, used: bool) -> None:
    throttled.count(POWER)
    started(throttled, "power")
    assert throttled.run(60, "power", rates=rate)["power"] == 60
    assert throttled.run(100, "power", rates=rate)["power"] == pytest.approx(60 + 100 * (rate if used else 1))


@pytest.mark.parametrize(("rate", "used"), [(0.19, True), (0.21, False)])
def test_counters_may_be_above_the_bits_by_a_factor_of_2(throttled: Throttled, rate: float, *, used: bool) -> None:
    """The bits say one second in ten."""
    throttled.count(POWER)
    started(throttled)
    for _ in range(6):
        throttled.run(4, rates=rate)
        throttled.run(1, "power", rates=rate)
        throttled.run(5, rates=rate)
    assert throttled.seconds["power"] == 6
    assert throttled.run(10, rates=rate)["power"] == pytest.approx(6 + 10 * rate if used else 6)


def test_a_minute_with_little_throttling_decides_nothing(throttled: Throttled) -> None:
    throttled.count(POWER)
    started(throttled)
    throttled.run(4, "power")
    assert throttled.run(116, rates=0.0)["power"] == 4
    throttled.run(10, "power")  # of the 14.5 seconds by the bits, the driver counted 14
    assert throttled.run(10, rates=0.75)["power"] == pytest.approx(13.5 + 7.5)


def test_a_counter_that_falls_is_not_used_any_more(throttled: Throttled) -> None:
    in_use(throttled)
    throttled.counts[POWER] = 3.0
    assert throttled.run(10, "power")["power"] == 77.5
    assert throttled.run(90, "power", rates=0.75)["power"] == 167.5


def test_a_jump_of_a_counter_is_not_counted(throttled: Throttled) -> None:
    in_use(throttled)
    throttled.counts[POWER] += 100.0
    assert throttled.run(100, "power", rates=0.75)["power"] == 167.5


@pytest.mark.parametrize("value", [2**64 - 1, 2**32 - 1])
def test_a_mark_is_no_count(throttled: Throttled, value: int) -> None:
    in_use(throttled)
    throttled.run(9, "power", rates=0.75)
    throttled.bench.card.set_field(POWER, value, WIDE)
    throttled.bench.pass_time(1)
    assert throttled.read(FAST, MEDIUM)["power"] == 77.5
    throttled.counts[POWER] += 0.75
    assert throttled.run(10, "power", rates=0.75)["power"] == 87.5  # by the bits: from when, is not known
    assert throttled.run(10, "power", rates=0.75)["power"] == 95


def test_while_the_fields_cannot_be_read_the_bits_count(throttled: Throttled, nvml: NvmlState) -> None:
    in_use(throttled)
    throttled.run(9, "power", rates=0.75)
    nvml.fail(FIELDS, TIMEOUT)
    throttled.bench.pass_time(1)
    reading = throttled.bench.poll(FAST, MEDIUM)
    assert reading.value(catalog.THROTTLE_SECONDS, throttled.bench.card.uuid, "power") == 77.5
    nvml.heal()
    assert throttled.run(10, "power", rates=0.75)["power"] == 87.5
    assert throttled.run(10, "power", rates=0.75)["power"] == 95


def test_a_field_that_is_refused_later_is_not_used_any_more(throttled: Throttled) -> None:
    in_use(throttled)
    throttled.counts.clear()
    throttled.bench.card.set_field(POWER, 0, WIDE, code=NOT_SUPPORTED)
    assert throttled.run(10, "power")["power"] == 77.5
    throttled.count(POWER)
    assert throttled.run(100, "power", rates=0.75)["power"] == 177.5


def test_a_long_gap_counts_nothing_by_the_bits(throttled: Throttled) -> None:
    started(throttled, "power")
    throttled.run(10, "power")
    throttled.bench.pass_time(80)
    assert throttled.read(FAST, MEDIUM)["power"] == 10
    assert throttled.run(10, "power")["power"] == 20


def test_a_long_gap_counts_by_a_counter_in_use(throttled: Throttled) -> None:
    in_use(throttled)
    throttled.bench.pass_time(80)
    throttled.count(POWER, since=throttled.counts[POWER] + 70)
    assert throttled.read(FAST, MEDIUM)["power"] == 137.5


def test_the_comparison_starts_again_after_a_gap(throttled: Throttled) -> None:
    throttled.count(POWER)
    started(throttled, "power")
    throttled.run(50, "power", rates=0.75)
    throttled.bench.pass_time(80)  # in which the driver counts nothing, and the bits are not known
    assert throttled.read(FAST, MEDIUM)["power"] == 50
    assert throttled.run(60, "power", rates=0.75)["power"] == 110
    assert throttled.run(40, "power", rates=0.75)["power"] == 140


def test_a_device_that_was_lost_continues_and_its_counters_are_compared_again(
    throttled: Throttled, nvml: NvmlState
) -> None:
    in_use(throttled)
    nvml.lose(0)
    throttled.bench.pass_time(10)
    assert throttled.read() == {}
    nvml.heal()
    throttled.count(POWER, since=0.0)
    throttled.bench.pass_time(10)
    assert throttled.read()["power"] == 67.5
    assert throttled.run(60, "power", rates=0.75)["power"] == 127.5
    assert throttled.run(20, "power", rates=0.75)["power"] == 142.5


def test_the_time_continues_over_sessions_and_the_unit_may_change(throttled: Throttled) -> None:
    in_use(throttled)
    throttled.bench.collector.close()
    throttled.unit = MICROSECONDS
    throttled.count(POWER, since=0.0)
    throttled.bench.pass_time(10)
    assert throttled.read()["power"] == 67.5
    assert throttled.run(100, "power", rates=0.75)["power"] == 167.5


def test_without_reasons_there_is_no_time(throttled: Throttled, nvml: NvmlState) -> None:
    for call in REASONS:
        nvml.fail(call, NOT_SUPPORTED)
    assert catalog.THROTTLE_SECONDS.stem in throttled.bench.poll().unsupported


def test_reasons_that_fail_for_a_moment_make_no_time_unsupported(throttled: Throttled, nvml: NvmlState) -> None:
    nvml.fail(REASONS[0], TIMEOUT, times=1)
    first = throttled.bench.poll()
    assert catalog.THROTTLE_SECONDS.stem not in first.unsupported
    assert first.values(catalog.THROTTLE_SECONDS, throttled.bench.card.uuid) == {}
    throttled.bench.pass_time(10)
    assert throttled.read() == NOTHING


def test_without_the_set_it_is_not_read(nvml: NvmlState, tmp_path: Path) -> None:
    nvml.devices = gpus(1)
    nvml.devices[0].set_field(POWER, 0, WIDE)
    with collector_bench(tmp_path, nvml) as bench:
        reading = bench.read()
    (gap,) = [gap for gap in reading.unsupported if gap.metric is catalog.THROTTLE_SECONDS]
    assert gap.detail == "read only with the set diagnostics"
    assert not [s for s in reading.samples if s.metric is catalog.THROTTLE_SECONDS]
