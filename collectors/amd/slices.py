"""What a partition is asked. The figures of its whole GPU are not its own, so they are not among them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from collectors import catalog, query
from collectors.amd import kfd
from collectors.amd.gpu_files import Visit
from collectors.amd.gpu_metrics.queries import mean
from collectors.amd.kfd import KfdNode
from collectors.contract import UnsupportedError
from collectors.metric import Metric
from collectors.query import Answer, NothingError, rows_of
from collectors.sysfs import Root


@dataclass(frozen=True, slots=True)
class Slice:
    """One partition in one poll.

    Attributes:
        node: Its node.
        count: How many partitions its GPU has.
        visit: To the GPU.
    """

    node: KfdNode
    count: int
    visit: Visit


# A class, not an alias: called by an alias, a frozen class with slots can't be made in Python 3.11.
class Query(query.Query[Root, Slice]):
    """One question to a partition."""

    __slots__ = ()


Questions: TypeAlias = query.Questions[Root, Slice]


def _utilization(_: Root, part: Slice) -> Iterator[Answer]:
    """The mean of its compute dies."""
    told = part.visit.metrics().partitions
    if not told:
        raise UnsupportedError("gpu_metrics: nothing about partitions")
    if len(told) != part.count:
        raise NothingError("gpu_metrics: of another cut")
    ratio = mean(told[part.node.partition].gfx_ratios)
    if ratio is None:
        raise NothingError("gpu_metrics: not told")
    yield Answer(catalog.UTILIZATION, ratio)


def _memory_limit(_: Root, part: Slice) -> Iterator[Answer]:
    yield Answer(catalog.MEMORY_LIMIT, kfd.memory_limit(part.node))


def _memory_usage(_: Root, part: Slice) -> Iterator[Answer]:
    yield Answer(catalog.MEMORY_USAGE, kfd.memory_usage(part.node))


QUESTIONS: Questions = (
    Query("utilization", (catalog.UTILIZATION,), _utilization),
    Query("memory limit", (catalog.MEMORY_LIMIT,), _memory_limit),
    Query("memory usage", (catalog.MEMORY_USAGE,), _memory_usage),
)

# Every row that a partition can be asked for.
ROWS: frozenset[Metric] = rows_of(QUESTIONS)
