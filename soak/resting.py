"""The rest after the disturbances: until everything is back, so that what is recorded can be compared."""

from collections.abc import Callable, Iterable

from soak.records import Record


def rest(
    until: float, latest: float, missing: Callable[[], bool], step: Callable[[], object], clock: Callable[[], float]
) -> None:
    """Rest, and go on while something is missing.

    Args:
        until: When the rest ends, by the clock.
        latest: When it ends even if something is missing.
        missing: Whether something is missing now.
        step: Done again and again; it takes the time.
        clock: Monotonic seconds.
    """
    while clock() < until or (clock() < latest and missing()):
        step()


def missing_series(earlier: Iterable[Record], now: frozenset[str]) -> frozenset[str]:
    """The series of earlier rests that are not there now, such as those of a container that was idle for long.

    Args:
        earlier: The records so far.
        now: The series now.
    """
    return frozenset().union(*(record.series for record in earlier)) - now
