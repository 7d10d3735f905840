"""The command `conformance` on endpoints with one fault each: it names the fault, and never fails itself."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.conformance.scrape import MOST_BYTES
from tests.doubles.conformance_run import QUICK, conformance
from tests.doubles.metrics_endpoint import GOOD, TEXT, MetricsEndpoint, response

OFFICIAL = "TestAcceleratorPerformanceMetrics"
FORMAT = "TestExpositionFormat"
REACHABLE = f"{OFFICIAL}/MetricsEndpointReachable"
UTILIZATION = f"{OFFICIAL}/PerAcceleratorUtilizationMetric"
MEMORY = f"{OFFICIAL}/PerAcceleratorMemoryMetric"
SYNTAX = f"{FORMAT}/Syntax"


def without(text: str) -> str:
    return "".join(line for line in GOOD.splitlines(keepends=True) if text not in line)


class Fault(NamedTuple):
    """An endpoint, what must fail there, and what the failure says and asks for."""

    name: str
    answer: bytes
    failed: str
    says: str
    needs: str


FAULTS = (
    Fault("no utilization", response(without("utilization")), UTILIZATION, "no utilization", "contains util"),
    Fault("no memory", response(without("memory")), MEMORY, "no memory", "contains fb_used or mem_used"),
    Fault(
        "no label of a device",
        response(GOOD.replace("uuid=", "minor=")),
        UTILIZATION,
        "Without a label of a device, these do not count as utilization: accelerator_utilization_ratio",
        "one of the labels gpu, UUID, uuid",
    ),
    Fault(
        "an empty label", response(GOOD.replace('"a"', '""').replace('"b"', '""')), MEMORY, "Without a label", "uuid"
    ),
    Fault("no series", response("# TYPE a gauge\n"), REACHABLE, "no sample", "a metric and a number"),
    Fault("nothing at all", response(""), REACHABLE, "no sample", "a metric and a number"),
    Fault(
        "only NaN", response(GOOD.replace("0.5", "NaN").replace("} 0\n", "} NaN\n", 1)), UTILIZATION, "no util", "util"
    ),
    Fault("a NaN", response(GOOD.replace("0.5", "NaN")), f"{FORMAT}/Values", "is nan", "no series at all"),
    Fault("too busy", response(GOOD.replace("0.5", "1.5")), f"{FORMAT}/Values", "is 1.5", "at most 1"),
    Fault("a negative memory", response(GOOD.replace("1024", "-1")), f"{FORMAT}/Values", "is -1", "at least 0"),
    Fault(
        "no TYPE",
        response(without("# TYPE accelerator_memory")),
        f"{FORMAT}/Types",
        "no TYPE of accelerator_memory_used_bytes",
        "`# TYPE accelerator_memory_used_bytes gauge`",
    ),
    Fault(
        "a series twice",
        response(GOOD + 'accelerator_link_bandwidth{uuid="a"} 6\n'),
        f"{FORMAT}/UniqueSeries",
        "accelerator_link_bandwidth",
        "each series once",
    ),
    Fault("an invalid line", response(GOOD + "not a line of it\n"), SYNTAX, "invalid", "exposition format"),
    Fault("Windows line ends", response(GOOD.replace("\n", "\r\n")), SYNTAX, "does not read line 1", "line end"),
    Fault("a unit", response(GOOD.replace("} 0.5", "} 0.5%")), SYNTAX, "does not read line 2", "exposition format"),
    Fault("a cut text", response(GOOD[:-1]), SYNTAX, "cut off", "line end"),
    Fault("bytes that are not UTF-8", response(GOOD.encode() + b"\xff 1\n"), SYNTAX, "not UTF-8", "UTF-8"),
    Fault("a page for people", response("<html><body>up</body></html>\n", "text/html"), SYNTAX, "invalid", "text"),
    Fault("another content type", response(GOOD, "application/json"), f"{FORMAT}/ContentType", "json", "text/plain"),
    Fault("no content type", response(GOOD, ""), f"{FORMAT}/ContentType", "no content type", "text/plain"),
    Fault("an unknown version", response(GOOD, "text/plain; version=9"), f"{FORMAT}/ContentType", "9", "0.0.4"),
    Fault("404", response(GOOD, status="404 Not Found"), REACHABLE, "the status is 404 Not Found", "status 200"),
    Fault("500", response(GOOD, status="500 Internal Server Error"), REACHABLE, "500", "status 200"),
    Fault("a redirect", response("", status="302 Found", headers={"Location": "/m"}), REACHABLE, "302", "status 200"),
    Fault("a huge body", response(b"#" * (MOST_BYTES + 1)), REACHABLE, "larger than 4194304 bytes", "complete"),
    Fault("a closed connection", b"", REACHABLE, "no complete answer", "complete"),
    Fault(
        "a body that ends early",
        response(GOOD, headers={"Content-Length": "9999"}),
        REACHABLE,
        "bytes before the end of the answer",
        "complete",
    ),
    Fault("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", REACHABLE, "no complete answer", "complete"),
    Fault("compressed", response(GOOD, headers={"Content-Encoding": "br"}), REACHABLE, "encoding br", "complete"),
)


def test_an_endpoint_without_fault_is_conformant() -> None:
    with MetricsEndpoint(response(GOOD)) as endpoint:
        run = conformance(endpoint.url)
    assert (run.code, run.subtests("FAIL"), run.errors) == (0, {}, "")
    assert run.drafts == ["PASS", "PASS", "PASS"]
    assert run.output["official_flags"][-2:] == [
        "-metrics-utilization-metric=accelerator_utilization_ratio",
        "-metrics-memory-metric=accelerator_memory_used_bytes",
    ]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_named_with_what_is_needed(fault: Fault) -> None:
    with MetricsEndpoint(fault.answer) as endpoint:
        run = conformance(endpoint.url)
    assert (run.code, run.errors) == (1, "")
    found = run.subtests("FAIL")
    assert fault.failed in found
    assert fault.says in found[fault.failed]["lines"][0]
    assert fault.needs in found[fault.failed]["needed"]
    assert (run.drafts[-1] == "FAIL") == any(name.startswith(OFFICIAL) for name in found)
    assert 'status: "Not Implemented"' in run.output["files"]["PRODUCT.yaml"]


def test_an_endpoint_that_hangs_is_not_waited_for() -> None:
    with MetricsEndpoint(lambda _request: None) as endpoint:
        run = conformance(endpoint.url, scraping=QUICK._replace(deadline_seconds=0.2))
    assert run.code == 1
    assert "no complete answer within 0.2 s" in run.subtests("FAIL")[REACHABLE]["lines"][0]


def test_openmetrics_that_is_offered_must_be_valid() -> None:
    def answer(request: str) -> bytes:
        offered = "application/openmetrics-text" in request
        return response(GOOD, "application/openmetrics-text; version=1.0.0" if offered else TEXT)

    with MetricsEndpoint(answer) as endpoint:
        run = conformance(endpoint.url)
    assert (run.code, set(run.subtests("FAIL"))) == (1, {f"{FORMAT}/OpenMetrics"})
    assert "EOF" in run.subtests("FAIL")[f"{FORMAT}/OpenMetrics"]["lines"][0]


def test_an_endpoint_may_have_no_openmetrics() -> None:
    def answer(request: str) -> bytes:
        readable = "text/plain" in request or "Accept:" not in request
        return response(GOOD) if readable else response("", status="406 Not Acceptable")

    with MetricsEndpoint(answer) as endpoint:
        run = conformance(endpoint.url)
    assert (run.code, set(run.subtests("SKIP"))) == (0, {f"{FORMAT}/OpenMetrics"})


def test_no_command_of_an_endpoint_is_in_the_command_that_is_printed() -> None:
    hostile = without("utilization") + '$(touch${IFS}x)util{uuid="a"} 1\n'
    with MetricsEndpoint(response(hostile)) as endpoint:
        run = conformance(endpoint.url)
    assert run.code == 1
    assert [flag for flag in run.output["official_flags"] if "utilization" in flag] == []
    assert "touch" not in run.output["files"]["PRODUCT.yaml"]


def test_nobody_listening_is_no_verdict(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    run = conformance(f"http://127.0.0.1:{port}/metrics", f"--output-dir={tmp_path / 'out'}")
    assert (run.code, run.output) == (2, {})
    assert run.errors == (
        f"accelerator-exporter: http://127.0.0.1:{port}/metrics: Connection refused; is the exporter running there?\n"
    )
    assert not (tmp_path / "out").exists()


def _refuse_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(4096)


def test_tls_that_hangs_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/metrics"
        run = conformance(url, scraping=QUICK._replace(deadline_seconds=0.2))
    assert run.code == 2
    assert "no answer within 0.2 s" in run.errors


def test_tls_on_a_port_without_it_is_no_verdict() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(_refuse_once, listener)
        run = conformance(f"https://127.0.0.1:{listener.getsockname()[1]}/metrics")
    assert (run.code, run.output, run.errors.count("\n")) == (2, {}, 1)
    assert "TLS fails: wrong version number" in run.errors
    assert "does https belong to this port?" in run.errors


def test_a_file_of_authorities_without_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    with MetricsEndpoint(b"") as endpoint:
        run = conformance(endpoint.url.replace("http:", "https:"), f"--ca-file={tmp_path / 'ca.crt'}")
    assert (run.code, run.output) == (2, {})
    assert run.errors == (f"accelerator-exporter: --ca-file: {tmp_path / 'ca.crt'}: found no certificate in PEM form\n")


def test_a_host_that_does_not_exist_is_no_verdict() -> None:
    run = conformance("http://no-such-host.invalid/metrics")
    assert (run.code, run.output, run.errors.count("\n")) == (2, {}, 1)
    assert "no-such-host.invalid:80" in run.errors


def test_a_name_with_control_characters_stays_on_its_line() -> None:
    hostile = GOOD.replace("accelerator_utilization_ratio{", 'util\x1b[31m\x00]]>&"{')
    with MetricsEndpoint(response(hostile)) as endpoint:
        run = conformance(endpoint.url)
    assert run.code == 1  # the text is invalid
    printed = "".join(run.output["files"].values())
    assert {char for char in printed if not char.isprintable()} == {"\n", "\t"}
