"""The command `conformance` survives every body."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.conformance.format_checks import InvalidTextError, parse
from exporter.conformance.official import DRAFT_1, DRAFT_2, read_samples
from tests.doubles.conformance_run import conformance
from tests.doubles.metrics_endpoint import GOOD, MetricsEndpoint, response

# Text that is nearly an exposition gets further than random bytes.
PIECES = st.sampled_from(
    [
        *'{}",=\\ \n#+-0123.e',
        "NaN",
        "Inf",
        "# TYPE ",
        "# HELP ",
        "# EOF\n",
        " gauge\n",
        "util",
        "mem_used",
        "uuid",
        "_total",
    ]
)
LINES = st.sampled_from(GOOD.splitlines(keepends=True))
TEXTS = st.lists(st.one_of(PIECES, LINES, st.text(max_size=5)), max_size=40).map("".join)
BODIES = st.one_of(st.binary(max_size=200), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
CONTENT_TYPES = st.sampled_from(["text/plain", "application/openmetrics-text; version=1.0.0", "", ";;=", "text/html"])


class Changing:
    """What the endpoint sends next."""

    def __init__(self) -> None:
        self.answer = b""


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Changing, str]]:
    changing = Changing()
    with MetricsEndpoint(lambda _request: changing.answer) as endpoint:
        yield changing, endpoint.url


@given(body=BODIES, content_type=CONTENT_TYPES)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_body_gives_a_verdict_and_readable_files(
    served: tuple[Changing, str], body: bytes, content_type: str
) -> None:
    changing, url = served
    changing.answer = response(body, content_type)
    run = conformance(url)
    assert run.code == (1 if run.subtests("FAIL") else 0)
    assert run.errors == ""
    files = run.output["files"]
    assert ET.fromstring(files["junit.xml"].encode()).tag == "testsuites"  # noqa: S314 - written by this project
    assert all(json.loads(line) for line in files["results.json"].splitlines())
    assert yaml.safe_load(files["PRODUCT.yaml"])["spec"]


@given(answer=st.binary(max_size=200))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_answer_gives_a_verdict(served: tuple[Changing, str], answer: bytes) -> None:
    changing, url = served
    for head in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        changing.answer = head + answer
        assert conformance(url).code == 1


@given(text=TEXTS)
def test_draft_2_reads_no_more_than_draft_1(text: str) -> None:
    newer = [(sample.name, sample.labels) for sample in read_samples(text, DRAFT_2)]
    older = [(sample.name, sample.labels) for sample in read_samples(text, DRAFT_1)]
    assert {name for name, _ in newer} <= {name for name, _ in older}
    assert len(newer) <= len(older)


@given(body=BODIES, media_type=st.sampled_from(["text/plain", "application/openmetrics-text"]))
def test_an_invalid_text_has_a_reason(body: bytes, media_type: str) -> None:
    reason = "none"
    try:
        parse(body, media_type)
    except InvalidTextError as error:
        reason = str(error)
    assert reason
