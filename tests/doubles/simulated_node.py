"""A simulated node with a manual clock."""

import threading
from pathlib import Path

from collectors.contract import CollectOptions, Reading, Sample
from collectors.metric import Cadence, Metric
from collectors.simulated import Scenario, ScenarioClock, SimulatedCollector
from collectors.simulated.parse import parse_scenario

EPOCH = 1_700_000_000.0
ALL = frozenset(Cadence)
_NO_OPTIONS = CollectOptions()


def scenario(text: str, folder: Path = Path()) -> Scenario:
    """The scenario of a YAML text, which needs no description."""
    return parse_scenario(f"description: test\n{text}", "test.yaml", folder)


class ManualTime:
    """A monotonic clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class NoWait(threading.Event):
    """An event whose `wait` returns at once and records the timeout."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        return self.is_set()


class SimulatedNode:
    """A collector that runs a scenario under a manual clock."""

    def __init__(self, played: Scenario, identity: str = "node-1", options: CollectOptions = _NO_OPTIONS) -> None:
        self.time = ManualTime()
        self.clock = ScenarioClock(self.time, lambda: EPOCH)
        self.event = NoWait()
        self.collector = SimulatedCollector(played, identity, self.clock, self.event, options)

    def read(self, seconds: float, due: frozenset[Cadence] = ALL) -> Reading:
        """The reading of the collector at a time."""
        self.time.now = seconds
        return self.collector.read(due)


def values(reading: Reading, metric: Metric, device: int = 0, *own: str) -> list[float]:
    """The values of one family of one whole device, with the given labels or any."""
    return [sample.value for sample in samples(reading, metric, device) if not own or sample.labels == own]


def samples(reading: Reading, metric: Metric, device: int = 0) -> list[Sample]:
    """The samples of one family of one whole device."""
    uuid = reading.devices[device].uuid
    return [s for s in reading.samples if s.metric is metric and s.device_uuid == uuid and not s.partition_uuid]
