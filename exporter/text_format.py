"""Writes the Prometheus text formats: the text of a family, a series and a number.

The result is, byte for byte, what `prometheus_client` writes. It is our own because of its cost: the text of a series
is kept from one snapshot to the next.
"""

from collections.abc import Sequence
from enum import Enum

from collectors.metric import Kind
from exporter.series import Series

_PLAIN_DIGITS = 6  # Go, whose format this is, writes 1e+06
_PLAIN = 10**_PLAIN_DIGITS
_SPECIAL = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


class Format(Enum):
    """The text formats, with their content types."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @property
    def end(self) -> str:
        """The last line."""
        return "# EOF\n" if self is Format.OPENMETRICS else ""


def heading(series: Series, text_format: Format) -> str:
    """The lines before the first series of a family."""
    row = series.row
    name = row.name(series.subject)
    if text_format is Format.TEXT:
        kind = Kind.GAUGE if row.kind is Kind.INFO else row.kind
        return f"# HELP {name} {_escaped(row.help)}\n# TYPE {name} {kind}\n"
    stem = name if row.kind is Kind.GAUGE else name.removesuffix("_total").removesuffix("_info")
    unit = f"# UNIT {stem} {row.unit}\n" if row.unit else ""
    return f"# HELP {stem} {_escaped(row.help, quotes=True)}\n# TYPE {stem} {row.kind}\n{unit}"


def line_start(series: Series) -> str:
    """A line up to its value."""
    name = series.row.name(series.subject)
    if not series.labels:
        return f"{name} "
    labels = ",".join(f'{label}="{_escaped(value, quotes=True)}"' for label, value in sorted(series.labels.items()))
    return f"{name}{{{labels}}} "


def number(value: float) -> str:
    """A value as Go writes it: the shortest text that is the same float again."""
    text = repr(float(value))
    point = text.find(".")
    if point > _PLAIN_DIGITS and value > 0:
        mantissa = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{point - 1:02d}"
    return text if point > 0 else _SPECIAL.get(text, text)


def numbers(values: Sequence[float]) -> list[str]:
    """What `number` writes for each of many floats, in less time."""
    texts = list(map(repr, values))
    for place in [place for place, value in enumerate(values) if not -_PLAIN < value < _PLAIN]:
        texts[place] = number(values[place])
    return texts


def _escaped(text: str, *, quotes: bool = False) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quotes else escaped
