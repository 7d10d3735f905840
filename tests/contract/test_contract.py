"""Runs every rule of the contract for every collector."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors import registry
from tests.contract.bench import Bench, Readable
from tests.contract.benches import bench_of
from tests.contract.nvidia_bench import RealNvidia
from tests.contract.reading_rules import ReadingRules
from tests.contract.simulated_bench import SimulatedBench
from tests.contract.trouble_rules import AbsenceRules, TroubleRules

REGISTERED = [spec.name for spec in registry.load()]


class TestRegistered(TroubleRules, AbsenceRules):
    @pytest.fixture(params=REGISTERED)
    def bench(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
        with bench_of(request.param, request, tmp_path) as made:
            yield made


class TestSimulated(TroubleRules):
    @pytest.fixture
    def bench(self) -> Bench:
        return SimulatedBench()


@pytest.mark.gpu
class TestRealNvidia(ReadingRules):
    @pytest.fixture
    def bench(self) -> Iterator[Readable]:
        with RealNvidia() as made:
            yield made


def test_collectors_of_this_package_are_tested() -> None:
    assert {"amd", "nvidia"} <= set(REGISTERED)


def test_a_collector_without_a_bench_fails_with_what_to_add(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"'acme' has no bench.*tests/contract/benches\.py"):
        bench_of("acme", request, tmp_path)
