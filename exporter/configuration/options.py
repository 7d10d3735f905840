"""Declares options: fields of the settings, from which keys, flags, variables and documentation are derived."""

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields, replace
from enum import StrEnum
from itertools import combinations
from typing import Any, TypeVar

from collectors.options import CollectorOption
from exporter.configuration.errors import ConfigError, shown
from exporter.configuration.value_types import SWITCH, RefusedError, ValueType, choice

T = TypeVar("T")

ENVIRONMENT_PREFIX = "ACCELERATOR_EXPORTER_"


@dataclass(frozen=True, slots=True)
class RawOption:
    """The value of an option as it was written.

    Attributes:
        text: The value.
        place: Where it was written, for error messages: the flag, the variable, or the file, line and key.
        misread: The YAML type of the text if it is not text, such as "an integer"; else empty.
    """

    text: str
    place: str
    misread: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        key: Section and name, `web.listen_address`; only the name if it has no section.
        value_type: The type of its values.
        default: The value if it is not set, as it would be written; empty for none.
        help: One or two sentences for people.
        default_variable: Another environment variable that supplies the default.
        example: A value for the example file of an option without a default.
        not_longer_than: The name of another duration of the section that must not be shorter; else empty.
        reloadable: True if a new value takes effect without a restart.
        distinct: True if it must differ from the other options of the section with this mark.
        usual_flag: The flag by which other exporters know it, if it does not follow from the key; else empty.
        read_by: The collectors that read it, and `exporter` if it reads an option of collectors; else empty.
    """

    key: str
    value_type: ValueType[object]
    default: str
    help: str
    default_variable: str = ""
    example: str = ""
    not_longer_than: str = ""
    reloadable: bool = False
    distinct: bool = False
    usual_flag: str = ""
    read_by: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """The part of the key before the dot: a mapping in the file. The whole key of an option without a section."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """The part of the key after the dot; empty for an option without a section."""
        return self.key.partition(".")[2]

    @property
    def flag(self) -> str:
        """The flag, `--web.listen-address`."""
        return self.usual_flag or f"--{self.key.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable, `ACCELERATOR_EXPORTER_WEB_LISTEN_ADDRESS`."""
        return ENVIRONMENT_PREFIX + self.key.replace(".", "_").upper()

    def value_in(self, settings: object) -> object:
        """Its value in the settings."""
        owner = getattr(settings, self.section)
        return getattr(owner, self.name) if self.name else owner

    def value(self, raw: RawOption) -> object:
        """Parse a value.

        Raises:
            ConfigError: The text does not match the type of this option.
        """
        try:
            value = self.value_type.parse(raw.text)
        except RefusedError as error:
            problem = f"found {shown(raw.text)}, expected {self.value_type.expected}"
            raise ConfigError(f"{raw.place}: {problem}{f', {error}' if str(error) else ''}") from None
        if raw.misread and raw.misread != self.value_type.in_yaml:
            problem = f"found {shown(raw.text)}, {raw.misread}, expected text: write it in quotes"
            raise ConfigError(f"{raw.place}: {problem}")
        return value


@dataclass(frozen=True, slots=True)
class Section:
    """A group of options: a mapping in the file, a heading elsewhere. Or one option without a section, of its name.

    Attributes:
        name: The first part of its options' keys.
        help: One sentence about its options.
        settings: Creates the settings of the section from the values of its options; None for a single option.
        options: Its options, in the order of the fields.
    """

    name: str
    help: str
    settings: Callable[..., object] | None
    options: tuple[Option, ...]

    def values(self, value_of: Callable[[Option], object]) -> object:
        """The value of its field of the settings.

        Args:
            value_of: Returns the value of an option.
        """
        if self.settings is None:
            return value_of(self.options[0])
        return self.settings(**{option.name: value_of(option) for option in self.options})

    def ordered_pairs(self) -> Iterator[tuple[Option, Option]]:
        """Pairs of durations: the first must not be longer than the second."""
        by_name = {option.name: option for option in self.options}
        return ((option, by_name[option.not_longer_than]) for option in self.options if option.not_longer_than)

    def distinct_pairs(self) -> Iterator[tuple[Option, Option]]:
        """Pairs of options that must have different values."""
        return combinations((option for option in self.options if option.distinct), 2)


def option(  # noqa: PLR0913 - a row of the table
    value_type: ValueType[T],
    default: str,
    text: str,
    *,
    default_variable: str = "",
    example: str = "",
    not_longer_than: str = "",
    reloadable: bool = False,
    distinct: bool = False,
    usual_flag: str = "",
) -> T:
    """Declare a field of a section's settings as an option; see `Option`.

    The return type is the type of the field, so that mypy compares the annotation with the value type.

    Args:
        value_type: The type of its values.
        default: The default as it would be written; the field's own default is the parsed value.
        text: Its help.
        default_variable: An environment variable that supplies the default.
        example: A value for the example file.
        not_longer_than: The field that is its upper bound.
        reloadable: Whether it can change without a restart.
        distinct: Whether it must differ from the other options of the section with this mark.
        usual_flag: The flag by which other exporters know it, if it does not follow from the key.
    """
    row = Option(
        "", value_type, default, text, default_variable, example, not_longer_than, reloadable, distinct, usual_flag
    )
    declared: T = field(default=value_type.parse(default), metadata={Option: row})
    return declared


def section(settings: Callable[[], T], text: str) -> T:
    """Declare a field of the settings as a section.

    Args:
        settings: The dataclass of the section; its fields are declared by `option`, or as collectors declare theirs.
        text: Its help.
    """
    declared: T = field(default_factory=settings, metadata={Section: text})
    return declared


def sections_of(settings: type[Any]) -> tuple[Section, ...]:
    """The sections and options of a dataclass of sections and of options without one."""
    return tuple(_section(each) for each in fields(settings))


def _section(declared: Field[Any]) -> Section:
    if Option in declared.metadata:
        return Section(declared.name, "An option without a section.", None, (_option(declared.name, declared),))
    settings: Any = declared.default_factory
    options = tuple(_option(f"{declared.name}.{each.name}", each) for each in fields(settings))
    return Section(declared.name, declared.metadata[Section], settings, options)


def _option(key: str, declared: Field[Any]) -> Option:
    if CollectorOption in declared.metadata:
        return _option_of_collectors(key, declared)
    row: Option = declared.metadata[Option]
    return replace(row, key=key)


def _option_of_collectors(key: str, declared: Field[Any]) -> Option:
    row: CollectorOption = declared.metadata[CollectorOption]
    if isinstance(declared.default, StrEnum):
        members = type(declared.default)
        return Option(key, choice(members), declared.default.value, row.help, read_by=row.read_by)
    return Option(key, SWITCH, "true" if declared.default else "false", row.help, read_by=row.read_by)
