"""Runs queries and remembers which ones a device does not support. These are run again at a slow rate.

The loss of a query that has answered before is counted.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
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
from collectors.query import (
    Batch,
    BatchItem,
    H,
    InvalidValueError,
    L,
    NoDataError,
    PermanentlyUnsupportedError,
    Queries,
    Query,
    RawValue,
)
from collectors.subject_queries import SubjectQueries

# Errors that do not affect the other queries.
_SINGLE_QUERY_ERRORS = (NoDataError, UnsupportedError, UnavailableError)


@dataclass(slots=True)
class QueryResult:
    """The results of the queries of one device or partition.

    Attributes:
        samples: Valid values.
        faults: The failures.
        impossible: The rows of which a value was impossible.
        failed: Number of queries that failed.
        succeeded: Number of queries that the device answered, also with "unsupported".
    """

    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    impossible: set[Metric] = field(default_factory=set)
    failed: int = 0
    succeeded: int = 0


class QueryRunner(Generic[L, H]):
    """Runs the queries of the devices of one session or one tree of files.

    Args:
        library: The library or tree of files that is read.
        absent_marks: Raw values that mean "not available".
        clock: Monotonic seconds.
        expected: What `answered` returned in the last session. If one of these queries is unsupported, it may answer
            soon.
    """

    def __init__(
        self,
        library: L,
        absent_marks: Collection[float] = (),
        clock: Callable[[], float] = time.monotonic,
        expected: Mapping[SubjectKey, frozenset[str]] = MappingProxyType({}),
    ) -> None:
        self._library = library
        self._clock = clock
        self._expected = expected
        self._absent_marks = absent_marks
        self._subjects: dict[SubjectKey, SubjectQueries[L, H]] = {}

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
        known = self._subjects.get(subject)
        if known is None:
            expected = self._expected.get(subject, frozenset())
            known = self._subjects[subject] = SubjectQueries(expected=expected)
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

    def is_waiting(self, device_uuid: str) -> bool:
        """Whether a query of a device or its partitions has failed that may answer soon."""
        return any(self._subjects[subject].is_waiting for subject in self._of_device(device_uuid))

    def answered(self) -> dict[SubjectKey, frozenset[str]]:
        """The names of the queries that have ever supplied a value, by device and partition."""
        now = {subject: known.expected | known.answered for subject, known in self._subjects.items()}
        return {**self._expected, **now}

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
            for item in items:
                self._subjects[subject].record_error(item, error)
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
        self._subjects[subject].record_error(query, error)
        if isinstance(error, UnsupportedError):
            self._record_unsupported(subject, query, error, result)
        elif isinstance(error, UnavailableError):
            if error.reason is Reason.INVALID_VALUE:
                result.impossible.update(query.rows)
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
        self,
        subject: SubjectKey,
        query: Query[L, H] | BatchItem,
        values: Iterable[RawValue | InvalidValueError],
        result: QueryResult,
    ) -> None:
        result.succeeded += 1
        known = self._subjects[subject]
        known.waiting.discard(query.name)
        for value in values:
            if isinstance(value, InvalidValueError):
                result.faults.append(Fault(value.reason, subject.where, str(value)))
                continue
            if value.unsupported_at_zero and value.raw == 0 and query.name not in known.answered:
                known.give_up(query, f"{query.name}: the counter stays at 0", self._clock())
                return
            converted = value.convert(value.raw)
            if value.raw in self._absent_marks or not _is_possible(value.metric, converted):
                result.faults.append(Fault(Reason.INVALID_VALUE, subject.where, f"{query.name}: {value.raw}"))
                result.impossible.add(value.metric)
                continue
            known.record_answer(query, value.raw)
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
