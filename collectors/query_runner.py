"""Runs queries and remembers which ones a device does not support. These are run again at a slow rate.

The loss of a query that has answered before is counted.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
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
from collectors.metric import Cadence, Metric
from collectors.plausibility import is_possible
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
from collectors.subject_queries import Step, SubjectQueries, Supplied

# Errors that do not affect the other queries.
_SINGLE_QUERY_ERRORS = (NoDataError, UnsupportedError, UnavailableError)
_NOTHING = Supplied((), ())


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
        self._unsupported_parts: list[tuple[Unsupported, ...]] = []
        self._unsupported: tuple[Unsupported, ...] = ()

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
        plan = known.plan(due, now)
        for step in plan.steps:
            self._run_step(subject, handle, step, result)
            if known.plans.get(due) is not plan:  # a query that has just failed may have a fallback
                for other in known.steps_from(step.place + 1, due, now):
                    self._run_step(subject, handle, other, result)
                break
        return result

    def unsupported(self) -> tuple[Unsupported, ...]:
        """All rows that were queried and that no query supplies. The same object until it changes."""
        parts = [known.missing_rows(subject) for subject, known in self._subjects.items()]
        if parts != self._unsupported_parts:
            self._unsupported_parts, self._unsupported = parts, tuple(chain.from_iterable(parts))
        return self._unsupported

    def forget(self, device_uuid: str) -> None:
        """Run all queries of a device and its partitions again, for example after a change of its partition layout.

        In the same session each counter still comes from the same query as before.
        """
        for subject in self._of_device(device_uuid):
            if subject.partition_uuid:
                del self._subjects[subject]
            else:
                self._subjects[subject].forget_gaps()

    def retry(self, device_uuid: str) -> None:
        """Run the queries of a device and its partitions again that have answered before, for example after a reset.

        Those that have never answered still wait for their turn: their fallbacks answer in the meantime.
        """
        for subject in self._of_device(device_uuid):
            self._subjects[subject].forget_gaps(answered_only=True)

    def is_waiting(self, device_uuid: str) -> bool:
        """Whether a query of a device or its partitions has failed that may answer soon."""
        return any(self._subjects[subject].is_waiting for subject in self._of_device(device_uuid))

    def answered(self) -> dict[SubjectKey, frozenset[str]]:
        """The names of the queries that have ever answered, by device and partition."""
        now = {subject: known.ever_answered() for subject, known in self._subjects.items()}
        return {**self._expected, **now}

    def _of_device(self, device_uuid: str) -> list[SubjectKey]:
        return [subject for subject in self._subjects if subject.device_uuid == device_uuid]

    def _run_step(self, subject: SubjectKey, handle: H, step: Step[L, H], result: QueryResult) -> None:
        if isinstance(step.query, Batch):
            self._run_batch(subject, handle, step.query, step, result)
        else:
            self._run_query(subject, handle, step.query, result)

    def _run_query(self, subject: SubjectKey, handle: H, query: Query[L, H], result: QueryResult) -> None:
        try:
            values = tuple(query.read(self._library, handle))
        except _SINGLE_QUERY_ERRORS as error:
            self._record_error(subject, query, error, result)
        else:
            self._accept(subject, query, values, result)

    def _run_batch(
        self, subject: SubjectKey, handle: H, batch: Batch[L, H], step: Step[L, H], result: QueryResult
    ) -> None:
        items = step.items
        outcomes: Sequence[float | CollectorError]
        try:
            outcomes = batch.read(self._library, handle, step.keys)
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
        if not isinstance(outcome, CollectorError):
            try:
                values = tuple(item.raw_values(outcome))
            except _SINGLE_QUERY_ERRORS as error:
                outcome = error
            else:
                self._accept(subject, item, values, result)
                return
        if not isinstance(outcome, _SINGLE_QUERY_ERRORS):
            raise outcome
        self._record_error(subject, item, outcome, result)

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
        values: Sequence[RawValue | InvalidValueError],
        result: QueryResult,
    ) -> None:
        result.succeeded += 1
        known = self._subjects[subject]
        known.waiting.discard(query.name)
        last_values, last = known.last.get(query.name, _NOTHING)
        if values == last_values and len(values) == len(last) and query.name in known.settled:
            result.samples += last
            return
        if not values:
            known.record_answer(query, None)
        first = len(result.samples)
        for place, value in enumerate(values):
            if isinstance(value, InvalidValueError):
                result.faults.append(Fault(value.reason, subject.where, str(value)))
                continue
            if value.unsupported_at_zero and value.raw == 0 and query.name not in known.answered:
                known.give_up(query, f"{query.name}: the counter stays at 0", self._clock())
                return
            converted = value.convert(value.raw)
            if value.raw in self._absent_marks or not is_possible(value.metric, converted):
                result.faults.append(Fault(Reason.INVALID_VALUE, subject.where, f"{query.name}: {value.raw}"))
                result.impossible.add(value.metric)
                continue
            known.record_answer(query, value.raw)
            if place < len(last) and _is_same(last[place], value):
                result.samples.append(last[place])
                continue
            width = float(value.convert(value.width)) if value.width else 0.0
            labels, number = value.labels, float(converted)
            result.samples.append(
                Sample(value.metric, subject.device_uuid, number, subject.partition_uuid, labels, width)
            )
        known.last[query.name] = Supplied(values, tuple(result.samples[first:]))


def _is_same(sample: Sample, value: RawValue) -> bool:
    """Whether a value is that of the last sample at its place, which was possible: most values do not change."""
    return (
        sample.value == value.convert(value.raw)
        and sample.metric is value.metric
        and sample.labels == value.labels
        and not (sample.width or value.width)
    )
