"""With any mix of NVML errors the exposition is valid, and errors of a device do not affect others."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import registry
from collectors.contract import AbsentError, Collector, CollectorError
from collectors.metric import Cadence
from exporter.assembler import Assembler, Clocks
from exporter.exposition import render
from exporter.poller import CallEnded
from exporter.selfmetrics import health_samples
from exporter.text_format import Format
from tests.contract.hosted import HostedCollector
from tests.doubles.collectors import LIMITS, Clock
from tests.doubles.expositions import parse
from tests.doubles.nvml import NvmlState, h100, h100_mig, process
from tests.doubles.sysfs_tree import SysfsTree
from tests.native.nvml_calls import CALLS, DEVICE_CALLS
from tests.property.examples import examples

# Codes that end the session are excluded: they affect more than one reading.
OF_ONE_READING = (2, 3, 4, 6, 7, 8, 10, 11, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 999, 4711)
OF_THE_SESSION = (1, 9, 12, 18)
CARDS, CUT, MIGS = 3, 2, 3
ALL, FAST = frozenset(Cadence), frozenset({Cadence.FAST})

Series = tuple[str, frozenset[tuple[str, str]]]


class Trouble(NamedTuple):
    """A function that fails for one device, for one of its MIG devices, or for all."""

    call: str
    code: int
    device: int | None = None
    mig: int | None = None


no_device = st.none()
one_reading = st.sampled_from(OF_ONE_READING)
on_card = st.builds(Trouble, st.sampled_from(DEVICE_CALLS), one_reading, st.integers(0, CARDS - 1), no_device)
on_mig = st.builds(Trouble, st.sampled_from(DEVICE_CALLS), one_reading, st.just(CUT), st.integers(0, MIGS))
on_all = st.builds(
    Trouble, st.sampled_from(CALLS), st.sampled_from((*OF_ONE_READING, *OF_THE_SESSION)), no_device, no_device
)


class Bench:
    """Two whole GPUs and a partitioned one, with the collector in a separate process."""

    def __init__(self, state: NvmlState, collector: Collector) -> None:
        self.state = state
        self.collector = collector
        self.uuids = [device.uuid for device in state.devices if device.present]
        self.healthy = self.exposed([])

    def exposed(self, troubles: list[Trouble]) -> set[Series]:
        """Every series after a few polls with these faults, in a new session."""
        self.collector.close()
        for trouble in troubles:
            self.state.fail(trouble.call, trouble.code, device=trouble.device, mig=trouble.mig)
        clock = Clock()
        assembler = Assembler(["nvidia"], ("nvidia.com/",), LIMITS, Clocks(clock, lambda: 1e9 + clock.now))
        try:
            for due in (ALL, FAST, ALL):
                clock.now += 1
                assembler.apply(self._poll(clock.now, due))
        finally:
            self.state.heal()
        return valid(assembler)

    def _poll(self, now: float, due: frozenset[Cadence]) -> CallEnded:
        try:
            return CallEnded("nvidia", now, now, due, self.collector.read(due))
        except AbsentError as error:
            return CallEnded("nvidia", now, now, due, None, None, str(error))
        except CollectorError as error:
            return CallEnded("nvidia", now, now, due, None, error.reason, str(error))


def valid(assembler: Assembler) -> set[Series]:
    """The series of a snapshot, each once and the same in both formats."""
    snapshot = assembler.snapshot()
    both = []
    for form in Format:
        samples = [s for f in parse(render(snapshot, health_samples(snapshot), form), form) for s in f.samples]
        keys = {(sample.name, frozenset(sample.labels.items())) for sample in samples}
        assert len(keys) == len(samples)
        both.append(keys)
    assert both[0] == both[1]
    return both[0]


def of_device(series: set[Series], uuid: str) -> set[Series]:
    return {each for each in series if ("uuid", uuid) in each[1]}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, nvml_library: Path) -> Iterator[Bench]:
    path = tmp_path_factory.mktemp("nvidia-property")
    spec = next(spec for spec in registry.load() if spec.name == "nvidia")
    with ExitStack() as stack:
        state = stack.enter_context(NvmlState(path / "state", [h100(index) for index in range(CARDS)]))
        cards = [device for device in state.devices if device.present]
        cards[CUT].partition([None, *(h100_mig(CUT, slot) for slot in range(MIGS))])
        sysfs = SysfsTree(path / "sys")
        for card in cards:
            card.processes = [process(100, 2**20)]
            sysfs.add_pci(card.pci_address)
        hosted = HostedCollector(spec.name, sysfs.path, environment=state.environment(nvml_library))
        yield Bench(state, stack.enter_context(hosted))


@settings(deadline=None, max_examples=examples(20))
@given(troubles=st.lists(st.one_of(on_card, on_mig), min_size=1, max_size=12))
def test_errors_of_a_device_do_not_affect_others(bench: Bench, troubles: list[Trouble]) -> None:
    found = bench.exposed(troubles)
    troubled = {trouble.device for trouble in troubles}
    for index, uuid in enumerate(bench.uuids):
        if index not in troubled:
            assert of_device(found, uuid) == of_device(bench.healthy, uuid)


@settings(deadline=None, max_examples=examples(20))
@given(troubles=st.lists(st.one_of(on_all, on_card, on_mig), min_size=1, max_size=12))
def test_exposition_is_valid_for_any_failure(bench: Bench, troubles: list[Trouble]) -> None:
    bench.exposed(troubles)


def test_without_errors_every_reading_is_reported(bench: Bench) -> None:
    for uuid in bench.uuids:
        names = {name for name, _ in of_device(bench.healthy, uuid)}
        assert {"accelerator_device_info", "accelerator_device_power_watts"} <= names
    cut = {name for name, _ in of_device(bench.healthy, bench.uuids[CUT])}
    assert "accelerator_partition_memory_usage_bytes" in cut
