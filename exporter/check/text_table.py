"""Plain text in columns, at most 100 wide, without colours; whatever hardware or a peer says stays on its line."""

import textwrap
from collections.abc import Iterator, Sequence

WIDTH = 100

_INDENT = "  "
_GAP = "  "
_NARROWEST_LAST_COLUMN = 24


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns under a header; a cell that is too long goes on in the line below.

    Args:
        header: One name for each column.
        rows: As many cells each.
    """
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = _widths(cells)
    return [line for row in cells for line in _row(row, widths)]


def entries(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names and values, without a header."""
    return table(("", ""), rows)[1:] if rows else []


def paragraph(text: str, first: str, further: str) -> list[str]:
    """A text in lines.

    Args:
        text: The text.
        first: What the first line begins with.
        further: What the others begin with.
    """
    return textwrap.wrap(
        printable(text), WIDTH, initial_indent=first, subsequent_indent=further, break_on_hyphens=False
    )


def printable(text: str) -> str:
    """The text on one line, with what a terminal would obey written as an escape."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """As wide as the widest cell. Where there is no room for that, the last column gives way first, then the widest."""
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
