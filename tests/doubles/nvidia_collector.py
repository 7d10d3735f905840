"""The NVIDIA collector over the NVML double that this process loaded, and its readings."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import CollectOptions, Node, Reading
from collectors.device_calls import DeviceCalls
from collectors.metric import Cadence, Metric
from collectors.nvidia import events, listener
from collectors.nvidia.collector import NvidiaCollector
from collectors.nvidia.nvml import Nvml
from collectors.sysfs import Root
from tests.doubles.exporter_process import wait_until
from tests.doubles.nvml import NvmlState, h100
from tests.doubles.nvml_loaded import loaded, open_nvml
from tests.doubles.options import EVERY_PIPE
from tests.doubles.sysfs_tree import SysfsTree

_HANG_MILLISECONDS = 600_000


class PollResult:
    """The content of one reading, for assertions.

    Args:
        reading: The reading.
    """

    def __init__(self, reading: Reading) -> None:
        self.events = [(event.device_uuid, event.text, event.state, event.occurrences) for event in reading.events]
        self.conditions = {uuid: [each.text for each in why] for uuid, why in reading.conditions.items()}
        self.lost = {device.uuid: device.lost for device in reading.devices}
        self.partitions = [partition.uuid for partition in reading.partitions]
        self.faults = [(fault.reason, fault.where, fault.detail) for fault in reading.faults]
        self.unsupported = [gap.metric.stem for gap in reading.unsupported]
        self.without_counts = {gap.device_uuid for gap in reading.unsupported if gap.metric is catalog.ERRORS}
        self._samples = {
            (sample.metric.stem, sample.device_uuid, sample.partition_uuid, *sample.labels): sample.value
            for sample in reading.samples
        }
        assert len(self._samples) == len(reading.samples), "a series is reported twice"

    def value(self, metric: Metric, uuid: str, *labels: str, partition: str = "") -> float | None:
        """One value, None where it is absent."""
        return self._samples.get((metric.stem, uuid, partition, *labels))

    def values(self, metric: Metric, uuid: str) -> dict[str, float]:
        """The values of one family of one device by all its labels, joined with spaces."""
        found = {key[3:]: value for key, value in self._samples.items() if key[:3] == (metric.stem, uuid, "")}
        return {" ".join(labels): value for labels, value in found.items()}

    def of(self, uuid: str, partition: str = "") -> dict[tuple[str, ...], float]:
        """All values of one subject, by stem and labels; without infos and states."""
        excluded = (catalog.INFO.stem, catalog.STATUS_STATE.stem)
        return {
            (key[0], *key[3:]): value
            for key, value in self._samples.items()
            if key[1:3] == (uuid, partition) and key[0] not in excluded
        }

    def labels(self, metric: Metric, uuid: str, partition: str = "") -> dict[str, str]:
        """The labels, without empty ones, of the only sample of an info metric."""
        [found] = [key[3:] for key in self._samples if key[:3] == (metric.stem, uuid, partition)]
        return {label.name: text for label, text in zip(metric.labels, found, strict=True) if text}


class CollectorBench:
    """A collector over a library, a PCI bus and a clock that the test controls.

    Args:
        path: The directory for its files.
        state: The state of the loaded double.
        options: The options of the collector.
    """

    def __init__(self, path: Path, state: NvmlState, options: CollectOptions = EVERY_PIPE) -> None:
        self.tree = SysfsTree(path / "sys")
        self.state = state
        self.card = state.devices[0]
        self.opened = 0
        self.now = 0.0
        node = Node(self.tree.root, Root(Path(os.devnull)), "machine", options)
        self.calls = DeviceCalls("test", wait=self._wait)
        self._hung = ""
        self.collector = NvidiaCollector(node, self._open, lambda: self.now, lambda: 1e9 + self.now, self.calls)

    def read(self, due: frozenset[Cadence] = frozenset(Cadence)) -> Reading:
        """One reading of these cadences."""
        return self.collector.read(due)

    def poll(self, *due: Cadence) -> PollResult:
        """One reading of these cadences, by default of all."""
        return PollResult(self.read(frozenset(due or Cadence)))

    def pass_time(self, seconds: float) -> None:
        """Move time forward for the collector and the library."""
        self.now += seconds
        self.state.pass_time(seconds)

    def hang(self, call: str, *devices: int) -> None:
        """Let a function hang for these devices until `release`: its deadline then passes as soon as it is called."""
        self._hung = call
        for device in devices:
            self.state.delay(call, _HANG_MILLISECONDS, device=device)

    def release(self) -> None:
        """Let all hung calls return, and wait until they have."""
        self._hung = ""
        self.state.release()
        wait_until(lambda: not self.calls.stuck)

    def _wait(self, condition: threading.Condition, is_over: Callable[[], bool], _: float) -> None:
        while not (is_over() or (self._hung and self.state.waiting(self._hung) > len(self.calls.stuck))):
            condition.wait(0.002)

    def _open(self, *, attach: bool) -> Nvml:
        self.opened += 1
        return open_nvml(attach=attach)


def shorten_waits(patch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses in which nobody receives events, and the wait for a listener that hangs."""
    patch.setattr(listener, "_PAUSE_SECONDS", 0.01)
    patch.setattr(events, "_END_SECONDS", 0.2)


@contextmanager
def collector_bench(path: Path, state: NvmlState, options: CollectOptions = EVERY_PIPE) -> Iterator[CollectorBench]:
    """A collector that is closed at the end. See `CollectorBench`."""
    with pytest.MonkeyPatch.context() as patch:
        shorten_waits(patch)
        bench = CollectorBench(path, state, options)
        yield bench
        state.release()
        bench.collector.close()


@contextmanager
def h100_bench(path: Path, library: Path, options: CollectOptions = EVERY_PIPE) -> Iterator[CollectorBench]:
    """A collector of one H100, in a double that this process loads meanwhile.

    Args:
        path: The directory for the files of both.
        library: The directory of the library, as `build_nvml` returns it.
        options: The options of the collector.
    """
    with (
        NvmlState(path / "nvml-state", [h100(0)]) as state,
        loaded(library, state),
        collector_bench(path, state, options) as bench,
    ):
        yield bench
