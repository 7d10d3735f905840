"""The exposition of each shipped scenario at a given second, through the real join and renderer on a manual clock.

`pytest tests/golden --update-golden` rewrites the files.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors.contract import CollectOptions
from collectors.metric import DEFAULT_SETS, Cadence, MetricSet
from collectors.simulated import Scenario, inventory, load_scenario, shipped_scenarios, simulated_spec
from exporter import exposition
from exporter.assembler import Assembler, Clocks
from exporter.attribution.simulated import allocations_at
from exporter.collector_state import Limits
from exporter.poller import CallEnded
from exporter.selfmetrics import health_samples
from exporter.series import Shown
from exporter.text_format import Format
from tests.doubles.prometheus import promtool_check
from tests.doubles.simulated_node import EPOCH, SimulatedNode

_FOLDER = Path(__file__).parent / "scenarios"
_IDENTITY = "node-1"
_MOST_LINES = 450


class Scene(NamedTuple):
    """The devices of a scenario to export, and the second."""

    devices: tuple[int, ...]
    second: int


_SCENES = {
    "claims": Scene((0, 3, 4), 300),  # partitions that claims have created, shares, a device of a virtual machine
    "failing": Scene((1, 2), 115),  # memory errors, throttling and a critical error, just before the GPU is lost
    "inference": Scene((0, 1), 250),  # MIG, and a device shared by three
    "load": Scene((0,), 60),
    "mi300x": Scene((0,), 60),
    "mig": Scene((0,), 60),
    "training": Scene((0, 1), 60),
}


def _only(scenario: Scenario, devices: tuple[int, ...]) -> Scenario:
    """The scenario with only some of its devices, and with their allocations and faults."""
    place = {old: new for new, old in enumerate(devices)}
    pods = []
    for pod in scenario.pods:
        kept = [
            replace(c, slots=tuple(s._replace(device=place[s.device]) for s in c.slots if s.device in place))
            for c in pod.containers
        ]
        if any(container.slots for container in kept):
            pods.append(replace(pod, containers=tuple(kept)))
    incidents = tuple(
        replace(incident, devices=tuple(place[d] for d in incident.devices if d in place))
        for incident in scenario.incidents
        if not incident.devices or set(incident.devices) & place.keys()
    )
    return replace(scenario, devices=tuple(scenario.devices[d] for d in devices), pods=tuple(pods), incidents=incidents)


def play(scenario: Scenario, until: int, sets: frozenset[MetricSet] = DEFAULT_SETS) -> str:
    """Poll once a second up to a second of the scenario and render the chosen sets of the snapshot of that time."""
    node = SimulatedNode(scenario, _IDENTITY, CollectOptions(sets))
    spec = simulated_spec(scenario, node.clock)
    limits = Limits(5, {Cadence.FAST: 11, Cadence.MEDIUM: 20, Cadence.SLOW: 70})
    clocks = Clocks(node.time, lambda: EPOCH + node.time.now)
    drivers = {spec.name: spec.dra_drivers}
    assembler = Assembler([spec.name], spec.resource_prefixes, limits, clocks, dra_drivers=drivers)
    devices = inventory(scenario, _IDENTITY)
    for second in range(until + 1):
        due = frozenset(
            c for c, every in ((Cadence.FAST, 1), (Cadence.MEDIUM, 10), (Cadence.SLOW, 60)) if second % every == 0
        )
        reading = node.read(second, due)
        held = allocations_at(scenario, devices, second)
        assembler.apply(held._replace(last_success_timestamp_seconds=EPOCH + second))
        assembler.apply(CallEnded(spec.name, second, second, due, reading))
        snapshot = assembler.snapshot()
    return exposition.render(snapshot, health_samples(snapshot), Format.TEXT, Shown(sets=sets)).decode()


@pytest.mark.parametrize("name", shipped_scenarios())
def test_scenario(name: str, request: pytest.FixtureRequest) -> None:
    scene = _SCENES[name]
    found = play(_only(load_scenario(name), scene.devices), scene.second)
    golden = _FOLDER / f"{name}.prom"
    if request.config.getoption("--update-golden"):
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.mark.parametrize("name", shipped_scenarios())
def test_scenario_file_is_readable_and_valid(name: str) -> None:
    text = (_FOLDER / f"{name}.prom").read_text()
    assert text.count("\n") <= _MOST_LINES
    assert len(list(text_string_to_metric_families(text))) == text.count("# TYPE ")
    assert promtool_check(text) == ""
