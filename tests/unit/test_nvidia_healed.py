"""How the NVIDIA collector finds a lost device back, and what it reads of it then."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Reading
from collectors.metric import Cadence
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvidia_device import gpus
from tests.doubles.nvml import NvmlState

FAST = frozenset({Cadence.FAST})
MEDIUM = frozenset({Cadence.FAST, Cadence.MEDIUM})
POWER, NOT_SUPPORTED = "nvmlDeviceGetPowerUsage", 3

Benches = Callable[[int], CollectorBench]


@pytest.fixture
def bench(tmp_path: Path, nvml: NvmlState) -> Iterator[Benches]:
    with ExitStack() as closing:

        def bench(count: int) -> CollectorBench:
            nvml.devices = gpus(count)
            return closing.enter_context(collector_bench(tmp_path, nvml))

        yield bench


def lost(reading: Reading) -> list[str]:
    return [device.uuid for device in reading.devices if device.lost]


def power(reading: Reading) -> float | None:
    """The power of the first device."""
    found = (s.value for s in reading.samples if s.metric is catalog.POWER and s.device_uuid == "GPU-0")
    return next(found, None)


def test_a_lost_device_is_called_again_at_the_next_medium_poll(bench: Benches) -> None:
    reader = bench(1)
    reader.state.lose(0)
    reader.tree.add_pci("0000:10:00.0")
    assert len(lost(reader.read())) == 1  # named by its address
    calls = reader.state.all_calls(device=0)
    reader.state.heal()
    reader.read(FAST)
    assert reader.state.all_calls(device=0) == calls
    reading = reader.read(MEDIUM)
    assert lost(reading) == []
    assert power(reading) == 71


def test_a_lost_device_is_searched_for_every_five_seconds_if_medium_polls_are_rarer(bench: Benches) -> None:
    reader = bench(2)
    reader.read()
    reader.state.lose(0)
    assert lost(reader.read(FAST)) == ["GPU-0"]
    reader.read(MEDIUM)
    reader.state.heal()
    reader.pass_time(4.9)
    assert lost(reader.read(FAST)) == ["GPU-0"]
    reader.pass_time(0.1)
    assert lost(reader.read(FAST)) == []


def test_a_healed_device_has_at_once_what_it_refused_before_it_was_lost(bench: Benches) -> None:
    reader = bench(1)
    reader.read()
    reader.state.fail(POWER, NOT_SUPPORTED)
    for _ in range(9):  # it is asked for less and less often
        reader.pass_time(60)
        assert power(reader.read()) is None
    reader.state.lose(0)
    assert lost(reader.read()) == ["GPU-0"]
    reader.state.heal()
    assert power(reader.read()) == 71
