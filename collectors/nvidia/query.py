"""Questions to a device: which library call feeds which catalogue rows, and how an answer becomes samples."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from collectors.contract import CollectorError
from collectors.metric import Cadence, Metric
from collectors.nvidia.nvml import Handle, Nvml


@dataclass(frozen=True, slots=True)
class Answer:
    """One value as the library gave it.

    Attributes:
        metric: The row it is for.
        raw: In NVML's unit.
        convert: Makes the row's base unit of it.
        labels: Values of the row's own labels.
    """

    metric: Metric
    raw: float
    convert: Callable[[float], float] = float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """One question to a device or MIG device by calls of its own, which it either supports or does not.

    Attributes:
        name: Unique; what is remembered as unsupported.
        rows: The rows it feeds, all of one cadence.
        ask: Asks it.
        instead_of: The name of the query it stands in for; asked only once that one is unsupported.
    """

    name: str
    rows: tuple[Metric, ...]
    ask: Callable[[Nvml, Handle], Iterable[Answer]]
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
class Batch:
    """Questions that one call of the library answers together.

    Attributes:
        parts: The questions.
        ask: Asks for the values of the given keys, in their order. An error in place of a value concerns that key; one
            that is raised concerns all of them.
    """

    parts: tuple[Part, ...]
    ask: Callable[[Nvml, Handle, Sequence[Hashable]], Sequence[float | CollectorError]]


# What a device or MIG device is asked.
Questions = Sequence[Query | Batch]


def flat(questions: Questions) -> Iterator[Query | Part]:
    """Every question by itself, in order."""
    for question in questions:
        if isinstance(question, Batch):
            yield from question.parts
        else:
            yield question


def rows_of(questions: Questions) -> frozenset[Metric]:
    """The rows they can feed."""
    return frozenset(row for question in flat(questions) for row in question.rows)
