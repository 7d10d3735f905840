"""Wording that messages, reports and pages have in common."""

import difflib
from collections.abc import Iterable


class OneLineError(Exception):
    """An error for people, whose text is one printable line."""

    def __init__(self, text: str) -> None:
        # Line ends, control characters and lone surrogates would break the line or its writing.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text))


def counted(number: int, one: str, more: str = "") -> str:
    """A number and what it is a number of: `1 pod`, `2 pods`.

    Args:
        number: How many.
        one: The words that follow 1.
        more: The words that follow any other number; by default the same with an s.
    """
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def shown(text: str) -> str:
    """What was found, quoted and short enough for one line."""
    return f'"{shortened(text)}"' if text else "nothing"


def shortened(text: str, limit: int = 80) -> str:
    """The text, cut after so many characters."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def did_you_mean(text: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the text, or None where none is alike."""
    return next(iter(difflib.get_close_matches(shortened(text), tuple(known), n=1)), None)
