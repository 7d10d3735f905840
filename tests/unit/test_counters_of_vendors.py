"""The rule for counters over every counter that the vendors' collectors read, from their doubles to the exporter."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from collectors import amd, catalog, nvidia
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import CollectorSpec, Reading, Reason
from collectors.metric import Kind, Metric
from exporter.validation import Validator
from tests.doubles.amd_cards import MI210, MI300X
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.nvidia_collector import collector_bench
from tests.doubles.nvml import GPM_METRICS, Device, NvmlState, ValueType, h100

POLL_SECONDS = 10.0
ENERGY_CALL, NOT_SUPPORTED = "nvmlDeviceGetTotalEnergyConsumption", 3
ALL_LINKS = 0xFFFFFFFF
CYCLES = (248, 249, 250, 257, 258, 259, 260)
WIDE = ValueType.UNSIGNED_LONG_LONG
# Not read from a counter of the hardware: events and throttled time, which the collectors count themselves.
OWN_COUNTS = {catalog.ERRORS, catalog.THROTTLE_SECONDS}


@dataclass(frozen=True)
class HardwareCounter:
    """One counter of a double.

    Attributes:
        row: Its row.
        labels: Those of its series.
        base: A raw value far above what it can rise by in a minute.
        step: A possible rise between two readings.
    """

    row: Metric
    labels: tuple[str, ...]
    base: int
    step: int


def cycles(number: int, count: int) -> dict[int, float]:
    """All activity metrics of a device, of which one counts."""
    return {**dict.fromkeys((*GPM_METRICS, *CYCLES), 0.0), number: float(count)}


NVIDIA: dict[HardwareCounter, Callable[[Device, int], None]] = {
    HardwareCounter(catalog.ENERGY, (), 5_000_000_000, 700_000): lambda c, n: setattr(c, "energy_millijoules", n),
    HardwareCounter(catalog.PCIE_BYTES, ("transmit",), 2**50, 10**10): lambda c, n: c.set_field(197, n, WIDE),
    HardwareCounter(catalog.PCIE_BYTES, ("receive",), 2**50, 10**10): lambda c, n: c.set_field(198, n, WIDE),
    HardwareCounter(catalog.INTERCONNECT_BYTES, ("nvlink", "transmit", ""), 2**45, 10**8): lambda c, n: c.set_field(
        138, n, WIDE, scope=ALL_LINKS
    ),
    HardwareCounter(catalog.INTERCONNECT_ERRORS, ("nvlink", "replay", ""), 90, 2): lambda c, n: c.set_field(
        161, n, WIDE, scope=0
    ),
    HardwareCounter(catalog.PCIE_REPLAYS, (), 90, 2): lambda c, n: setattr(c, "pcie_replays", n),
    HardwareCounter(catalog.MEMORY_ERRORS, ("corrected",), 90, 2): lambda c, n: setattr(c, "ecc_volatile_corrected", n),
    HardwareCounter(catalog.MEMORY_LIFETIME_ERRORS, ("uncorrected",), 90, 2): lambda c, n: setattr(
        c, "ecc_lifetime_uncorrected", n
    ),
    HardwareCounter(catalog.PIPE_ELAPSED_CYCLES, (), 10**15, 10**12): lambda c, n: c.set_gpm(cycles(248, n)),
    HardwareCounter(catalog.PIPE_ACTIVE_CYCLES, ("sm",), 10**15, 10**12): lambda c, n: c.set_gpm(cycles(249, n)),
}
AMD: dict[HardwareCounter, Callable[[Gpu, int], None]] = {
    HardwareCounter(catalog.ENERGY, (), 5_000_000 << 16, 700 << 16): lambda g, n: g.write_table(energy=n),
    HardwareCounter(catalog.INTERCONNECT_BYTES, ("xgmi", "receive", ""), 2**45, 10**8): lambda g, n: g.write_table(
        xgmi_read=(n, *[0] * 7)
    ),
    HardwareCounter(catalog.PCIE_REPLAYS, (), 90, 2): lambda g, n: g.write_table(replays=n),
    HardwareCounter(catalog.MEMORY_ERRORS, ("corrected",), 90, 2): lambda g, n: g.write(
        "ras/umc_err_count", f"ue: 0\nce: {n}"
    ),
    HardwareCounter(catalog.MEMORY_ERRORS, ("uncorrected",), 90, 2): lambda g, n: g.write(
        "ras/umc_err_count", f"ue: {n}\nce: 0"
    ),
}


class Bench:
    """One counter of one card, whose readings pass through the exporter's validation."""

    def __init__(self, counter: HardwareCounter, write: Callable[[int], None], read: Callable[[], Reading]) -> None:
        self.counter = counter
        self.write = write
        self.read = read
        self.validator = Validator()
        self.now = 0.0
        self.unit = 1.0
        self.refused = 0

    def value(self, raw: int) -> float | None:
        """Read a raw value; return what is exported, in raw units."""
        self.now += POLL_SECONDS
        self.write(raw)
        reading = self.read()
        own = next(sample for sample in reading.samples if self.is_counter(sample.metric, sample.labels))
        if raw:
            self.unit = own.value / raw
        accepted = self.validator.validate(reading, self.now)
        self.refused += sum(fault.reason is Reason.INVALID_VALUE for fault in accepted.faults)
        found = [sample.value for sample in accepted.samples if self.is_counter(sample.metric, sample.labels)]
        return found[0] / self.unit if found else None

    def is_counter(self, metric: Metric, labels: tuple[str, ...]) -> bool:
        return (metric, labels) == (self.counter.row, self.counter.labels)

    def exported(self, *values: int | None) -> list[float | None]:
        """What is exported for some steps above the base; None: a reading of 0."""
        base, step = self.counter.base, self.counter.step
        return [self.value(0 if value is None else base + value * step) for value in values]

    def steps(self, *values: int | None) -> list[object]:
        """The values of some steps; None: absent."""
        base, step = self.counter.base, self.counter.step
        return [None if value is None else pytest.approx(base + value * step, rel=1e-12) for value in values]


def _ids(counters: Sequence[HardwareCounter], vendor: str) -> list[str]:
    return [" ".join((vendor, counter.row.stem, *counter.labels)) for counter in counters]


@pytest.fixture(
    params=[*(("nvidia", each) for each in NVIDIA), *(("amd", each) for each in AMD)],
    ids=[*_ids(list(NVIDIA), "nvidia"), *_ids(list(AMD), "amd")],
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    vendor, counter = request.param
    with ExitStack() as closing:
        if vendor == "nvidia":
            state: NvmlState = request.getfixturevalue("nvml")
            state.devices = [h100(0)]
            nvml = closing.enter_context(collector_bench(tmp_path, state))
            card = state.devices[0]
            card.ecc_volatile_corrected = card.ecc_lifetime_uncorrected = card.pcie_replays = 0
            card.set_gpm(dict.fromkeys((*GPM_METRICS, *CYCLES), 0.0))
            nvml.read()  # the first of two samples

            def read() -> Reading:
                nvml.pass_time(POLL_SECONDS)
                return nvml.read()

            yield Bench(counter, lambda raw: NVIDIA[counter](card, raw), read)
        else:
            tree = AmdTree(tmp_path / "sys")
            gpu = tree.add(MI300X, "0000:05:00.0")
            collector = collector_of(tree, parse=parse)
            collector.read(ALL)  # a fallback is read from the second reading on
            yield Bench(counter, lambda raw: AMD[counter](gpu, raw), lambda: collector.read(ALL))


@pytest.mark.parametrize(("spec", "counters"), [(nvidia.SPEC, NVIDIA), (amd.SPEC, AMD)])
def test_every_counter_is_in_the_tables(spec: CollectorSpec, counters: dict[HardwareCounter, object]) -> None:
    rows = {row for row in (*spec.metrics, *spec.partition_metrics) if row.kind is Kind.COUNTER}
    assert {counter.row for counter in counters} == rows - OWN_COUNTS


def test_rising(bench: Bench) -> None:
    assert bench.exported(0, 1, 1, 2) == bench.steps(0, 1, 1, 2)
    assert bench.refused == 0


def test_dip_to_zero(bench: Bench) -> None:
    assert bench.exported(0, 1, None, 2) == bench.steps(0, 1, 1, 2)
    assert bench.refused == 1


def test_dip_to_a_lower_value(bench: Bench) -> None:
    assert bench.exported(10, 1, 11) == bench.steps(10, 10, 11)


def test_two_zeros(bench: Bench) -> None:
    assert bench.exported(0, None, None, 3) == bench.steps(0, 0, 0, 3)


def test_jump_that_is_impossible(bench: Bench) -> None:
    if bench.counter.row.most_per_second is None:  # errors have no rate: the jump is a burst of them, then a clear
        assert bench.exported(0, 10**6, 2, 2, 2) == bench.steps(0, 10**6, 10**6, 10**6, 2)
        return
    assert bench.exported(0, 10**6, 2) == bench.steps(0, 0, 2)
    assert bench.exported(*[10**6] * 5) == bench.steps(2, 2, 2, None, None)
    assert bench.exported(8) == bench.steps(8)


def test_reset_that_is_not_known(bench: Bench) -> None:
    exported = bench.exported(0, None) + [bench.value(raw * bench.counter.step) for raw in (1, 2, 3)]
    assert exported[:2] == bench.steps(0, 0)
    assert exported[-1] == pytest.approx(3 * bench.counter.step)
    falls = [now for before, now in pairwise(exported) if now < before]  # type: ignore[operator]
    assert len(falls) == 1


def test_reset_that_is_known(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    gpu = tree.add(MI210, "0000:05:00.0")
    collector = collector_of(tree, parse=parse)
    validator = Validator()
    validator.validate(collector.read(ALL), 0.0)
    gpu.unbind()
    tree.add(MI300X, "0000:07:00.0")
    validator.validate(collector.read(ALL), 10.0)
    gpu.write_table(energy=30 << 16)
    gpu.bind()
    accepted = validator.validate(collector.read(ALL), 20.0)
    [joules] = [s.value for s in accepted.samples if (s.metric, s.device_uuid) == (catalog.ENERGY, gpu.uuid)]
    assert (joules, accepted.energy[gpu.uuid].amount) == (30, 30)


def energy_is_exported(read: Callable[[], Reading], stop: Callable[[], None], heal: Callable[[], None]) -> list[bool]:
    """Whether the energy is exported while its counter is good, has stopped, and is good again."""
    validator = Validator()
    exported = []
    for second in range(8):
        if second == 2:
            stop()
        if second == 5:
            heal()
        accepted = validator.validate(read(), float(second))
        exported.append(catalog.ENERGY in {sample.metric for sample in accepted.samples})
        assert accepted.integrated_power == frozenset()
    return exported


# Seen on real cards: 5,000,000 -> 198 -> 411 -> 5,000,000 J.
def test_nvidia_power_is_not_integrated_in_place_of_a_counter_that_stops(tmp_path: Path, nvml: NvmlState) -> None:
    nvml.devices = [h100(0)]
    with collector_bench(tmp_path, nvml) as opened:
        exported = energy_is_exported(opened.read, lambda: nvml.fail(ENERGY_CALL, NOT_SUPPORTED), nvml.heal)
    assert exported == [True] * 2 + [False] * 6


def test_amd_power_is_not_integrated_in_place_of_a_counter_that_stops(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "amd")
    gpu = tree.add(MI300X, "0000:05:00.0")
    collector = collector_of(tree, parse=parse)
    exported = energy_is_exported(
        lambda: collector.read(ALL), lambda: gpu.write_table(energy=2**64 - 1), gpu.write_table
    )
    assert exported == [True] * 2 + [False] * 6
