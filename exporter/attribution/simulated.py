"""The pods of a simulated node: reports allocations as the kubelet would, from the scenario's plan."""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from collectors.simulated import Names, Scenario, ScenarioClock, SimulatedDevice, inventory
from collectors.simulated.scenario import ContainerPlan, PodPlan, Slot
from exporter.attribution.holding import ClaimDevice, Holding
from exporter.attribution.watcher import AttributionState

SOURCE = "simulated"

_INTERVAL_SECONDS = 1.0
_STOP_SECONDS = 0.5
_POOL = "simulated"  # of every device


def allocations_at(scenario: Scenario, devices: Sequence[SimulatedDevice], seconds: float) -> AttributionState:
    """Return the allocations at a time, without the time of the answer.

    Args:
        scenario: The scenario with the pods.
        devices: The scenario's devices on this node, by index.
        seconds: Seconds since the scenario began.
    """
    second = scenario.in_cycle(int(max(0.0, seconds)))
    containers = [(pod, container) for pod in scenario.pods if pod.runs_at(second) for container in pod.containers]
    plugged = (
        _holding(pod, container, slot, devices)
        for pod, container in containers
        if not container.claim
        for slot in container.slots
    )
    return AttributionState(
        tuple(sorted(plugged)),
        up=True,
        last_success_timestamp_seconds=None,
        source=SOURCE,
        claim_devices=tuple(sorted(_claimed(containers, devices))),
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
        for answers in count(1):
            if self._stop.is_set():
                return
            seconds = self._clock.seconds()
            state = allocations_at(self._scenario, self._devices, seconds)
            self._publish(state._replace(last_success_timestamp_seconds=self._clock.unix(seconds), answers=answers))
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


def _claimed(
    containers: Sequence[tuple[PodPlan, ContainerPlan]], devices: Sequence[SimulatedDevice]
) -> Iterator[ClaimDevice]:
    """Yield every device of the claim of each container: the kubelet does not list which of them it asks for."""
    held: dict[tuple[str, str], set[tuple[Slot, int | None]]] = {}
    for pod, container in containers:
        if container.claim:
            slots = held.setdefault((pod.namespace, container.claim), set())
            slots |= {(slot, container.share) for slot in container.slots}
    for pod, container in containers:
        for slot, share in held.get((pod.namespace, container.claim), ()):
            driver, device, _ = _names(slot, devices)
            yield ClaimDevice(
                namespace=pod.namespace,
                pod=pod.name,
                driver=driver,
                pool=_POOL,
                device=device,
                share="" if share is None else str(uuid.uuid5(uuid.NAMESPACE_OID, f"{device}/{share}")),
                claim_namespace=pod.namespace,
                claim_name=container.claim,
                container=container.name,
            )


def _names(slot: Slot, devices: Sequence[SimulatedDevice]) -> Names:
    device = devices[slot.device]
    return device.names if slot.partition is None else device.partitions[slot.partition].names
