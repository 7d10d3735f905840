"""A limit on the age of readings that a reload of the configuration may change."""


class ChangingLimit:
    """A limit in seconds. A longer one still applies to what was read before it was shortened, at longer intervals.

    Args:
        seconds: The limit.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._earlier: list[tuple[float, float]] = []  # until when, and the limit: later ones are shorter

    def change(self, at: float, seconds: float) -> None:
        """Use another limit.

        Args:
            at: Monotonic seconds.
            seconds: The limit of what is read from now on.
        """
        before = self._seconds
        self._earlier = [(until, limit) for until, limit in self._earlier if limit > max(before, at - until)]
        self._earlier.append((at, before))
        self._seconds = seconds

    def of(self, read_at: float) -> float:
        """The limit of what was read at a time.

        Args:
            read_at: Monotonic seconds.
        """
        return max(self._seconds, *(limit for until, limit in self._earlier if read_at <= until), 0.0)
