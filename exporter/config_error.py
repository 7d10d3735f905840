"""What is wrong with a configuration, in one line for people."""

import difflib
from collections.abc import Iterable

_SHOWN_CHARACTERS = 80
_LISTED_NAMES = 8


class ConfigError(Exception):
    """The configuration cannot be used.

    The text is one printable line: the file and line, the flag or the environment variable, the key, what was found,
    what is expected.
    """

    def __init__(self, text: str) -> None:
        super().__init__(_printable(text))


def shown(text: str) -> str:
    """What was found, quoted and short enough for one line."""
    return f'"{_short(text)}"' if text else "nothing"


def did_you_mean(text: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the text, or None where none is alike."""
    return next(iter(difflib.get_close_matches(_short(text), tuple(known), n=1)), None)


def unknown(name: str, what: str, known: Iterable[str], prefix: str = "") -> str:
    """The line about a name that nobody knows.

    Args:
        name: The name as it was given.
        what: What sort of name it is: key, flag, environment variable.
        known: The names it could have been; the nearest is proposed, else all are listed if they are few.
        prefix: What all of them begin with, which makes no two of them alike.
    """
    names = tuple(known)
    nearest = did_you_mean(name.removeprefix(prefix), [one.removeprefix(prefix) for one in names])
    listed = f"one of {', '.join(names)}" if len(names) <= _LISTED_NAMES else "one that --help shows"
    return f"{_short(name)}: unknown {what}, {f'did you mean {prefix}{nearest}?' if nearest else f'expected {listed}'}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _printable(text: str) -> str:
    """Escapes line ends, control characters and undecodable bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
