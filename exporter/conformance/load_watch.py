"""Whether utilization follows a load: the case of KAR-0059 that the official test does not have yet.

Source: kars/0059-accelerator-performance-metrics of kubernetes-sigs/ai-conformance: scrape before and during a
workload, and verify that the utilization reflects the change.
"""

from collections.abc import Sequence

from exporter.conformance.metric_names import full_scale
from exporter.conformance.official import OfficialSample, find
from exporter.conformance.outcome import ConformanceTest, Subtest, failed, passed

TEST = "TestUtilizationFollowsLoad"
BASELINE_SCRAPES = 2
# A load must be seen in two scrapes, by more than the noise of an idle device.
_LOADED_SCRAPES = 2
_RISE = 0.1


class LoadWatch:
    """Compares the utilization of each accelerator with that before the load.

    Args:
        metric: The utilization.
    """

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._full_scale = full_scale(metric)
        self._rise = _RISE * self._full_scale
        self._scrapes = 0
        self._before: dict[str, float] = {}
        self._highest: dict[str, float] = {}
        self._above: dict[str, int] = {}

    @property
    def seen(self) -> bool:
        """Whether the utilization of an accelerator has followed the load."""
        return any(count >= _LOADED_SCRAPES for count in self._above.values())

    def add(self, samples: Sequence[OfficialSample]) -> None:
        """Add a scrape; the first ones are those before the load.

        An accelerator of several series, such as one with partitions, counts with the highest. A value that is no
        possible utilization does not count.
        """
        self._scrapes += 1
        values: dict[str, float] = {}
        for sample in find(samples, self._metric, ()):
            if sample.value is not None and 0 <= sample.value <= self._full_scale:
                values[sample.accelerator] = max(sample.value, values.get(sample.accelerator, 0.0))
        for accelerator, value in values.items():
            if self._scrapes <= BASELINE_SCRAPES:
                self._before[accelerator] = max(value, self._before.get(accelerator, 0.0))
            elif accelerator in self._before:
                self._highest[accelerator] = max(value, self._highest.get(accelerator, 0.0))
                risen = value >= self._before[accelerator] + self._rise
                self._above[accelerator] = self._above.get(accelerator, 0) + 1 if risen else 0

    def test(self, seconds: float) -> ConformanceTest:
        """The result.

        Args:
            seconds: How long was watched.
        """
        context = "The rule is that of KAR-0059: utilization before and during a load that the operator starts."
        return ConformanceTest(TEST, (context,), (self._subtest(seconds),))

    def _subtest(self, seconds: float) -> Subtest:
        name = "UtilizationRises"
        rises = {each: self._highest[each] - self._before[each] for each in self._highest}
        largest = max(rises, key=rises.__getitem__, default="")
        seen = next((each for each, count in self._above.items() if count >= _LOADED_SCRAPES), "")
        shown = seen or largest
        change = (
            f"{self._metric} of {shown} was {self._before[shown]:g} before and {self._highest[shown]:g} after that"
            if shown
            else f"no accelerator has {self._metric or 'a utilization'} in every scrape"
        )
        if seen:
            return passed(name, f"Utilization follows the load: {change}.")
        line = f"Within {seconds:g} s no utilization rose: {change}."
        remedy = (
            f"a rise by at least {self._rise:g} in {_LOADED_SCRAPES} scrapes in a row: begin with an idle accelerator, "
            "and start the load after the message, on a node whose exporter is read"
        )
        return failed(name, line, remedy)
