"""Wording that messages, reports and pages share."""

from collections.abc import Iterable, Sequence


class OneLineError(Exception):
    """An error whose text is one printable line."""

    def __init__(self, text: str) -> None:
        # Line ends, control characters and lone surrogates would break the line or make writing it fail.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text))


def counted(number: int, one: str, more: str = "") -> str:
    """A number with its noun: `1 pod`, `2 pods`.

    Args:
        number: The number.
        one: The singular, for 1.
        more: The plural, for all other numbers; by default the singular with an s.
    """
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def first_of(names: Sequence[str], most: int) -> str:
    """The names; of many the first ones, and how many more there are; empty without names."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def shown(text: str) -> str:
    """A text that was found, quoted and shortened for one line."""
    return f'"{shortened(text)}"' if text else "nothing"


def shortened(text: str, limit: int = 80) -> str:
    """The text, shortened to a number of characters."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def did_you_mean(text: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar to the text, or None if none is similar."""
    import difflib  # noqa: PLC0415 - only an error needs it

    return next(iter(difflib.get_close_matches(shortened(text), tuple(known), n=1)), None)
