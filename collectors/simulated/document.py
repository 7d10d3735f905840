"""A YAML file as a tree in which every node has its place in the file. Nothing is expanded, and all values are text.

Aliases, anchors and tags are refused, depth and size are limited, and each key may be given once: the tree is exactly
what is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from collectors import text_file
from collectors.simulated.error import ScenarioError, shown
from collectors.text_file import NotRegularError, TextError
from collectors.wording import shortened
from collectors.yaml_events import children, line_of, one_document

_DEEPEST = 12
_LONGEST_PATH = 200


@dataclass(frozen=True, slots=True)
class Scalar:
    """A plain value as it is written, without its quotes.

    Attributes:
        place: `FILE:LINE: KEY`, the start of every error about it.
        text: Its text; empty if nothing is written.
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
    """The text of a regular file of at most 1 MiB. Never blocks on a pipe.

    Args:
        path: The file.
        what: What it should be, such as "a scenario".

    Raises:
        ScenarioError: It cannot be read, is too large or is not UTF-8.
    """
    try:
        return text_file.read_text(path, what)
    except (IsADirectoryError, NotRegularError):
        raise ScenarioError(f"{path}: not a regular file, expected {what}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise ScenarioError(f"{path}: cannot read {what}: {reason}") from None
    except TextError as error:
        raise _refusal(str(path), error) from None


def read_document(text: str, name: str) -> Node:
    """The one document of a YAML text.

    Args:
        text: The text.
        name: The file's name, for errors.

    Raises:
        ScenarioError: It is not YAML, or has anything but plain values, lists and mappings.
    """
    try:
        with one_document(text) as events:
            root = next(events, None)
            return Scalar(name, "") if root is None else _Builder(name, events).node(root, "", 0)
    except TextError as error:
        raise _refusal(name, error) from None


def _refusal(name: str, error: TextError) -> ScenarioError:
    place = ":".join([name, *map(str, error.place[:1])])
    return ScenarioError(f"{place}: {error.problem}")


class _Builder:
    """Builds the tree from the events of the file."""

    def __init__(self, name: str, events: Iterator[yaml.Event]) -> None:
        self._name = name
        self._events = events

    def node(self, event: yaml.Event, path: str, depth: int) -> Node:
        place = self._place(event, path)
        if depth > _DEEPEST:
            raise ScenarioError(f"{place}: nested more than {_DEEPEST} levels deep")
        self._refuse_references(event, place)
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(place, event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            events = enumerate(children(self._events))
            return Items(place, tuple(self.node(each, f"{path}[{index}]", depth + 1) for index, each in events))
        return self._entries(place, path, depth)

    def _refuse_references(self, event: yaml.Event, place: str) -> None:
        if isinstance(event, yaml.AliasEvent) or (isinstance(event, yaml.NodeEvent) and event.anchor):
            raise ScenarioError(f"{place}: found an anchor or alias, expected the value itself")
        if getattr(event, "tag", None) is not None:
            raise ScenarioError(f"{place}: found a tag, expected a plain value, list or mapping")

    def _entries(self, place: str, path: str, depth: int) -> Entries:
        nodes: dict[str, Node] = {}
        places: dict[str, str] = {}
        for event in children(self._events):
            if not isinstance(event, yaml.ScalarEvent):
                raise ScenarioError(f"{self._place(event, path)}: found a list or mapping as a key, expected a name")
            inner = f"{path}.{event.value}" if path else event.value
            if event.value in nodes:
                raise ScenarioError(f"{self._place(event, path)}: key {shown(event.value)} given twice")
            places[event.value] = self._place(event, inner)
            nodes[event.value] = self.node(next(self._events), inner, depth + 1)
        return Entries(place, nodes, places)

    def _place(self, event: yaml.Event, path: str = "") -> str:
        place = f"{self._name}:{line_of(event)}"
        return f"{place}: {shortened(path, _LONGEST_PATH)}" if path else place
