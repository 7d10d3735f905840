"""The pause before a failed operation is retried."""

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 30.0

# Enough to reach any longest pause; without a limit the float would overflow.
_MOST_DOUBLINGS = 16


class Backoff:
    """A pause that doubles with every consecutive failure. It does not read a clock.

    Args:
        first_seconds: The pause after the first failure.
        longest_seconds: The longest pause, also for the first failure.
    """

    def __init__(self, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS) -> None:
        self.first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._failures = 0

    def failed(self) -> float:
        """Count a failure. Returns the seconds to wait before the next attempt."""
        pause = min(self.first_seconds * 2.0**self._failures, self._longest_seconds)
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        return pause

    def succeeded(self) -> None:
        """Start again with the first pause."""
        self._failures = 0
