"""The bench of the simulated collector: a scenario with each fault at its own time.

The collector is the real one under a manual clock; only the event on which it waits is replaced by an observable one.
"""

import threading
from collections.abc import Mapping
from types import MappingProxyType

from collectors.contract import Collector, CollectorSpec
from collectors.simulated import ScenarioClock, SimulatedCollector, simulated_spec
from tests.contract.bench import FIRST_MACHINE, NOTHING, Trouble
from tests.doubles.simulated_node import EPOCH, ManualTime, scenario

_DEVICES = """
devices:
- { profile: mi300x, load: { shape: sine, low: 0.2, high: 0.9, period: 30 }, memory_ratio: 0.5, processes: 2 }
- profile: h100
  partitions:
  - { profile: 1g.10gb, count: 2, memory: 9GiB, compute: 1/7, load: 0.5, memory_ratio: 0.5, processes: 1 }
- { profile: h100, load: 0.7, memory_ratio: 0.3, processes: 1 }
- { profile: rtx6000ada, load: 1 }
- { profile: npu, load: 0.1 }
faults:
- { kind: critical_error, at: 1, devices: [2], code: "79" }
- { kind: hang, at: 3000, for: 300 }
- { kind: slow, at: 3500, for: 300, delay: 0.05 }
- { kind: raise, at: 4000, for: 300 }
- { kind: device_lost, at: 4500, for: 300, devices: [0] }
- { kind: garbage, at: 5000, for: 300, devices: [0] }
- { kind: driver_reload, at: 5500 }
"""
_FIRST_SECOND = 2.0
_BEGINS: Mapping[Trouble, float] = {
    Trouble.HANG: 3000,
    Trouble.SLOW: 3500,
    Trouble.RAISE: 4000,
    Trouble.DEVICE_LOST: 4500,
    Trouble.GARBAGE: 5000,
    Trouble.DRIVER_RELOAD: 5500,
}
_LASTS = 300.0


class _NotedEvent(threading.Event):
    """An event that records whether a thread waits for it, or has waited."""

    def __init__(self) -> None:
        super().__init__()
        self.met = False

    def wait(self, timeout: float | None = None) -> bool:
        self.met = True
        return super().wait(timeout)


class SimulatedBench:
    """See `Bench`. Time stands still between the calls of `pass_time`."""

    impossible: Mapping[Trouble, str] = MappingProxyType({})
    library_modules: frozenset[str] = frozenset()
    bare_environment: Mapping[str, str] = NOTHING

    def __init__(self) -> None:
        self._scenario = scenario(_DEVICES)
        self._time = ManualTime()
        self._clock = ScenarioClock(self._time, lambda: EPOCH)
        self._time.now = _FIRST_SECOND
        self._event = _NotedEvent()
        self._ends = _FIRST_SECOND
        self.spec: CollectorSpec = simulated_spec(self._scenario, self._clock)

    def start(self, machine: str = FIRST_MACHINE) -> Collector:
        """A collector that runs the scenario."""
        return SimulatedCollector(self._scenario, machine, self._clock, self._event)

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self._time.now += seconds

    def forget_ids(self) -> None:
        """Simulated ids are always generated."""

    def inject(self, trouble: Trouble) -> None:
        """Set the clock to the time of the fault."""
        self._event.met = False
        self._time.now = _BEGINS[trouble]
        self._ends = self._time.now + _LASTS

    def fault_reached(self) -> bool:
        """Whether a call waits or has waited."""
        return self._event.met

    def heal(self) -> None:
        """Set the clock to the end of the fault, and release a call that waits for it."""
        self._time.now = self._ends
        self._event.set()
