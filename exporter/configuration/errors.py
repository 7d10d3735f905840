"""Errors in the configuration, each in one line for people."""

from collections.abc import Iterable

from collectors.wording import OneLineError, did_you_mean, shortened, shown

__all__ = ["ConfigError", "shown", "unknown"]

_LISTED_NAMES = 12


class ConfigError(OneLineError):
    """The configuration is invalid.

    The text is one printable line: the file and line, the flag or the environment variable, the key, what was found,
    what is expected.
    """


def unknown(name: str, what: str, known: Iterable[str], prefix: str = "") -> str:
    """The error line about an unknown name.

    Args:
        name: The name as it was written.
        what: What sort of name it is: key, flag, environment variable.
        known: The names it could have been; the nearest is proposed; if none is near and they are few, all are listed.
        prefix: What all of them begin with, which makes no two of them alike.
    """
    names = tuple(known)
    nearest = did_you_mean(name.removeprefix(prefix), [one.removeprefix(prefix) for one in names])
    listed = f"expected one of {', '.join(names)}" if len(names) <= _LISTED_NAMES else "see --help"
    advice = f"did you mean {prefix}{nearest}?" if nearest else listed
    return f"{shortened(name)}: unknown {what}, {advice}"
