"""The text that `conformance` calls valid is what a real Prometheus reads."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from exporter.conformance.format_checks import InvalidTextError, parse
from tests.doubles.exporter_process import wait_until
from tests.doubles.metrics_endpoint import TEXT, MetricsEndpoint, response
from tests.doubles.scraping import often, scraping

TEXTS = (
    "a 1\n",
    "a 1\r\n",
    'a{b="c"} 1\r\n',
    "# TYPE a gauge\r\na 1\n",
    "a 1  \n",
    "a\t1\n",
    "a 1\x0c\n",
    "a\x0b1\n",
    "a 0x10\n",
    "a 1_0\n",
    "a 1e400\n",
    "a 1e3\n",
    "a +.1\n",
    "a 1.\n",
    "a Infinity\n",
    "a -inf\n",
    "a nan\n",
    "a +nan\n",
    "a \u0661\n",
    "a 5 W\n",
    "a 5%\n",
    "a 1,5\n",
    "a\n",
    "a1\n",
    "a 1 1.5\n",
    "a 1 2 3\n",
    'a 1 # {b="c"} 1\n',
    "1a 1\n",
    "a-b 1\n",
    "a:b 1\n",
    "\u00e4 1\n",
    "a{} 1\n",
    'a{b="c",} 1\n',
    'a{b="c",,} 1\n',
    'a{,b="c"} 1\n',
    'a{b="c"}1\n',
    'a { b = "c" , } 1\n',
    "a{b='c'} 1\n",
    "a{b=c} 1\n",
    'a{b="c} 1\n',
    'a{b-c="d"} 1\n',
    'a{b:c="d"} 1\n',
    'a{b="}",c="\\"\\\\\\n"} 1\n',
    '{b="c"} 1\n',
    '{"a":1}\n',
    "<html>\n",
    "# TYPE a\na 1\n",
    "# TYPE a foo\na 1\n",
    "# TYPE a unknown\na 1\n",
    "# TYPE a info\na 1\n",
    "# TYPE a untyped\na 1\n",
    "# TYPE a summary\na 1\n",
    "# HELP a\n#x\na 1\n",
    "",
)
# Before the end of each.
OPENMETRICS = (
    "# TYPE a gauge\na 1\n",
    "# TYPE a gauge\na 1\r\n",
    "# TYPE a gauge\na 1 \n",
    "# TYPE a gauge\n a 1\n",
    "# TYPE a gauge\na  1\n",
    "# TYPE a gauge\n\na 1\n",
    "# TYPE  a gauge\na 1\n",
    "# TYPE a gauge\r\na 1\n",
    "# TYPE a foo\na 1\n",
    "# TYPE a untyped\na 1\n",
    "#x\n# TYPE a gauge\na 1\n",
    '# TYPE a gauge\na{b="c"}1\n',
    '# TYPE a gauge\na{b= "c"} 1\n',
    "# TYPE a gauge\na 1 1.5\n",
    "# TYPE a gauge\na 1e400\n",
    "# TYPE a_bytes gauge\n# UNIT a_bytes bytes\na_bytes 1\n",
    '# TYPE a counter\na_total{b="\\"\\\\\\n"} 5 # {c="d"} 1 1.5\n',
)
EXPOSITIONS = (
    *((TEXT, text) for text in TEXTS),
    *(("application/openmetrics-text; version=1.0.0; charset=utf-8", f"{text}# EOF\n") for text in OPENMETRICS),
)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], bool]]:
    """For each content type and text, whether a server has read it."""
    with ExitStack() as running:
        endpoints = [running.enter_context(MetricsEndpoint(response(text, sent))) for sent, text in EXPOSITIONS]
        targets = [
            {"targets": [each.url.split("/")[2]], "labels": {"instance": str(number)}}
            for number, each in enumerate(endpoints)
        ]
        server = running.enter_context(scraping(tmp_path_factory.mktemp("prometheus"), often(targets)))
        answers = wait_until(lambda: found if len(found := server.query("up")) == len(EXPOSITIONS) else None)
        yield {EXPOSITIONS[int(answer.labels["instance"])]: answer.value == 1 for answer in answers}


def is_valid(sent: str, text: str) -> bool:
    try:
        parse(text.encode(), sent.partition(";")[0])
    except InvalidTextError:
        return False
    return True


@pytest.mark.parametrize(("sent", "text"), EXPOSITIONS)
def test_a_text_is_valid_if_prometheus_reads_it(sent: str, text: str, read: dict[tuple[str, str], bool]) -> None:
    assert is_valid(sent, text) == read[sent, text]


def test_a_text_without_its_last_line_end_is_cut() -> None:
    assert not is_valid(TEXT, "a 1")
