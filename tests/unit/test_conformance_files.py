"""The files of a run: the forms that `go test` and the programme's checklist have."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from tests.doubles.conformance_run import conformance
from tests.doubles.metrics_endpoint import GOOD, MetricsEndpoint, response

TEST = "TestAcceleratorPerformanceMetrics"
CRIPPLED = GOOD.replace("accelerator_utilization", "accelerator_<busy>&")


def files(text: str, folder: Path) -> dict[str, str]:
    with MetricsEndpoint(response(text)) as endpoint:
        run = conformance(endpoint.url, f"--output-dir={folder}")
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert json.loads(written.pop("report.json")) == run.output
    assert written == run.output["files"]
    return written


def test_the_log_has_the_form_of_go_test(tmp_path: Path) -> None:
    log = files(GOOD, tmp_path)["e2e.log"].splitlines()
    assert log[0] == f"=== RUN   {TEST}"
    assert log[1].startswith("    conformance: ")
    assert log[2] == f"=== RUN   {TEST}/MetricsEndpointReachable"
    assert log[3] == "    conformance: PASS: The endpoint returned 7 samples."
    assert f"--- PASS: {TEST} (0.00s)" in log
    assert f"    --- PASS: {TEST}/PerAcceleratorMemoryMetric (0.00s)" in log
    assert log[-2] == "PASS"
    assert log[-1].startswith("ok  \taccelerator-exporter/conformance\t")


def test_the_log_of_a_failure_says_what_is_needed(tmp_path: Path) -> None:
    log = files(CRIPPLED, tmp_path)["e2e.log"]
    assert f"    --- FAIL: {TEST}/PerAcceleratorUtilizationMetric (0.00s)\n" in log
    assert "    conformance: needed: a metric whose name contains util" in log
    assert log.splitlines()[-2] == "FAIL"


@pytest.mark.parametrize("text", [GOOD, CRIPPLED], ids=["conformant", "not conformant"])
def test_results_are_events_whose_outputs_are_the_log(text: str, tmp_path: Path) -> None:
    written = files(text, tmp_path)
    events = [json.loads(line) for line in written["results.json"].splitlines()]
    assert "".join(event.get("Output", "") for event in events) == written["e2e.log"]
    assert events[0]["Action"] == "start"
    run = [event["Test"] for event in events if event["Action"] == "run"]
    ended = [event["Test"] for event in events if event["Action"] in ("pass", "fail", "skip") and "Test" in event]
    assert sorted(run) == sorted(ended)
    assert len(set(run)) == len(run)
    assert events[-1]["Action"] == ("pass" if text == GOOD else "fail")
    assert events[-1]["Elapsed"] >= 0


@pytest.mark.parametrize("text", [GOOD, CRIPPLED], ids=["conformant", "not conformant"])
def test_junit_has_a_case_for_each_test_and_subtest(text: str, tmp_path: Path) -> None:
    written = files(text, tmp_path)
    root = ET.fromstring(written["junit.xml"].encode())  # noqa: S314 - written by this project
    cases = root.findall("testsuite/testcase")
    events = [json.loads(line) for line in written["results.json"].splitlines()]
    assert [case.get("name") for case in cases] == [e["Test"] for e in events if e["Action"] == "run"]
    for tag, action in (("failure", "fail"), ("skipped", "skip")):
        marked = {case.get("name") for case in cases if case.find(tag) is not None}
        assert marked == {e["Test"] for e in events if e["Action"] == action and "Test" in e}
    suite = root.find("testsuite")
    assert suite is not None
    assert suite.get("failures") == str(sum(1 for case in cases if case.find("failure") is not None))


@pytest.mark.parametrize(("text", "status"), [(GOOD, "Implemented"), (CRIPPLED, "Not Implemented")])
def test_the_entry_of_the_checklist(text: str, status: str, tmp_path: Path) -> None:
    product = yaml.safe_load(files(text, tmp_path)["PRODUCT.yaml"])
    [entry] = product["spec"].pop("observability")
    assert product == {"spec": {}}
    assert (entry["id"], entry["level"], entry["status"]) == ("accelerator_metrics", "MUST", status)
    assert entry["evidence"] == [f"file://junit.xml#{TEST}", f"file://results.json#{TEST}", "file://e2e.log"]
    assert ("78f94cc" in entry["notes"]) == ("not under a load" in entry["notes"]) == (text == GOOD)
    assert (f"Failed: {TEST}/PerAcceleratorUtilizationMetric" in entry["notes"]) == (text == CRIPPLED)


def test_a_folder_that_cannot_be_written_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with MetricsEndpoint(response(GOOD)) as endpoint:
        run = conformance(endpoint.url, f"--output-dir={tmp_path / 'taken'}")
    assert (run.code, run.output) == (2, {})
    assert run.errors == f"accelerator-exporter: --output-dir: {tmp_path / 'taken'}: File exists\n"


def test_the_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").mkdir()
    with MetricsEndpoint(response(GOOD)) as endpoint:
        run = conformance(endpoint.url, f"--output-dir={tmp_path}")
    assert (run.code, run.output) == (2, {})
    assert run.errors == f"accelerator-exporter: --output-dir: {tmp_path / 'junit.xml'}: Is a directory\n"
