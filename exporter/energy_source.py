"""Which source each device's energy has: its own counter, or its power, integrated by the exporter.

The source is chosen once for each session of the driver. A counter that later becomes unsupported or stands still is
not replaced: the integral would be far below the counter, so the series would seem to restart, and restart again when
the counter is back. The energy is absent until the counter is supported again; if it stood still, until the next
session.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, auto

# A counter stands still if it has not changed over so many readings and seconds, and the device used so much energy.
FROZEN_READINGS = 5
FROZEN_SECONDS = 60.0
FROZEN_JOULES = 1000.0


class Source(Enum):
    """Where the energy of a device comes from."""

    UNDECIDED = auto()
    COUNTER = auto()
    POWER = auto()
    NONE = auto()


@dataclass(slots=True)
class _Device:
    """One device in one session.

    Attributes:
        session: The session of its driver.
        source: What was chosen.
        read_at: Monotonic seconds of the last accepted value of its counter.
        joules: That value.
        changed_at: Monotonic seconds when it was read first.
        unchanged: Number of readings since the value has changed.
        used_joules: The energy that its power amounts to since then.
        frozen: Whether its counter has stood still.
    """

    session: Hashable
    source: Source = Source.UNDECIDED
    read_at: float = 0.0
    joules: float | None = None
    changed_at: float = 0.0
    unchanged: int = 0
    used_joules: float = 0.0
    frozen: bool = False

    def is_frozen(self, at: float, joules: float, watts: float | None) -> bool:
        """Whether its counter stands still although its power was clearly above zero."""
        elapsed, self.read_at = at - self.read_at, at
        if joules != self.joules:
            self.joules, self.changed_at, self.unchanged, self.used_joules = joules, at, 0, 0.0
            return False
        self.unchanged += 1
        self.used_joules += (watts or 0.0) * max(0.0, elapsed)
        still = self.unchanged >= FROZEN_READINGS and at - self.changed_at >= FROZEN_SECONDS
        return still and self.used_joules >= FROZEN_JOULES


class EnergySources:
    """The sources of all devices of one collector. Used by one thread."""

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}

    def update(self, uuid: str, session: Hashable, *, counted: bool, unsupported: bool) -> Source:
        """Choose the source of a device, or keep it.

        Args:
            uuid: The device.
            session: The session of its driver.
            counted: Whether this reading has a value of its counter.
            unsupported: Whether this reading says that it has no counter.
        """
        device = self._devices.get(uuid)
        if device is None or device.session != session:
            device = self._devices[uuid] = _Device(session)
        if device.source is Source.UNDECIDED and (counted or unsupported):
            device.source = Source.COUNTER if counted else Source.POWER
        elif device.source is Source.COUNTER and unsupported and not counted:
            device.source = Source.NONE
        elif device.source is Source.NONE and counted and not device.frozen:
            device.source = Source.COUNTER
        return device.source

    def withdraw_if_frozen(self, uuid: str, at: float, joules: float, watts: float | None) -> bool:
        """Add an accepted value of a counter that is the source; withdraw it if the counter stands still.

        A value that was refused says nothing about the counter, and must not be added.

        Args:
            uuid: The device.
            at: Monotonic seconds.
            joules: The value.
            watts: The power in the same reading; None if unknown.
        """
        device = self._devices[uuid]
        if not device.is_frozen(at, joules, watts):
            return False
        device.source, device.frozen = Source.NONE, True
        return True

    def integrated(self) -> frozenset[str]:
        """The devices whose power is integrated."""
        return frozenset(uuid for uuid, device in self._devices.items() if device.source is Source.POWER)

    def forget(self, uuids: frozenset[str]) -> None:
        """Drop devices."""
        for uuid in uuids:
            self._devices.pop(uuid, None)
