"""The simulated backend: a node without hardware whose devices, pods and faults are described by a scenario.

It is for people who develop dashboards, alerts and autoscaling on a machine without accelerators; see
`docs/simulation.md`. It is not registered as a collector and is used only on request.
"""

from collectors.simulated.clock import ScenarioClock
from collectors.simulated.collector import SimulatedCollector, simulated_spec
from collectors.simulated.error import ScenarioError
from collectors.simulated.inventory import SimulatedDevice, inventory
from collectors.simulated.names import Names
from collectors.simulated.scenario import Scenario
from collectors.simulated.shipped import DEFAULT_SCENARIO, load_scenario, shipped_scenarios

__all__ = [
    "DEFAULT_SCENARIO",
    "Names",
    "Scenario",
    "ScenarioClock",
    "ScenarioError",
    "SimulatedCollector",
    "SimulatedDevice",
    "inventory",
    "load_scenario",
    "shipped_scenarios",
    "simulated_spec",
]
