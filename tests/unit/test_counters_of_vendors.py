"""The rule for counters over every counter that the vendors' collectors read, from their doubles to the exporter."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from collectors import amd, catalog, nvidia
from collectors.catalog.bounds import SPIKE
from collectors.contract import CollectorSpec
from collectors.counters import bound
from collectors.metric import Kind, Metric
from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.hardware_counters import (
    AMD,
    NVIDIA,
    POLL_SECONDS,
    Bench,
    HardwareCounter,
    amd_card,
    ids,
    nvidia_card,
)
from tests.doubles.nvidia_collector import CollectorBench, h100_bench

# Read only with `collect.diagnostics`: see test_nvidia_diagnostics.py.
DIAGNOSTICS = {row for row in vars(catalog.diagnostics).values() if isinstance(row, Metric)}
# Not read from a counter of the hardware: events and throttled time, which the collectors count themselves.
OWN_COUNTS = {catalog.ERRORS, catalog.THROTTLE_SECONDS}
EVERY = [*(("nvidia", each) for each in NVIDIA), *(("amd", each) for each in AMD)]


def chosen(holds: Callable[[HardwareCounter], bool]) -> pytest.MarkDecorator:
    """Lets a test have only the counters for which this holds."""
    params = [each for each in EVERY if holds(each[1])]
    names = [name for vendor, each in params for name in ids(vendor, [each])]
    return pytest.mark.parametrize("bench", params, ids=names, indirect=True)


def is_energy(counter: HardwareCounter) -> bool:
    return counter.row is catalog.ENERGY


def has_rate(counter: HardwareCounter) -> bool:
    return counter.row.most_per_second is not None


def is_narrow(counter: HardwareCounter) -> bool:
    """Whether it is known to wrap: see collectors/nvidia/links.py."""
    return counter.row is catalog.PCIE_BYTES


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[CollectorBench]:
    with h100_bench(tmp_path_factory.mktemp("nvidia"), nvml_library) as bench:
        yield bench


@pytest.fixture(scope="module")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Gpu:
    return AmdTree(tmp_path_factory.mktemp("amd") / "sys").add(MI300X, "0000:05:00.0")


@pytest.fixture(params=EVERY, ids=[*ids("nvidia", list(NVIDIA)), *ids("amd", list(AMD))])
def bench(request: pytest.FixtureRequest, opened: CollectorBench, gpu: Gpu) -> Bench:
    vendor, counter = request.param
    return Bench(counter, nvidia_card(opened, counter) if vendor == "nvidia" else amd_card(gpu, counter))


@pytest.mark.parametrize(("spec", "counters"), [(nvidia.SPEC, NVIDIA), (amd.SPEC, AMD)])
def test_every_counter_is_in_the_tables(spec: CollectorSpec, counters: dict[HardwareCounter, object]) -> None:
    for rows, of_partition in ((spec.metrics, False), (spec.partition_metrics, True)):
        known = {row for row in rows if row.kind is Kind.COUNTER} - OWN_COUNTS - DIAGNOSTICS
        assert {counter.row for counter in counters if counter.of_partition == of_partition} == known


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
    assert bench.refused == 2


@chosen(has_rate)
def test_three_zeros(bench: Bench) -> None:
    assert bench.exported(0, None, None, None, 4) == bench.steps(0, 0, 0, 0, 4)
    assert bench.refused == 3


@chosen(has_rate)
def test_fourth_zero_withdraws_the_series_until_the_value_is_back(bench: Bench) -> None:
    assert bench.exported(0, *[None] * 6, 7, 8) == bench.steps(0, 0, 0, 0, None, None, None, 7, 8)
    assert bench.refused == 6


@chosen(lambda counter: not has_rate(counter))
def test_administrators_clear(bench: Bench) -> None:
    assert bench.exported(0, 1, None, None, None) == [*bench.steps(0, 1, 1, 1), 0]
    assert bench.exported_again(1, 2) == bench.steps_again(1, 2)
    assert bench.refused == 0


@chosen(lambda counter: not has_rate(counter))
def test_administrators_clear_of_a_counter_that_goes_on_rising(bench: Bench) -> None:
    assert bench.exported(0) + bench.exported_again(1, 2) == bench.steps(0, 0, 0)
    assert bench.exported_again(3, 4) == bench.steps_again(3, 4)
    assert bench.refused == 0


@chosen(lambda counter: not is_energy(counter))
def test_standing_still(bench: Bench) -> None:
    assert bench.exported(*[1] * 12) == bench.steps(*[1] * 12)
    assert bench.refused == 0


@chosen(is_energy)
def test_energy_that_stands_still_while_power_is_drawn(bench: Bench) -> None:
    assert bench.exported(*[1] * 10) == bench.steps(*[1] * 7, *[None] * 3)
    assert bench.exported(2, 3) == bench.steps(None, None)  # it has lost what it has not counted
    assert catalog.POWER in {sample.metric for sample in bench.accepted.samples}
    assert bench.accepted.integrated_power == frozenset()
    bench.validator.interrupt()
    assert bench.exported(4, 5) == bench.steps(4, 5)


def test_jump_that_is_impossible(bench: Bench) -> None:
    if not has_rate(bench.counter):  # errors have no rate: the jump is a burst of them, then a clear
        assert bench.exported(0, 10**6, 2, 2, 2) == bench.steps(0, 10**6, 10**6, 10**6, 2)
        return
    assert bench.exported(0, 10**6, 2) == bench.steps(0, 0, 2)
    assert bench.exported(*[10**6] * 5) == bench.steps(2, 2, 2, None, None)
    assert bench.exported(8) == bench.steps(8)


def test_mark_for_an_unknown_count(bench: Bench) -> None:
    assert bench.exported(0) == bench.steps(0)
    assert bench.value(bench.counter.mark) in (*bench.steps(0), None)
    assert bench.exported(2) == bench.steps(2)


def test_mark_for_an_unknown_count_for_good(bench: Bench) -> None:
    assert bench.exported(0) == bench.steps(0)
    exported = [bench.value(bench.counter.mark) for _ in range(5)]
    assert all(value in (*bench.steps(0), None) for value in exported[:3])
    # Of one link among others, the last count remains in their sum.
    assert exported[3:] == (bench.steps(0, 0) if bench.counter.of_one_link else [None] * 2)
    assert bench.exported(*range(6, 13))[-1:] == bench.steps(12)  # a query that is unsupported is run less often


def test_reset_that_is_not_known(bench: Bench) -> None:
    exported = bench.exported(0, None) + bench.exported_again(1, 2, 3)
    assert exported[:2] == bench.steps(0, 0)
    assert exported[-1:] == bench.steps_again(3)
    falls = [now for before, now in pairwise(exported) if now < before]  # type: ignore[operator]
    assert len(falls) == 1


def test_reset_that_the_exporter_knows_of(bench: Bench) -> None:
    assert bench.exported(0, 1) == bench.steps(0, 1)
    bench.validator.interrupt()
    assert bench.exported_again(3, 4) == bench.steps_again(3, 4)
    assert bench.refused == 0


def test_reset_that_the_collector_tells(bench: Bench) -> None:
    assert bench.exported(0, 1) == bench.steps(0, 1)
    bench.reload(3 * bench.counter.step)
    if is_energy(bench.counter):
        [risen] = bench.accepted.energy.values()
        assert risen.amount == pytest.approx(3 * bench.counter.step * bench.unit)
    assert bench.exported_again(3, 4) == bench.steps_again(3, 4)
    assert bench.refused == 0


@pytest.mark.parametrize(("ratio", "credited"), [(1.0, 1.0), (1.01, 0.0)])
@chosen(is_energy)
def test_energy_after_a_reset_is_credited_if_it_is_possible(bench: Bench, ratio: float, credited: float) -> None:
    bench.exported(0)
    [limit] = [sample.value for sample in bench.accepted.samples if sample.metric is catalog.POWER_LIMIT]
    most = bound(SPIKE * limit, POLL_SECONDS)
    bench.validator.interrupt()
    raw = round(ratio * most / bench.unit)
    assert bench.value(raw) == pytest.approx(raw)
    [risen] = bench.accepted.energy.values()
    assert risen.amount == pytest.approx(credited * most)


def test_only_some_counters_are_known_to_be_narrow(bench: Bench) -> None:
    bench.exported(0)
    assert bench.width == (2**32 if is_narrow(bench.counter) else 0)


@chosen(is_narrow)
def test_wrap_of_a_counter_that_can_wrap_more_than_once(bench: Bench) -> None:
    """What it counts is unknown until it has not wrapped for eight readings."""
    wrapped = [2 * 10**8 * number for number in range(1, 13)]
    exported = [bench.value(raw) for raw in (4 * 10**9, 42 * 10**8, *wrapped)]
    assert exported[:3] == [4 * 10**9, *[42 * 10**8] * 2]  # it may have been a dip
    assert exported[3:9] == [None] * 6
    assert exported[-3:] == wrapped[-3:]
