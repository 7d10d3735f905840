"""Writes results as `go test` does: e2e.log, results.json and junit.xml, the evidence that the programme recommends.

Sources: https://pkg.go.dev/cmd/test2json, and test/README.md of kubernetes-sigs/ai-conformance for the three files. The
test2json of Go 1.27 makes of e2e.log the events that are in results.json. The package is named after this command: the
files have the form of the official test, and do not claim to be of it.
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from exporter.conformance.outcome import ConformanceTest, Outcome, Subtest
from exporter.conformance.report import Report

PACKAGE = "accelerator-exporter/conformance"
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class _Event:
    """One event: its action, its test, and what it prints or how long it took."""

    action: str
    test: str = ""
    output: str = ""
    seconds: float | None = None


def e2e_log(report: Report) -> str:
    """What `go test -v` prints."""
    return "".join(event.output for event in _events(report))


def results_json(report: Report) -> str:
    """What `go test -json` prints: one object on each line."""
    return "".join(f"{json.dumps(_object(event, report))}\n" for event in _events(report))


def junit_xml(report: Report) -> str:
    """The report in JUnit's format, one case for each test and each subtest."""
    cases = [case for test in report.tests for case in _cases(test)]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(1 for each in cases if each.find("failure") is not None)),
        "errors": "0",
        "skipped": str(sum(1 for each in cases if each.find("skipped") is not None)),
        "time": f"{report.seconds:.6f}",
    }
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {**counts, "name": PACKAGE, "timestamp": report.began.isoformat()})
    suite.extend(cases)
    ET.indent(root, "\t")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _events(report: Report) -> Iterator[_Event]:
    yield _Event("start")
    for test in report.tests:
        yield from _events_of(test)
    end = Outcome.PASS if report.conformant else Outcome.FAIL
    yield _Event("output", output=f"{end.value}\n")
    word = "ok  " if report.conformant else "FAIL"
    yield _Event("output", output=f"{word}\t{PACKAGE}\t{report.seconds:.3f}s\n")
    yield _Event(end.value.lower(), seconds=report.seconds)


def _events_of(test: ConformanceTest) -> Iterator[_Event]:
    """A test with its subtests; all were judged at once, from what was read before, so each took no time."""
    yield from _run(test.name, test.lines)
    for subtest in test.subtests:
        yield from _run(_full_name(test, subtest), _lines(subtest))
    yield _Event("output", test.name, f"--- {test.outcome.value}: {test.name} (0.00s)\n")
    for subtest in test.subtests:
        name, outcome = _full_name(test, subtest), subtest.outcome.value
        yield _Event("output", name, f"{_INDENT}--- {outcome}: {name} (0.00s)\n")
        yield _Event(outcome.lower(), name, seconds=0.0)
    yield _Event(test.outcome.value.lower(), test.name, seconds=0.0)


def _run(name: str, lines: tuple[str, ...]) -> Iterator[_Event]:
    yield _Event("run", name)
    yield _Event("output", name, f"=== RUN   {name}\n")
    for line in lines:
        yield _Event("output", name, f"{_INDENT}conformance: {line}\n")


def _full_name(test: ConformanceTest, subtest: Subtest) -> str:
    return f"{test.name}/{subtest.name}"


def _lines(subtest: Subtest) -> tuple[str, ...]:
    needed = (f"needed: {subtest.remedy}",) if subtest.remedy else ()
    return (f"{subtest.outcome.value}: {subtest.lines[0]}", *subtest.lines[1:], *needed)


def _object(event: _Event, report: Report) -> dict[str, object]:
    ended = event.seconds is not None and not event.test
    time = report.began + timedelta(seconds=report.seconds if ended else 0.0)
    content: dict[str, object] = {"Time": time.isoformat(), "Action": event.action, "Package": PACKAGE}
    if event.test:
        content["Test"] = event.test
    if event.output:
        content["Output"] = event.output
    if event.seconds is not None:
        content["Elapsed"] = round(event.seconds, 3)
    return content


def _cases(test: ConformanceTest) -> Iterator[ET.Element]:
    yield _case(test.name, test.outcome, "\n".join(test.lines))
    for subtest in test.subtests:
        yield _case(_full_name(test, subtest), subtest.outcome, "\n".join(_lines(subtest)))


def _case(name: str, outcome: Outcome, text: str) -> ET.Element:
    case = ET.Element("testcase", {"classname": PACKAGE, "name": name, "time": "0.000000"})
    if outcome is Outcome.FAIL:
        ET.SubElement(case, "failure", {"message": "Failed"}).text = text
    elif outcome is Outcome.SKIP:
        ET.SubElement(case, "skipped", {"message": text})
    else:
        ET.SubElement(case, "system-out").text = text
    return case
