"""Declares the options of collectors: fields of a dataclass, from which flags, YAML keys and docs are derived."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class CollectorOption:
    """The metadata of such a field. Type and values are derived from the field's default.

    Attributes:
        help: One or two sentences for people.
        read_by: Names of the collectors that read it, and `exporter` if the exporter itself reads it.
    """

    help: str
    read_by: tuple[str, ...]


def switch(text: str, *, read_by: tuple[str, ...]) -> bool:
    """Declare an option that is off by default.

    Args:
        text: Its help.
        read_by: Who reads it.
    """
    declared: bool = field(default=False, metadata={CollectorOption: CollectorOption(text, read_by)})
    return declared


def choice(default: E, text: str, *, read_by: tuple[str, ...]) -> E:
    """Declare an option with a closed list of values.

    Args:
        default: The value if it is not set.
        text: Its help.
        read_by: Who reads it.
    """
    declared: E = field(default=default, metadata={CollectorOption: CollectorOption(text, read_by)})
    return declared
