"""What is wrong with a scenario, in one line for people."""

from collections.abc import Iterable

from collectors.wording import OneLineError, did_you_mean, shown

__all__ = ["ScenarioError", "shown", "unknown"]

_LISTED_NAMES = 8


class ScenarioError(OneLineError):
    """The scenario cannot be played.

    The text is one printable line: the file and line, the key, what was found, what is expected.
    """


def unknown(name: str, what: str, known: Iterable[str]) -> str:
    """The words about a name that nobody knows: the nearest known one, else all if they are few.

    Args:
        name: The name as it was given.
        what: What sort of name it is: key, profile.
        known: The names it could have been.
    """
    names = tuple(known)
    listed = ", ".join(names[:_LISTED_NAMES]) + (" ..." if len(names) > _LISTED_NAMES else "")
    expected = f"expected {'one of ' if len(names) > 1 else ''}{listed}"
    nearest = did_you_mean(name, names)
    return f"unknown {what}, {f'did you mean {nearest}?' if nearest else expected}"
