"""The result of a test and of its subtests, with texts for people. The names follow Go's: a test has subtests."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from collectors.wording import shortened
from exporter.check.text_table import printable

_LONGEST_LINE = 400


class Outcome(StrEnum):
    """The outcomes, as `go test` spells them."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    SKIP = "SKIP"


@dataclass(frozen=True, slots=True)
class Subtest:
    """One check.

    Attributes:
        name: Its name below the test, without spaces.
        outcome: The outcome.
        lines: What was found: each is one printable line, whatever the endpoint has sent.
        remedy: What would satisfy the check; empty if it did not fail.
    """

    name: str
    outcome: Outcome
    lines: tuple[str, ...]
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ConformanceTest:
    """One test.

    Attributes:
        name: Its name, as in `#TestName` of evidence.
        lines: Context: what was judged, and by which rules.
        subtests: At least one.
    """

    name: str
    lines: tuple[str, ...]
    subtests: tuple[Subtest, ...]

    @property
    def outcome(self) -> Outcome:
        """FAIL if a subtest failed, SKIP if all were skipped, else PASS."""
        outcomes = {each.outcome for each in self.subtests}
        if Outcome.FAIL in outcomes:
            return Outcome.FAIL
        return Outcome.PASS if Outcome.PASS in outcomes else Outcome.SKIP

    def failures(self) -> Iterator[Subtest]:
        """The subtests that failed."""
        return (each for each in self.subtests if each.outcome is Outcome.FAIL)


def passed(name: str, *lines: str) -> Subtest:
    """A subtest that passed."""
    return Subtest(_test_name(name), Outcome.PASS, tuple(map(one_line, lines)))


def skipped(name: str, *lines: str) -> Subtest:
    """A subtest that does not apply here."""
    return Subtest(_test_name(name), Outcome.SKIP, tuple(map(one_line, lines)))


def failed(name: str, line: str, remedy: str) -> Subtest:
    """A subtest that failed.

    Args:
        name: Its name.
        line: What was found.
        remedy: What would satisfy it.
    """
    return Subtest(_test_name(name), Outcome.FAIL, (one_line(line),), one_line(remedy))


def _test_name(text: str) -> str:
    """A name, which may contain what a server has sent, as go test writes it: spaces become underscores."""
    return "_".join(one_line(text).split())


def one_line(text: str) -> str:
    """A text, which may contain what an endpoint has sent, as one short printable line."""
    return printable(shortened(text, _LONGEST_LINE))
