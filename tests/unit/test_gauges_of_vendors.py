"""The rule for values over every gauge that the vendors' collectors read, from their doubles to the exporter."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from collectors import amd, catalog, nvidia
from collectors.contract import CollectOptions, CollectorSpec
from collectors.metric import Kind, Metric
from tests.doubles.amd_gauges import AMD, AMD_EXCEPTED, amd_cards, amd_gauge
from tests.doubles.amd_tree import Gpu
from tests.doubles.hardware_gauges import GaugeBench, HardwareGauge
from tests.doubles.nvidia_collector import CollectorBench, h100_bench
from tests.doubles.nvidia_gauges import NVIDIA, NVIDIA_EXCEPTED, nvidia_gauge

READINGS = 3
EVERY = [*(("nvidia", each) for each in NVIDIA), *(("amd", each) for each in AMD)]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[CollectorBench]:
    with h100_bench(tmp_path_factory.mktemp("nvidia"), nvml_library, CollectOptions(pcie_throughput=True)) as bench:
        yield bench


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Gpu]:
    return amd_cards(tmp_path_factory.mktemp("amd"))


# Read only with `collect.diagnostics`: see test_nvidia_diagnostics.py.
DIAGNOSTICS = {row for row in vars(catalog.diagnostics).values() if isinstance(row, Metric)}


@pytest.fixture(scope="module", params=EVERY, ids=[f"{vendor} {gauge.name}" for vendor, gauge in EVERY])
def bench(request: pytest.FixtureRequest, opened: CollectorBench, cards: Mapping[str, Gpu]) -> GaugeBench:
    vendor, gauge = request.param
    return GaugeBench(gauge, *(nvidia_gauge(opened, gauge) if vendor == "nvidia" else amd_gauge(cards, gauge)))


@pytest.mark.parametrize(
    ("spec", "gauges", "excepted"), [(nvidia.SPEC, NVIDIA, NVIDIA_EXCEPTED), (amd.SPEC, AMD, AMD_EXCEPTED)]
)
def test_every_gauge_is_in_the_tables_or_excepted(
    spec: CollectorSpec, gauges: Mapping[HardwareGauge, Callable[..., None]], excepted: Mapping[Metric, str]
) -> None:
    for rows, of_partition in ((spec.metrics, False), (spec.partition_metrics, True)):
        known = {gauge.row for gauge in gauges if gauge.of_partition == of_partition}
        assert known | (excepted.keys() & {*rows}) == {row for row in rows if row.kind is Kind.GAUGE} - DIAGNOSTICS
        assert not known & excepted.keys()


def test_implausible_once(bench: GaugeBench) -> None:
    good = bench.exported(bench.gauge.good)
    assert good.value == pytest.approx(bench.gauge.value)
    assert good.invalid == 0
    for wrong in bench.gauge.wrong:
        outcome = bench.exported(wrong)
        assert outcome.value is None, wrong
        assert outcome.others == good.others, wrong
        assert outcome.invalid >= 1, wrong
        assert bench.exported(bench.gauge.good) == good, wrong


def test_implausible_for_good(bench: GaugeBench) -> None:
    good = bench.exported(bench.gauge.good)
    outcomes = [bench.exported(bench.gauge.wrong[0]) for _ in range(READINGS)]
    assert [each.value for each in outcomes] == [None] * READINGS
    assert all(each.others == good.others for each in outcomes)
    assert all(each.invalid for each in outcomes)
    assert bench.exported(bench.gauge.good) == good
