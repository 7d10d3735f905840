"""What is known of the queries of one device or partition: which are unsupported, and which may answer soon.

Most of this seldom changes. So the queries to run are planned once for each set of due cadences, until it does.

"Not supported" may be true for a moment only: a driver that is busy, a file that is missing for a second. A query that
has answered before is run again soon.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

from collectors.backoff import Backoff
from collectors.contract import CollectorError, Reason, Sample, SubjectKey, Unsupported, UnsupportedError
from collectors.metric import Cadence, Kind
from collectors.query import Batch, BatchItem, H, L, NoDataError, PermanentlyUnsupportedError, Queries, Query, flat

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


class Step(NamedTuple, Generic[L, H]):
    """A query to run.

    Attributes:
        place: Its place among the queries of the device or partition.
        query: The query.
        items: The items to read, if it is a batch.
        keys: Their keys.
    """

    place: int
    query: Query[L, H] | Batch[L, H]
    items: Sequence[BatchItem] = ()
    keys: Sequence[Hashable] = ()


class Supplied(NamedTuple):
    """What a query has supplied.

    Attributes:
        values: The raw values that were read, also those that were refused. They are only compared.
        samples: The samples that were made of them.
    """

    values: Sequence[object]
    samples: tuple[Sample, ...]


class Plan(NamedTuple, Generic[L, H]):
    """The queries to run if certain cadences are due.

    Attributes:
        steps: The queries, in their order.
        until: Monotonic seconds at which an unsupported query may be run again.
    """

    steps: Sequence[Step[L, H]]
    until: float


@dataclass(slots=True)
class SubjectQueries(Generic[L, H]):
    """The queries of one device or partition, and why some of them are seldom run.

    Attributes:
        source: The queries as they were passed last.
        queries: All queries, and all items of batches.
        gaps: The unsupported queries, by name.
        answered: Names of the queries that have answered in this session.
        expected: Names of the queries that answered in an earlier session: if they fail, they may answer soon.
        waiting: Names of the queries whose last run failed and that may answer soon.
        sources: Those that have answered and are counters.
        settled: Those of which another answer says nothing new.
        plans: What to run, by due cadences, until something changes.
        last: What each query has supplied last, by its name.
        unsupported: The rows that no query supplies; None until they are needed.
        all_answered: `answered` and `expected` together; None until it is needed.
    """

    source: Queries[L, H] = ()
    queries: tuple[Query[L, H] | BatchItem, ...] = ()
    gaps: dict[str, _Gap] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    expected: frozenset[str] = frozenset()
    waiting: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    plans: dict[frozenset[Cadence], Plan[L, H]] = field(default_factory=dict)
    last: dict[str, Supplied] = field(default_factory=dict)
    unsupported: tuple[Unsupported, ...] | None = None
    all_answered: frozenset[str] | None = None

    def set_queries(self, queries: Queries[L, H]) -> None:
        """Set the queries to run. Does nothing if they are the same object as before."""
        if queries is not self.source:
            self.source, self.queries = queries, tuple(flat(queries))
            self.last.clear()
            self.changed()

    def changed(self) -> None:
        """Other queries may be run now, and other rows be supplied."""
        self.plans.clear()
        self.unsupported = None

    def plan(self, due: frozenset[Cadence], now: float) -> Plan[L, H]:
        """The queries to run now. The same object until something changes."""
        plan = self.plans.get(due)
        if plan is None or now >= plan.until:
            retries = (gap.retry_at for gap in self.gaps.values() if not gap.permanent and gap.retry_at > now)
            plan = self.plans[due] = Plan(tuple(self.steps_from(0, due, now)), min(retries, default=math.inf))
        return plan

    def steps_from(self, place: int, due: frozenset[Cadence], now: float) -> Iterator[Step[L, H]]:
        """The queries to run now, from one on. Whether one is run may depend on the results of those before it."""
        for number, query in enumerate(self.source[place:], place):
            if isinstance(query, Batch):
                items = tuple(item for item in query.items if self.is_runnable(item, due, now))
                if items:
                    yield Step(number, query, items, tuple(item.key for item in items))
            elif self.is_runnable(query, due, now):
                yield Step(number, query)

    def slow_readings_are_due(self) -> None:
        """Let unsupported queries be run again, if their pause is over."""
        for gap in self.gaps.values():
            gap.slow_seen = True
        if self.gaps:
            self.plans.clear()

    def give_up(self, query: Query[L, H] | BatchItem, why: str, now: float, *, permanent: bool = False) -> bool:
        """Do not run this query in every poll. Returns whether it is new that it is unsupported."""
        gap = self.gaps.get(query.name)
        if new := gap is None:
            never = (permanent or query.once) and query.name not in self.answered
            gap = self.gaps[query.name] = _Gap(why, never, self._has_ever_answered(query))
        gap.failed(why, now)
        self.settled.discard(query.name)
        self.changed()
        return new

    def missing_rows(self, subject: SubjectKey) -> tuple[Unsupported, ...]:
        """The rows that were queried and that no query supplies, with the reason. The same object until it changes."""
        if self.unsupported is None:
            supplied = {
                row
                for query in self.queries
                if query.name not in self.gaps and not self._is_replaced(query)
                for row in query.rows
            }
            missing = {
                row: self.gaps[query.name].why
                for query in self.queries
                if query.name in self.gaps
                for row in query.rows
                if row not in supplied
            }
            self.unsupported = tuple(
                Unsupported(row, subject.device_uuid, why, subject.partition_uuid) for row, why in missing.items()
            )
        return self.unsupported

    def forget_gaps(self, *, answered_only: bool = False) -> None:
        """Run unsupported queries again: all, or those that have answered before."""
        self.gaps = {name: gap for name, gap in self.gaps.items() if answered_only and not gap.answered}
        self.changed()

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
        waiting = self.waiting
        return bool(waiting) and any(query.name in waiting and not self._is_replaced(query) for query in self.queries)

    def ever_answered(self) -> frozenset[str]:
        """The names of the queries that have answered in this session or an earlier one."""
        if self.all_answered is None:
            self.all_answered = self.expected | self.answered
        return self.all_answered

    def _has_ever_answered(self, query: Query[L, H] | BatchItem) -> bool:
        return query.name in self.answered or query.name in self.expected

    def record_answer(self, query: Query[L, H] | BatchItem, raw: float | None) -> None:
        """Record that a query has answered, and with which value; None if there is nothing to report at present."""
        name = query.name
        if name in self.settled:
            return
        false_zero = raw == 0 and isinstance(query, BatchItem) and query.false_zero
        doubtful = false_zero or (raw is None and _is_counter(query))
        changed = self.gaps.pop(name, None) is not None
        if name not in self.answered:
            self.answered.add(name)
            self.all_answered = None
        if not doubtful:
            changed = changed or (_is_counter(query) and name not in self.sources)
            self.sources |= {name} if _is_counter(query) else set()
            self.settled.add(name)
        if changed:
            self.changed()

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
