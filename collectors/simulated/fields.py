"""Readers of the fields of a scenario: each converts one node to one value, or raises what it expected."""

import re
from collections.abc import Callable, Collection
from fractions import Fraction
from typing import TypeVar

from collectors.simulated.document import Entries, Items, Node, Scalar
from collectors.simulated.error import ScenarioError, shown, unknown

T = TypeVar("T")
D = TypeVar("D")
Reader = Callable[[Node], T]

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,12})?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII)
_FRACTION = re.compile(r"([0-9]{1,4})/([0-9]{1,4})", re.ASCII)
_MEMORY = re.compile(r"([0-9]{1,9})(MiB|GiB)", re.ASCII)
_BYTES = {"MiB": 1 << 20, "GiB": 1 << 30}
_LONGEST_TEXT = 200


class ScenarioSection:
    """A mapping whose keys are all known.

    Args:
        node: The node in the file.
        known: The keys it may have.
        what: What it describes, to follow the word "expected".

    Raises:
        ScenarioError: It is not a mapping, or has an unknown key.
    """

    def __init__(self, node: Node, known: Collection[str], what: str) -> None:
        if not isinstance(node, Entries):
            raise refused(node, f"a mapping: {what}")
        for key, place in node.places.items():
            if key not in known:
                raise ScenarioError(f"{place}: {unknown(key, 'key', known)}")
        self.place = node.place
        self._node = node

    def __contains__(self, key: str) -> bool:
        return key in self._node.nodes

    def need(self, key: str, reader: Reader[T]) -> T:
        """The value of a required key."""
        if key not in self._node.nodes:
            raise ScenarioError(f"{self.place}: {key} is missing")
        return reader(self._node.nodes[key])

    def get(self, key: str, reader: Reader[T], default: D) -> T | D:
        """The value of a key, or the default if it is missing."""
        return reader(self._node.nodes[key]) if key in self._node.nodes else default

    def error(self, key: str, problem: str) -> ScenarioError:
        """The error about the value of an existing key."""
        return ScenarioError(f"{self._node.places.get(key, self.place)}: {problem}")


def refused(node: Node, expected: str) -> ScenarioError:
    """The error about a node that is not what was expected."""
    if isinstance(node, Scalar):
        return ScenarioError(f"{node.place}: found {shown(node.text)}, expected {expected}")
    found = "a list" if isinstance(node, Items) else "a mapping"
    return ScenarioError(f"{node.place}: found {found}, expected {expected}")


def _match(node: Node, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
    found = pattern.fullmatch(node.text) if isinstance(node, Scalar) else None
    if found is None:
        raise refused(node, expected)
    return found


def number(low: float, high: float) -> Reader[float]:
    """A decimal number within bounds, both included."""

    def read(node: Node) -> float:
        expected = f"a number from {low:g} to {high:g}"
        value = float(_match(node, _NUMBER, expected)[0])
        if not low <= value <= high:
            raise refused(node, expected)
        return value

    return read


def whole(low: int, high: int) -> Reader[int]:
    """A whole number within bounds, both included."""

    def read(node: Node) -> int:
        expected = f"a whole number from {low} to {high}"
        value = int(_match(node, _WHOLE, expected)[0])
        if not low <= value <= high:
            raise refused(node, expected)
        return value

    return read


def fraction(node: Node) -> Fraction:
    """A fraction above 0 and up to 1: `1/7` or `0.125`."""
    expected = "a fraction above 0 and up to 1, such as 1/7 or 0.125"
    text = node.text if isinstance(node, Scalar) else ""
    value = Fraction(0)
    if parts := _FRACTION.fullmatch(text):
        value = Fraction(int(parts[1]), int(parts[2])) if int(parts[2]) else value
    elif _NUMBER.fullmatch(text):
        value = Fraction(text)
    if not 0 < value <= 1:
        raise refused(node, expected)
    return value


def memory(node: Node) -> int:
    """Bytes, written with their unit: `80GiB` or `9856MiB`."""
    expected = "a size above 0 with its unit, such as 80GiB or 9856MiB"
    size, unit = _match(node, _MEMORY, expected).groups()
    if int(size) == 0:
        raise refused(node, expected)
    return int(size) * _BYTES[unit]


def text(node: Node) -> str:
    """One line of printable text."""
    if not isinstance(node, Scalar) or not node.text.strip() or not node.text.isprintable():
        raise refused(node, "one line of text")
    if len(node.text) > _LONGEST_TEXT:
        raise refused(node, f"at most {_LONGEST_TEXT} characters")
    return node.text


def matching(pattern: str, expected: str) -> Reader[str]:
    """Text that matches a pattern.

    Args:
        pattern: A regular expression for the whole text.
        expected: A description of the text, to follow "expected".
    """
    compiled = re.compile(pattern, re.ASCII)
    return lambda node: _match(node, compiled, expected)[0]


def one_of(what: str, known: Collection[str]) -> Reader[str]:
    """A member of a closed list.

    Args:
        what: The kind of name: shape, profile.
        known: The list.
    """

    def read(node: Node) -> str:
        if not isinstance(node, Scalar):
            raise refused(node, f"one of {', '.join(known)}")
        if node.text not in known:
            raise ScenarioError(f"{node.place}: {shown(node.text)}: {unknown(node.text, what, known)}")
        return node.text

    return read


def flag(node: Node) -> bool:
    """`true` or `false`."""
    return one_of("value", ("true", "false"))(node) == "true"


def items(reader: Reader[T], what: str, low: int, high: int) -> Reader[tuple[T, ...]]:
    """A list of bounded length, each item read by the same reader.

    Args:
        reader: Reads one item.
        what: What the items are: devices, pods.
        low: The smallest number of items.
        high: The largest number of items.
    """

    def read(node: Node) -> tuple[T, ...]:
        if not isinstance(node, Items) or not low <= len(node.nodes) <= high:
            raise refused(node, f"a list of {low} to {high} {what}")
        return tuple(reader(item) for item in node.nodes)

    return read
