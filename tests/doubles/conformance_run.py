"""Runs the command `conformance` inside the test's process, over real HTTP."""

import json
from dataclasses import dataclass, field
from typing import Any

from exporter.attribution.kubernetes_api import ApiServer
from exporter.conformance.command import Scraping, run_conformance

QUICK = Scraping(deadline_seconds=2.0, interval_seconds=0.0)


@dataclass(frozen=True, slots=True)
class ConformanceRun:
    """The result.

    Attributes:
        code: The exit code.
        output: What was printed, as JSON; empty if nothing was.
        errors: The lines for errors and progress.
    """

    code: int
    output: dict[str, Any] = field(default_factory=dict)
    errors: str = ""

    def subtests(self, outcome: str) -> dict[str, dict[str, Any]]:
        """The subtests with an outcome, by the name of their test and their own."""
        return {
            f"{test['name']}/{subtest['name']}": subtest
            for test in self.output["tests"]
            for subtest in test["subtests"]
            if subtest["outcome"] == outcome
        }

    @property
    def drafts(self) -> list[str]:
        """The outcomes of the drafts; the last one counts."""
        return [each["outcome"] for each in self.output["drafts"]]


def conformance(
    url: str, *arguments: str, server: ApiServer | None = None, scraping: Scraping = QUICK
) -> ConformanceRun:
    """Run the command, with `--json`."""
    output: list[str] = []
    errors: list[str] = []
    flags = [f"--url={url}", "--json", *arguments]
    code = run_conformance(flags, {}, output.append, errors.append, server=server, scraping=scraping)
    return ConformanceRun(code, json.loads("".join(output) or "{}"), "".join(errors))
