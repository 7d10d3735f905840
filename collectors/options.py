"""How an option of collectors is declared: a field of a dataclass, from which flag, key of the file and docs follow."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class CollectorOption:
    """What the metadata of such a field hold under this class. Its type and values follow from the field's default.

    Attributes:
        help: One or two sentences for people.
        read_by: The names of the collectors that read it, and `exporter` where it reads it too.
    """

    help: str
    read_by: tuple[str, ...]


def switch(text: str, *, read_by: tuple[str, ...]) -> bool:
    """Declare an option that is off unless it is switched on.

    Args:
        text: Its help.
        read_by: Who reads it.
    """
    declared: bool = field(default=False, metadata={CollectorOption: CollectorOption(text, read_by)})
    return declared


def choice(default: E, text: str, *, read_by: tuple[str, ...]) -> E:
    """Declare an option with a closed list of values.

    Args:
        default: The member that it is unless it is set.
        text: Its help.
        read_by: Who reads it.
    """
    declared: E = field(default=default, metadata={CollectorOption: CollectorOption(text, read_by)})
    return declared
