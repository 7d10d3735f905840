"""The text of a page, as Python's HTML parser reads it."""

from html.parser import HTMLParser

_VOID = frozenset({"meta", "link"})


class PageText(HTMLParser):
    """Collects elements and text, and checks that elements are nested correctly.

    Attributes:
        elements: Name and attributes of every element, in order.
        cells: The text of every table row, cell by cell, except those of the table `attention`.
        attention: The same of the table about devices that are not well.
        paragraphs: The text of every paragraph.
        title: The document's title.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.attention: list[list[str]] = []
        self._rows = self.cells
        self.paragraphs: list[str] = []
        self.title = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def names(self) -> set[str]:
        """The names of all elements."""
        return {name for name, _ in self.elements}

    def row(self, line: str) -> list[str]:
        """The only table row whose first cell has this line."""
        (found,) = [cells for cells in self.cells if line in cells[0].split("\n")]
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows = self.attention if dict(attrs)["aria-labelledby"] == "attention" else self.cells
        if tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")
        elif tag in {"div", "li"} and {"td", "th"} & set(self._open) and self._rows[-1][-1]:
            self._rows[-1][-1] += "\n"  # as it is displayed
        elif tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost element ends."""
        assert self._open
        assert self._open.pop() == tag
        if tag in {"td", "th"}:
            self._rows[-1][-1] = self._rows[-1][-1].rstrip("\n")  # a last line without text is a bar

    def handle_data(self, data: str) -> None:
        """Add text to the elements that contain it."""
        if "title" in self._open:
            self.title += data
        if "p" in self._open:
            self.paragraphs[-1] += data
        if {"td", "th"} & set(self._open):
            self._rows[-1][-1] += data
