"""Building blocks of HTML that escape plain text: only what these functions return is markup.

On a narrow screen the style sheet turns each row of a table into a card.
"""

import html
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Html:
    """Markup. Construct it from a string only if the string is part of the project.

    Attributes:
        text: Inserted into the page without escaping.
    """

    text: str


Node = Html | str


def element(name: str, /, *children: Node, **attributes: str) -> Html:
    """An element with its children.

    Args:
        name: The element's name.
        children: Its content; a str is escaped.
        attributes: Escaped too. An underscore becomes a hyphen, a trailing one is removed: `aria_label`, `class_`.
    """
    return Html(f"<{name}{_written(attributes)}>{group(*children).text}</{name}>")


def void(name: str, /, **attributes: str) -> Html:
    """An element without content and without an end tag, such as `meta`."""
    return Html(f"<{name}{_written(attributes)}>")


def group(*children: Node) -> Html:
    """Nodes in sequence, without an element around them."""
    return Html("".join(child.text if isinstance(child, Html) else html.escape(child) for child in children))


def table(title_id: str, columns: tuple[str, ...], *bodies: Html) -> Html:
    """A table with column headings.

    Roles are explicit because browsers drop a table's own roles when the style sheet lays it out as cards.

    Args:
        title_id: The id of the heading that labels the table.
        columns: The column headings.
        bodies: Results of `body`.
    """
    headings = [element("th", name, scope="col", role="columnheader") for name in columns]
    head = element("thead", element("tr", *headings, role="row"), role="rowgroup")
    return element("table", head, *bodies, role="table", aria_labelledby=title_id)


def body(*rows: Html) -> Html:
    """A group of rows, such as a device and its partitions."""
    return element("tbody", *rows, role="rowgroup")


def row(columns: tuple[str, ...], cells: tuple[Node, ...], kind: str = "") -> Html:
    """One row.

    Args:
        columns: The table's column headings; a card shows them beside its values.
        cells: One per column, the first is the row's heading; an empty string where such a row never has a value.
        kind: The row's class, such as `part` for a row that belongs to the one above.
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
    """A short label for a state; the tone is a class: good, warn, bad or plain."""
    return element("span", text, class_=f"tag {tone}")


def bar(ratio: float, label: str) -> Html:
    """A bar from 0 to 1, next to its value as text.

    Args:
        ratio: The filled part.
        label: What it measures, for screen readers.
    """
    return element("meter", min="0", max="1", value=f"{ratio:.3f}", aria_label=label)


def lines(*nodes: Node) -> Html:
    """Nodes on separate lines."""
    return group(*(element("div", node) for node in nodes))


def _written(attributes: dict[str, str]) -> str:
    return "".join(
        f' {name.removesuffix("_").replace("_", "-")}="{html.escape(value)}"' for name, value in attributes.items()
    )
