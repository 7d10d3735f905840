"""Which format and encoding a client accepts, by its `Accept` and `Accept-Encoding` headers (RFC 9110, section 12)."""

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from exporter.text_format import Format

_OPENMETRICS = "application/openmetrics-text"
_OLD_OPENMETRICS = Format.OPENMETRICS.value.replace("1.0.0", "0.0.1")  # the same text under its first version
_KEPT = 8  # different headers: a client sends the same one with each request; a head has at most 64 KiB
_LONGEST = 4096  # that of Prometheus has 400 characters
_TEXT_RANGES = frozenset({"text/plain", "text/*", "*/*"})
_ENTRY = re.compile(r'(?:[^",]+|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)
_PART = re.compile(r'(?:[^";]+|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)


class Negotiated(NamedTuple):
    """What is sent.

    Attributes:
        text_format: The format.
        content_type: The value of the `Content-Type` header.
    """

    text_format: Format
    content_type: str


@lru_cache(_KEPT)
def negotiate(accept: str) -> Negotiated:
    """Return the format for an `Accept` header: OpenMetrics where its weight is at least that of plain text.

    Plain text where the client accepts neither: a scrape in a format that was not asked for is better than none.
    """
    weights: dict[str, float] = {}
    for media, parameters in _entries(accept):
        version = parameters.get("version", "1.0.0")
        if media == _OPENMETRICS and version in {"1.0.0", "0.0.1"}:
            kind = Format.OPENMETRICS.value if version == "1.0.0" else _OLD_OPENMETRICS
        elif media in _TEXT_RANGES:
            kind = Format.TEXT.value
        else:
            continue
        weights[kind] = max(weights.get(kind, 0.0), _weight(parameters))
    text = weights.get(Format.TEXT.value, 0.0)
    for content_type in (Format.OPENMETRICS.value, _OLD_OPENMETRICS):
        if 0 < weights.get(content_type, 0.0) >= text:
            return Negotiated(Format.OPENMETRICS, content_type)
    return Negotiated(Format.TEXT, Format.TEXT.value)


@lru_cache(_KEPT)
def accepts_gzip(accept_encoding: str) -> bool:
    """Return True when an `Accept-Encoding` header allows gzip."""
    allowed = {coding: _weight(parameters) > 0 for coding, parameters in _entries(accept_encoding)}
    return allowed.get("gzip", allowed.get("x-gzip", allowed.get("*", False)))


def _entries(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The comma-separated entries, each with its parameters; a comma or semicolon between quotes separates nothing.

    A header that is too long has none: one of 60 kB could have 30,000, which take more time than a scrape.
    """
    if len(header) > _LONGEST:
        return
    for entry in _ENTRY.findall(header):
        if entry.lstrip().startswith(";"):  # no value
            continue
        value, *parameters = (part.strip().lower() for part in _PART.findall(entry))
        named = (parameter.partition("=") for parameter in parameters)
        yield value, {name.strip(): text.strip().strip('"') for name, _, text in named}


def _weight(parameters: dict[str, str]) -> float:
    """The value of `q`, 0 to 1. Nothing is said where it is absent; one that is no weight refuses."""
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return min(1.0, weight) if math.isfinite(weight) else 0.0
