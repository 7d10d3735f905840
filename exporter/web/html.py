"""HTML that escapes by itself: plain text becomes text, and only what was made here is markup."""

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


def _written(attributes: dict[str, str]) -> str:
    return "".join(
        f' {name.removesuffix("_").replace("_", "-")}="{html.escape(value)}"' for name, value in attributes.items()
    )
