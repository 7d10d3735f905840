"""The cost of polls in an average second at the default cadences."""

from collections.abc import Callable, Mapping
from statistics import median

from collectors.metric import Cadence

FAST = frozenset({Cadence.FAST})
MEDIUM = frozenset({Cadence.FAST, Cadence.MEDIUM})
SLOW = frozenset(Cadence)
# Polls of each kind per minute: one per second; every tenth of them is medium, one is slow.
PER_MINUTE: Mapping[frozenset[Cadence], int] = {FAST: 54, MEDIUM: 5, SLOW: 1}
ROUNDS = 7
_MINUTE_SECONDS = 60

Poll = Callable[[frozenset[Cadence]], tuple[int, float]]


def measured(poll: Poll) -> dict[frozenset[Cadence], tuple[float, float]]:
    """Requests and seconds of one poll of each kind, the medians of several.

    Args:
        poll: Reads what is due; returns the number of requests and the seconds.
    """
    found = {due: [poll(due) for _ in range(ROUNDS)] for due in PER_MINUTE}
    return {
        due: (median(requests for requests, _ in polls), median(seconds for _, seconds in polls))
        for due, polls in found.items()
    }


def per_second(polls: Mapping[frozenset[Cadence], tuple[float, float]]) -> tuple[float, float]:
    """Requests and seconds in an average second."""
    requests = sum(polls[due][0] * often for due, often in PER_MINUTE.items()) / _MINUTE_SECONDS
    seconds = sum(polls[due][1] * often for due, often in PER_MINUTE.items()) / _MINUTE_SECONDS
    return requests, seconds
