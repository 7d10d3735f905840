"""Exports a count of critical events that begins for a while at its last value, at first 0, before it counts on.

`increase()` of Prometheus sees a rise between two scrapes. A series that begins at 1 has not risen, so the first event
of a code would be missed, and so would an event in a gap that is longer than the window. Codes that need an alert exist
at 0 from the start, and are counted at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from operator import is_
from typing import NamedTuple

from collectors import catalog
from collectors.contract import Sample
from collectors.metric import Cadence
from exporter.conformity import SampleKey, sample_key

# The default scrape interval of Prometheus is a minute; the rest is slack for a late scrape.
HELD_SECONDS = 75.0
# The series of more codes count at once.
_MOST_SERIES = 10_000


class _Delay(NamedTuple):
    """What is exported of a count at first, and until when (monotonic seconds)."""

    value: float
    until: float


class FirstCounts:
    """The counts of one collector. Used by one thread."""

    def __init__(self) -> None:
        self._given: list[Sample] = []
        self._present: Mapping[SampleKey, float] = {}  # what is exported of the last reading
        self._before: dict[SampleKey, float] = {}  # what was exported last of all others
        self._held: dict[SampleKey, _Delay] = {}

    def end(self) -> None:
        """No count is exported any more, until the next reading."""
        self._keep_apart({})
        self._given = []

    def held_first(self, samples: tuple[Sample, ...], due: frozenset[Cadence], at: float) -> tuple[Sample, ...]:
        """The samples, with its earlier value for each count that has begun above it a short time ago.

        Args:
            samples: What was accepted of one reading.
            due: The cadences of the reading.
            at: Monotonic seconds of the reading.
        """
        if catalog.ERRORS.cadence not in due:
            return samples
        given = [sample for sample in samples if sample.metric is catalog.ERRORS]
        if not self._held and len(given) == len(self._given) and all(map(is_, given, self._given)):
            return samples
        self._given = given
        counts = {sample_key(sample): sample.value for sample in given}
        self._hold(counts, at)
        held = {key: min(value, counts[key]) for key, (value, _) in self._held.items()}
        self._keep_apart({**counts, **held})
        if not held:
            return samples
        return tuple(
            replace(sample, value=held[key]) if (key := sample_key(sample)) in held else sample for sample in samples
        )

    def _hold(self, counts: Mapping[SampleKey, float], at: float) -> None:
        """Begin to hold the counts that begin, and end it for others."""
        self._held = {key: held for key, held in self._held.items() if at < held.until and key in counts}
        for key in counts.keys() - self._present.keys():
            before = self._before.pop(key, 0.0)
            if counts[key] > before and len(self._present) + len(self._before) < _MOST_SERIES:
                self._held[key] = _Delay(before, at + HELD_SECONDS)

    def _keep_apart(self, present: Mapping[SampleKey, float]) -> None:
        """Change what is exported, and remember what no longer is."""
        for key in self._present.keys() - present.keys():
            if len(self._before) < _MOST_SERIES:
                self._before[key] = self._present[key]
        self._present = present
