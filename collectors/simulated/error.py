"""What is wrong with a scenario, in one line for people."""

import difflib
from collections.abc import Iterable

_SHOWN_CHARACTERS = 80
_LISTED_NAMES = 8


class ScenarioError(Exception):
    """The scenario cannot be played.

    The text is one printable line: the file and line, the key, what was found, what is expected.
    """

    def __init__(self, text: str) -> None:
        # Line ends, control characters and lone surrogates would break the line or its writing.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text))


def shown(text: str) -> str:
    """What was found, quoted and short enough for one line."""
    return f'"{_short(text)}"' if text else "nothing"


def unknown(name: str, what: str, known: Iterable[str]) -> str:
    """The words about a name that nobody knows: the nearest known one, else all if they are few.

    Args:
        name: The name as it was given.
        what: What sort of name it is: key, profile.
        known: The names it could have been.
    """
    names = tuple(known)
    nearest = difflib.get_close_matches(_short(name), names, n=1)
    if nearest:
        return f"unknown {what}, did you mean {nearest[0]}?"
    return f"unknown {what}, expected {'one of ' if len(names) > 1 else ''}{', '.join(names[:_LISTED_NAMES])}" + (
        " ..." if len(names) > _LISTED_NAMES else ""
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
