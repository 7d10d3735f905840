"""A limit on how often something may happen, with a burst."""


class TokenBucket:
    """Allows a burst, and after it one more each interval. Used by one thread, or under its user's lock.

    Args:
        burst: How often it may happen at once, at least 1.
        interval_seconds: The time after which it may happen once more.
        now: Monotonic seconds.
    """

    def __init__(self, burst: int, interval_seconds: float, now: float) -> None:
        self._burst = burst
        self._interval_seconds = interval_seconds
        self._tokens = float(burst)
        self._counted_at = now

    def spend(self, now: float) -> bool:
        """Whether it may happen now; if so, it counts."""
        self._count(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def refund(self) -> None:
        """Make the last `spend` not count."""
        self._tokens = min(self._tokens + 1, self._burst)

    def _count(self, now: float) -> None:
        self._tokens = min(self._tokens + (now - self._counted_at) / self._interval_seconds, self._burst)
        self._counted_at = now
