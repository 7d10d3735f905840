import queue
from pathlib import Path

import pytest

from collectors.simulated import Scenario, ScenarioClock, inventory, load_scenario, shipped_scenarios
from exporter.attribution.device_ids import AliasTable
from exporter.attribution.holding import Holding
from exporter.attribution.simulated import SimulatedPods, allocations_at
from exporter.attribution.watcher import AttributionState
from tests.doubles.simulated_node import EPOCH, ManualTime, scenario

PATIENCE_SECONDS = 30
SHARED = """
repeat: 100
devices:
- profile: l40s
- profile: h100
  partitions: [{profile: 1g.10gb, count: 2, memory: 9GiB, compute: 1/7}]
pods:
- {namespace: a, name: one, containers: [{name: c, devices: [0], replica: 0, resource: nvidia.com/gpu.shared}]}
- namespace: a
  name: two
  from: 10
  until: 30
  containers: [{name: c, devices: [0], replica: 4, resource: nvidia.com/gpu.shared}, {name: d, partitions: ["1/1"]}]
"""


def holdings_at(played: Scenario, seconds: float) -> tuple[Holding, ...]:
    """What device plugins have allocated."""
    return tuple(allocations_at(played, inventory(played, "node-1"), seconds).holdings or ())


def test_pods_start_share_devices_end_and_start_again() -> None:
    played = scenario(SHARED)
    devices = inventory(played, "node-1")
    whole, part = devices[0].device.uuid, devices[1].partitions[1].partition.uuid
    first = Holding("a", "one", "c", "nvidia.com/gpu.shared", f"{whole}::0", "device_plugin")
    second = Holding("a", "two", "c", "nvidia.com/gpu.shared", f"{whole}::4", "device_plugin")
    sliced = Holding("a", "two", "d", "nvidia.com/mig-1g.10gb", part, "device_plugin")
    at = {seconds: holdings_at(played, seconds) for seconds in (0, 9.9, 10, 29.9, 30, 99, 110.5)}
    assert at[0] == at[9.9] == at[30] == at[99] == (first,)
    assert at[10] == at[29.9] == at[110.5] == (first, second, sliced)


@pytest.mark.parametrize("name", shipped_scenarios())
def test_pods_of_shipped_scenarios_have_existing_devices_and_partitions(name: str) -> None:
    played = load_scenario(name)
    devices = inventory(played, "node-1")
    table = AliasTable([one.device for one in devices], [part.partition for one in devices for part in one.partitions])
    for seconds in range(0, 600, 50):
        holdings = holdings_at(played, seconds)
        assert holdings == tuple(sorted(holdings))
        assert holdings
        assert not [held for held in holdings if table.resolve(held.resource, held.device_id) is None]
        ids = [(held.resource, held.device_id) for held in holdings]
        assert len(set(ids)) == len(ids)


def test_the_default_scenario_has_shared_idle_and_free_devices() -> None:
    played = load_scenario("inference")
    devices = inventory(played, "node-1")
    at = {seconds: holdings_at(played, seconds) for seconds in (100, 195, 300, 500)}
    sharing = {seconds: sum("::" in held.device_id for held in held_then) for seconds, held_then in at.items()}
    assert sharing == {100: 2, 195: 2, 300: 3, 500: 2}
    holders = {s: [held.pod for held in at[s] if held.device_id == devices[2].device.uuid] for s in at}
    assert holders == {100: ["transcribe-1"], 195: [], 300: ["transcribe-2"], 500: ["forgotten"]}
    assert not [held for held_then in at.values() for held in held_then if held.device_id == devices[3].device.uuid]


def test_pods_are_published_repeatedly_until_it_stops() -> None:
    played = scenario(SHARED)
    published: queue.SimpleQueue[AttributionState] = queue.SimpleQueue()
    time = ManualTime()
    pods = SimulatedPods(played, "node-1", ScenarioClock(time, lambda: EPOCH), published.put)
    pods.start()
    first = published.get(timeout=PATIENCE_SECONDS)
    time.now = 15.5
    second = published.get(timeout=PATIENCE_SECONDS)
    pods.stop()
    pods.stop()
    assert first == AttributionState(
        holdings_at(played, 0), up=True, last_success_timestamp_seconds=EPOCH, source="simulated", answers=1
    )
    assert second == AttributionState(
        holdings_at(played, 15.5), up=True, last_success_timestamp_seconds=EPOCH + 15.5, source="simulated", answers=2
    )
    assert not pods._thread.is_alive()


def test_stopping_before_the_start_is_harmless() -> None:
    pods = SimulatedPods(scenario(SHARED, Path()), "n", ScenarioClock(ManualTime(), lambda: EPOCH), lambda _: None)
    pods.stop()
