"""A YAML file as a tree whose every node knows its place. Nothing in it is ever expanded or typed.

Aliases, anchors and tags are refused, depth and size are bounded, and a key stands once: what is read is what is
written.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from collectors.simulated.error import ScenarioError, shown

_LIMIT_BYTES = 1 << 20
_DEEPEST = 12
_LONGEST_PROBLEM = 200


@dataclass(frozen=True, slots=True)
class Scalar:
    """A plain value as it is written, without its quotes.

    Attributes:
        place: `FILE:LINE: KEY`, the start of any complaint about it.
        text: Its text; empty where nothing is written.
    """

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: str
    nodes: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping; `places` has the place of each key."""

    place: str
    nodes: dict[str, "Node"]
    places: dict[str, str]


Node = Scalar | Items | Entries


def read_text(path: Path, what: str) -> str:
    """The text of a regular file of at most 1 MiB. Never waits for the other end of a pipe.

    Args:
        path: The file.
        what: What it ought to be, such as "a scenario".

    Raises:
        ScenarioError: It cannot be read, is too large or is not UTF-8.
    """
    try:
        content = _content(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise ScenarioError(f"{path}: cannot read {what}: {reason}") from None
    if content is None:
        raise ScenarioError(f"{path}: not a regular file, expected {what}")
    if len(content) > _LIMIT_BYTES:
        raise ScenarioError(f"{path}: larger than 1 MiB, expected {what}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ScenarioError(f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8, expected UTF-8") from None


def _content(path: Path) -> bytes | None:
    """At most one byte more than allowed; None where it is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_LIMIT_BYTES + 1)
    finally:
        os.close(descriptor)


def read_document(text: str, name: str) -> Node:
    """The one document of a YAML text.

    Args:
        text: The text.
        name: The file's name, for complaints.

    Raises:
        ScenarioError: It is not YAML, or uses more of YAML than plain values, lists and mappings.
    """
    with _one_line(text, name):
        return _Builder(text, name).document()


@contextmanager
def _one_line(text: str, name: str) -> Iterator[None]:
    """Turns what the YAML library raises into one line with the place."""
    try:
        yield
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ScenarioError(f"{name}:{line}: not YAML: control character {ord(text[error.position]):#04x}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        raise ScenarioError(f"{place}: not YAML: {str(error.problem)[:_LONGEST_PROBLEM]}") from None
    except (ValueError, OverflowError):
        # The library lets chr() and int() raise on escapes past U+10FFFF and on endless version numbers.
        raise ScenarioError(f"{name}: not YAML: an escaped character or a version number out of range") from None


class _Builder:
    """One walk along the events of the file."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)

    def document(self) -> Node:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return Scalar(self._name, "")
        root = self._node(next(self._events), "", 0)
        next(self._events)  # the end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise ScenarioError(f"{self._place(event)}: a second document, expected one")
        return root

    def _node(self, event: yaml.Event, path: str, depth: int) -> Node:
        place = self._place(event, path)
        if depth > _DEEPEST:
            raise ScenarioError(f"{place}: nested deeper than any scenario")
        self._refuse_references(event, place)
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(place, event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(place, tuple(self._items(path, depth)))
        return self._entries(place, path, depth)

    def _refuse_references(self, event: yaml.Event, place: str) -> None:
        if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor):
            raise ScenarioError(f"{place}: found an anchor or alias, expected everything written out")
        if getattr(event, "tag", None) is not None:
            raise ScenarioError(f"{place}: found a tag, expected a plain value, list or mapping")

    def _items(self, path: str, depth: int) -> Iterator[Node]:
        index = 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, f"{path}[{index}]", depth + 1)
            index += 1

    def _entries(self, place: str, path: str, depth: int) -> Entries:
        nodes: dict[str, Node] = {}
        places: dict[str, str] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise ScenarioError(f"{self._place(event, path)}: found a list or mapping as a key, expected a name")
            inner = f"{path}.{event.value}" if path else event.value
            if event.value in nodes:
                raise ScenarioError(f"{self._place(event, path)}: key {shown(event.value)} given twice")
            places[event.value] = self._place(event, inner)
            nodes[event.value] = self._node(next(self._events), inner, depth + 1)
        return Entries(place, nodes, places)

    def _place(self, event: yaml.Event, path: str = "") -> str:
        line = event.start_mark.line + 1 if event.start_mark else 1
        return f"{self._name}:{line}: {_shortened(path)}" if path else f"{self._name}:{line}"


def _shortened(path: str) -> str:
    return path if len(path) <= _LONGEST_PROBLEM else f"{path[:_LONGEST_PROBLEM]}..."
