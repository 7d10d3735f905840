"""Health of all GPUs while the collector runs: states and events derived from their error counts."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass

from collectors import catalog
from collectors.amd import ras, status
from collectors.amd.gpu_files import GpuFiles
from collectors.amd.ras import BadPages, ErrorCount
from collectors.amd.status import HealthFacts
from collectors.condition import Condition, CriticalEvent
from collectors.contract import Sample
from collectors.counters import Counter, CounterReading
from collectors.metric import Metric
from collectors.sysfs import Root

_SOURCE, _CLASS = "ras", "hardware"

ROWS: frozenset[Metric] = frozenset({catalog.STATUS_STATE, catalog.ERRORS, catalog.ERROR_LAST_TIMESTAMP})


class _Events:
    """Uncorrected errors of one GPU by block, since the exporter started."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._counts: dict[str, int] = {}
        self._last: dict[str, float] = {}
        self._new: dict[str, int] = {}

    def add(self, counts: Mapping[str, ErrorCount], now: float, session: Hashable) -> None:
        """Add the new errors.

        Args:
            counts: By block.
            now: Unix time.
            session: Changes when the driver restarts the counts.
        """
        for block, count in counts.items():
            counter = self._counters.setdefault(block, Counter())
            new = int(counter.read(CounterReading(now, count.uncorrected, session=session)).rise)
            self._counts[block] = self._counts.get(block, 0) + new
            if new:
                self._last[block] = now
                self._new[block] = self._new.get(block, 0) + new

    def drain(self, uuid: str) -> Iterator[CriticalEvent]:
        """The new errors since the last call, by block. Any of them makes the GPU degraded."""
        taken, self._new = self._new, {}
        for block, count in taken.items():
            text, do = status.event_texts(block)
            yield CriticalEvent(uuid, _SOURCE, block, _CLASS, text, do, status.DEGRADED, count)

    def samples(self, uuid: str) -> list[Sample]:
        """`errors_total`, and the time of the last error of each block that had one."""
        labels = {block: (_SOURCE, block, _CLASS) for block in self._counts}
        counts = [
            Sample(catalog.ERRORS, uuid, float(count), labels=labels[block]) for block, count in self._counts.items()
        ]
        times = [Sample(catalog.ERROR_LAST_TIMESTAMP, uuid, at, labels=labels[b]) for b, at in self._last.items()]
        return counts + times


@dataclass(frozen=True, slots=True)
class HealthReading:
    """What one poll says about the health of a GPU.

    Attributes:
        counts: Its errors by block; None if they were not read.
        pages: Its bad pages; None if they were not read.
        bad_page_threshold: The number of bad pages at which it should be replaced; None if there is none.
    """

    counts: Mapping[str, ErrorCount] | None
    pages: BadPages | None
    bad_page_threshold: int | None


def read_health(sysfs: Root, files: GpuFiles, memory_bytes: float | None) -> HealthReading:
    """What the files of a GPU that were read in this poll say about its health.

    Args:
        sysfs: The root of the host's `/sys`.
        files: Its files in the poll.
        memory_bytes: The size of its memory; None if unknown.
    """
    pages = files.cached(ras.read_bad_pages)
    threshold = None
    if pages is not None and memory_bytes is not None:
        threshold = ras.bad_page_threshold(sysfs, files.paths.folder, memory_bytes)
    return HealthReading(files.cached(ras.read_counts), pages, threshold)


class Health:
    """The health of all GPUs. One object exists as long as the collector; its thread only uses it.

    Args:
        wall_clock: Unix time in seconds.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._facts: dict[str, HealthFacts] = {}
        self._events: dict[str, _Events] = {}

    def update(self, uuid: str, reading: HealthReading, session: Hashable) -> None:
        """Add the reading of a GPU in one poll.

        Args:
            uuid: The GPU's uuid.
            reading: What it says.
            session: Changes when the driver restarts its counts.
        """
        facts = self._facts.setdefault(uuid, HealthFacts())
        facts.lost = False
        if reading.counts is not None:
            facts.failing_blocks = tuple(sorted(name for name, count in reading.counts.items() if count.uncorrected))
            self._events.setdefault(uuid, _Events()).add(reading.counts, self._wall_clock(), session)
        if reading.pages is not None:
            facts.bad_pages = reading.pages.retired + reading.pages.pending
            facts.repair_pending = reading.pages.pending > 0
            facts.bad_page_threshold = reading.bad_page_threshold

    def mark_lost(self, uuid: str) -> None:
        """Mark a GPU that is no longer bound to the driver. Its earlier facts are dropped, its events stay counted."""
        self._facts[uuid] = HealthFacts(lost=True)

    def status(self, uuid: str) -> list[Sample]:
        """`status` of one GPU."""
        return status.samples(uuid, self._facts.setdefault(uuid, HealthFacts()))

    def conditions(self, uuid: str) -> tuple[Condition, ...]:
        """Why a GPU is not ok, the worst first; nothing if it is."""
        return status.conditions_of(self._facts[uuid])

    def drain_events(self) -> tuple[CriticalEvent, ...]:
        """The events since the last call, once for each GPU and block."""
        return tuple(event for uuid, events in self._events.items() for event in events.drain(uuid))

    def events(self, uuid: str) -> list[Sample]:
        """Its events."""
        return self._events[uuid].samples(uuid) if uuid in self._events else []
