"""Runs queries and remembers which ones a device does not support, so that each of these is called only once."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic

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
from collectors.query import Batch, BatchItem, H, L, NoDataError, Queries, Query, RawValue, flat

# Errors that do not affect the other queries.
_SINGLE_QUERY_ERRORS = (NoDataError, UnsupportedError, UnavailableError)


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
    """The queries of one device or partition, and why some of them are not run again.

    Attributes:
        source: The queries as they were passed last.
        queries: All queries, and all items of batches.
        gaps: Why a query is not run any more, by its name.
        answered: Names of the queries of counters that have supplied a value in this session.
        missing: The rows that no query supplies; None until they are needed.
    """

    source: Queries[L, H] = ()
    queries: tuple[Query[L, H] | BatchItem, ...] = ()
    gaps: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    missing: dict[Metric, str] | None = None

    def set_queries(self, queries: Queries[L, H]) -> None:
        """Set the queries to run. Does nothing if they are the same object as before."""
        if queries is not self.source:
            self.source, self.queries, self.missing = queries, tuple(flat(queries)), None

    def give_up(self, query: Query[L, H] | BatchItem, why: str) -> None:
        """Do not run this query again."""
        self.gaps[query.name] = why
        self.missing = None

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
                row: self.gaps[query.name]
                for query in self.queries
                if query.name in self.gaps
                for row in query.rows
                if row not in supplied
            }
        return self.missing

    def is_runnable(self, query: Query[L, H] | BatchItem, due: frozenset[Cadence]) -> bool:
        """Whether a query is due, not known to be unsupported, and the one among several that is used."""
        if query.cadence not in due or query.name in self.gaps or self._is_replaced(query):
            return False
        return not query.fallback_for or query.fallback_for in self.gaps or query.name in self.answered

    def record_answer(self, query: Query[L, H] | BatchItem) -> None:
        """Record that a query has supplied a value."""
        if query.name not in self.answered and _is_counter(query):
            self.answered.add(query.name)
            self.missing = None

    def _is_replaced(self, query: Query[L, H] | BatchItem) -> bool:
        """Whether a counter comes from another query in this session: one that this one would replace, or replaces."""
        if not self.answered or query.name in self.answered or not _is_counter(query):
            return False
        if query.fallback_for in self.answered:
            return True
        return any(other.name in self.answered and other.fallback_for == query.name for other in self.queries)


def _is_counter(query: Query[L, H] | BatchItem) -> bool:
    return query.rows[0].kind is Kind.COUNTER


class QueryRunner(Generic[L, H]):
    """Runs the queries of the devices of one session or one tree of files.

    Args:
        library: The library or tree of files that is read.
        absent_marks: Raw values that mean "not available".
    """

    def __init__(self, library: L, absent_marks: Collection[float] = ()) -> None:
        self._library = library
        self._absent_marks = absent_marks
        self._subjects: dict[SubjectKey, _SubjectQueries[L, H]] = {}

    def run(self, subject: SubjectKey, handle: H, queries: Queries[L, H], due: frozenset[Cadence]) -> QueryResult:
        """Run the queries that are due, except those that this device or partition does not support.

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
        result = QueryResult()
        for query in queries:
            if isinstance(query, Batch):
                self._run_batch(subject, handle, query, due, result)
            elif known.is_runnable(query, due):
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
        self, subject: SubjectKey, handle: H, batch: Batch[L, H], due: frozenset[Cadence], result: QueryResult
    ) -> None:
        items = [item for item in batch.items if self._subjects[subject].is_runnable(item, due)]
        if not items:
            return
        outcomes: Sequence[float | CollectorError]
        try:
            outcomes = batch.read(self._library, handle, [item.key for item in items])
        except (NoDataError, UnsupportedError) as error:
            outcomes = [error] * len(items)
        except UnavailableError as error:  # counted once, not once for each item
            for item in items:
                self._remember_denied(subject, item, error)
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
            self._subjects[subject].give_up(query, str(error))
        if isinstance(error, UnavailableError):
            self._remember_denied(subject, query, error)
            result.failed += 1
            result.faults.append(Fault(error.reason, subject.where, str(error)))
        else:
            result.succeeded += 1

    def _remember_denied(self, subject: SubjectKey, query: Query[L, H] | BatchItem, error: UnavailableError) -> None:
        """Do not run a query again that lacks a permission: the permission does not change while the process runs."""
        if error.reason is Reason.PERMISSION_DENIED:
            self._subjects[subject].give_up(query, str(error))

    def _accept(
        self, subject: SubjectKey, query: Query[L, H] | BatchItem, values: Iterable[RawValue], result: QueryResult
    ) -> None:
        result.succeeded += 1
        known = self._subjects[subject]
        for value in values:
            if value.unsupported_at_zero and value.raw == 0 and query.name not in known.answered:
                known.give_up(query, f"{query.name}: the counter stays at 0")
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
