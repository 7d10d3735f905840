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


class ThrottleTime:
    """The time in throttling of one GPU since the exporter first read it."""

    def __init__(self) -> None:
        self._last: Residencies | None = None
        self._lower: Residencies | None = None
        self._seconds = dict.fromkeys(CAUSES, 0.0)
        self._active: dict[str, bool] = {}

    def update(self, now: Residencies) -> None:
        """Add what was counted since the last reading.

        If the firmware has not counted any cycle since, nothing changes. If a counter is lower than before, this may be
        a dip, or the counters started again, and the time in between is unknown: the next reading shows which.
        """
        last = self._last
        if last is None:
            self._last = now
            return
        if now.cycles == last.cycles or now == self._lower:
            return
        if _is_lower(now, last):
            self._active = {}
            if self._lower is None or _is_lower(now, self._lower):
                self._lower = now
                return
            last = self._lower
        self._last, self._lower = now, None
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


def _is_lower(now: Residencies, last: Residencies) -> bool:
    """Whether one of the counters is lower than before, or no time has passed."""
    fell = any(count < last.by_cause.get(cause, 0) for cause, count in now.by_cause.items())
    return now.cycles <= last.cycles or now.seconds <= last.seconds or fell
