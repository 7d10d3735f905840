"""A scenario on a manual clock, with the real join, in this process: each piece of work can be measured separately."""

from collectors.contract import CollectOptions, CollectorError
from collectors.metric import Cadence, MetricSet
from collectors.simulated import Scenario, inventory, simulated_spec
from exporter.assembler import Assembler, Clocks
from exporter.attribution.simulated import allocations_at
from exporter.attribution.watcher import AttributionState
from exporter.collector_state import Limits
from exporter.poller import CallEnded
from exporter.snapshot import Snapshot
from tests.doubles.simulated_node import EPOCH, SimulatedNode

ALL = frozenset(Cadence)
FAST = frozenset({Cadence.FAST})

_IDENTITY = "bench-node"
_USUAL = CollectOptions()
_LIMITS = Limits(5, {Cadence.FAST: 11, Cadence.MEDIUM: 20, Cadence.SLOW: 70})


class Played:
    """The simulated devices of a scenario, and an assembler that receives their readings.

    Args:
        scenario: The scenario.
        options: The optional readings.
    """

    def __init__(self, scenario: Scenario, options: CollectOptions = _USUAL) -> None:
        self._scenario = scenario
        self._node = SimulatedNode(scenario, _IDENTITY, options)
        self._devices = inventory(scenario, _IDENTITY)
        self._spec = simulated_spec(scenario, self._node.clock)
        clocks = Clocks(self._node.time, lambda: EPOCH + self._node.time.now)
        self._assembler = Assembler(
            [self._spec.name],
            self._spec.resource_prefixes,
            _LIMITS,
            clocks,
            dra_drivers={self._spec.name: self._spec.dra_drivers},
            allocation_energy=MetricSet.BILLING in options.sets,
        )

    def call(self, second: int, due: frozenset[Cadence]) -> CallEnded:
        """The poller's event for a call at a second."""
        try:
            reading = self._node.read(second, due)
        except CollectorError as error:
            return CallEnded(self._spec.name, second, second, due, None, error.reason, str(error))
        return CallEnded(self._spec.name, second, second, due, reading)

    def allocations(self, second: int) -> AttributionState:
        """The allocations at a second."""
        state = allocations_at(self._scenario, self._devices, second)
        return state._replace(last_success_timestamp_seconds=EPOCH + second)

    def apply(self, event: CallEnded | AttributionState) -> Snapshot:
        """What the assembler's thread does with an event."""
        if isinstance(event, CallEnded):
            self._node.time.now = event.ended
        self._assembler.apply(event)
        return self._assembler.snapshot()

    def at(self, second: int) -> Snapshot:
        """Read everything at a second; returns the snapshot after it."""
        self._node.time.now = second
        self.apply(self.allocations(second))
        return self.apply(self.call(second, ALL))
