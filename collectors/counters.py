"""The one rule for every counter that is read from hardware: what to export of a reading, and how much it has risen.

A fall is not a reset: counters are seen to return 0 once, to jump back and forth, to wrap and to freeze. A reading is
accepted if it rises by no more than the device can do in that time (the bound), if it wraps at a known width, or if a
reset is known or confirmed by the next readings. Any other reading is refused: the last value is held for some
readings, then nothing is exported until a reading is accepted again.

No accepted value is compared with for ever: it may have been the wrong one. Once nothing is exported, some readings in
a row that agree with each other are the new base. So they are while something is exported, if they are higher and the
base is not confirmed: it is the first value of all or of a session, or the first after a reset, and no reading has
agreed with it yet. Lower readings must also have risen: a counter that stands at 0 may have lost its value for a while.
Nothing is counted between the old base and the new one, but the exported value may then rise by
more than the bound, or fall.

The exported value is the counter's own. Only a wrap at a known width is added to it, so that it goes on rising; any
other offset would be missing after a restart of the exporter, and the counter would fall.
"""

import math
from collections.abc import Hashable
from typing import NamedTuple

# Added to the time between two readings: the hardware may have been read a little earlier or later.
SLACK_SECONDS = 1.0
# For so many readings in a row the last accepted value is exported instead.
HELD_READINGS = 3
# A fall of a counter without a rate is believed after as many further readings, each equal or higher.
_CONFIRMATIONS = 2
# So many readings in a row that agree with each other are a new base.
BASE_READINGS = 3
# As many for a counter that wraps unseen. Its readings may rise by chance, so each may rise by this part of the width.
BASE_READINGS_IF_WRAPPING = 8
_PART_OF_WIDTH = 1 / 16


def bound(most_per_second: float | None, elapsed_seconds: float) -> float:
    """The most that a counter can rise in a time, with some slack; infinite without a physical rate."""
    return math.inf if most_per_second is None else most_per_second * (max(0.0, elapsed_seconds) + SLACK_SECONDS)


class CounterReading(NamedTuple):
    """One reading of a counter.

    Attributes:
        at: Monotonic seconds.
        value: In the counter's unit, a finite number from 0.
        most_per_second: The most that the device can do; None without a physical rate, as for counts of errors.
        session: Changes when a reset is known: the driver was loaded again, the device is back.
        width: The value at which a narrow counter is known to start again from 0; 0 if it is not narrow.
    """

    at: float
    value: float
    most_per_second: float | None = None
    session: Hashable = None
    width: float = 0.0


class Verdict(NamedTuple):
    """What a reading means.

    Attributes:
        value: To export; None: export nothing.
        rise: How much was counted since the last accepted reading, never more than the bound.
        seconds: The time in which it was counted; 0 if nothing was accepted.
        refused: Number of readings that are now known to be invalid: this one, or earlier ones that were held.
    """

    value: float | None
    rise: float = 0.0
    seconds: float = 0.0
    refused: int = 0


class Counter:
    """One counter of one device or partition. Has no clock.

    Attributes:
        read_at: Monotonic seconds of the last reading.
    """

    __slots__ = (
        "_base_confirmed",
        "_confirmed",
        "_held",
        "_last",
        "_lower",
        "_open",
        "_previous",
        "_row",
        "_row_has_risen",
        "_wrapped",
        "_wraps_unseen",
        "read_at",
    )

    def __init__(self) -> None:
        self.read_at = -math.inf
        self._last: CounterReading | None = None  # accepted
        self._base_confirmed = False  # whether a reading has agreed with it, or with one before it
        self._previous: CounterReading | None = None  # accepted or not
        self._row_has_risen = False
        self._row = 0  # readings in a row that agree with each other; from 0 again when nothing is exported any more
        self._wrapped = 0.0  # the width times the number of wraps
        self._wraps_unseen = False
        self._held = 0  # readings since the last accepted one
        self._open = 0  # of these, the last ones that may still turn out to be a reset
        self._lower: CounterReading | None = None  # the last reading, if it may be the first one after a reset
        self._confirmed = 0  # equal or higher readings in a row after that

    def read(self, now: CounterReading) -> Verdict:
        """Apply the rule to a reading."""
        self.read_at = now.at
        last = self._last
        if last is not None and last is self._previous and now[1:] == last[1:]:
            return self._repeat(now, last)
        self._extend_row(now)
        return self._accept(now, 0.0, confirmed=False) if last is None else self._apply(now, last)

    def repeats(self, at: float, value: float, session: Hashable) -> bool:
        """Accept a reading that says nothing new of a counter without a rate and a width: most counts of errors stand.

        Returns:
            Whether it equals the last reading, which was accepted; else it is to be read.
        """
        last = self._last
        if last is None or last is not self._previous:
            return False
        if value != last.value or session != last.session:
            return False
        self.read_at = at
        return True

    def _apply(self, now: CounterReading, last: CounterReading) -> Verdict:
        most = bound(now.most_per_second, now.at - last.at)
        rise = now.value - last.value
        reset_known = now.session != last.session
        if rise > most or (self._wraps_unseen and not reset_known):
            return self._rebase(now) if self._is_base(now, last) else self._refuse()
        if rise >= 0:
            return self._accept(now, rise)
        if reset_known:
            return self._reset(now, most)
        if now.most_per_second is not None and last.value < now.width:
            return self._unwrap(now, rise + now.width, most)
        return self._fall(now, most)

    def _repeat(self, now: CounterReading, last: CounterReading) -> Verdict:
        """Accept a reading that equals the last one, which was accepted: the rule says nothing else of it."""
        self._row += 1
        self._last = self._previous = now
        self._base_confirmed = True
        return Verdict(now.value + self._wrapped, 0.0, now.at - last.at)

    def refuse(self, at: float) -> Verdict:
        """Apply the rule to a reading that is no number of a counter."""
        self.read_at = at
        self._previous, self._row = None, 0
        return self._refuse()

    def _extend_row(self, now: CounterReading) -> None:
        before, self._previous = self._previous, now
        if before is not None and self._agrees(before, now):
            self._row += 1
            self._row_has_risen = self._row_has_risen or now.value > before.value
        else:
            self._row, self._row_has_risen = 1, False

    def _agrees(self, before: CounterReading, now: CounterReading) -> bool:
        """Whether a reading may follow the previous one, accepted or not."""
        if now.session != before.session:
            return False
        most = bound(now.most_per_second, now.at - before.at)
        if now.value < now.width <= most:
            most = now.width * _PART_OF_WIDTH
        return 0 <= now.value - before.value <= most

    def _is_base(self, now: CounterReading, last: CounterReading) -> bool:
        """Whether the last readings in a row, which do not follow from the last accepted one, are the new base."""
        if self._wraps_unseen:
            return self._row >= BASE_READINGS_IF_WRAPPING
        doubtful = now.value > last.value and (not self._base_confirmed or now.session != last.session)
        return self._row >= BASE_READINGS and (doubtful or self._held > HELD_READINGS)

    def _rebase(self, now: CounterReading) -> Verdict:
        """Start again from this reading: what was counted before it is unknown."""
        self._wrapped = 0.0
        self._open = 0  # these readings were right
        return self._accept(now, 0.0)

    def _unwrap(self, now: CounterReading, rise: float, most: float) -> Verdict:
        """Accept a wrap, unless the counter can wrap more than once: then its other rises are unknown too."""
        if most >= now.width:
            if self._lower is None or now.value == self._lower.value:
                return self._hold(now)  # it may be a dip
            self._wraps_unseen = True
            self._row = 0
            return self._refuse()
        if rise > most:
            return self._fall(now, most)
        self._wrapped += now.width
        return self._accept(now, rise)

    def _fall(self, now: CounterReading, most: float) -> Verdict:
        return self._reset(now, most) if self._confirms_reset(now, most) else self._hold(now)

    def _confirms_reset(self, now: CounterReading, most: float) -> bool:
        """Whether this reading confirms that the last one, which was lower, was the first one after a reset."""
        lower = self._lower
        if lower is None:
            return False
        rise = now.value - lower.value
        if now.most_per_second is None:
            return rise >= 0 and self._confirmed + 1 >= _CONFIRMATIONS
        return 0 < rise <= bound(now.most_per_second, now.at - lower.at) and now.value <= most

    def _hold(self, now: CounterReading) -> Verdict:
        """Hold a lower reading: it may be a dip, or the first one after a reset."""
        if self._row_has_risen and self._last is not None and self._is_base(now, self._last):
            return self._rebase(now)
        before = self._lower
        refused = 0
        if before is not None and now.most_per_second is None and now.value >= before.value:
            self._confirmed += 1
        else:  # the earlier ones were no readings after a reset, but this one may be
            refused, self._open, self._confirmed = self._open, 0, 0
        self._lower = now
        self._open += 1
        self._count_held()
        return Verdict(self._exported(), refused=refused)

    def _refuse(self) -> Verdict:
        refused = self._open + 1
        self._lower, self._open, self._confirmed = None, 0, 0
        self._count_held()
        return Verdict(self._exported(), refused=refused)

    def _count_held(self) -> None:
        self._held += 1
        if self._held == HELD_READINGS + 1 and not self._wraps_unseen:
            self._row = 0

    def _reset(self, now: CounterReading, most: float) -> Verdict:
        """It has counted its value since the reset, unless that is impossible in this time."""
        self._wrapped = 0.0
        self._open = 0  # these readings were right
        return self._accept(now, now.value if now.value <= most else 0.0, confirmed=False)

    def _accept(self, now: CounterReading, rise: float, *, confirmed: bool = True) -> Verdict:
        seconds = 0.0 if self._last is None else now.at - self._last.at
        refused = self._open
        self._last = now
        self._base_confirmed = confirmed
        self._held = self._open = self._confirmed = 0
        self._lower = None
        self._wraps_unseen = False
        return Verdict(now.value + self._wrapped, rise, seconds, refused)

    def _exported(self) -> float | None:
        if self._last is None or self._wraps_unseen or self._held > HELD_READINGS:
            return None
        return self._last.value + self._wrapped
