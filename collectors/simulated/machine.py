"""The simulated hardware of one device: changes once a second, and keeps the state between seconds.

Within a second every gauge is constant and every counter rises evenly, so a counter is the exact integral of its gauge.
The state at a time depends only on the scenario and that time, not on when it was read.
"""

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from collectors import catalog, labels
from collectors.metric import Metric
from collectors.simulated.activity import IDLE, ActivitySchedule, SlotActivity
from collectors.simulated.inventory import SimulatedDevice, SimulatedPartition, in_period
from collectors.simulated.profile import ErrorCode, Profile
from collectors.simulated.scenario import Incident, Scenario, Slot, Trouble

Count = tuple[Metric, tuple[str, ...]]

_AMBIENT_CELSIUS = 26.0
_WARMING_RATIO = 1 / 40  # of the difference to the final temperature, each second
_THROTTLE_KELVIN = 16.0  # added to the final temperature while thermal throttling is simulated
_POWER_LIMITED_LOAD = 0.97
# AMD's cards count uncorrected errors by block; one of the blocks is the memory.
BLOCKS, MEMORY_BLOCK = "ras", "umc"
_UNCORRECTED: Count = (catalog.MEMORY_LIFETIME_ERRORS, ("uncorrected",))
_ROUNDING = 1e-6  # ten tenths are 1
_PCIE_LOADED_RATIO = 0.12  # of the link's bandwidth, under full load
_FABRIC_LOADED_RATIO = 0.35  # same, of the links between devices
_PCIE_LANE_BYTES = {4: 1.969e9, 5: 3.938e9}  # by generation, per second and direction
_RESET_BY_DRIVER = frozenset(
    {
        catalog.ENERGY,
        catalog.PCIE_BYTES,
        catalog.PCIE_REPLAYS,
        catalog.INTERCONNECT_BYTES,
        catalog.INTERCONNECT_ERRORS,
        catalog.MEMORY_ERRORS,
    }
)


@dataclass(frozen=True, slots=True)
class Second:
    """What a device does in one second.

    Attributes:
        lost: True while it does not answer.
        whole: What happens on the whole device; on a partitioned one, the sum of its partitions.
        partitions: What happens on each partition.
        periods: The time for which each partition exists, see `ActivitySchedule.period`; None for one that does not.
        watts: The power it draws.
        throttled: The reasons why clocks are reduced.
        corrected_per_second: Corrected memory errors.
        uncorrected_per_second: Uncorrected memory errors.
        garbled: True while some of its values are garbage.
    """

    lost: bool
    whole: SlotActivity
    partitions: tuple[SlotActivity, ...]
    periods: tuple[str | None, ...]
    watts: float
    throttled: frozenset[str]
    corrected_per_second: float
    uncorrected_per_second: float
    garbled: bool


class Machine:
    """One device over time.

    Args:
        device: The device.
        scenario: The scenario with its faults.
        schedule: What runs on it.
    """

    def __init__(self, device: SimulatedDevice, scenario: Scenario, schedule: ActivitySchedule) -> None:
        self.device = device
        self._scenario = scenario
        self._schedule = schedule
        self._all_incidents = _incidents_of(scenario, device.index)
        self._tick = 0
        self._part = 0.0
        self._reloads = 0
        self._now = self._second(0)
        self._totals = dict.fromkeys((count for count, _ in self._rates()), 0.0)
        self._events: dict[tuple[str, ...], int] = {
            code.labels: 0 for code in device.profile.error_codes if code.from_start
        }
        self._unrepaired: dict[ErrorCode, None] = {}
        self._before_loss: dict[ErrorCode, None] = {}
        self._failing_blocks: set[str] = set()
        self._last_events: dict[tuple[str, ...], int] = {}
        self._core_celsius = _settled_celsius(device.profile, device.profile.idle_watts)
        self._apply_events()

    @property
    def now(self) -> Second:
        """What it does in the current second."""
        return self._now

    @property
    def partitions(self) -> Iterator[tuple[SimulatedPartition, SlotActivity]]:
        """The partitions that exist now, each with what happens on it."""
        for part, period, activity in zip(self.device.partitions, self._now.periods, self._now.partitions, strict=True):
            if period is not None:
                yield in_period(self.device, part, period), activity

    @property
    def reloads(self) -> int:
        """How often its driver has been loaded again."""
        return self._reloads

    @property
    def core_celsius(self) -> float:
        """The temperature of its first sensor."""
        return self._core_celsius

    @property
    def events(self) -> Mapping[tuple[str, ...], int]:
        """How often each critical event has happened; 0 for those with a counter from the start."""
        return self._events

    @property
    def must_be_reset(self) -> bool:
        """True after a fatal event, until the device is lost and found again or the driver is reloaded."""
        return any(code.fatal for code in self._unrepaired)

    @property
    def unrepaired(self) -> Collection[ErrorCode]:
        """The events since the device was last found again or its driver loaded, each once."""
        return self._unrepaired.keys()

    @property
    def before_loss(self) -> Collection[ErrorCode]:
        """The same of a lost device: those after which it was lost."""
        return self._before_loss.keys()

    @property
    def failing_blocks(self) -> AbstractSet[str]:
        """The blocks with critical events since the driver was loaded; empty for a card without blocks."""
        return self._failing_blocks

    @property
    def last_events(self) -> Mapping[tuple[str, ...], int]:
        """The second of the last event of each kind; without events that have not happened."""
        return self._last_events

    def advance(self, seconds: float) -> None:
        """Advance to a time; an earlier time than before changes nothing.

        Args:
            seconds: Since the scenario began.
        """
        if seconds <= self._tick + self._part:
            return
        while self._tick + 1 <= seconds:
            before = int(self._totals[_UNCORRECTED] + _ROUNDING)
            for count, rate in self._rates():
                self._totals[count] += rate
            self._warm()
            self._tick += 1
            self._now = self._second(self._tick)
            self._apply_events()
            self._count_events(MEMORY_BLOCK, int(self._totals[_UNCORRECTED] + _ROUNDING) - before)
        self._part = seconds - self._tick

    def totals(self, metric: Metric) -> Iterator[tuple[tuple[str, ...], float]]:
        """The counters of one family, by their labels."""
        rates = dict(self._rates())
        for count, total in self._totals.items():
            if count[0] is metric:
                yield count[1], total + rates[count] * self._part

    def _incidents(self, trouble: Trouble) -> Iterator[Incident]:
        """The current faults of one kind on this device."""
        second = self._scenario.in_cycle(self._tick)
        return (incident for incident in self._all_incidents[trouble] if incident.acts_at(second))

    def _second(self, tick: int) -> Second:
        index, parts = self.device.index, self.device.partitions
        lost = any(self._incidents(Trouble.DEVICE_LOST))
        slices = tuple(IDLE if lost else self._schedule.at(part.slot, tick) for part in parts)
        whole = _sum(self.device, slices) if parts else IDLE if lost else self._schedule.at(Slot(index), tick)
        throttled = {incident.reason for incident in self._incidents(Trouble.THROTTLE)}
        if whole.load >= _POWER_LIMITED_LOAD:
            throttled.add("power")
        profile = self.device.profile
        errors = tuple(self._incidents(Trouble.MEMORY_ERRORS))
        return Second(
            lost=lost,
            whole=whole,
            partitions=slices,
            periods=tuple(self._schedule.period(part.slot, tick) for part in parts),
            watts=0.0 if lost else profile.idle_watts + (profile.limit_watts - profile.idle_watts) * whole.load,
            throttled=frozenset(throttled),
            corrected_per_second=sum(incident.corrected_per_second for incident in errors),
            uncorrected_per_second=sum(incident.uncorrected_per_second for incident in errors),
            garbled=any(self._incidents(Trouble.GARBAGE)),
        )

    def _warm(self) -> None:
        """Change the core's temperature by one second towards its final value."""
        hot = _THROTTLE_KELVIN if "thermal" in self._now.throttled else 0.0
        final = _settled_celsius(self.device.profile, self._now.watts) + hot
        self._core_celsius += (final - self._core_celsius) * _WARMING_RATIO

    def _apply_events(self) -> None:
        """Apply the events that happen at the beginning of a second."""
        if any(self._incidents(Trouble.DRIVER_RELOAD)):
            self._reloads += 1
            for count in self._totals:
                if count[0] in _RESET_BY_DRIVER:
                    self._totals[count] = 0.0
            self._failing_blocks.clear()
        self._before_loss = {**self._before_loss, **self._unrepaired} if self._now.lost else {}
        if self._now.lost or any(self._incidents(Trouble.DRIVER_RELOAD)):
            self._unrepaired.clear()
        for incident in self._incidents(Trouble.CRITICAL_ERROR):
            code = self._count_events(incident.code, 1)
            if code is not None and code.source == BLOCKS:
                self._failing_blocks.add(code.code)

    def _count_events(self, name: str, number: int) -> ErrorCode | None:
        """Count events of one code, if the card has it and there are any. Returns that code."""
        code = next((code for code in self.device.profile.error_codes if code.code == name), None)
        if code is None or not number:
            return None
        self._events[code.labels] = self._events.get(code.labels, 0) + number
        self._last_events[code.labels] = self._tick
        (self._before_loss if self._now.lost else self._unrepaired)[code] = None
        return code

    def _rates(self) -> Iterator[tuple[Count, float]]:
        """Every counter of the hardware, and by how much it rises per second now."""
        profile, now = self.device.profile, self._now
        yield (catalog.ENERGY, ()), now.watts
        for reason in profile.throttle_reasons:
            yield (catalog.THROTTLE_SECONDS, (reason,)), float(reason in now.throttled and not now.lost)
        yield (catalog.PCIE_REPLAYS, ()), 0.0
        for direction in labels.DIRECTION.values:
            yield (catalog.PCIE_BYTES, (direction,)), _pcie_bytes(profile) * now.whole.load
            if profile.fabric is not None:
                moved = profile.fabric.bytes_per_second * _FABRIC_LOADED_RATIO * now.whole.load
                yield (catalog.INTERCONNECT_BYTES, (profile.fabric.name, direction, "")), moved
        if profile.fabric is not None:
            for kind in profile.fabric.errors:
                yield (catalog.INTERCONNECT_ERRORS, (profile.fabric.name, kind, "")), 0.0
        for family in (catalog.MEMORY_ERRORS, catalog.MEMORY_LIFETIME_ERRORS):
            yield (family, ("corrected",)), 0.0 if now.lost else now.corrected_per_second
            yield (family, ("uncorrected",)), 0.0 if now.lost else now.uncorrected_per_second
        if profile.counts_deferred:
            yield (catalog.MEMORY_ERRORS, ("deferred",)), 0.0


def _incidents_of(scenario: Scenario, index: int) -> Mapping[Trouble, tuple[Incident, ...]]:
    """All faults of one device, by kind; a fault without devices affects every device."""
    return {
        trouble: tuple(i for i in scenario.incidents if i.trouble is trouble and (not i.devices or index in i.devices))
        for trouble in Trouble
    }


def _settled_celsius(profile: Profile, watts: float) -> float:
    """The core's temperature after drawing the same power for long."""
    return _AMBIENT_CELSIUS + (profile.full_celsius - _AMBIENT_CELSIUS) * watts / profile.limit_watts


def _pcie_bytes(profile: Profile) -> float:
    """Bytes per second and direction under full load."""
    return _PCIE_LANE_BYTES[profile.pcie_generation] * profile.pcie_width * _PCIE_LOADED_RATIO


def _sum(device: SimulatedDevice, slices: tuple[SlotActivity, ...]) -> SlotActivity:
    """The activity of a device as the sum of its partitions."""
    usable = device.profile.memory_bytes - device.profile.reserved_bytes
    pairs = tuple(zip(device.partitions, slices, strict=True))
    load = sum(part.plan.compute_ratio * activity.load for part, activity in pairs)
    memory = sum(part.plan.memory_bytes * activity.memory_ratio for part, activity in pairs)
    return SlotActivity(min(1.0, load), min(1.0, memory / usable))
