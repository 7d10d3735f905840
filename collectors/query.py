"""Questions to a device: which call or file feeds which catalogue rows, and how an answer becomes samples.

`L` is what the calls go through, a library or a tree of files; `H` is by what it knows a device.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from collectors.contract import CollectorError, Reason, UnavailableError
from collectors.metric import Cadence, Metric

L = TypeVar("L")
H = TypeVar("H")


class NothingError(CollectorError):
    """There is nothing to tell just now: no value and no fault."""


class InvalidValueError(UnavailableError):
    """The answer can't be true, or is its mark for "not available"."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Reason.INVALID_VALUE)


@dataclass(frozen=True, slots=True)
class Answer:
    """One value as the library gave it.

    Attributes:
        metric: The row it is for.
        raw: In the vendor's unit.
        convert: Makes the row's base unit of it.
        labels: Values of the row's own labels.
    """

    metric: Metric
    raw: float
    convert: Callable[[float], float] = float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query(Generic[L, H]):
    """One question to a device or partition by calls of its own, which it either supports or does not.

    Attributes:
        name: Unique; what is remembered as unsupported.
        rows: The rows it feeds, all of one cadence.
        ask: Asks it.
        instead_of: The name of the query it stands in for; asked only once that one is unsupported.
    """

    name: str
    rows: tuple[Metric, ...]
    ask: Callable[[L, H], Iterable[Answer]]
    instead_of: str = ""

    @property
    def cadence(self) -> Cadence:
        """How often it is asked."""
        return self.rows[0].cadence


@dataclass(frozen=True, slots=True)
class Part:
    """One question that is asked together with others, and has a return code of its own.

    Attributes:
        name: Unique; what is remembered as unsupported.
        rows: The rows it feeds, all of one cadence.
        key: By what the batch asks for it.
        read: Makes answers of the value.
        instead_of: The name of the query or part it stands in for; asked only once that one is unsupported.
    """

    name: str
    rows: tuple[Metric, ...]
    key: Hashable
    read: Callable[[float], Iterable[Answer]]
    instead_of: str = ""

    @property
    def cadence(self) -> Cadence:
        """How often it is asked."""
        return self.rows[0].cadence


@dataclass(frozen=True, slots=True)
class Batch(Generic[L, H]):
    """Questions that one call answers together.

    Attributes:
        parts: The questions.
        ask: Asks for the values of the given keys, in their order. An error in place of a value concerns that key; one
            that is raised concerns all of them.
    """

    parts: tuple[Part, ...]
    ask: Callable[[L, H, Sequence[Hashable]], Sequence[float | CollectorError]]


# What a device or partition is asked.
Questions = Sequence[Query[L, H] | Batch[L, H]]


def flat(questions: Questions[L, H]) -> Iterator[Query[L, H] | Part]:
    """Every question by itself, in order."""
    for question in questions:
        if isinstance(question, Batch):
            yield from question.parts
        else:
            yield question


def rows_of(questions: Questions[L, H]) -> frozenset[Metric]:
    """The rows they can feed."""
    return frozenset(row for question in flat(questions) for row in question.rows)
