"""Runs queries and remembers which ones a device does not support. These are run again at a slow rate.

"Not supported" may be true for a moment only: a driver that is busy, a file that is missing for a second. A query that
has answered before is run again soon, and its loss is counted.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic

from collectors.backoff import Backoff
from collectors.contract import (
    CollectorError,
    Fault,
    Reason,
    Sample,
    SubjectKey,
    UnavailableError,
    Unsupported,
    UnsupportedError,
)
from collectors.metric import Cadence, Kind, Metric
from collectors.plausibility import ImplausibleError, require_possible
from collectors.query import (
    Batch,
    BatchItem,
    H,
    L,
    NoDataError,
    PermanentlyUnsupportedError,
    Queries,
    Query,
    RawValue,
    flat,
)

# Errors that do not affect the other queries.
_SINGLE_QUERY_ERRORS = (NoDataError, UnsupportedError, UnavailableError)

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
class QueryResult:
    """The results of the queries of one device or partition.

    Attributes:
        samples: Valid values.
        faults: The failures.
        failed: Number of queries that failed.
        succeeded: Number of queries that the device answered, also with "unsupported".
    """

    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    failed: int = 0
    succeeded: int = 0


@dataclass(slots=True)
class _SubjectQueries(Generic[L, H]):
    """The queries of one device or partition, and why some of them are seldom run.

    Attributes:
        source: The queries as they were passed last.
        queries: All queries, and all items of batches.
        gaps: The unsupported queries, by name.
        answered: Names of the queries that have supplied a value in this session.
        sources: Those of them that are counters.
        missing: The rows that no query supplies; None until they are needed.
    """

    source: Queries[L, H] = ()
    queries: tuple[Query[L, H] | BatchItem, ...] = ()
    gaps: dict[str, _Gap] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
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
            answered = query.name in self.answered
            gap = self.gaps[query.name] = _Gap(why, (permanent or query.once) and not answered, answered)
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
        return not query.fallback_for or query.fallback_for in self.gaps or query.name in self.sources

    def record_answer(self, query: Query[L, H] | BatchItem) -> None:
        """Record that a query has supplied a value."""
        if query.name in self.gaps:
            del self.gaps[query.name]
            self.missing = None
        if query.name not in self.answered:
            self.answered.add(query.name)
            if _is_counter(query):
                self.sources.add(query.name)
                self.missing = None

    def _is_replaced(self, query: Query[L, H] | BatchItem) -> bool:
        """Whether a counter comes from another query in this session: one that this one would replace, or replaces."""
        if not self.sources or query.name in self.sources or not _is_counter(query):
            return False
        if query.fallback_for in self.sources:
            return True
        return any(other.name in self.sources and other.fallback_for == query.name for other in self.queries)


def _is_counter(query: Query[L, H] | BatchItem) -> bool:
    return query.rows[0].kind is Kind.COUNTER


class QueryRunner(Generic[L, H]):
    """Runs the queries of the devices of one session or one tree of files.

    Args:
        library: The library or tree of files that is read.
        absent_marks: Raw values that mean "not available".
        clock: Monotonic seconds.
    """

    def __init__(
        self, library: L, absent_marks: Collection[float] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._library = library
        self._clock = clock
        self._absent_marks = absent_marks
        self._subjects: dict[SubjectKey, _SubjectQueries[L, H]] = {}

    def run(self, subject: SubjectKey, handle: H, queries: Queries[L, H], due: frozenset[Cadence]) -> QueryResult:
        """Run the queries that are due; those that this device or partition does not support only now and then.

        Args:
            subject: The device or partition.
            handle: Its handle.
            queries: All its queries; a fallback comes after the query that it replaces.
            due: The cadences to read.

        Raises:
            CollectorError: This device, or the whole session, no longer answers.
        """
        known = self._subjects.setdefault(subject, _SubjectQueries())
        known.set_queries(queries)
        if Cadence.SLOW in due:
            known.slow_readings_are_due()
        result, now = QueryResult(), self._clock()
        for query in queries:
            if isinstance(query, Batch):
                items = [item for item in query.items if known.is_runnable(item, due, now)]
                if items:
                    self._run_batch(subject, handle, query, items, result)
            elif known.is_runnable(query, due, now):
                self._run_query(subject, handle, query, result)
        return result

    def unsupported(self) -> Iterator[Unsupported]:
        """All rows that were queried and that no query supplies."""
        for subject, known in self._subjects.items():
            for row, detail in known.missing_rows().items():
                yield Unsupported(row, subject.device_uuid, detail, subject.partition_uuid)

    def forget(self, device_uuid: str) -> None:
        """Run all queries of a device and its partitions again, for example after a change of its partition layout.

        In the same session each counter still comes from the same query as before.
        """
        for subject in self._of_device(device_uuid):
            if subject.partition_uuid:
                del self._subjects[subject]
            else:
                self._subjects[subject].gaps.clear()
                self._subjects[subject].missing = None

    def retry(self, device_uuid: str) -> None:
        """Run the queries of a device and its partitions again that have answered before, for example after a reset.

        Those that have never answered still wait for their turn: their fallbacks answer in the meantime.
        """
        for subject in self._of_device(device_uuid):
            known = self._subjects[subject]
            known.gaps = {name: gap for name, gap in known.gaps.items() if not gap.answered}
            known.missing = None

    def restart(self, device_uuid: str) -> None:
        """Forget all about a device and its partitions, because its driver has a new session."""
        for subject in self._of_device(device_uuid):
            del self._subjects[subject]

    def _of_device(self, device_uuid: str) -> list[SubjectKey]:
        return [subject for subject in self._subjects if subject.device_uuid == device_uuid]

    def _run_query(self, subject: SubjectKey, handle: H, query: Query[L, H], result: QueryResult) -> None:
        try:
            values = tuple(query.read(self._library, handle))
        except _SINGLE_QUERY_ERRORS as error:
            self._record_error(subject, query, error, result)
        else:
            self._accept(subject, query, values, result)

    def _run_batch(
        self, subject: SubjectKey, handle: H, batch: Batch[L, H], items: Sequence[BatchItem], result: QueryResult
    ) -> None:
        outcomes: Sequence[float | CollectorError]
        try:
            outcomes = batch.read(self._library, handle, [item.key for item in items])
        except (NoDataError, UnsupportedError) as error:
            outcomes = [error] * len(items)
        except UnavailableError as error:  # counted once, not once for each item
            new = [self._is_new(subject, item, error) for item in items]
            if any(new):
                result.failed += 1
                result.faults.append(Fault(error.reason, subject.where, str(error)))
            return
        for item, outcome in zip(items, outcomes, strict=True):
            self._accept_item(subject, item, outcome, result)

    def _accept_item(
        self, subject: SubjectKey, item: BatchItem, outcome: float | CollectorError, result: QueryResult
    ) -> None:
        if isinstance(outcome, CollectorError) and not isinstance(outcome, _SINGLE_QUERY_ERRORS):
            raise outcome
        try:
            values = () if isinstance(outcome, CollectorError) else tuple(item.raw_values(outcome))
        except _SINGLE_QUERY_ERRORS as error:
            outcome = error
        if isinstance(outcome, CollectorError):
            self._record_error(subject, item, outcome, result)
        else:
            self._accept(subject, item, values, result)

    def _record_error(
        self, subject: SubjectKey, query: Query[L, H] | BatchItem, error: CollectorError, result: QueryResult
    ) -> None:
        if isinstance(error, UnsupportedError):
            self._record_unsupported(subject, query, error, result)
        elif isinstance(error, UnavailableError):
            if self._is_new(subject, query, error):
                result.failed += 1
                result.faults.append(Fault(error.reason, subject.where, str(error)))
        else:
            result.succeeded += 1

    def _record_unsupported(
        self, subject: SubjectKey, query: Query[L, H] | BatchItem, error: UnsupportedError, result: QueryResult
    ) -> None:
        """Remember it; it is a fault once, if the query has answered before."""
        known = self._subjects[subject]
        permanent = isinstance(error, PermanentlyUnsupportedError)
        new = known.give_up(query, str(error), self._clock(), permanent=permanent)
        if new and query.name in known.answered:
            detail = f"{query.name}: answered before, now unsupported: {error}"
            result.faults.append(Fault(Reason.UNAVAILABLE, subject.where, detail))
            result.failed += 1
        else:
            result.succeeded += 1

    def _is_new(self, subject: SubjectKey, query: Query[L, H] | BatchItem, error: UnavailableError) -> bool:
        """Whether a failure counts: a missing permission counts once, and is asked for again as if unsupported."""
        if error.reason is not Reason.PERMISSION_DENIED:
            return True
        return self._subjects[subject].give_up(query, str(error), self._clock())

    def _accept(
        self, subject: SubjectKey, query: Query[L, H] | BatchItem, values: Iterable[RawValue], result: QueryResult
    ) -> None:
        result.succeeded += 1
        known = self._subjects[subject]
        for value in values:
            if value.unsupported_at_zero and value.raw == 0 and query.name not in known.answered:
                known.give_up(query, f"{query.name}: the counter stays at 0", self._clock())
                return
            converted = value.convert(value.raw)
            if value.raw in self._absent_marks or not _is_possible(value.metric, converted):
                result.faults.append(Fault(Reason.INVALID_VALUE, subject.where, f"{query.name}: {value.raw}"))
                continue
            known.record_answer(query)
            width = value.convert(value.width) if value.width else 0.0
            result.samples.append(
                Sample(value.metric, subject.device_uuid, converted, subject.partition_uuid, value.labels, width)
            )


def _is_possible(metric: Metric, value: float) -> bool:
    """Whether a value is possible. Of a counter, the exporter also decides which high values are."""
    if metric.kind is Kind.COUNTER:
        return math.isfinite(value) and value >= 0
    try:
        require_possible(metric, value)
    except ImplausibleError:
        return False
    return True
