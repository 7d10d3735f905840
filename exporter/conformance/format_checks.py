"""Whether the exposition is valid, and the two figures possible: stricter than the official test, which skips lines.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ and the OpenMetrics specification 1.0.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as _parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as _parse_text

from exporter.conformance.metric_names import MetricNames, full_scale
from exporter.conformance.outcome import ConformanceTest, Subtest, failed, passed, skipped
from exporter.conformance.scrape import Page

TEST = "TestExpositionFormat"
# As Prometheus asks: an endpoint without OpenMetrics may send its text.
OPENMETRICS_ACCEPTED = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

_TEXT, _OPENMETRICS = "text/plain", "application/openmetrics-text"
# Versions that Prometheus reads; a missing one means the first.
_VERSIONS: Mapping[str, tuple[str, ...]] = {_TEXT: ("0.0.4", "1.0.0"), _OPENMETRICS: ("1.0.0", "0.0.1")}
_PARSERS: Mapping[str, Callable[[str], Iterable[Family]]] = {_TEXT: _parse_text, _OPENMETRICS: _parse_openmetrics}
# Lines as Prometheus reads them. Repetitions are possessive: a long line takes no long time.
_NAME, _QUOTED = r"[a-zA-Z_:][a-zA-Z0-9_:]*+", r'"(?:\\.|[^"\\])*+"'
_REAL, _SPECIAL = r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?", r"(?i:[+-]?inf(?:inity)?|nan)"
_VALUE = rf"(?P<value>{_REAL}|(?P<special>{_SPECIAL}))"


def _labels(space: str) -> str:
    """Labels in braces, with this between their parts; the name of a metric or label may be quoted."""
    label = rf"(?:[a-zA-Z_][a-zA-Z0-9_]*+{space}={space})?+{_QUOTED}(?:{space}={space}{_QUOTED})?+{space}"
    return rf"\{{{space}(?:{label}(?:,{space}{label})*+,?{space})?+\}}"


_SPACE = r"[ \t]*+"
_BLANKS = r"[ \t]++"
_TEXT_SAMPLE = (
    rf"(?:{_NAME}(?:{_SPACE}{_labels(_SPACE)}|[ \t])|{_labels(_SPACE)}){_SPACE}{_VALUE}(?:{_BLANKS}-?[0-9]++)?"
)
_TEXT_TYPE = rf"#{_BLANKS}TYPE{_BLANKS}[^ \t]++{_BLANKS}(?:counter|gauge|histogram|summary|untyped)"
_TEXT_COMMENT = rf"#(?!{_BLANKS}TYPE[ \t]).*"
_EXEMPLAR = rf"# {_labels('')} (?:{_REAL}|{_SPECIAL})(?: {_REAL})?"
_OPENMETRICS_SAMPLE = rf"(?:{_NAME}(?:{_labels('')})?|{_labels('')}) {_VALUE}(?: {_REAL})?(?: {_EXEMPLAR})?"
_OPENMETRICS_TYPE = r"(?:counter|gauge|histogram|gaugehistogram|stateset|info|summary|unknown)"
_OPENMETRICS_COMMENT = (
    rf"# (?:EOF|TYPE (?:{_NAME}|{_QUOTED}) {_OPENMETRICS_TYPE}|(?:HELP|UNIT) (?:{_NAME}|{_QUOTED})(?: .*)?)"
)
_LINES: Mapping[str, re.Pattern[str]] = {
    _TEXT: re.compile(rf"{_SPACE}(?:{_TEXT_SAMPLE}|{_TEXT_TYPE}|{_TEXT_COMMENT})?{_SPACE}", re.DOTALL),
    _OPENMETRICS: re.compile(rf"{_OPENMETRICS_SAMPLE}|{_OPENMETRICS_COMMENT}", re.DOTALL),
}
_UNTYPED = "unknown"  # prometheus_client's word for a family without a TYPE
_NOT_PARSED = "Not examined: the text cannot be parsed."


class InvalidTextError(Exception):
    """The text violates its format. The text says how."""


def format_test(page: Page, openmetrics: Page, names: MetricNames) -> ConformanceTest:
    """The test of the exposition.

    Args:
        page: The answer to a request that asks for no format, as the official test's.
        openmetrics: The answer to one that asks for OpenMetrics.
        names: The metrics of the two figures.
    """
    context = "The rules are those of the exposition formats, and of this command for the two figures."
    sent = _media_type(page.content_type)
    subtests = [_content_type(page.content_type, sent)]
    try:
        families = parse(page.body, sent or _TEXT)
    except InvalidTextError as error:
        remedy = "text in the exposition format of Prometheus or OpenMetrics, in UTF-8, with a line end after each line"
        rest = ("Types", "UniqueSeries", "Values")
        subtests += [failed("Syntax", str(error), remedy), *(skipped(name, _NOT_PARSED) for name in rest)]
    else:
        count = sum(len(family.samples) for family in families)
        subtests += [passed("Syntax", f"{len(families)} families with {count} samples are valid.")]
        subtests += [_types(families, names), _unique(families), _values(families, names)]
    return ConformanceTest(TEST, (context,), (*subtests, _openmetrics(openmetrics)))


def parse(body: bytes, media_type: str) -> list[Family]:
    """The families of a body, parsed by the parsers of the Prometheus client.

    Args:
        body: The body.
        media_type: That of the text format or of OpenMetrics.

    Raises:
        InvalidTextError: It is no valid text.
    """
    try:
        text = body.decode()
        _read_lines(text, _LINES[media_type])
        families = list(_PARSERS[media_type](text))
    except UnicodeDecodeError as error:
        raise InvalidTextError(f"The text is not UTF-8 from byte {error.start} on.") from None
    except InvalidTextError:
        raise
    except Exception as error:  # noqa: BLE001 - on broken text the parsers raise errors of many types
        raise InvalidTextError(f"The text is invalid: {str(error) or type(error).__name__}.") from None
    if text and not text.endswith("\n"):
        raise InvalidTextError("The last line has no end, as if the text were cut off.")
    return families


def _read_lines(text: str, line_form: re.Pattern[str]) -> None:
    """Read each line as Prometheus does; the parsers of the client library accept more than Prometheus reads.

    Raises:
        InvalidTextError: A line is invalid.
    """
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        found = line_form.fullmatch(line)
        value = found["value"] if found and not found["special"] else None
        if not found or (value and math.isinf(float(value))):
            raise InvalidTextError(f"The text is invalid: Prometheus does not read line {number}: {line}")


def _media_type(content_type: str) -> str:
    """The media type of a content type; empty if it is not one of a text that Prometheus reads."""
    media_type, *parameters = (part.strip() for part in content_type.lower().split(";"))
    values = dict(parameter.partition("=")[::2] for parameter in parameters)
    version = values.get("version", "").strip('"')
    known = media_type in _VERSIONS and (not version or version in _VERSIONS[media_type])
    return media_type if known else ""


def _content_type(content_type: str, sent: str) -> Subtest:
    name = "ContentType"
    if sent:
        return passed(name, f"The content type is {content_type}.")
    line = f"The content type is {content_type}." if content_type else "There is no content type."
    return failed(name, line, "Content-Type: text/plain; version=0.0.4; charset=utf-8")


def _types(families: Iterable[Family], names: MetricNames) -> Subtest:
    """Whether the two figures have a type."""
    untyped = {sample.name for family in families if family.type == _UNTYPED for sample in family.samples}
    missing = [name for name in names if name in untyped]
    if missing:
        line = f"There is no TYPE of {' and '.join(missing)}."
        return failed("Types", line, " and ".join(f"a line `# TYPE {name} gauge`" for name in missing))
    return passed("Types", "Utilization and memory have a type.") if any(names) else _no_figures("Types")


def _no_figures(name: str) -> Subtest:
    return skipped(name, "Not examined: there is neither utilization nor memory.")


def _unique(families: Iterable[Family]) -> Subtest:
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    twice: set[str] = set()
    for family in families:
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            twice |= {sample.name} & ({sample.name} if key in seen else set())
            seen.add(key)
    if twice:
        line = f"Series are there twice, with the same name and labels: {', '.join(sorted(twice))}."
        return failed("UniqueSeries", line, "each series once, or a label that distinguishes them")
    return passed("UniqueSeries", "No series is there twice.")


def _values(families: Iterable[Family], names: MetricNames) -> Subtest:
    """Whether every value of the two figures is possible."""
    if not any(names):
        return _no_figures("Values")
    for problem in _impossible(families, names):
        return problem
    return passed("Values", "Every value of utilization and memory is possible.")


def _impossible(families: Iterable[Family], names: MetricNames) -> Iterator[Subtest]:
    highest = {names.memory: math.inf, names.utilization: full_scale(names.utilization)}
    for sample in (sample for family in families for sample in family.samples if sample.name in highest):
        line = f"The value of {sample.name} is {sample.value:g}."
        if not math.isfinite(sample.value):
            yield failed("Values", line, "a number; no series at all where the value is unknown")
        elif not 0 <= sample.value <= highest[sample.name]:
            bound = f"at least 0 and at most {highest[sample.name]:g}"
            yield failed("Values", line, f"values of {sample.name} of {bound.removesuffix(' and at most inf')}")


def _openmetrics(page: Page) -> Subtest:
    """OpenMetrics is not required; what is sent as OpenMetrics must be valid."""
    name = "OpenMetrics"
    if not page.problem and _media_type(page.content_type) != _OPENMETRICS:
        return skipped(name, "The endpoint does not offer OpenMetrics, which is not required.")
    if page.problem:
        return failed(name, f"Asked for OpenMetrics: {page.problem}", "the same answer as without an Accept header")
    try:
        parse(page.body, _OPENMETRICS)
    except InvalidTextError as error:
        return failed(name, str(error), "valid OpenMetrics, or text/plain for clients that ask for OpenMetrics")
    return passed(name, "The endpoint offers OpenMetrics, and it is valid.")
