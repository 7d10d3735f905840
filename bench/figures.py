"""The arithmetic of the bench and the tables it prints."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

_SECONDS_PER_HOUR = 3600
_LINE = 120


def per_hour(cpu_seconds: float, window_seconds: float) -> float:
    """CPU seconds per hour, extrapolated from a window."""
    return cpu_seconds * _SECONDS_PER_HOUR / window_seconds


def with_scrapes(cpu_per_hour: float, cpu_per_scrape: float, every_seconds: float) -> float:
    """CPU seconds per hour, including scrapes at an interval."""
    return cpu_per_hour + cpu_per_scrape * _SECONDS_PER_HOUR / every_seconds


def above_idle(cpu_seconds: float, elapsed_seconds: float, idle_rate: float) -> float:
    """CPU seconds minus what the process spends without the measured work.

    Args:
        cpu_seconds: CPU seconds in total.
        elapsed_seconds: The time in which they were spent.
        idle_rate: CPU seconds per second without the measured work.
    """
    return max(0.0, cpu_seconds - idle_rate * elapsed_seconds)


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, with as many digits as the measurement is accurate."""
    value = seconds * 1000
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"  # noqa: PLR2004 - three digits


def megabytes(size: float) -> str:
    """Bytes as MB of 10^6 bytes."""
    return f"{size / 1e6:.1f} MB"


def kilobytes(size: float) -> str:
    """Bytes as kB of 10^3 bytes."""
    return f"{size / 1e3:,.1f} kB"


def paragraph(text: str) -> str:
    """Text wrapped into lines."""
    return textwrap.fill(text, _LINE, break_long_words=False, break_on_hyphens=False)


def count(number: float) -> str:
    """A whole number, grouped by thousands."""
    return f"{number:,.0f}"


def against(found: float, budget: float) -> str:
    """A figure compared with its budget, which is an upper limit."""
    percent = 100 * found / budget
    return f"{'over' if found > budget else 'within'}, {percent:.0f}% of it"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report.

    Attributes:
        title: The heading.
        about: What was measured and how.
        header: The column titles.
        rows: Cells by row; the first cell is the name of the row, the others are aligned to the right.
    """

    title: str
    about: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """Heading, text and table, padded so that it is readable as plain text."""
        lines = (self.header, *self.rows)
        widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(self.header))]
        rule = (f"{'-' * widths[0]}", *(f"{'-' * (width - 1)}:" for width in widths[1:]))
        table = "\n".join(_line(line, widths) for line in (self.header, rule, *self.rows))
        return f"## {self.title}\n\n{paragraph(self.about)}\n\n{table}\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join([first, *others])} |"
