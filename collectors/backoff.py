"""The pause before something that has failed is tried again."""

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 30.0

# More than enough to reach any longest pause; a float would overflow some time after.
_MOST_DOUBLINGS = 16


class Backoff:
    """A pause that doubles with every failure in a row. It has no clock of its own.

    Args:
        first_seconds: After the first failure.
        longest_seconds: No pause is longer, the first one included.
    """

    def __init__(self, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS) -> None:
        self.first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._failures = 0

    def failed(self) -> float:
        """Count a failure; returns the seconds to wait before the next try."""
        pause = min(self.first_seconds * 2.0**self._failures, self._longest_seconds)
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        return pause

    def succeeded(self) -> None:
        """Start again with the first pause."""
        self._failures = 0
