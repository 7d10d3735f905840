"""The simulated hardware of one device: moves once a second, and keeps what lasts from one second to the next.

Within a second every gauge stands still and every counter rises evenly, so a counter is the exact integral of the
gauge it belongs to. The state at a time depends on the scenario and that time alone, not on when it was asked for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from collectors import catalog, labels
from collectors.metric import Metric
from collectors.simulated.activity import IDLE, Activity, Schedule
from collectors.simulated.inventory import SimulatedDevice
from collectors.simulated.profile import Profile
from collectors.simulated.scenario import Incident, Scenario, Slot, Trouble

Count = tuple[Metric, tuple[str, ...]]

_AMBIENT_CELSIUS = 26.0
_WARMING_RATIO = 1 / 40  # of what is missing to the final temperature, each second
_THROTTLE_KELVIN = 16.0  # above the usual under full load, while a thermal throttle is simulated
_POWER_LIMITED_LOAD = 0.97
_PCIE_LOADED_RATIO = 0.12  # of the link's bandwidth, under full load
_FABRIC_LOADED_RATIO = 0.35  # same, of the links between devices
_PCIE_LANE_BYTES = {3: 0.985e9, 4: 1.969e9, 5: 3.938e9}  # per second and direction
_RESET_BY_DRIVER = frozenset(
    {
        catalog.ENERGY,
        catalog.THROTTLE_SECONDS,
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
        whole: What happens on the whole device; of a cut one, the sum of its partitions.
        partitions: What happens on each partition.
        watts: The power it draws.
        throttled: The reasons for which clocks are held down.
        corrected_per_second: Corrected memory errors.
        uncorrected_per_second: Uncorrected ones.
        garbled: True while some of its values make no sense.
    """

    lost: bool
    whole: Activity
    partitions: tuple[Activity, ...]
    watts: float
    throttled: frozenset[str]
    corrected_per_second: float
    uncorrected_per_second: float
    garbled: bool


class Machine:
    """One device over time.

    Args:
        device: Which one.
        scenario: What befalls it.
        schedule: What runs on it.
    """

    def __init__(self, device: SimulatedDevice, scenario: Scenario, schedule: Schedule) -> None:
        self.device = device
        self._scenario = scenario
        self._schedule = schedule
        self._tick = 0
        self._part = 0.0
        self._now = self._second(0)
        self._totals = dict.fromkeys((count for count, _ in self._rates()), 0.0)
        self._totals |= dict.fromkeys(
            ((catalog.ERRORS, tuple(code)) for code in device.profile.error_codes), 0.0
        )
        self.core_celsius = self._final_celsius(device.profile.idle_watts)
        self.last_events: dict[tuple[str, ...], int] = {}
        self._meet(0)

    @property
    def now(self) -> Second:
        """What it does in the current second."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Go on to a time; an earlier one than before changes nothing.

        Args:
            seconds: Since the scenario began.
        """
        tick = int(seconds)
        while self._tick < tick:
            for count, rate in self._rates():
                self._totals[count] += rate
            final = self._final_celsius(self._now.watts)
            self.core_celsius += (final - self.core_celsius) * _WARMING_RATIO
            self._tick += 1
            self._now = self._second(self._tick)
            self._meet(self._tick)
        if self._tick == tick:
            self._part = max(self._part if self._part < 1 else 0.0, 0.0)
            self._part = seconds - tick

    def totals(self) -> Mapping[Count, float]:
        """Every counter now."""
        current = dict(self._totals)
        for count, rate in self._rates():
            current[count] += rate * self._part
        return MappingProxyType(current)
