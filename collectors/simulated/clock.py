"""The time of a scenario: seconds since it began, the same for its devices and its pods."""

from collections.abc import Callable


class ScenarioClock:
    """A clock that starts when it is created.

    Args:
        monotonic: Monotonic seconds.
        wall: Unix seconds.
        start: What it shows then, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], float], start: float = 0.0) -> None:
        self._monotonic = monotonic
        self._began = monotonic() - start
        self._epoch = wall() - start

    def seconds(self) -> float:
        """Seconds since the scenario began."""
        return self._monotonic() - self._began

    def unix(self, seconds: float) -> float:
        """The Unix time of a moment of the scenario.

        Args:
            seconds: Since the scenario began.
        """
        return self._epoch + seconds
