"""A driver that is busy while a GPU comes back: the GPU has all its families within 10 s, at the default intervals."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collectors.amd.gpu_metrics.parse import parse
from tests.doubles.amd_cards import MI210, MI300X
from tests.doubles.amd_node import collector_of
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.collectors import Clock
from tests.doubles.nvidia_collector import CollectorBench, collector_bench
from tests.doubles.nvidia_device import gpus, mig_device
from tests.doubles.nvml import NvmlState
from tests.doubles.polled import Polled
from tests.native.nvml_calls import CALLS

_SECONDS = 10.0
_BUSY_SECONDS = 1.5
_TIMES = 3
# Without those that find and identify the device.
_IDENTITY = ("Count", "HandleByIndex", "UUID", "PciInfo", "Name", "MinorNumber")
BUSY_CALLS = [
    call
    for call in CALLS
    if call.startswith(("nvmlDeviceGet", "nvmlGpm")) and not any(part in call for part in _IDENTITY)
]
CODES = {"in use": 19, "unknown": 999, "unsupported": 3, "no permission": 4}


@pytest.fixture
def bench(tmp_path: Path, nvml: NvmlState) -> Iterator[CollectorBench]:
    nvml.devices = gpus(2)
    with ExitStack() as closing:
        yield closing.enter_context(collector_bench(tmp_path, nvml))


def _polled(bench: CollectorBench) -> Polled:
    polled = Polled(bench.read, bench.pass_time, "GPU-0")
    polled.run(130)
    return polled


def _busy(state: NvmlState, code: int) -> None:
    for call in BUSY_CALLS:
        state.fail(call, code, device=0)


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("partitions", [0, 2])
def test_an_nvidia_gpu_whose_driver_is_busy_when_it_is_back(bench: CollectorBench, code: int, partitions: int) -> None:
    if partitions:
        bench.state.devices[0].partition([mig_device(number) for number in range(partitions)])
    polled = _polled(bench)
    before = polled.families
    for turn in range(_TIMES):
        bench.state.lose(0)
        polled.run(15 + turn)
        assert polled.families < before
        bench.state.heal()
        _busy(bench.state, code)
        polled.run(_BUSY_SECONDS)
        bench.state.heal()
        assert polled.seconds_until(lambda: polled.families >= before, 60) <= _SECONDS - _BUSY_SECONDS


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_an_nvidia_driver_that_is_busy_from_the_first_answer_of_the_gpu(bench: CollectorBench, code: int) -> None:
    """The GPU is found again by a fast poll, up to 5 s after it has healed."""
    polled = _polled(bench)
    before = polled.families
    bench.state.lose(0)
    polled.run(10)
    bench.state.heal()
    _busy(bench.state, code)
    calls = bench.state.all_calls(0)
    healed = polled.now
    polled.seconds_until(lambda: bench.state.all_calls(0) > calls, 60)
    polled.run(_BUSY_SECONDS)
    bench.state.heal()
    polled.seconds_until(lambda: polled.families >= before, 60)
    assert polled.now - healed <= _SECONDS


def test_an_nvidia_gpu_that_hangs_and_is_then_busy(bench: CollectorBench) -> None:
    polled = _polled(bench)
    before = polled.families
    for _ in range(_TIMES):
        bench.hang("nvmlDeviceGetPowerUsage", 0)
        polled.run(70)
        bench.release()
        bench.state.heal()
        _busy(bench.state, CODES["in use"])
        polled.run(_BUSY_SECONDS)
        bench.state.heal()
        assert polled.seconds_until(lambda: polled.families >= before, 60) <= _SECONDS - _BUSY_SECONDS


def test_a_reading_that_never_answers_does_not_cause_full_polls_for_ever(bench: CollectorBench) -> None:
    bench.state.fail("nvmlDeviceGetPersistenceMode", CODES["in use"], device=0)
    polled = _polled(bench)
    polled.dues.clear()
    polled.run(600)
    assert sum(len(due) == 3 for due in polled.dues) <= 12


def test_a_failure_later_does_not_cause_full_polls(bench: CollectorBench) -> None:
    polled = _polled(bench)
    polled.dues.clear()
    bench.state.fail("nvmlDeviceGetPersistenceMode", CODES["in use"], device=0)
    polled.run(600)
    assert sum(len(due) == 3 for due in polled.dues) == 10


def _refused(gpu: Gpu) -> Callable[[], None]:
    """Reading any file of the GPU fails, as during a reset. Returns what ends it."""
    kept = {path: path.read_bytes() for path in gpu.folder.rglob("*") if path.is_file() and _is_reading(path, gpu)}
    for path in kept:
        path.unlink()
        path.symlink_to("/proc/self/mem")

    def end() -> None:
        for path, content in kept.items():
            path.unlink()
            path.write_bytes(content)

    return end


def _missing(gpu: Gpu) -> Callable[[], None]:
    """The files of the GPU do not exist yet. Returns what creates them."""
    kept = {path: path.read_bytes() for path in gpu.folder.rglob("*") if path.is_file() and _is_reading(path, gpu)}
    for path in kept:
        path.unlink()

    def end() -> None:
        for path, content in kept.items():
            path.write_bytes(content)

    return end


def _is_reading(path: Path, gpu: Gpu) -> bool:
    identity = ("vendor", "device", "class", "unique_id", "name")
    return path.name not in identity and not path.is_symlink() and gpu.folder in path.parents


@pytest.mark.parametrize("busy", [_refused, _missing], ids=["refused", "missing"])
@pytest.mark.parametrize("mode", ["", "SPX", "CPX"])
def test_an_amd_gpu_whose_driver_is_busy_when_it_is_back(
    tmp_path: Path, busy: Callable[[Gpu], Callable[[], None]], mode: str
) -> None:
    tree, clock = AmdTree(tmp_path / "sys"), Clock()
    gpu = tree.add(MI300X if mode else MI210, "0000:05:00.0")
    tree.add(MI210, "0000:63:00.0")
    if mode:
        gpu.set_partition_mode(mode)
    collector = collector_of(tree, parse=parse, clock=clock)

    def pass_time(seconds: float) -> None:
        clock.now += seconds

    polled = Polled(collector.read, pass_time, gpu.uuid)
    polled.run(130)
    before = polled.families
    for turn in range(_TIMES):
        gpu.unbind()
        polled.run(15 + turn)
        assert polled.families < before
        gpu.bind()
        end = busy(gpu)
        polled.run(_BUSY_SECONDS)
        end()
        assert polled.seconds_until(lambda: polled.families >= before, 60) <= _SECONDS - _BUSY_SECONDS
