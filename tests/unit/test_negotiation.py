"""Content negotiation, by the headers that Prometheus and others send."""

import pytest

from exporter.text_format import Format
from exporter.web.negotiation import accepts_gzip, negotiate

# The headers of Prometheus 2 and 3, the latter also when it prefers protobuf.
PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
PROMETHEUS_2 += "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
PROMETHEUS_3 += "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
PROMETHEUS_3 += "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/plain", Format.TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.TEXT),
        ("application/json", Format.TEXT),
        (PROMETHEUS_2, Format.OPENMETRICS),
        (PROMETHEUS_3, Format.OPENMETRICS),
        (PROTOBUF + PROMETHEUS_3, Format.OPENMETRICS),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0; Charset=utf-8", Format.OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", Format.OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0", Format.TEXT),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.5", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0.4,text/*;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0.4,*/*;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0.4,*/*;q=0.1", Format.OPENMETRICS),
        ("text/plain;q=0.2,application/openmetrics-text;q=0.9,text/plain;q=0.1", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=0,text/plain;q=0", Format.TEXT),
        ("application/openmetrics-text;q=much", Format.TEXT),
        ("application/openmetrics-text;q=nan", Format.TEXT),
        ("application/openmetrics-text;q=-1", Format.TEXT),
        (",;=,;;q", Format.TEXT),
        ('application/openmetrics-text; version="1.0.0"; charset="utf-8"', Format.OPENMETRICS),
        ('application/openmetrics-text;version="0.0.1"', Format.OPENMETRICS),
        ("application/openmetrics-text;escaping=underscores;version=1.0.0", Format.OPENMETRICS),
        ("application/openmetrics-text ; q = 0.6 , text/plain ; q = 0.5", Format.OPENMETRICS),
        ("application/openmetrics-text; q = 0", Format.TEXT),
        ("application/openmetrics-text; q=7, text/plain", Format.OPENMETRICS),
        ('text/plain; a="x, application/openmetrics-text"', Format.TEXT),
        ('application/openmetrics-text; a="\\"; q=0', Format.OPENMETRICS),  # the quote does not end
        ("application/openmetrics-text;;version", Format.TEXT),
        ("application/openmetrics-text" + " ," * 2_000, Format.OPENMETRICS),
        ("application/openmetrics-text" + " ," * 30_000, Format.TEXT),  # too long to be worth its time
    ],
)
def test_the_format_is_negotiated(accept: str, wanted: Format) -> None:
    assert negotiate(accept).text_format is wanted


@pytest.mark.parametrize(
    ("accept_encoding", "accepted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br", True),
        ("identity;q=0.5, gzip;q=0.001", True),
        ("*", True),
        ("*;q=0, gzip", True),
        ("gzip;q=1.0, *;q=0", True),
        ("", False),
        ("identity", False),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip; q = 0", False),
        ("zstd, gzip", True),
        ("zstd", False),
        ("x-gzip", True),
        ("gzip;q=0.000", False),
        ("gzip; Q=0", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("*, gzip;q=0", False),
        ("gzip;q=some", False),
        ("xgzip", False),
        (";;,=", False),
        (";gzip", False),
        ("gzip" + " ," * 30_000, False),
    ],
)
def test_gzip_is_negotiated(accept_encoding: str, accepted: bool) -> None:  # noqa: FBT001 - a column of the table
    assert accepts_gzip(accept_encoding) is accepted


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (PROMETHEUS_2, "1.0.0"),
        (PROMETHEUS_3, "1.0.0"),
        ("application/openmetrics-text", "1.0.0"),
        ("application/openmetrics-text;version=0.0.1", "0.0.1"),
        ("application/openmetrics-text;version=0.0.1,application/openmetrics-text;version=1.0.0;q=0.1", "1.0.0"),
    ],
)
def test_the_content_type_has_an_accepted_version(accept: str, version: str) -> None:
    assert negotiate(accept).content_type == f"application/openmetrics-text; version={version}; charset=utf-8"
