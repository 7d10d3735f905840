"""The official test of accelerator metrics, by its newer draft with the flags that are printed, and by both without."""

from collections.abc import Sequence
from typing import NamedTuple

from collectors.wording import counted, first_of
from exporter.conformance.metric_names import MetricNames
from exporter.conformance.official import (
    DEVICE_LABELS,
    DRAFT_1,
    DRAFT_2,
    OPTIONAL_PATTERNS,
    UTILIZATION_PATTERNS,
    Draft,
    OfficialSample,
    find,
    named,
    per_accelerator,
)
from exporter.conformance.outcome import ConformanceTest, Outcome, Subtest, failed, one_line, passed, skipped
from exporter.conformance.scrape import Page

TEST = "TestAcceleratorPerformanceMetrics"
_SHOWN = 5


class DraftVerdict(NamedTuple):
    """What one draft finds.

    Attributes:
        draft: Its name.
        by: How it finds the metrics: by patterns in their names, or by the flags that are printed.
        missing: The figures that it does not find.
    """

    draft: str
    by: str
    missing: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """PASS if nothing is missing."""
        return Outcome.FAIL if self.missing else Outcome.PASS


def draft_verdicts(
    page: Page, older: Sequence[OfficialSample], newer: Sequence[OfficialSample], names: MetricNames
) -> tuple[DraftVerdict, ...]:
    """The verdict of each draft; the last one is that of the newer draft with the printed flags, which counts.

    Args:
        page: The answer.
        older: The samples that draft 1 reads from it.
        newer: Those that draft 2 reads.
        names: The metrics of the printed flags.
    """
    patterns = MetricNames("", "")
    return (
        DraftVerdict(DRAFT_1.name, "patterns", _missing(page, older, DRAFT_1, patterns)),
        DraftVerdict(DRAFT_2.name, "patterns", _missing(page, newer, DRAFT_2, patterns)),
        DraftVerdict(DRAFT_2.name, "the flags below", _missing(page, newer, DRAFT_2, names)),
    )


def _missing(page: Page, samples: Sequence[OfficialSample], draft: Draft, names: MetricNames) -> tuple[str, ...]:
    if page.problem or (draft.reads_values and not samples):
        return ("the endpoint",)
    figures = {
        "utilization": find(samples, names.utilization, UTILIZATION_PATTERNS),
        "memory": find(samples, names.memory, draft.memory_patterns),
    }
    return tuple(figure for figure, found in figures.items() if not found)


def accelerator_metrics_test(page: Page, samples: Sequence[OfficialSample], names: MetricNames) -> ConformanceTest:
    """The test as its newer draft does it.

    Args:
        page: The answer.
        samples: The samples that the newer draft reads from it.
        names: The metrics of the printed flags.
    """
    context = one_line(f"The rules are those of {DRAFT_2.name} of the official test, applied by accelerator-exporter.")
    if page.problem:
        remedy = "a complete answer with status 200 and the metrics as text"
        return ConformanceTest(TEST, (context,), (failed("MetricsEndpointReachable", page.problem, remedy),))
    subtests = (
        _reachable(samples),
        _figure("Utilization", names.utilization, UTILIZATION_PATTERNS, samples),
        _figure("Memory", names.memory, DRAFT_2.memory_patterns, samples),
        _optional(samples),
    )
    return ConformanceTest(TEST, (context,), subtests)


def _reachable(samples: Sequence[OfficialSample]) -> Subtest:
    name = "MetricsEndpointReachable"
    if samples:
        return passed(name, f"The endpoint returned {counted(len(samples), 'sample')}.")
    return failed(name, "The endpoint returned no sample.", "at least one line with a metric and a number")


def _figure(figure: str, metric: str, patterns: Sequence[str], samples: Sequence[OfficialSample]) -> Subtest:
    """Whether accelerators have a figure; names those that have not, which is no failure in the official test."""
    name = f"PerAccelerator{figure}Metric"
    found = find(samples, metric, patterns)
    if not found:
        return _absent(name, figure.lower(), metric, patterns, samples)
    having = {sample.accelerator for sample in found}
    lacking = sorted({sample.accelerator for sample in per_accelerator(samples)} - having)
    names = ", ".join(sorted({sample.name for sample in found}))
    lines = [f"Found {names} of {counted(len(having), 'accelerator')}, {counted(len(found), 'sample')}."]
    if lacking:
        lack = counted(len(lacking), "accelerator has", "accelerators have")
        lines.append(f"Note: {lack} none: {first_of(lacking, _SHOWN)}.")
    return passed(name, *lines)


def _absent(name: str, figure: str, metric: str, patterns: Sequence[str], samples: Sequence[OfficialSample]) -> Subtest:
    wanted = f"the metric {metric}" if metric else f"a metric whose name contains {' or '.join(patterns)}"
    labels = ", ".join(DEVICE_LABELS)
    unlabelled = sorted({sample.name for sample in named(samples, metric, patterns)})
    if unlabelled:
        line = f"Without a label of a device, these do not count as {figure}: {first_of(unlabelled, _SHOWN)}."
        return failed(name, line, f"{wanted} with one of the labels {labels}")
    line = f"There is no {figure} of an accelerator: {wanted} was not found."
    return failed(name, line, f"{wanted}, a number, and one of the labels {labels}; or name yours by --{figure}-metric")


def _optional(samples: Sequence[OfficialSample]) -> Subtest:
    """What an accelerator should have: nothing of it can fail the test."""
    lines, present = [], 0
    for what, patterns in OPTIONAL_PATTERNS.items():
        names = sorted({sample.name for sample in find(samples, "", patterns)})
        present += bool(names)
        absent = f"no metric of an accelerator whose name contains {' or '.join(patterns)}"
        lines.append(f"{what}: {first_of(names, _SHOWN) or absent}")
    summary = f"{present} of {len(lines)} figures that an accelerator should have are there."
    return passed("OptionalMetrics", summary, *lines) if present else skipped("OptionalMetrics", summary, *lines)
