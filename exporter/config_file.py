"""The configuration file: YAML, read event by event along the option table, so that nothing in it is ever expanded.

Aliases, tags and nesting find nothing to work on: whatever is not a known section, a known key or a plain value ends
the reading with an error at its line.
"""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from exporter.config_error import ConfigError, shown, unknown
from exporter.options import OPTIONS, SECTIONS, Given

# The size limit of a ConfigMap.
_LIMIT_BYTES = 1 << 20
_LONGEST_PROBLEM = 200
_TAG_PREFIX = "tag:yaml.org,2002:"
_MISREAD = {
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "timestamp": "a date",
}


def read_config_file(path: Path) -> dict[str, Given]:
    """The values in a configuration file, by key.

    Raises:
        ConfigError: It cannot be read, is not YAML, or holds what no option knows.
    """
    text = _text(path)
    with _one_line(path, text):
        return _Document(path, text).values()


def _text(path: Path) -> str:
    try:
        content = _content(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration file: {error.strerror}") from None
    if len(content) > _LIMIT_BYTES:
        raise ConfigError(f"{path}: larger than 1 MiB, expected a configuration file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8, expected UTF-8") from None


def _content(path: Path) -> bytes:
    """At most one byte more than allowed. Never waits for the other end of a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a Path cannot open without blocking
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path}: not a regular file, expected a YAML file")
        return file.read(_LIMIT_BYTES + 1)


@contextmanager
def _one_line(path: Path, text: str) -> Iterator[None]:
    """Turns what the YAML library raises into one line with the place."""
    try:
        yield
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: not YAML: control character {ord(text[error.position]):#04x}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
        problem = str(error.problem)[:_LONGEST_PROBLEM]
        advice = ", expected spaces for indentation" if "'\\t'" in problem else ""
        raise ConfigError(f"{place}: not YAML: {problem}{advice}") from None
    except (ValueError, OverflowError):
        # The library lets chr() and int() raise on escapes past U+10FFFF and on endless version numbers.
        raise ConfigError(f"{path}: not YAML: an escaped character or a version number out of range") from None


class _Document:
    """One walk along the events of the file."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._events = yaml.parse(text, Loader=yaml.SafeLoader)
        self._resolver = yaml.resolver.Resolver()

    def values(self) -> dict[str, Given]:
        self._next()  # the start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            return {}
        event = self._next()
        values = dict(self._sections(event)) if not self._is_empty(event) else {}
        self._next()  # the end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise ConfigError(f"{self._place(event)}: a second document, expected one")
        return values

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _sections(self, event: yaml.Event) -> Iterator[tuple[str, Given]]:
        if not isinstance(event, yaml.MappingStartEvent):
            raise ConfigError(f"{self._place(event)}: found {_found(event)}, expected a mapping of sections")
        sections = [section.name for section in SECTIONS]
        for name, place in self._keys("", sections):
            value = self._next()
            if isinstance(value, yaml.MappingStartEvent):
                yield from self._options(name)
            elif not self._is_empty(value):
                raise ConfigError(f"{place}: found {_found(value)}, expected a mapping of its options")

    def _options(self, section: str) -> Iterator[tuple[str, Given]]:
        options = {option.key: option for option in OPTIONS if option.section == section}
        for key, place in self._keys(f"{section}.", options):
            value = self._next()
            if not isinstance(value, yaml.ScalarEvent) or self._is_empty(value):
                found = "nothing" if self._is_empty(value) else _found(value)
                raise ConfigError(f"{place}: found {found}, expected {options[key].kind.expected}")
            yield key, Given(value.value, place, self._misread(value))

    def _keys(self, prefix: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
        """Each key of the mapping that has begun, prefixed, and its place. The value's events come next."""
        seen: dict[str, int] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise ConfigError(f"{self._place(event)}: found {_found(event)} as a key, expected a name")
            key = f"{prefix}{event.value}"
            if key not in known:
                raise ConfigError(f"{self._place(event)}: {_unknown_key(key, known, prefix)}")
            if key in seen:
                raise ConfigError(f"{self._place(event)}: {key}: given twice, first in line {seen[key]}")
            seen[key] = _line(event)
            yield key, f"{self._place(event)}: {key}"

    def _place(self, event: yaml.Event) -> str:
        return f"{self._path}:{_line(event)}"

    def _is_empty(self, event: yaml.Event) -> bool:
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


def _line(event: yaml.Event) -> int:
    """The line, from 1. Events of a parser always have a mark, which the stubs do not know."""
    return event.start_mark.line + 1 if event.start_mark else 1


def _unknown_key(key: str, known: Collection[str], prefix: str) -> str:
    for option in OPTIONS:
        if key == option.key:
            return f"{key}: unknown key, did you mean {option.name} inside {option.section}?"
    return unknown(key, "key", known, prefix)


def _found(event: yaml.Event) -> str:
    if isinstance(event, yaml.ScalarEvent):
        return shown(event.value)
    if isinstance(event, yaml.MappingStartEvent):
        return "a mapping"
    return "a list" if isinstance(event, yaml.SequenceStartEvent) else "an alias"
