"""Plain text in columns, at most 100 wide, without colours. Text from hardware or a peer cannot break a line."""

import textwrap
from collections.abc import Iterator, Sequence

WIDTH = 100

_INDENT = "  "
_GAP = "  "
_NARROWEST_LAST_COLUMN = 24


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned columns under a header; a cell that is too long continues in the line below.

    Args:
        header: One name for each column.
        rows: One cell for each column.
    """
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = _widths(cells)
    return [line for row in cells for line in _row(row, widths)]


def entries(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return names and values in columns, without a header."""
    return table(("", ""), rows)[1:] if rows else []


def paragraph(text: str, first: str, further: str) -> list[str]:
    """Return a text as lines.

    Args:
        text: The text.
        first: The beginning of the first line.
        further: The beginning of the other lines.
    """
    return textwrap.wrap(
        printable(text), WIDTH, initial_indent=first, subsequent_indent=further, break_on_hyphens=False
    )


def printable(text: str) -> str:
    """Return the text on one line, with control characters as escapes, so that a terminal does not act on them."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """Return widths: those of the widest cells if they fit, else the last column shrinks first, then the widest."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = WIDTH - len(_INDENT) - len(_GAP) * (len(widths) - 1)
    last = min(widths[-1], _NARROWEST_LAST_COLUMN)
    while sum(widths[:-1]) + last > room:
        widths[widths.index(max(widths[:-1]))] -= 1
    widths[-1] = room - sum(widths[:-1])
    return widths


def _row(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    wrapped = [
        textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(row, widths, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        parts = (lines[number] if number < len(lines) else "" for lines in wrapped)
        line = _GAP.join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
        yield f"{_INDENT}{line}".rstrip()
