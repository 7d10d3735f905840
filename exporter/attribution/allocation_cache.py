"""Which of the kubelet's answers to believe, and for how long. No I/O, no clock of its own."""

from exporter.attribution.holding import Holding, PodResourcesList


class AllocationCache:
    """The map of who holds what, held for a bounded time through silence and through suspect answers.

    A restarted kubelet answers before it knows its pods again. An answer is therefore suspect if it comes within
    `suspect_seconds` of a reconnection, and it lists fewer than half of the pods of the last good answer. While
    suspect answers come, pods that they don't list keep what they held, unless a listed pod holds it now.
    Suspicion ends with the first answer that lists at least half of those pods, and in any case `suspect_seconds`
    after the first suspect answer; then the newest answer is believed as it is.

    What was already given up as unknown is not brought back: if the first answer after a longer silence is suspect,
    the map stays unknown until suspicion ends.

    All times are monotonic seconds and must not go back.

    Args:
        hold_seconds: How long an answer is held without a newer one.
        suspect_seconds: How long answers may be suspect.
    """

    def __init__(self, hold_seconds: float, suspect_seconds: float) -> None:
        self._hold_seconds = hold_seconds
        self._suspect_seconds = suspect_seconds
        self._newest: PodResourcesList | None = None
        self._answered_at = 0.0
        self._reconnected_at: float | None = None
        self._good = PodResourcesList(frozenset(), ())
        self._suspect_since: float | None = None
        self._lapsed = False  # the good answer was given up before the first suspect one came

    def answered(self, answer: PodResourcesList, now: float, *, reconnected: bool) -> None:
        """Take in an answer.

        Args:
            answer: What the kubelet says.
            now: When it came.
            reconnected: True if it came over another connection than the answer before.
        """
        lapsed = self.current(now) is None
        if reconnected:
            self._reconnected_at = now
        if not self._is_suspect(answer, now):
            self._good, self._suspect_since, self._reconnected_at = answer, None, None
        elif self._suspect_since is None:
            self._suspect_since, self._lapsed = now, lapsed
        self._newest, self._answered_at = answer, now

    def current(self, now: float) -> tuple[Holding, ...] | None:
        """Who holds what at this moment, sorted; None while that is unknown."""
        if self._newest is None or now - self._answered_at >= self._hold_seconds:
            return None
        if self._suspect_since is None or now - self._suspect_since >= self._suspect_seconds:
            return self._newest.holdings
        return None if self._lapsed else _merged(self._good, self._newest)

    def changes_at(self, now: float) -> float | None:
        """When `current` next changes, or may change, by the passing of time alone; None if never."""
        if self._newest is None:
            return None
        ends = [self._answered_at + self._hold_seconds]
        if self._suspect_since is not None:
            ends.append(self._suspect_since + self._suspect_seconds)
        return min((end for end in ends if end > now), default=None)

    def _is_suspect(self, answer: PodResourcesList, now: float) -> bool:
        if self._reconnected_at is None or now - self._reconnected_at >= self._suspect_seconds:
            return False
        if self._suspect_since is not None and now - self._suspect_since >= self._suspect_seconds:
            return False
        known = self._good.pods
        return 2 * len(known & answer.pods) < len(known)


def _merged(good: PodResourcesList, suspect: PodResourcesList) -> tuple[Holding, ...]:
    """What the listed pods hold, and what the others held that is not in other hands now."""
    taken = {(holding.resource, holding.device_id) for holding in suspect.holdings}
    kept = (
        holding
        for holding in good.holdings
        if (holding.namespace, holding.pod) not in suspect.pods and (holding.resource, holding.device_id) not in taken
    )
    return tuple(sorted((*suspect.holdings, *kept)))
