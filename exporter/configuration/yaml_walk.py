"""Walks through a YAML file event by event, for files in which every key is known: nothing in them is expanded.

Aliases, tags and nesting find nothing to work on: whatever is not a known key or a plain value ends the reading with an
error at its line.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from collectors.text_file import NotRegularError, TextError, read_text
from collectors.yaml_events import children, line_of, one_document
from exporter.configuration.errors import ConfigError, shown
from exporter.configuration.options import RawOption

_TAG_PREFIX = "tag:yaml.org,2002:"
_MISREAD = {
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "timestamp": "a date",
}

# The error line about a key that is not in a list; its arguments: the key, the list, what all keys of it begin with.
UnknownKey = Callable[[str, Collection[str], str], str]


class Walk:
    """Reads the events of one file.

    Args:
        path: The file, for the places in error messages.
        events: Its events.
        unknown_key: Writes the error line about an unknown key.
    """

    def __init__(self, path: Path, events: Iterator[yaml.Event], unknown_key: UnknownKey) -> None:
        self._path = path
        self._events = events
        self._unknown_key = unknown_key
        self._resolver = yaml.resolver.Resolver()

    def root(self) -> yaml.Event | None:
        """The first event of the document; None for an empty one."""
        root = next(self._events, None)
        return None if root is None or self.is_empty(root) else root

    def value(self) -> yaml.Event:
        """The first event of the value of the key that was read last."""
        return next(self._events)

    def items(self) -> Iterator[yaml.Event]:
        """The first event of each item of the current list."""
        return children(self._events)

    def keys(self, prefix: str, known: Collection[str] | None) -> Iterator[tuple[str, str]]:
        """Each key of the current mapping, with its prefix, and its place. The events of the value follow.

        Args:
            prefix: What the keys begin with in `known` and in error messages.
            known: The keys that are allowed; None for all.

        Raises:
            ConfigError: A key is unknown, is not text, or is there twice.
        """
        seen: dict[str, int] = {}
        for event in children(self._events):
            if not isinstance(event, yaml.ScalarEvent):
                raise ConfigError(f"{self.place(event)}: found {found(event)} as a key, expected a name")
            key = f"{prefix}{event.value}"
            if known is not None and key not in known:
                raise ConfigError(f"{self.place(event)}: {self._unknown_key(key, known, prefix)}")
            if key in seen:
                raise ConfigError(f"{self.place(event)}: {key}: given twice, first in line {seen[key]}")
            seen[key] = line_of(event)
            yield key, f"{self.place(event)}: {key}"

    def raw(self, place: str, event: yaml.Event, expected: str) -> RawOption:
        """A plain value.

        Args:
            place: Where it is.
            event: Its event.
            expected: What a value looks like.

        Raises:
            ConfigError: It is a mapping, a list, an alias or nothing.
        """
        if not isinstance(event, yaml.ScalarEvent) or self.is_empty(event):
            what = "nothing" if self.is_empty(event) else found(event)
            raise ConfigError(f"{place}: found {what}, expected {expected}")
        return RawOption(event.value, place, self._misread(event))

    def place(self, event: yaml.Event) -> str:
        """The file and line of an event."""
        return f"{self._path}:{line_of(event)}"

    def is_empty(self, event: yaml.Event) -> bool:
        """Whether a value is nothing."""
        return isinstance(event, yaml.ScalarEvent) and self._tag(event) == "null"

    def _misread(self, event: yaml.ScalarEvent) -> str:
        tag = self._tag(event)
        return "" if tag == "str" else _MISREAD.get(tag, f"tagged {shown(tag)}")

    def _tag(self, event: yaml.ScalarEvent) -> str:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._resolver.resolve(  # type: ignore[no-untyped-call] # bare in the stubs
                yaml.ScalarNode, event.value, event.implicit
            )
        return str(tag).removeprefix(_TAG_PREFIX)


@contextmanager
def walk(path: Path, what: str, unknown_key: UnknownKey) -> Iterator[Walk]:
    """Open a file. The `with` block must read the whole document.

    Args:
        path: The file.
        what: What it is, "configuration file".
        unknown_key: Writes the error line about an unknown key.

    Raises:
        ConfigError: It cannot be read or is not YAML; the second also at the end of the block.
    """
    try:
        with one_document(read_text(path, f"a {what}")) as events:
            yield Walk(path, events, unknown_key)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the {what}: {error.strerror}") from None
    except NotRegularError:
        raise ConfigError(f"{path}: not a regular file, expected a YAML file") from None
    except TextError as error:
        place = ":".join(str(part) for part in (path, *error.place))
        advice = ", expected spaces for indentation" if "'\\t'" in error.problem else ""
        raise ConfigError(f"{place}: {error.problem}{advice}") from None


def found(event: yaml.Event) -> str:
    """What an event is, for error messages."""
    if isinstance(event, yaml.ScalarEvent):
        return shown(event.value)
    if isinstance(event, yaml.MappingStartEvent):
        return "a mapping"
    return "a list" if isinstance(event, yaml.SequenceStartEvent) else "an alias"
