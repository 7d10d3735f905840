"""Load over time: pure functions of seconds since the start of the scenario, with values from 0 to 1."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol


class Shape(Protocol):
    """The load over time."""

    def at(self, seconds: float) -> float:
        """The load at a time, which may be before the start; 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same load at all times."""

    level: float

    def at(self, seconds: float) -> float:  # noqa: ARG002 - the protocol's
        """The level."""
        return self.level


@dataclass(frozen=True, slots=True)
class Sine:
    """Rises and falls smoothly; starts in the middle and rises first.

    Attributes:
        low: The smallest load.
        high: The largest load.
        period_seconds: From one maximum to the next.
    """

    low: float
    high: float
    period_seconds: float

    def at(self, seconds: float) -> float:
        """From low to high and back once in each period."""
        swing = (1 + math.sin(2 * math.pi * seconds / self.period_seconds)) / 2
        return self.low + (self.high - self.low) * min(1.0, max(0.0, swing))


@dataclass(frozen=True, slots=True)
class Square:
    """Jumps between two loads, the high one first.

    Attributes:
        low: The smaller load.
        high: The larger load.
        period_seconds: From one rise to the next.
        duty_ratio: The fraction of each period at the larger load.
    """

    low: float
    high: float
    period_seconds: float
    duty_ratio: float

    def at(self, seconds: float) -> float:
        """The larger load in the first part of a period, else the smaller one."""
        return self.high if seconds % self.period_seconds < self.duty_ratio * self.period_seconds else self.low


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded load: linear between the points; before the first and after the last point, that point's load.

    Attributes:
        seconds: The times, strictly rising.
        loads: The load at each of these times.
    """

    seconds: tuple[float, ...]
    loads: tuple[float, ...]

    def at(self, seconds: float) -> float:
        """The load interpolated between the two points around this time."""
        after = bisect_right(self.seconds, seconds)
        if after == 0:
            return self.loads[0]
        if after == len(self.seconds):
            return self.loads[-1]
        before = after - 1
        part = (seconds - self.seconds[before]) / (self.seconds[after] - self.seconds[before])
        return self.loads[before] * (1 - part) + self.loads[after] * part


@dataclass(frozen=True, slots=True)
class Load:
    """A shape for several subjects, each delayed relative to the one before.

    Attributes:
        shape: The load of the first subject.
        stagger_seconds: The delay of each further subject.
    """

    shape: Shape
    stagger_seconds: float = 0.0

    def at(self, seconds: float, position: int) -> float:
        """The load of one of the subjects.

        Args:
            seconds: Since the start of the scenario.
            position: Which of the subjects, from 0.
        """
        return self.shape.at(seconds - position * self.stagger_seconds)
