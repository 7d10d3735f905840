"""What is recorded of the exporter every 30 seconds, and the verdict on all records."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.figures import Table, count, megabytes
from soak.figures import Slope, has_grown, slope

_SECONDS_PER_HOUR = 3600
# Of the allocated blocks in the second half, in a run that is long enough for the exporter to be warm by then.
_MOST_GROWTH = 0.001
_JUDGED_SECONDS = 29 * 60

_ABOUT = """\
The exporter while it is disturbed, at rest every 30 s. Memory is the resident memory; blocks are those that Python has
allocated. Blocks, descriptors and threads are the least of several counts, so that calls in progress are not counted.
Falls are those of container counters, then of all others, which may be resets of a device."""
_HEADER = (
    "Seconds",
    "Memory",
    "Blocks",
    "Descriptors",
    "Threads",
    "Series",
    "Scrapes",
    "Failed",
    "Falls",
    "Other falls",
)


class Measured(NamedTuple):
    """What is seen of the process at one moment.

    Attributes:
        resident_bytes: Its resident memory.
        blocks: The blocks that Python has allocated.
        descriptors: Its open file descriptors.
        threads: Its threads.
    """

    resident_bytes: int
    blocks: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Record:
    """The exporter at rest, and the scrapes so far.

    Attributes:
        seconds: Since the start.
        measured: The process.
        series: Its series without their values.
        scrapes: Number of scrapes.
        failed: Number of failed ones.
        container_falls: How often a counter of a container fell.
        other_falls: How often another counter fell.
    """

    seconds: float
    measured: Measured
    series: frozenset[str]
    scrapes: int
    failed: int
    container_falls: int
    other_falls: int


def table(records: Sequence[Record]) -> str:
    """All records."""
    return Table("Soak", _ABOUT, _HEADER, [_row(record) for record in records]).markdown()


def line(record: Record) -> str:
    """One record, while the soak runs."""
    return ", ".join(f"{name.lower()} {cell}" for name, cell in zip(_HEADER, _row(record), strict=True))


def slopes(records: Sequence[Record]) -> str:
    """The slopes in the second half, with their standard errors, and its number of series."""
    memory, blocks = _slope(records, _resident), _slope(records, _blocks)
    return (
        f"Second half: memory {memory.per_hour / 1e6:+.2f} +- {memory.error / 1e6:.2f} MB per hour, "
        f"blocks {blocks.per_hour:+,.0f} +- {blocks.error:,.0f} per hour ({growth(records):+.3%} in this half), "
        f"series {'constant' if not changed_series(records) else 'not constant'}\n"
    )


def growth(records: Sequence[Record]) -> float:
    """By how much the allocated blocks grew in the second half, by the slope, as a fraction of their mean."""
    half = _second_half(records)
    hours = (half[-1].seconds - half[0].seconds) / _SECONDS_PER_HOUR
    mean = math.fsum(_blocks(record) for record in half) / len(half)
    return _slope(records, _blocks).per_hour * hours / mean


def changed_series(records: Sequence[Record]) -> list[str]:
    """The series that not all records of the second half have."""
    half = [record.series for record in _second_half(records)]
    return sorted(frozenset().union(*half) - half[0].intersection(*half))


def problems(records: Sequence[Record]) -> list[str]:
    """What must not be, one line each. Blocks and series of a short run are not judged: the exporter warms up in it."""
    last = records[-1]
    found = [
        (last.failed, f"{last.failed} of {last.scrapes} scrapes failed"),
        (last.container_falls, f"counters of containers fell {last.container_falls} times"),
        (has_grown([record.measured.descriptors for record in records]), "the number of open descriptors grew"),
        (has_grown([record.measured.threads for record in records]), "the number of threads grew"),
    ]
    if last.seconds >= _JUDGED_SECONDS:
        grown, changed = growth(records), changed_series(records)
        found.append((grown >= _MOST_GROWTH, f"allocated blocks grew by {grown:.3%} in the second half"))
        found.append((len(changed), f"{len(changed)} series were not in all scrapes at rest of the second half"))
    return [text for bad, text in found if bad]


def _second_half(records: Sequence[Record]) -> Sequence[Record]:
    return records[len(records) // 2 :]


def _slope(records: Sequence[Record], of: Callable[[Record], float]) -> Slope:
    half = _second_half(records)
    return slope([record.seconds / _SECONDS_PER_HOUR for record in half], [of(record) for record in half])


def _resident(record: Record) -> float:
    return record.measured.resident_bytes


def _blocks(record: Record) -> float:
    return record.measured.blocks


def _row(record: Record) -> tuple[str, ...]:
    measured = record.measured
    numbers = (measured.blocks, measured.descriptors, measured.threads, len(record.series), record.scrapes)
    scraped = (record.failed, record.container_falls, record.other_falls)
    return (count(record.seconds), megabytes(measured.resident_bytes), *map(count, (*numbers, *scraped)))
