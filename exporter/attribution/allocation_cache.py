"""Decides which of the kubelet's answers is used, and for how long. No I/O; the caller gives the time."""

import heapq

from exporter.attribution.holding import Holdings, PodResourcesList


class AllocationCache:
    """The allocations of the node, kept for a bounded time while there are no answers or only suspect ones.

    A restarted kubelet answers before it knows its pods again. So an answer is suspect if it comes within
    `suspect_seconds` of a reconnection and lists fewer than half of the pods of the last good answer. While answers are
    suspect, pods that they do not list keep their devices, unless a listed pod has the same id of a device plugin now.
    A device of a claim stays with both pods: two claims can have it, if one of them only monitors. This state ends with
    the first answer that lists at least half of those pods, and at the latest `suspect_seconds` after the first suspect
    answer; then the newest answer is used unchanged.

    Allocations that have expired are not restored: if the first answer after they expired is suspect, allocations stay
    unknown until the suspect state ends.

    All times are monotonic seconds and must not go back.

    Args:
        hold_seconds: How long an answer is used if no newer one comes.
        suspect_seconds: How long answers may be suspect.

    Attributes:
        answers: How many answers there were that are not suspect: each lists everything that exists.
        hold_seconds: How long an answer is used if no newer one comes.
    """

    def __init__(self, hold_seconds: float, suspect_seconds: float) -> None:
        self.answers = 0
        self.hold_seconds = hold_seconds
        self._suspect_seconds = suspect_seconds
        self._last_answer: PodResourcesList | None = None
        self._answered_at = 0.0
        self._reconnected_at: float | None = None
        self._good = PodResourcesList(frozenset(), ())
        self._suspect_since: float | None = None
        self._expired = False  # the good answer had expired before the first suspect answer came

    def set_limits(self, hold_seconds: float, suspect_seconds: float) -> None:
        """Use other times from now on."""
        self.hold_seconds = hold_seconds
        self._suspect_seconds = suspect_seconds

    def answered(self, answer: PodResourcesList, now: float, *, reconnected: bool) -> None:
        """Record an answer.

        Args:
            answer: The kubelet's answer.
            now: When it came.
            reconnected: True if it came over a new connection, not that of the previous answer.
        """
        expired = self.current(now) is None
        if self._last_answer is not None and answer == self._last_answer:
            answer = self._last_answer  # a large one is kept once: others still use the earlier object
        if reconnected:
            self._reconnected_at = now
        if not self._is_suspect(answer, now):
            self._good, self._suspect_since, self._reconnected_at = answer, None, None
            self.answers += 1
        elif self._suspect_since is None:
            self._suspect_since, self._expired = now, expired
        self._last_answer, self._answered_at = answer, now

    def current(self, now: float) -> PodResourcesList | None:
        """Return the allocations at this moment; None while unknown."""
        if self._last_answer is None or now - self._answered_at >= self.hold_seconds:
            return None
        if self._suspect_since is None or now - self._suspect_since >= self._suspect_seconds:
            return self._last_answer
        return None if self._expired else _merged(self._good, self._last_answer)

    def changes_at(self, now: float) -> float | None:
        """Return when `current` may next change without a new answer; None if never."""
        if self._last_answer is None:
            return None
        ends = [self._answered_at + self.hold_seconds]
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


def _merged(good: PodResourcesList, suspect: PodResourcesList) -> PodResourcesList:
    """Return what the listed pods hold, and what other pods held, except devices that a listed pod has now."""
    held = {(holding.resource, holding.device_id) for holding in suspect.holdings}
    kept = (
        holding
        for holding in good.holdings
        if (holding.namespace, holding.pod) not in suspect.pods and (holding.resource, holding.device_id) not in held
    )
    claimed = (each for each in good.claim_devices if (each.namespace, each.pod) not in suspect.pods)
    return PodResourcesList(
        good.pods | suspect.pods,
        Holdings.of(heapq.merge(suspect.holdings, kept)),
        tuple(sorted((*suspect.claim_devices, *claimed))),
    )
