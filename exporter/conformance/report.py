"""The result of a run, as data and as a text for people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from collectors.wording import counted
from exporter.check.text_table import paragraph, table
from exporter.conformance.accelerator_metrics import TEST as OFFICIAL_TEST
from exporter.conformance.accelerator_metrics import DraftVerdict
from exporter.conformance.outcome import ConformanceTest, Outcome


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        version: That of this exporter.
        url: What was read.
        began: When, with a time zone.
        seconds: How long it took.
        drafts: What each draft of the official test finds; the last one counts.
        flags: Those with which the newer draft finds the metrics.
        notes: What the newer draft needs besides.
        tests: The tests.
    """

    version: str
    url: str
    began: datetime
    seconds: float
    drafts: tuple[DraftVerdict, ...]
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    tests: tuple[ConformanceTest, ...]

    @property
    def conformant(self) -> bool:
        """Whether no test failed."""
        return all(test.outcome is not Outcome.FAIL for test in self.tests)


def render(report: Report) -> str:
    """The report for people, at most 100 columns wide except for flags, which are to be copied."""
    lines = paragraph(f"accelerator-exporter {report.version} judges {report.url}", "", "")
    lines += ["", f"DRAFTS OF THE OFFICIAL {OFFICIAL_TEST}"]
    rows = [(each.draft, each.by, each.outcome.value, ", ".join(each.missing) or "-") for each in report.drafts]
    lines += table(("DRAFT", "METRICS FOUND BY", "RESULT", "MISSING"), rows)
    for test in report.tests:
        lines += ["", test.name, *_subtests(test)]
    lines += ["", "TO RUN THE OFFICIAL TEST", *_command(report.flags)]
    for note in report.notes:
        lines += paragraph(note, "  note: ", " " * 8)
    return "\n".join((*lines, "", "VERDICT", *_verdict(report.tests), _summary(report), ""))


def _subtests(test: ConformanceTest) -> Iterator[str]:
    for subtest in test.subtests:
        yield from paragraph(f"{subtest.name}: {subtest.lines[0]}", f"  {subtest.outcome.value}  ", " " * 8)
        for line in subtest.lines[1:]:
            yield from paragraph(line, " " * 8, " " * 10)


def _command(flags: Sequence[str]) -> Iterator[str]:
    yield f"  go test -v ./test -run '^{OFFICIAL_TEST}$' \\"
    for flag in flags[:-1]:
        yield f"    {flag} \\"
    yield f"    {flags[-1]}"


def _verdict(tests: Sequence[ConformanceTest]) -> Iterator[str]:
    for test in tests:
        for subtest in test.failures():
            yield from paragraph(f"{test.name}/{subtest.name}: {subtest.lines[0]}", "  FAIL  ", " " * 8)
            yield from paragraph(subtest.remedy, f"{' ' * 8}needed: ", " " * 12)


def _summary(report: Report) -> str:
    failures = sum(1 for test in report.tests for _ in test.failures())
    return f"  not conformant: {counted(failures, 'failure')}" if failures else "  conformant"
