"""Errors of a scenario, each in one line."""

from collections.abc import Iterable

from collectors.wording import OneLineError, did_you_mean, shown

__all__ = ["ScenarioError", "shown", "unknown"]

_LISTED_NAMES = 8


class ScenarioError(OneLineError):
    """The scenario is invalid.

    The text is one printable line: the file and line, the key, what was found, what is expected.
    """


def unknown(name: str, what: str, known: Iterable[str]) -> str:
    """The error text for an unknown name: the nearest known name, else the first known names.

    Args:
        name: The name as it was given.
        what: The kind of name: key, profile.
        known: The known names.
    """
    names = tuple(known)
    listed = ", ".join(names[:_LISTED_NAMES]) + (" ..." if len(names) > _LISTED_NAMES else "")
    expected = f"expected {'one of ' if len(names) > 1 else ''}{listed}"
    nearest = did_you_mean(name, names)
    return f"unknown {what}, {f'did you mean {nearest}?' if nearest else expected}"
