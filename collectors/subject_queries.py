"""What is known of the queries of one device or partition: which are unsupported, and which may answer soon.

"Not supported" may be true for a moment only: a driver that is busy, a file that is missing for a second. A query that
has answered before is run again soon.
"""

import math
from dataclasses import dataclass, field
from typing import Generic

from collectors.backoff import Backoff
from collectors.contract import CollectorError, Reason, UnsupportedError
from collectors.metric import Cadence, Kind, Metric
from collectors.query import BatchItem, H, L, NoDataError, PermanentlyUnsupportedError, Queries, Query, flat

# Errors that a device gives for ever if it does not have a reading.
_ANSWERS = frozenset({Reason.PERMISSION_DENIED, Reason.INVALID_VALUE})

# Of a query that has never answered: how often it is run again with the slow readings, and the pause afterwards.
_SLOW_ATTEMPTS = 10
_SHORTEST_PAUSE_SECONDS = 10.0
_LONG_PAUSE_SECONDS = 600.0
# Of one that has answered before.
_FIRST_SECONDS, _LONGEST_SECONDS = 1.0, 60.0


@dataclass(slots=True)
class _Gap:
    """A query that the device does not support.

    Attributes:
        why: The reason, as text for people.
        permanent: Whether it is never run again.
        answered: Whether it has answered before in this session.
        slow_seen: Whether slow readings were due since its last run.
        retry_at: Monotonic seconds from which it may be run again.
        attempts: How often it was run again.
        backoff: Its pauses, if it has answered before.
    """

    why: str
    permanent: bool
    answered: bool
    slow_seen: bool = False
    retry_at: float = math.inf
    attempts: int = 0
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_SECONDS, _LONGEST_SECONDS))

    def failed(self, why: str, now: float) -> None:
        """It is still unsupported, or is now."""
        self.why, self.slow_seen = why, False
        if self.answered:
            pause = self.backoff.failed()
        else:
            pause = _SHORTEST_PAUSE_SECONDS if self.attempts < _SLOW_ATTEMPTS else _LONG_PAUSE_SECONDS
        self.attempts += 1
        self.retry_at = now + pause

    def may_retry(self, now: float) -> bool:
        """Whether it is to be run again."""
        return not self.permanent and now >= self.retry_at and (self.answered or self.slow_seen)


@dataclass(slots=True)
class SubjectQueries(Generic[L, H]):
    """The queries of one device or partition, and why some of them are seldom run.

    Attributes:
        source: The queries as they were passed last.
        queries: All queries, and all items of batches.
        gaps: The unsupported queries, by name.
        answered: Names of the queries that have supplied a value in this session.
        expected: Names of the queries that supplied one in an earlier session: if they fail, they may answer soon.
        waiting: Names of the queries whose last run failed and that may answer soon.
        sources: Those that have answered and are counters.
        missing: The rows that no query supplies; None until they are needed.
    """

    source: Queries[L, H] = ()
    queries: tuple[Query[L, H] | BatchItem, ...] = ()
    gaps: dict[str, _Gap] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    expected: frozenset[str] = frozenset()
    waiting: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    missing: dict[Metric, str] | None = None

    def set_queries(self, queries: Queries[L, H]) -> None:
        """Set the queries to run. Does nothing if they are the same object as before."""
        if queries is not self.source:
            self.source, self.queries, self.missing = queries, tuple(flat(queries)), None

    def slow_readings_are_due(self) -> None:
        """Let unsupported queries be run again, if their pause is over."""
        for gap in self.gaps.values():
            gap.slow_seen = True

    def give_up(self, query: Query[L, H] | BatchItem, why: str, now: float, *, permanent: bool = False) -> bool:
        """Do not run this query in every poll. Returns whether it is new that it is unsupported."""
        gap = self.gaps.get(query.name)
        if new := gap is None:
            never = (permanent or query.once) and query.name not in self.answered
            gap = self.gaps[query.name] = _Gap(why, never, self._has_ever_answered(query))
        gap.failed(why, now)
        self.missing = None
        return new

    def missing_rows(self) -> dict[Metric, str]:
        """The rows that were queried and that no query supplies, with the reason."""
        if self.missing is None:
            supplied = {
                row
                for query in self.queries
                if query.name not in self.gaps and not self._is_replaced(query)
                for row in query.rows
            }
            self.missing = {
                row: self.gaps[query.name].why
                for query in self.queries
                if query.name in self.gaps
                for row in query.rows
                if row not in supplied
            }
        return self.missing

    def is_runnable(self, query: Query[L, H] | BatchItem, due: frozenset[Cadence], now: float) -> bool:
        """Whether a query is due, not known to be unsupported, and the one among several that is used."""
        if query.cadence not in due or self._is_replaced(query):
            return False
        if query.name in self.gaps and not self.gaps[query.name].may_retry(now):
            return False
        return not query.fallback_for or query.fallback_for in self.gaps or self._is_in_use(query)

    def record_error(self, query: Query[L, H] | BatchItem, error: CollectorError) -> None:
        """Record whether a query that has supplied no value may do so soon.

        A driver that is busy may give any error. But of a query that has never answered, some may be its answer.
        """
        final = isinstance(error, UnsupportedError) or error.reason in _ANSWERS
        never = isinstance(error, PermanentlyUnsupportedError | NoDataError)
        if never or (final and not self._has_ever_answered(query)):
            self.waiting.discard(query.name)
        else:
            self.waiting.add(query.name)

    @property
    def is_waiting(self) -> bool:
        """Whether a query that is in use has failed and may answer soon."""
        return any(query.name in self.waiting and not self._is_replaced(query) for query in self.queries)

    def _has_ever_answered(self, query: Query[L, H] | BatchItem) -> bool:
        return query.name in self.answered or query.name in self.expected

    def record_answer(self, query: Query[L, H] | BatchItem, raw: float) -> None:
        """Record that a query has supplied a value."""
        if query.name in self.gaps:
            del self.gaps[query.name]
            self.missing = None
        if query.name not in self.answered:
            self.answered.add(query.name)
        doubtful = raw == 0 and isinstance(query, BatchItem) and query.false_zero
        if _is_counter(query) and not doubtful and query.name not in self.sources:
            self.sources.add(query.name)
            self.missing = None

    def _is_in_use(self, query: Query[L, H] | BatchItem) -> bool:
        """Whether a counter comes from this query in this session, or from another one that replaces the same."""
        return any(other.name in self.sources and other.fallback_for == query.fallback_for for other in self.queries)

    def _is_replaced(self, query: Query[L, H] | BatchItem) -> bool:
        """Whether a counter comes from another query in this session: one that this one would replace, or replaces."""
        if not self.sources or query.name in self.sources or not _is_counter(query):
            return False
        if query.fallback_for in self.sources:
            return True
        return any(other.name in self.sources and other.fallback_for == query.name for other in self.queries)


def _is_counter(query: Query[L, H] | BatchItem) -> bool:
    return query.rows[0].kind is Kind.COUNTER
