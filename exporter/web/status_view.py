"""The content of the status page as plain records, computed from a snapshot and two clocks."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from collectors import catalog
from collectors.condition import Condition
from collectors.contract import Device, Partition, Sample, SubjectKey
from collectors.metric import Metric
from exporter.device_names import index_of
from exporter.severity import OF_HANGING, OF_STATES, Severity, of_state, rank
from exporter.snapshot import AttributionHealth, CollectorHealth, Container, Failure, RecentEvent, Snapshot
from exporter.throttling import throttled

MAX_SHOWN_HOLDERS = 5

_CORE = "core"


class CollectorStatus(StrEnum):
    """State of a collector, as the page shows it."""

    WAITING = "waiting for its first reading"
    ABSENT = "not on this node"
    UP = "up"
    LATE = "late"
    DOWN = "down"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Temperature:
    """A device's temperature.

    Attributes:
        celsius: Degrees.
        sensor: The core, or the hottest sensor of a device without a core sensor.
    """

    celsius: float
    sensor: str


@dataclass(frozen=True, slots=True)
class Readings:
    """Current readings of a device or partition, in base units; None where there is no reading."""

    utilization_ratio: float | None = None
    memory_usage_bytes: float | None = None
    memory_limit_bytes: float | None = None
    power_watts: float | None = None
    temperature: Temperature | None = None


@dataclass(frozen=True, slots=True)
class Holders:
    """Containers to which a device or partition is allocated, not counting allocations of its partitions.

    Attributes:
        first: The first of them in order of name, `MAX_SHOWN_HOLDERS` at most.
        count: Number of containers.
    """

    first: tuple[Container, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A partition; `holders` is None while allocations are unknown."""

    uuid: str
    profile: str
    readings: Readings
    holders: Holders | None


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device with its partitions.

    Attributes:
        uuid: Its identity.
        address: PCI address or kernel name.
        vendor: One word.
        model: The vendor's product name.
        lost: True if it does not respond.
        state: One of the catalogue's device states; None while unknown.
        readings: Current readings.
        holders: Containers that the whole device is allocated to; None while allocations are unknown.
        partitions: In the collector's order.
        stuck_seconds: For how long a call about it has not returned; None while none is out.
        released: True while it is closed at the user's request, and the others are read.
        index: The driver's number of it; empty if unknown.
        unread_seconds: For how long nothing has been read of it that should have been; None if it is read.
        unread_severity: How severe that is.
        conditions: Why it needs attention, the worst first.
        events: Its critical events of the last 10 minutes, the newest first, without those that are a condition.
    """

    uuid: str
    address: str
    vendor: str
    model: str
    lost: bool
    state: str | None
    readings: Readings
    holders: Holders | None
    partitions: tuple[PartitionRow, ...]
    stuck_seconds: float | None = None
    released: bool = False
    index: str = ""
    unread_seconds: float | None = None
    unread_severity: Severity = Severity.OK
    conditions: tuple[Condition, ...] = ()
    events: tuple[RecentEvent, ...] = ()

    @property
    def severity(self) -> Severity:
        """How severe the worst is that is known about it."""
        if self.lost:
            return OF_STATES["failed"]
        if self.released:
            return Severity.NOTE
        facts = [of_state(each) for each in (*(condition.state for condition in self.conditions), self.state)]
        facts.append(Severity.OK if self.unread_seconds is None else self.unread_severity)
        facts.append(Severity.OK if self.stuck_seconds is None else OF_HANGING)
        facts.append(Severity.WARNING if self.events else Severity.OK)
        return min(facts, key=rank)

    @property
    def needs_attention(self) -> bool:
        """True if something is wrong with itself, and not only with its collector."""
        if self.released and not self.lost:
            return False
        slow = self.unread_seconds is not None and self.unread_severity is Severity.WARNING
        unwell = of_state(self.state) in {Severity.ERROR, Severity.WARNING}
        return self.lost or slow or unwell or self.stuck_seconds is not None or bool(self.conditions or self.events)

    @property
    def allocated_partitions(self) -> int:
        """Number of its partitions that are allocated."""
        return sum(part.holders is not None and part.holders.count > 0 for part in self.partitions)

    @property
    def free(self) -> bool:
        """True if neither the device nor any of its partitions is allocated; False while allocations are unknown."""
        return self.holders is not None and not self.holders.count and not self.allocated_partitions


@dataclass(frozen=True, slots=True)
class CollectorRow:
    """A collector.

    Attributes:
        name: Its name.
        state: Its state.
        devices: Number of its devices.
        last_success_age_seconds: None before the first success.
        errors: Reason and count of the readings that failed.
        duplicate_devices: Number of devices that it lists and another collector exports.
        failure: Why it is down; None if it is not.
        unread_devices: Number of its devices that are not read.
    """

    name: str
    state: CollectorStatus
    devices: int
    last_success_age_seconds: float | None
    errors: tuple[tuple[str, int], ...]
    duplicate_devices: int = 0
    failure: Failure | None = None
    unread_devices: int = 0


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source of allocations; the age is None before its first success."""

    name: str
    up: bool
    last_success_age_seconds: float | None


@dataclass(frozen=True, slots=True)
class StatusView:
    """All content of the page.

    Attributes:
        devices: Sorted by vendor and address, so that a lost device keeps its place.
        collectors: In the snapshot's order.
        sources: Sources of allocations; empty before the first request.
        unmatched: Resource and number of its allocated ids that match no device.
        unresolved_claims: Driver and number of its devices of resource claims that are not resolved.
        allocations_known: False while no source has reported allocations.
        ready: True once every collector has reported readings, failed or timed out.
        snapshot_age_seconds: Time since the snapshot was made.
        readings_age_seconds: Longest time since a collector's last success; None if no collector has devices.
    """

    devices: tuple[DeviceRow, ...]
    collectors: tuple[CollectorRow, ...]
    sources: tuple[SourceRow, ...]
    unmatched: tuple[tuple[str, int], ...]
    unresolved_claims: tuple[tuple[str, int], ...]
    allocations_known: bool
    ready: bool
    snapshot_age_seconds: float
    readings_age_seconds: float | None


def build_view(snapshot: Snapshot, unix_seconds: float, snapshot_age_seconds: float) -> StatusView:
    """The page's content for a snapshot.

    Args:
        snapshot: The newest snapshot.
        unix_seconds: Current time.
        snapshot_age_seconds: Age of the snapshot by a monotonic clock.
    """
    subjects = _Subjects(snapshot, snapshot_age_seconds)
    ordered = sorted(snapshot.devices.values(), key=lambda d: (d.vendor, len(d.device), d.device, d.uuid))
    collectors = tuple(_collector(health, unix_seconds) for health in snapshot.collectors)
    ages = [c.last_success_age_seconds for c in collectors if c.devices and c.last_success_age_seconds is not None]
    return StatusView(
        devices=tuple(subjects.device(device) for device in ordered),
        collectors=collectors,
        sources=tuple(_source(health, unix_seconds) for health in snapshot.attribution),
        unmatched=tuple(sorted(snapshot.unmatched.items())),
        unresolved_claims=tuple(sorted(snapshot.unresolved_claims.items())),
        allocations_known=snapshot.allocations is not None,
        ready=snapshot.ready,
        snapshot_age_seconds=snapshot_age_seconds,
        readings_age_seconds=max(ages, default=None),
    )


class _Subjects:
    """A snapshot's samples and allocations, indexed by device and partition."""

    def __init__(self, snapshot: Snapshot, snapshot_age_seconds: float) -> None:
        self._plain: dict[SubjectKey, dict[Metric, float]] = defaultdict(dict)
        self._temperatures: dict[str, dict[str, float]] = defaultdict(dict)
        self._states: dict[str, str] = {}
        self._infos: dict[str, Sample] = {}
        for sample in snapshot.samples:
            if not sample.labels:
                key = sample.subject
                self._plain[key][sample.metric] = sample.value
            elif sample.metric is catalog.TEMPERATURE:
                self._temperatures[sample.device_uuid][sample.labels[0]] = sample.value
            elif sample.metric is catalog.STATUS_STATE and sample.value:
                self._states[sample.device_uuid] = sample.labels[0]
            elif sample.metric is catalog.INFO and not sample.partition_uuid:
                self._infos[sample.device_uuid] = sample
        self._partitions: dict[str, list[Partition]] = defaultdict(list)
        for partition in snapshot.partitions.values():
            self._partitions[partition.device_uuid].append(partition)
        self._holders = None if snapshot.allocations is None else _by_subject(snapshot)
        self._released = {uuid for health in snapshot.collectors for uuid in health.released_devices}
        self._stuck = {uuid: seconds for health in snapshot.collectors for uuid, seconds in health.stuck.items()}
        self._unread = {
            uuid: (seconds + snapshot_age_seconds, Severity.WARNING if health.up else OF_HANGING)
            for health in snapshot.collectors
            for uuid, seconds in health.unread.items()
        }
        self._conditions: dict[str, list[Condition]] = defaultdict(list)
        for uuid, why in (*snapshot.conditions.items(), *((uuid, (why,)) for uuid, why in throttled(snapshot.samples))):
            self._conditions[uuid] += why

        self._events: dict[str, list[RecentEvent]] = defaultdict(list)
        for recent in snapshot.events:
            named = any(recent.event.text in each.text for each in self._conditions.get(recent.event.device_uuid, ()))
            if not named:
                since = recent.age_seconds + snapshot_age_seconds
                self._events[recent.event.device_uuid].append(RecentEvent(recent.event, since))

    def device(self, device: Device) -> DeviceRow:
        key = device.subject
        unread_seconds, unread_severity = self._unread.get(device.uuid, (None, Severity.OK))
        return DeviceRow(
            uuid=device.uuid,
            address=device.device,
            vendor=device.vendor,
            model=device.model,
            lost=device.lost,
            state=self._states.get(device.uuid),
            readings=self._readings(key),
            holders=self._holders_of(key),
            partitions=tuple(self._partition(part) for part in self._partitions.get(device.uuid, ())),
            stuck_seconds=self._stuck.get(device.uuid),
            released=device.uuid in self._released,
            index=index_of(device.uuid, filter(None, [self._infos.get(device.uuid)])),
            unread_seconds=unread_seconds,
            unread_severity=unread_severity,
            conditions=tuple(self._conditions.get(device.uuid, ())),
            events=tuple(self._events.get(device.uuid, ())),
        )

    def _partition(self, partition: Partition) -> PartitionRow:
        key = partition.subject
        return PartitionRow(partition.uuid, partition.profile, self._readings(key), self._holders_of(key))

    def _readings(self, key: SubjectKey) -> Readings:
        now = self._plain.get(key, {})
        return Readings(
            utilization_ratio=now.get(catalog.UTILIZATION),
            memory_usage_bytes=now.get(catalog.MEMORY_USAGE),
            memory_limit_bytes=now.get(catalog.MEMORY_LIMIT),
            power_watts=now.get(catalog.POWER),
            temperature=None if key.partition_uuid else _temperature(self._temperatures.get(key.device_uuid, {})),
        )

    def _holders_of(self, key: SubjectKey) -> Holders | None:
        """None while unknown: without holders also where `allocated` is absent, see `JoinResult.holders`."""
        if self._holders is None:
            return None
        containers = self._holders.get(key, [])
        if not containers and catalog.ALLOCATED not in self._plain.get(key, {}):
            return None
        return Holders(tuple(containers[:MAX_SHOWN_HOLDERS]), len(containers))


def _by_subject(snapshot: Snapshot) -> dict[SubjectKey, list[Container]]:
    holders: dict[SubjectKey, list[Container]] = defaultdict(list)
    for edge in snapshot.allocations or ():
        holders[edge.subject].append(edge.container)
    return {subject: sorted(containers) for subject, containers in holders.items()}


def _temperature(by_sensor: Mapping[str, float]) -> Temperature | None:
    if not by_sensor:
        return None
    sensor = _CORE if _CORE in by_sensor else max(by_sensor, key=by_sensor.__getitem__)
    return Temperature(by_sensor[sensor], sensor)


def _collector(health: CollectorHealth, unix_seconds: float) -> CollectorRow:
    return CollectorRow(
        name=health.name,
        state=_collector_status(health),
        devices=health.devices,
        last_success_age_seconds=_age(health.last_success_timestamp_seconds, unix_seconds),
        errors=tuple((reason.value, count) for reason, count in health.errors.items() if count),
        duplicate_devices=health.duplicate_devices,
        failure=health.failure,
        unread_devices=len(health.unread),
    )


def _collector_status(health: CollectorHealth) -> CollectorStatus:
    if health.late:
        return CollectorStatus.LATE
    if health.released:
        return CollectorStatus.RELEASED
    if health.up:
        return CollectorStatus.UP
    if health.present:
        return CollectorStatus.DOWN
    return CollectorStatus.WAITING if health.duration_seconds is None else CollectorStatus.ABSENT


def _source(health: AttributionHealth, unix_seconds: float) -> SourceRow:
    return SourceRow(health.source, health.up, _age(health.last_success_timestamp_seconds, unix_seconds))


def _age(timestamp_seconds: float | None, unix_seconds: float) -> float | None:
    """Never negative: the wall clock may have been set back."""
    return None if timestamp_seconds is None else max(0.0, unix_seconds - timestamp_seconds)
