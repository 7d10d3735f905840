"""Parses an exposition with the parsers of the Prometheus client."""

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as _text

from exporter.text_format import Format

_PARSERS: dict[Format, Callable[[str], Iterable[Family]]] = {
    Format.TEXT: _text,
    Format.OPENMETRICS: openmetrics.text_string_to_metric_families,
}


def parse(exposition: bytes, form: Format) -> list[Family]:
    """The families of an exposition; OpenMetrics is parsed strictly.

    Raises:
        ValueError: It violates the format.
    """
    return list(_PARSERS[form](exposition.decode()))
