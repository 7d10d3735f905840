"""A collector without hardware: reads a scenario instead of a vendor's library."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from collectors import catalog
from collectors.condition import Condition, CriticalEvent
from collectors.contract import (
    CollectOptions,
    CollectorSpec,
    Device,
    Fault,
    Node,
    Partition,
    Process,
    Reading,
    Reason,
    Sample,
    UnavailableError,
    Unsupported,
)
from collectors.metric import Cadence, Metric, MetricSet, Origin, Subject
from collectors.simulated import device_rows, diagnostic_rows, partition_rows
from collectors.simulated.activity import ActivitySchedule, SlotActivity
from collectors.simulated.clock import ScenarioClock
from collectors.simulated.conditions import conditions_of, new_events
from collectors.simulated.device_rows import DeviceView, Values, memory_used
from collectors.simulated.families import ACTIVITY
from collectors.simulated.garbage import checked, garbled
from collectors.simulated.inventory import SimulatedDevice, inventory
from collectors.simulated.machine import Machine
from collectors.simulated.names import driver_of
from collectors.simulated.partition_rows import PartitionView
from collectors.simulated.scenario import DevicePlan, Incident, Scenario, Trouble

NAME = "simulated"

_NO_OPTIONS = CollectOptions()
_ROWS = {**device_rows.ROWS, **diagnostic_rows.ROWS}

# A lost device keeps its identity, its state and the events that are the reason, and nothing else.
_LEFT_OF_LOST = frozenset({catalog.INFO, catalog.STATUS_STATE, catalog.ERRORS, catalog.ERROR_LAST_TIMESTAMP})
# No driver of the node reads a device that is passed to virtual machines.
_LEFT_OF_PASSTHROUGH = frozenset({catalog.INFO})


class SimulatedCollector:
    """The devices of a scenario on one node. The result of a call depends only on scenario, node and time.

    Args:
        scenario: The scenario.
        identity: The node's name, unique in the cluster.
        clock: The scenario's time.
        released: Ends a hang or a slow call when set; `close` sets it.
        options: The optional readings.
    """

    def __init__(
        self,
        scenario: Scenario,
        identity: str,
        clock: ScenarioClock,
        released: threading.Event,
        options: CollectOptions = _NO_OPTIONS,
    ) -> None:
        self._sets = options.sets
        self._diagnosed = MetricSet.DIAGNOSTICS in options.sets
        self._is_exported: dict[tuple[Metric, Subject, tuple[str, ...]], bool] = {}
        self._scenario = scenario
        self._clock = clock
        self._released = released
        schedule = ActivitySchedule(scenario)
        self._machines = tuple(Machine(device, scenario, schedule) for device in inventory(scenario, identity))
        self._lost: frozenset[str] = frozenset()
        self._counted: dict[str, Mapping[tuple[str, ...], int]] = {}  # events of each device until the last reading
        self._partitions: tuple[Partition, ...] | None = None
        self._unsupported: tuple[Unsupported, ...] = ()

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due.

        Raises:
            UnavailableError: The scenario lets calls fail now, or the collector was closed while the call hung.
        """
        self._released.clear()
        self._apply_library_faults()
        seconds = self._clock.seconds()
        faults: list[Fault] = []
        samples: list[Sample] = []
        for machine in self._machines:
            machine.advance(seconds)
            where = machine.device.device.device
            if machine.now.lost and (Cadence.MEDIUM in due or where not in self._lost):
                faults.append(Fault(Reason.DEVICE_LOST, where, "simulated fault: the device does not answer"))
            self._lost = self._lost | {where} if machine.now.lost else self._lost - {where}
            raw = self._samples(machine, due)
            samples += checked(map(garbled, raw) if machine.now.garbled else raw, where, faults)
        partitions = tuple(part.partition for machine in self._machines for part, _ in machine.partitions)
        if partitions != self._partitions:
            self._partitions, self._unsupported = partitions, tuple(self._all_gaps())
        return Reading(
            devices=tuple(_identity(machine) for machine in self._machines),
            partitions=partitions,
            samples=tuple(samples),
            processes=tuple(self._processes()) if catalog.PROCESSES.cadence in due else (),
            faults=tuple(faults),
            unsupported=self._unsupported,
            sessions={machine.device.device.uuid: machine.reloads for machine in self._machines},
            conditions=dict(self._conditions()),
            events=tuple(self._new_events()),
        )

    def close(self) -> None:
        """End a hanging call. Safe to call twice and from any thread; a later `read` works again."""
        self._released.set()

    def _conditions(self) -> Iterator[tuple[str, tuple[Condition, ...]]]:
        """Why devices are not ok, by uuid."""
        for machine in self._machines:
            if not machine.device.plan.passthrough:
                found = conditions_of(DeviceView(machine, self._clock.unix))
                if found:
                    yield machine.device.device.uuid, found

    def _new_events(self) -> Iterator[CriticalEvent]:
        for machine in self._machines:
            uuid = machine.device.device.uuid
            yield from new_events(machine, self._counted.get(uuid, {}))
            self._counted[uuid] = dict(machine.events)

    def _apply_library_faults(self) -> None:
        """Apply the current faults of the whole library: first delays, then failures."""
        for incident in self._incidents(Trouble.HANG, Trouble.SLOW):
            hangs = incident.trouble is Trouble.HANG
            left = incident.until - self._in_cycle() if hangs else incident.delay_seconds
            if self._released.wait(max(0.0, left)):
                raise UnavailableError("simulated fault: closed while the call was hanging")
        for incident in self._incidents(Trouble.RAISE):
            raise UnavailableError(
                f"simulated fault: every call fails from second {incident.since} to {incident.until} of the scenario; "
                "wait, or run another scenario"
            )

    def _incidents(self, *troubles: Trouble) -> list[Incident]:
        second = int(self._in_cycle())
        return [i for i in self._scenario.incidents if i.trouble in troubles and i.acts_at(second)]

    def _in_cycle(self) -> float:
        seconds = max(0.0, self._clock.seconds())
        return self._scenario.in_cycle(int(seconds)) + seconds % 1

    def _samples(self, machine: Machine, due: frozenset[Cadence]) -> Iterator[Sample]:
        device, profile = machine.device, machine.device.profile
        view = DeviceView(machine, self._clock.unix)
        uuid = device.device.uuid
        rows = _families(device) & _LEFT_OF_LOST if machine.now.lost else _families(device) - self._omitted(device)
        for metric, values in _ROWS.items():
            if metric in rows and metric.cadence in due:
                read = self._of_sets(metric, Subject.DEVICE, values(view))
                yield from _made(metric, read, uuid)
        partition_families = profile.partition & _LEFT_OF_LOST if machine.now.lost else profile.partition
        for part, activity in machine.partitions:
            part_view = PartitionView(profile, part, activity)
            for metric, part_values in partition_rows.ROWS.items():
                if metric in partition_families and metric.cadence in due:
                    read = self._of_sets(metric, Subject.PARTITION, part_values(part_view))
                    yield from _made(metric, read, uuid, part.partition.uuid)

    def _of_sets(self, metric: Metric, subject: Subject, values: Values) -> Values:
        """The values that are exported, of rows that collectors read only if they are."""
        if metric not in ACTIVITY:
            yield from values
            return
        for own, value in values:
            what = (metric, subject, own)
            if what not in self._is_exported:
                named = {label.name: text for label, text in zip(metric.labels, own, strict=True)}
                self._is_exported[what] = metric.set_of(subject, named) in self._sets
            if self._is_exported[what]:
                yield own, value

    def _omitted(self, device: SimulatedDevice) -> frozenset[Metric]:
        """The rows that only the set `diagnostics` asks for."""
        vendor = device.profile.vendor
        return frozenset() if self._diagnosed else diagnostic_rows.rows_of_set(vendor)

    def _all_gaps(self) -> Iterator[Unsupported]:
        """The rows that devices do not support. Rows that no device has without the set are not among them."""
        absent = frozenset() if self._diagnosed else diagnostic_rows.ROWS.keys()
        for machine in self._machines:
            if machine.device.plan.passthrough:
                continue
            yield from _gaps(machine, supplied_by(self._scenario) - absent)
            for metric in (self._omitted(machine.device) & _families(machine.device)) - absent:
                yield Unsupported(metric, machine.device.device.uuid, "read only with the set diagnostics")

    def _processes(self) -> Iterator[Process]:
        for machine in self._machines:
            device, profile = machine.device, machine.device.profile
            usable = profile.memory_bytes - profile.reserved_bytes
            if not device.partitions:
                has_utilization = catalog.UTILIZATION in profile.whole
                yield from _using(machine.now.whole, device.device.uuid, "", usable, has_utilization=has_utilization)
            for part, activity in machine.partitions:
                where = (part.partition.device_uuid, part.partition.uuid)
                # No vendor reports the utilization of one process on a partition.
                yield from _using(activity, *where, part.plan.memory_bytes, has_utilization=False)


def simulated_spec(scenario: Scenario, clock: ScenarioClock) -> CollectorSpec:
    """The collector of a scenario. It is not in the registry; the exporter adds it on request.

    Args:
        scenario: The scenario.
        clock: The scenario's time, the same as for its pods.
    """

    def create(node: Node) -> SimulatedCollector:
        return SimulatedCollector(scenario, node.identity, clock, threading.Event(), node.options)

    of_devices, of_partitions = _of_devices(scenario), _of_partitions(scenario)
    return CollectorSpec(
        name=NAME,
        metrics=tuple(metric for metric in catalog.ROWS if metric in of_devices),
        resource_prefixes=_resource_prefixes(scenario),
        create=create,
        partition_metrics=tuple(metric for metric in catalog.ROWS if metric in of_partitions),
        dra_drivers=tuple(sorted({driver_of(plan.profile.naming) for plan in scenario.devices})),
    )


def supplied_by(scenario: Scenario) -> frozenset[Metric]:
    """Every family that some device or partition of a scenario has."""
    return _of_devices(scenario) | _of_partitions(scenario)


def _of_devices(scenario: Scenario) -> frozenset[Metric]:
    return frozenset(row for plan in scenario.devices for row in _of_plan(plan))


def _of_partitions(scenario: Scenario) -> frozenset[Metric]:
    return frozenset(row for plan in scenario.devices if plan.partitions for row in plan.profile.partition)


def _resource_prefixes(scenario: Scenario) -> tuple[str, ...]:
    """The domains of all resources that are allocated."""
    resources = {plan.profile.naming.resource for plan in scenario.devices}
    resources |= {part.resource for plan in scenario.devices for part in plan.partitions}
    resources |= {container.resource for pod in scenario.pods for container in pod.containers if container.resource}
    return tuple(sorted({f"{resource.partition('/')[0]}/" for resource in resources}))


def _of_plan(plan: DevicePlan) -> frozenset[Metric]:
    if plan.passthrough:
        return _LEFT_OF_PASSTHROUGH
    return plan.profile.partitioned if plan.partitions else plan.profile.whole


def _families(device: SimulatedDevice) -> frozenset[Metric]:
    return _of_plan(device.plan)


def _identity(machine: Machine) -> Device:
    return replace(machine.device.device, lost=True) if machine.now.lost else machine.device.device


def _made(metric: Metric, values: Values, device_uuid: str, partition_uuid: str = "") -> Iterator[Sample]:
    for own, value in values:
        yield Sample(metric, device_uuid, value, partition_uuid, own)


def _using(
    activity: SlotActivity, device_uuid: str, partition_uuid: str, usable: int, *, has_utilization: bool
) -> Iterator[Process]:
    for use in activity.processes:
        utilization = use.load if has_utilization else None
        yield Process(use.pid, device_uuid, partition_uuid, memory_used(usable, use.memory_ratio), utilization)


def _gaps(machine: Machine, supplied: Iterable[Metric]) -> Iterator[Unsupported]:
    """The rows that this device does not support, although the scenario has them."""
    device = machine.device
    profile, uuid = device.profile, device.device.uuid
    for metric in catalog.ROWS:
        if metric.origin is not Origin.COLLECTOR or metric not in {*supplied, catalog.ENERGY}:
            continue
        if Subject.DEVICE in metric.subjects and metric not in _families(device):
            yield Unsupported(metric, uuid, f"not in profile {profile.name}")
        if Subject.PARTITION in metric.subjects and metric not in profile.partition:
            for part, _ in machine.partitions:
                yield Unsupported(metric, uuid, f"not for partitions of profile {profile.name}", part.partition.uuid)
