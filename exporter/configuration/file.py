"""The configuration file: YAML, read event by event along the option table, so that nothing in it is expanded.

Aliases, tags and nesting find nothing to work on: whatever is not a known section, a known key or a plain value ends
the reading with an error at its line.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import yaml

from collectors.text_file import NotRegularError, TextError, read_text
from collectors.yaml_events import children, line_of, one_document
from exporter.configuration.errors import ConfigError, shown, unknown
from exporter.configuration.options import Option, RawOption, Section
from exporter.configuration.settings import OPTIONS, SECTIONS

_TAG_PREFIX = "tag:yaml.org,2002:"
_MISREAD = {
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "timestamp": "a date",
}


def read_config_file(path: Path) -> dict[str, RawOption]:
    """The values in a configuration file, by key.

    Raises:
        ConfigError: It cannot be read, is not YAML, or holds what no option knows.
    """
    try:
        with one_document(read_text(path, "a configuration file")) as events:
            return _Walk(path, events).values()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration file: {error.strerror}") from None
    except NotRegularError:
        raise ConfigError(f"{path}: not a regular file, expected a YAML file") from None
    except TextError as error:
        place = ":".join(str(part) for part in (path, *error.place))
        advice = ", expected spaces for indentation" if "'\\t'" in error.problem else ""
        raise ConfigError(f"{place}: {error.problem}{advice}") from None


class _Walk:
    """Reads the events of one file."""

    def __init__(self, path: Path, events: Iterator[yaml.Event]) -> None:
        self._path = path
        self._events = events
        self._resolver = yaml.resolver.Resolver()

    def values(self) -> dict[str, RawOption]:
        root = next(self._events, None)
        return {} if root is None or self._is_empty(root) else dict(self._sections(root))

    def _sections(self, event: yaml.Event) -> Iterator[tuple[str, RawOption]]:
        if not isinstance(event, yaml.MappingStartEvent):
            raise ConfigError(f"{self._place(event)}: found {_found(event)}, expected a mapping of sections")
        sections = {section.name: section for section in SECTIONS}
        for name, place in self._keys("", sections):
            value = next(self._events)
            if sections[name].settings is None:
                yield name, self._raw(sections[name].options[0], place, value)
            elif isinstance(value, yaml.MappingStartEvent):
                yield from self._options(sections[name])
            elif not self._is_empty(value):
                raise ConfigError(f"{place}: found {_found(value)}, expected a mapping of its options")

    def _options(self, section: Section) -> Iterator[tuple[str, RawOption]]:
        options = {option.key: option for option in section.options}
        for key, place in self._keys(f"{section.name}.", options):
            yield key, self._raw(options[key], place, next(self._events))

    def _raw(self, option: Option, place: str, value: yaml.Event) -> RawOption:
        """The value of an option; of a list, its items with commas between them."""
        if option.value_type.is_list and isinstance(value, yaml.SequenceStartEvent):
            items = [self._scalar(option, place, item) for item in children(self._events)]
            return RawOption(",".join(items), place)
        return RawOption(self._scalar(option, place, value), place, self._misread(value))

    def _scalar(self, option: Option, place: str, value: yaml.Event) -> str:
        if not isinstance(value, yaml.ScalarEvent) or self._is_empty(value):
            found = "nothing" if self._is_empty(value) else _found(value)
            raise ConfigError(f"{place}: found {found}, expected {option.value_type.expected}")
        return value.value

    def _keys(self, prefix: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
        """Each key of the current mapping, with its prefix, and its place. The events of the value follow."""
        seen: dict[str, int] = {}
        for event in children(self._events):
            if not isinstance(event, yaml.ScalarEvent):
                raise ConfigError(f"{self._place(event)}: found {_found(event)} as a key, expected a name")
            key = f"{prefix}{event.value}"
            if key not in known:
                raise ConfigError(f"{self._place(event)}: {_unknown_key(key, known, prefix)}")
            if key in seen:
                raise ConfigError(f"{self._place(event)}: {key}: given twice, first in line {seen[key]}")
            seen[key] = line_of(event)
            yield key, f"{self._place(event)}: {key}"

    def _place(self, event: yaml.Event) -> str:
        return f"{self._path}:{line_of(event)}"

    def _is_empty(self, event: yaml.Event) -> bool:
        return isinstance(event, yaml.ScalarEvent) and self._tag(event) == "null"

    def _misread(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            return ""
        tag = self._tag(event)
        return "" if tag == "str" else _MISREAD.get(tag, f"tagged {shown(tag)}")

    def _tag(self, event: yaml.ScalarEvent) -> str:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._resolver.resolve(  # type: ignore[no-untyped-call] # bare in the stubs
                yaml.ScalarNode, event.value, event.implicit
            )
        return str(tag).removeprefix(_TAG_PREFIX)


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
