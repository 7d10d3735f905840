"""HTML that escapes by itself: plain text becomes text, and only what was made here is markup.

On a narrow screen the style sheet turns each row of a table into a card.
"""

import html
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Html:
    """Finished markup. Made of text by hand only where that text is the project's own.

    Attributes:
        text: Goes into the page as it is.
    """

    text: str


Node = Html | str


def element(name: str, /, *children: Node, **attributes: str) -> Html:
    """An element with its children.

    Args:
        name: The element's name.
        children: Its content; a str is escaped.
        attributes: Escaped too. An underscore stands for a hyphen, a last one for nothing: `class_`, `aria_label`.
    """
    return Html(f"<{name}{_written(attributes)}>{group(*children).text}</{name}>")


def void(name: str, /, **attributes: str) -> Html:
    """An element that never has content and is never closed, such as `meta`."""
    return Html(f"<{name}{_written(attributes)}>")


def group(*children: Node) -> Html:
    """Nodes one after the other, in no element."""
    return Html("".join(child.text if isinstance(child, Html) else html.escape(child) for child in children))


def table(title_id: str, columns: tuple[str, ...], *bodies: Html) -> Html:
    """A table with its headings.

    Roles are spelled out because a table that is laid out as cards loses its own.

    Args:
        title_id: The id of the heading that names it.
        columns: The headings.
        bodies: Made by `body`.
    """
    headings = [element("th", name, scope="col", role="columnheader") for name in columns]
    head = element("thead", element("tr", *headings, role="row"), role="rowgroup")
    return element("table", head, *bodies, role="table", aria_labelledby=title_id)


def body(*rows: Html) -> Html:
    """Rows that belong together."""
    return element("tbody", *rows, role="rowgroup")


def row(columns: tuple[str, ...], cells: tuple[Node, ...], kind: str = "") -> Html:
    """One row.

    Args:
        columns: The table's headings: a card names its values by them.
        cells: One for each column, the first of which names the row; an empty text where the row never has a value.
        kind: The row's class; of a row that belongs to the one above, `part`.
    """
    head, *others = cells
    name, *names = columns
    filled = [
        element("td", cell, role="cell", data_label=name if cell else "")
        for name, cell in zip(names, others, strict=True)
    ]
    first = element("th", head, scope="row", role="rowheader", data_label=name)
    attributes = {"class_": kind} if kind else {}
    return element("tr", first, *filled, role="row", **attributes)


def tag(text: str, tone: str) -> Html:
    """A word that says how something fares; the tone is a class: good, warn, bad or plain."""
    return element("span", text, class_=f"tag {tone}")


def bar(ratio: float, label: str) -> Html:
    """A bar from 0 to 1. What it shows stands beside it as text.

    Args:
        ratio: How far it is filled.
        label: What it measures, for those who don't see it.
    """
    return element("meter", min="0", max="1", value=f"{ratio:.3f}", aria_label=label)


def lines(*nodes: Node) -> Html:
    """Nodes below each other."""
    return group(*(element("div", node) for node in nodes))


def _written(attributes: dict[str, str]) -> str:
    return "".join(
        f' {name.removesuffix("_").replace("_", "-")}="{html.escape(value)}"' for name, value in attributes.items()
    )
