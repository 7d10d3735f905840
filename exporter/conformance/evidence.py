"""The files of a run: what an operator submits, and one object with everything for programs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporter.configuration.errors import ConfigError
from exporter.conformance import autoscaling, load_watch
from exporter.conformance.accelerator_metrics import TEST as METRICS_TEST
from exporter.conformance.go_output import e2e_log, junit_xml, results_json
from exporter.conformance.outcome import ConformanceTest, Outcome
from exporter.conformance.report import Report

_E2E_LOG, _JUNIT, _RESULTS = "e2e.log", "junit.xml", "results.json"
_PRODUCT = "PRODUCT.yaml"
_PRODUCT_HEAD = """\
# Entries for PRODUCT.yaml of a submission to cncf/k8s-ai-conformance. Copy status, evidence and notes into the
# checklist of your Kubernetes version, which has the descriptions. Put your folder before the names of the files.
spec:
"""


def evidence_files(report: Report) -> dict[str, str]:
    """Name and content of each file that is submitted, or copied from."""
    return {
        _E2E_LOG: e2e_log(report),
        _JUNIT: junit_xml(report),
        _RESULTS: results_json(report),
        _PRODUCT: _product(report),
    }


def report_json(report: Report, files: Mapping[str, str]) -> str:
    """The report as one JSON object, with the files."""
    content = {
        "version": report.version,
        "url": report.url,
        "began": report.began.isoformat(),
        "seconds": round(report.seconds, 3),
        "conformant": report.conformant,
        "drafts": [
            {"draft": each.draft, "metrics_found_by": each.by, "outcome": each.outcome, "missing": each.missing}
            for each in report.drafts
        ],
        "official_flags": report.flags,
        "notes": report.notes,
        "tests": [_test(each) for each in report.tests],
        "files": files,
    }
    return json.dumps(content, indent=2) + "\n"


def _test(test: ConformanceTest) -> dict[str, object]:
    subtests = [
        {"name": each.name, "outcome": each.outcome, "lines": each.lines, "needed": each.remedy or None}
        for each in test.subtests
    ]
    return {"name": test.name, "outcome": test.outcome, "lines": test.lines, "subtests": subtests}


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder, which is created if it does not exist.

    Raises:
        ConfigError: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output-dir: {error.filename or folder}: {error.strerror or error}") from None


def _product(report: Report) -> str:
    """The entries of the requirements that this run is about."""
    tests = {test.name: test for test in report.tests}
    entries = {"observability": _metrics_entry(report, tests)}
    if autoscaling.TEST in tests:
        entries["schedulingOrchestration"] = _autoscaling_entry(tests[autoscaling.TEST])
    return _PRODUCT_HEAD + "".join(f"  {section}:\n{entry}" for section, entry in entries.items())


def _metrics_entry(report: Report, tests: Mapping[str, ConformanceTest]) -> str:
    judged = [test for name, test in tests.items() if name != autoscaling.TEST]
    failures = [f"{test.name}/{each.name}" for test in judged for each in test.failures()]
    load = "and during a load" if load_watch.TEST in tests else "but not under a load"
    notes = (
        f"Judged by accelerator-exporter {report.version} by the rules of {report.drafts[-1].draft} of {METRICS_TEST}, "
        f"{load}. Flags of the official test: {' '.join(report.flags)}"
    )
    if failures:
        notes = f"Failed: {', '.join(failures)}."
    named = [name for name in (METRICS_TEST, load_watch.TEST) if name in tests]
    return _entry("accelerator_metrics", "Not Implemented" if failures else "Implemented", named, notes)


def _autoscaling_entry(test: ConformanceTest) -> str:
    missing = [each.name for each in test.subtests if each.outcome is not Outcome.PASS]
    notes = (
        f"Not shown by this run: {', '.join(missing)}."
        if missing
        else "A HorizontalPodAutoscaler scaled up and down on a custom metric. Say that its pods use accelerators."
    )
    return _entry("pod_autoscaling", "" if missing else "Implemented", [test.name], notes)


def _entry(requirement: str, status: str, tests: Sequence[str], notes: str) -> str:
    anchors = [f"{name}#{test}" for test in tests for name in (_JUNIT, _RESULTS)]
    lines = "".join(f"        - {json.dumps(f'file://{each}')}\n" for each in (*anchors, _E2E_LOG))
    return (
        f"    - id: {requirement}\n      level: MUST\n      status: {json.dumps(status)}\n"
        f"      evidence:\n{lines}      notes: {json.dumps(notes)}\n"
    )
