"""The source of the energy, chosen once for each session, on the doubles of both vendors."""

from collections.abc import Callable
from pathlib import Path

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import Reading
from exporter.validation import Validator
from tests.doubles.amd_cards import MI300X
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import AmdTree
from tests.doubles.nvidia_collector import collector_bench
from tests.doubles.nvml import NvmlState, h100

ENERGY_CALL, NOT_SUPPORTED = "nvmlDeviceGetTotalEnergyConsumption", 3


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
