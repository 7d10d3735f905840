"""The configuration file: YAML, read along the option table."""

from collections.abc import Collection, Iterator
from pathlib import Path

import yaml

from exporter.configuration.errors import ConfigError, unknown
from exporter.configuration.options import Option, RawOption, Section
from exporter.configuration.settings import OPTIONS, SECTIONS
from exporter.configuration.yaml_walk import Walk, found, walk


def read_config_file(path: Path) -> dict[str, RawOption]:
    """The values in a configuration file, by key.

    Raises:
        ConfigError: It cannot be read, is not YAML, or holds what no option knows.
    """
    with walk(path, "configuration file", _unknown_key) as file:
        root = file.root()
        return {} if root is None else dict(_sections(file, root))


def _sections(file: Walk, root: yaml.Event) -> Iterator[tuple[str, RawOption]]:
    if not isinstance(root, yaml.MappingStartEvent):
        raise ConfigError(f"{file.place(root)}: found {found(root)}, expected a mapping of sections")
    sections = {section.name: section for section in SECTIONS}
    for name, place in file.keys("", sections):
        value = file.value()
        if sections[name].settings is None:
            yield name, _raw(file, sections[name].options[0], place, value)
        elif isinstance(value, yaml.MappingStartEvent):
            yield from _options(file, sections[name])
        elif not file.is_empty(value):
            raise ConfigError(f"{place}: found {found(value)}, expected a mapping of its options")


def _options(file: Walk, section: Section) -> Iterator[tuple[str, RawOption]]:
    options = {option.key: option for option in section.options}
    for key, place in file.keys(f"{section.name}.", options):
        yield key, _raw(file, options[key], place, file.value())


def _raw(file: Walk, option: Option, place: str, value: yaml.Event) -> RawOption:
    """The value of an option; of a list, its items with commas between them."""
    expected = option.value_type.expected
    if option.value_type.is_list and isinstance(value, yaml.SequenceStartEvent):
        items = [file.raw(place, item, expected).text for item in file.items()]
        return RawOption(",".join(items), place)
    return file.raw(place, value, expected)


def _unknown_key(key: str, known: Collection[str], prefix: str) -> str:
    for option in OPTIONS:
        if key == option.key:
            return f"{key}: unknown key, did you mean {option.name} inside {option.section}?"
    return unknown(key, "key", known, prefix)
