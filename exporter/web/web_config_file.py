"""Reads a web configuration file: YAML, along a table of its keys."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from exporter.configuration.errors import ConfigError, unknown
from exporter.configuration.options import Option
from exporter.configuration.value_types import SWITCH, ValueType
from exporter.configuration.yaml_walk import Walk, found, walk
from exporter.web import web_config_types as types

TLS, HTTP, HEADERS = "tls_server_config", "http_server_config", "http_server_config.headers"
USERS, RATE_LIMIT = "basic_auth_users", "rate_limit"

_TLS_KEYS: Mapping[str, ValueType[object]] = {
    "cert": types.PEM,
    "key": types.PEM,
    "client_ca": types.PEM,
    "cert_file": types.PATH,
    "key_file": types.PATH,
    "client_ca_file": types.PATH,
    "client_auth_type": types.CLIENT_AUTH,
    "client_allowed_sans": types.NAMES,
    "min_version": types.VERSION,
    "max_version": types.VERSION,
    "cipher_suites": types.SUITES,
    "prefer_server_cipher_suites": SWITCH,
    "curve_preferences": types.CURVES,
}
_HEADER_KEYS: Mapping[str, ValueType[object]] = {
    "Content-Security-Policy": types.HEADER,
    "X-Frame-Options": types.FRAME_OPTIONS,
    "X-Content-Type-Options": types.CONTENT_TYPE_OPTIONS,
    "X-XSS-Protection": types.HEADER_OR_NUMBER,
    "Strict-Transport-Security": types.HEADER,
}
_HEADERS_KEY = "headers"
# The keys of each section. Those of users are their names.
_KEYS: Mapping[str, Mapping[str, ValueType[object]]] = {
    TLS: _TLS_KEYS,
    HTTP: {"http2": types.HTTP2},
    RATE_LIMIT: {"interval": types.INTERVAL, "burst": types.BURST},
}
_SECTIONS = (TLS, HTTP, RATE_LIMIT, USERS)
_LONGEST_NAME = 255


class Value(NamedTuple):
    """A value, and where it is, for error messages."""

    value: Any
    place: str


@dataclass(frozen=True, slots=True)
class Values:
    """What a section contains.

    Attributes:
        place: Where it begins, for error messages; empty if it is not in the file.
        by_key: Its values.
    """

    place: str = ""
    by_key: Mapping[str, Value] = field(default_factory=dict)

    def get(self, key: str, default: object = None) -> Any:  # noqa: ANN401 - the type depends on the key
        """The value of a key."""
        return self.by_key[key].value if key in self.by_key else default


def read_values(path: Path) -> dict[str, Values]:
    """The values of every section of a web configuration file; of one that is not there, none.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or has an unknown key or an invalid value.
    """
    with walk(path, "web configuration file", _unknown_key) as file:
        read = dict(_sections(file))
    return {section: read.get(section, Values()) for section in (*_SECTIONS, HEADERS)}


def _sections(file: Walk) -> Iterator[tuple[str, Values]]:
    root = file.root()
    if root is None:
        return
    if not isinstance(root, yaml.MappingStartEvent):
        raise ConfigError(f"{file.place(root)}: found {found(root)}, expected a mapping of sections")
    for name, place in file.keys("", _SECTIONS):
        if not _is_mapping(file, file.value(), place):
            continue
        if name == HTTP:
            yield from _http(file)
        elif name == USERS:
            yield name, Values(place, dict(_users(file)))
        else:
            yield name, Values(place, dict(_values(file, name, _KEYS[name])))


def _http(file: Walk) -> Iterator[tuple[str, Values]]:
    """The section of HTTP has a section inside."""
    keys = {f"{HTTP}.{key}": value_type for key, value_type in _KEYS[HTTP].items()}
    for key, place in file.keys(f"{HTTP}.", (*keys, HEADERS)):
        value = file.value()
        if key != HEADERS:
            _parsed(file, Option(key, keys[key], "", ""), place, value)
        elif _is_mapping(file, value, place):
            yield HEADERS, Values(place, dict(_values(file, HEADERS, _HEADER_KEYS)))


def _values(file: Walk, section: str, types_by_key: Mapping[str, ValueType[object]]) -> Iterator[tuple[str, Value]]:
    options = {f"{section}.{key}": Option(key, value_type, "", "") for key, value_type in types_by_key.items()}
    for key, place in file.keys(f"{section}.", options):
        yield options[key].key, Value(_parsed(file, options[key], place, file.value()), place)


def _parsed(file: Walk, option: Option, place: str, event: yaml.Event) -> object:
    """The value of a key; of a list, the tuple of its values."""
    expected = option.value_type.expected
    if not option.value_type.is_list:
        return option.value(file.raw(place, event, expected))
    if not isinstance(event, yaml.SequenceStartEvent):
        raise ConfigError(f"{place}: found {found(event)}, expected a list, each item {expected}")
    items = tuple(option.value(file.raw(place, item, expected)) for item in file.items())
    if not items:
        raise ConfigError(f"{place}: found an empty list, expected at least one item")
    return items


def _users(file: Walk) -> Iterator[tuple[str, Value]]:
    for key, place in file.keys(f"{USERS}.", None):
        name = key.removeprefix(f"{USERS}.")
        if not name or ":" in name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
            raise ConfigError(f"{place}: invalid user, expected at most {_LONGEST_NAME} characters without a colon")
        hashed = file.raw(place, file.value(), types.HASH_EXPECTED).text
        if not types.is_hash(hashed):  # what was found may be the password itself
            raise ConfigError(f"{place}: found something else, expected {types.HASH_EXPECTED}")
        yield name, Value(hashed, place)


def _is_mapping(file: Walk, event: yaml.Event, place: str) -> bool:
    """Whether a section has keys; False if it is empty."""
    if isinstance(event, yaml.MappingStartEvent):
        return True
    if file.is_empty(event):
        return False
    raise ConfigError(
        f"{place}: found {'a value' if isinstance(event, yaml.ScalarEvent) else found(event)}, expected a mapping"
    )


def _unknown_key(key: str, known: Collection[str], prefix: str) -> str:
    name = key.removeprefix(prefix)
    for section, keys in (*_KEYS.items(), (HEADERS, _HEADER_KEYS)):
        if name in keys:
            return f"{key}: unknown key, did you mean {name} inside {section}?"
    return unknown(key, "key", known, prefix)
