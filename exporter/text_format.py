"""Writes the Prometheus text formats: the text of a family, a series and a number.

The result is, byte for byte, what `prometheus_client` writes. It is our own because of its cost: the text of a series
is kept from one snapshot to the next.
"""

from collections.abc import Sequence
from enum import Enum

from collectors.metric import Kind
from exporter.series import AnySeries

_PLAIN = 10**6  # Go, whose format this is, writes 1e+06
# By the number of digits before the point. Python itself writes an exponent from 17 digits.
_EXPONENTS = {digits: f"e+{digits - 1:02d}" for digits in range(7, 17)}
_SPECIAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


class Format(Enum):
    """The text formats, with their content types."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    __hash__ = object.__hash__  # that of Enum is Python code, and every scrape looks up its format

    @property
    def end(self) -> str:
        """The last line."""
        return "# EOF\n" if self is Format.OPENMETRICS else ""


def heading(series: AnySeries, text_format: Format) -> str:
    """The lines before the first series of a family.

    A counter of a view may have a name that does not end with `_total`. OpenMetrics has no such counter, so its type is
    unknown there.
    """
    name, kind = series.name, series.row.kind
    if text_format is Format.TEXT:
        kind = Kind.GAUGE if kind is Kind.INFO else kind
        return f"# HELP {name} {_escaped(series.row.help)}\n# TYPE {name} {kind}\n"
    named = "unknown" if is_plain_counter(series) else kind
    stem = name if kind is Kind.GAUGE else name.removesuffix("_total").removesuffix("_info")
    unit = f"# UNIT {stem} {series.row.unit}\n" if series.row.unit else ""
    return f"# HELP {stem} {_escaped(series.row.help, quotes=True)}\n# TYPE {stem} {named}\n{unit}"


def is_plain_counter(series: AnySeries) -> bool:
    """Whether it is a counter with a name that does not say so."""
    return series.row.kind is Kind.COUNTER and not series.name.endswith("_total")


def line_start(series: AnySeries) -> str:
    """A line up to its value."""
    if not series.labels:
        return f"{series.name} "
    labels = ",".join(f'{label}="{_escaped(value, quotes=True)}"' for label, value in series.written_labels)
    return f"{series.name}{{{labels}}} "


def numbers(values: Sequence[float]) -> list[str]:
    """Values as Go writes them: for each the shortest text that is the same float again."""
    texts = list(map(repr, values))
    for place in [place for place, value in enumerate(values) if not -_PLAIN < value < _PLAIN]:
        texts[place] = _as_go(texts[place])
    return texts


def _as_go(text: str) -> str:
    """What Go writes where Python writes this text of a float."""
    whole, _, fraction = text.partition(".")
    exponent = _EXPONENTS.get(len(whole))
    if exponent and text[0] != "-":
        return f"{text[0]}.{whole[1:]}{fraction}".rstrip("0.") + exponent
    return _SPECIAL.get(text, text)


def _escaped(text: str, *, quotes: bool = False) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quotes else escaped
