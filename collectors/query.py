"""Queries of a device: which call or file supplies which catalogue rows.

`L` is the type of the library or tree of files that is read; `H` is the type of its device handles.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from collectors.contract import CollectorError, Reason, UnavailableError, UnsupportedError
from collectors.metric import Cadence, Metric

L = TypeVar("L")
H = TypeVar("H")


class PermanentlyUnsupportedError(UnsupportedError):
    """It is a fact of the loaded library that it does not supply this reading, such as a function that it lacks."""


class NoDataError(CollectorError):
    """The device reports no value at the moment. That is not a failure."""


class InvalidValueError(UnavailableError):
    """The value is impossible, or is the library's mark for "not available"."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Reason.INVALID_VALUE)


class RawValue(NamedTuple):
    """One value as the library reports it.

    Attributes:
        metric: The row it is for.
        raw: The value in the vendor's unit.
        convert: Converts it to the row's base unit.
        labels: Values of the row's own labels.
        width: Of a counter that is known to be narrow: the raw value at which it starts again from 0.
        unsupported_at_zero: True for a counter that stays at 0 on devices that do not count: if it has never had
            another value, its query is unsupported. Later a 0 is a value like any other.
    """

    metric: Metric
    raw: float
    convert: Callable[[float], float] = float
    labels: tuple[str, ...] = ()
    width: float = 0.0
    unsupported_at_zero: bool = False


@dataclass(frozen=True, slots=True)
class Query(Generic[L, H]):
    """One reading of a device or partition, made by separate calls. The device either supports it or does not.

    Attributes:
        name: A unique name, by which it is remembered as unsupported.
        rows: The rows it supplies, all of the same cadence.
        read: Makes the calls. An error in place of a value is counted and does not affect the other values.
        fallback_for: The name of the query that it replaces. It runs only if that query is unsupported. A counter is
            read from one query for a whole session: from the first that has answered.
        once: Whether it is not run again if it was unsupported, because it blocks the device.
    """

    name: str
    rows: tuple[Metric, ...]
    read: Callable[[L, H], Iterable[RawValue | InvalidValueError]]
    fallback_for: str = ""
    once: bool = False

    @property
    def cadence(self) -> Cadence:
        """How often it is run."""
        return self.rows[0].cadence


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One reading of a batch, with its own return code.

    Attributes:
        name: A unique name, by which it is remembered as unsupported.
        rows: The rows it supplies, all of the same cadence.
        key: The key that the batch reads.
        raw_values: Converts the value that the batch returns to values of the rows, or to errors as in `Query`.
        fallback_for: The name of the query or item that it replaces, as in `Query`.
        false_zero: Whether some drivers count nothing here, and answer 0. While a counter is 0, the query that it
            replaces is still preferred if that answers.
        once: As in `Query`.
    """

    name: str
    rows: tuple[Metric, ...]
    key: Hashable
    raw_values: Callable[[float], Iterable[RawValue | InvalidValueError]]
    fallback_for: str = ""
    false_zero: bool = False
    once: bool = False

    @property
    def cadence(self) -> Cadence:
        """How often it is run."""
        return self.rows[0].cadence


@dataclass(frozen=True, slots=True)
class Batch(Generic[L, H]):
    """Readings that are made together by one call.

    Attributes:
        items: The readings.
        read: Reads the values of the given keys, in their order. An error in place of a value concerns that key only; a
            raised error concerns all keys.
    """

    items: tuple[BatchItem, ...]
    read: Callable[[L, H, Sequence[Hashable]], Sequence[float | CollectorError]]


# The queries of a device or partition.
Queries = Sequence[Query[L, H] | Batch[L, H]]


def flat(queries: Queries[L, H]) -> Iterator[Query[L, H] | BatchItem]:
    """All queries, and all items of batches, in order."""
    for query in queries:
        if isinstance(query, Batch):
            yield from query.items
        else:
            yield query


def rows_of(queries: Queries[L, H]) -> frozenset[Metric]:
    """The rows that these queries can supply."""
    return frozenset(row for query in flat(queries) for row in query.rows)
