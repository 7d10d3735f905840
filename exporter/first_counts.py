"""Exports a new count of critical events at 0 for a while before it counts.

`increase()` of Prometheus sees a rise between two scrapes. A series that begins at 1 has not risen, so the first event
of a code would be missed. Codes that need an alert exist at 0 from the start, and are counted at once.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import is_

from collectors import catalog
from collectors.contract import Sample
from exporter.conformity import SampleKey, sample_key

# The default scrape interval of Prometheus is a minute; the rest is slack for a late scrape.
AT_ZERO_SECONDS = 75.0
# The series of more codes count at once.
_MOST_SERIES = 10_000


class FirstCounts:
    """The counts of one collector. Used by one thread."""

    def __init__(self) -> None:
        self._counts_from: dict[SampleKey, float] = {}  # since when a series counts, in monotonic seconds
        self._counting: Sequence[Sample] = ()  # the counts of the last reading, if none of them was early

    def at_zero_first(self, samples: tuple[Sample, ...], at: float) -> tuple[Sample, ...]:
        """The samples, with 0 in place of the counts that have begun above 0 a short time ago.

        Args:
            samples: What was accepted of one reading.
            at: Monotonic seconds of the reading.
        """
        counts = [sample for sample in samples if sample.metric is catalog.ERRORS]
        if len(counts) == len(self._counting) and all(map(is_, counts, self._counting)):
            return samples
        early = {id(sample) for sample in counts if self._is_early(sample, at)}
        self._counting = () if early else counts
        if not early:
            return samples
        return tuple(replace(sample, value=0.0) if id(sample) in early else sample for sample in samples)

    def _is_early(self, sample: Sample, at: float) -> bool:
        key = sample_key(sample)
        if key not in self._counts_from and len(self._counts_from) < _MOST_SERIES:
            self._counts_from[key] = at + AT_ZERO_SECONDS if sample.value else at
        return at < self._counts_from.get(key, at)
