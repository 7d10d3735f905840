"""The pods of a simulated node: reports allocations as the kubelet would, from the scenario's plan."""

import threading
from collections.abc import Callable, Sequence

from collectors.simulated import Scenario, ScenarioClock, SimulatedDevice, inventory
from collectors.simulated.scenario import ContainerPlan, PodPlan, Slot
from exporter.attribution.holding import Holding
from exporter.attribution.watcher import AttributionState

SOURCE = "simulated"

_INTERVAL_SECONDS = 1.0
_STOP_SECONDS = 0.5


def holdings_at(scenario: Scenario, devices: Sequence[SimulatedDevice], seconds: float) -> tuple[Holding, ...]:
    """Return the allocations at a time, sorted.

    Args:
        scenario: The scenario with the pods.
        devices: The scenario's devices on this node, by index.
        seconds: Seconds since the scenario began.
    """
    second = scenario.in_cycle(int(max(0.0, seconds)))
    return tuple(
        sorted(
            _holding(pod, container, slot, devices)
            for pod in scenario.pods
            if pod.runs_at(second)
            for container in pod.containers
            for slot in container.slots
        )
    )


class SimulatedPods:
    """Publishes the scenario's pods once a second, instead of a watcher of the kubelet.

    Args:
        scenario: The scenario with the pods.
        identity: The node's name, the same as for the devices.
        clock: The scenario's time, the same as for the devices.
        publish: Receives every state; must not block.
    """

    def __init__(
        self,
        scenario: Scenario,
        identity: str,
        clock: ScenarioClock,
        publish: Callable[[AttributionState], None],
    ) -> None:
        self._scenario = scenario
        self._devices = inventory(scenario, identity)
        self._clock = clock
        self._publish = publish
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-pods", daemon=True)

    def start(self) -> None:
        """Start publishing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop. Nothing is published afterwards. Safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            seconds = self._clock.seconds()
            now = self._clock.unix(seconds)
            holdings = holdings_at(self._scenario, self._devices, seconds)
            self._publish(AttributionState(holdings, up=True, last_success_timestamp_seconds=now, source=SOURCE))
            self._stop.wait(_INTERVAL_SECONDS)


def _holding(pod: PodPlan, container: ContainerPlan, slot: Slot, devices: Sequence[SimulatedDevice]) -> Holding:
    device = devices[slot.device]
    if slot.partition is None:
        device_id, resource = device.plugin_id, device.profile.naming.resource
    else:
        part = device.partitions[slot.partition]
        device_id, resource = part.plugin_id, part.plan.resource
    if container.replica is not None:
        device_id = f"{device_id}::{container.replica}"
    return Holding(
        namespace=pod.namespace,
        pod=pod.name,
        container=container.name,
        resource=container.resource or resource,
        device_id=device_id,
        source="device_plugin",
    )
