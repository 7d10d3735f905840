"""Time in which a GPU's clocks were reduced, from counters of the firmware's cycles.

The firmware counts its cycles and, for each cause, the cycles in which this cause reduced the clocks. It does not
report how long a cycle is; so the fraction of cycles between two readings is multiplied by the time between them.
"""

from collections.abc import Mapping

from collectors.amd.gpu_metrics.model import Residencies

# The firmware's causes for each reason of the catalogue. Causes of one reason can overlap, so the longest one is used.
CAUSES: Mapping[str, tuple[str, ...]] = {
    "power": ("ppt",),
    "thermal": ("socket_thm", "vr_thm", "hbm_thm"),
    "external": ("prochot",),
}
# Many times the interval of two readings. A longer time between them is an impossible value, or an unknown time.
_LONGEST_SECONDS = 3600.0


class ThrottleTime:
    """The time in throttling of one GPU since the exporter first read it."""

    def __init__(self) -> None:
        self._last: Residencies | None = None
        self._other: Residencies | None = None  # the last reading, if it does not follow the one before
        self._seconds = dict.fromkeys(CAUSES, 0.0)
        self._active: dict[str, bool] = {}

    def update(self, now: Residencies) -> None:
        """Add what was counted since the last reading.

        If the firmware has not counted any cycle since, nothing changes. If a counter is lower than before or far too
        high, this may be a wrong value, or the counters started again, and the time in between is unknown: the next
        reading shows which.
        """
        last = self._last
        if last is None:
            self._last = now
            return
        if now.cycles == last.cycles or now == self._other:
            return
        if not _follows(now, last):
            self._active = {}
            if self._other is None or not _follows(now, self._other):
                self._other = now
                return
            last = self._other
        self._last, self._other = now, None
        cycles, seconds = now.cycles - last.cycles, now.seconds - last.seconds
        for reason, causes in CAUSES.items():
            risen = [
                now.by_cause[cause] - last.by_cause[cause]
                for cause in causes
                if cause in now.by_cause and cause in last.by_cause
            ]
            if risen:
                self._active[reason] = any(risen)
                self._seconds[reason] += min(max(risen) / cycles, 1.0) * seconds

    def active(self) -> Mapping[str, bool]:
        """Whether each reason applied between the last two readings; empty while unknown."""
        return self._active

    def seconds(self) -> Mapping[str, float]:
        """For how many seconds each reason applied so far."""
        return {} if self._last is None else {reason: self._seconds[reason] for reason in self._counted(self._last)}

    @staticmethod
    def _counted(now: Residencies) -> list[str]:
        return [reason for reason, causes in CAUSES.items() if any(cause in now.by_cause for cause in causes)]


def _follows(now: Residencies, last: Residencies) -> bool:
    """Whether time has passed, but not too much, and no counter is lower than before."""
    fell = any(count < last.by_cause.get(cause, 0) for cause, count in now.by_cause.items())
    return now.cycles > last.cycles and 0 < now.seconds - last.seconds <= _LONGEST_SECONDS and not fell
