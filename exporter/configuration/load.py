"""Loads the settings from flags, environment, file and defaults."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.configuration.environment import read_defaults, read_environment
from exporter.configuration.errors import ConfigError, shown
from exporter.configuration.options import Option, RawOption
from exporter.configuration.settings import OPTIONS, SECTIONS, Settings


def load_settings(flags: Mapping[str, str], environ: Mapping[str, str], file: Path | None) -> Settings:
    """Combine the four sources. A flag overrides the environment, which overrides the file, which overrides a default.

    Every value is checked, also one that is overridden.

    Args:
        flags: Values of flags by option key.
        environ: The environment of the process.
        file: The configuration file, if there is one.

    Raises:
        ConfigError: A value or a source is invalid.
    """
    sources = _OptionSources(
        (
            read_defaults(environ),
            {} if file is None else _read_file(file),
            read_environment(environ),
            {option.key: RawOption(flags[option.key], option.flag) for option in OPTIONS if option.key in flags},
        )
    )
    values: dict[str, Any] = {section.name: section.values(sources.value) for section in SECTIONS}
    for section in SECTIONS:
        for shorter, longer in section.ordered_pairs():
            _check_order(values[section.name], sources, shorter, longer)
        for one, other in section.distinct_pairs():
            _check_distinct(values[section.name], sources, one, other)
    return Settings(**values)


def _read_file(file: Path) -> Mapping[str, RawOption]:
    from exporter.configuration.file import read_config_file  # noqa: PLC0415 - without a file, YAML is not needed

    return read_config_file(file)


class _OptionSources:
    """The texts of every option: the default, and the values of the stronger sources."""

    def __init__(self, stronger: Sequence[Mapping[str, RawOption]]) -> None:
        self._stronger = stronger

    def value(self, option: Option) -> object:
        """The value of the strongest source. The values of all sources are checked."""
        return [option.value(raw) for raw in self._all(option)][-1]

    def in_force(self, option: Option) -> RawOption:
        """The text of the strongest source."""
        return self._all(option)[-1]

    def is_default(self, option: Option) -> bool:
        """Whether no source overrides the default."""
        return len(self._all(option)) == 1

    def _all(self, option: Option) -> list[RawOption]:
        default = RawOption(option.default, f"default of {option.key}")
        return [default, *(source[option.key] for source in self._stronger if option.key in source)]


def _check_distinct(values: object, sources: _OptionSources, one: Option, other: Option) -> None:
    """Raise an error about a value that was set."""
    if getattr(values, one.name) == getattr(values, other.name):
        place, rival = (one, other) if sources.is_default(other) else (other, one)
        raw = sources.in_force(place)
        raise ConfigError(f"{raw.place}: found {shown(raw.text)}, expected another value than that of {rival.key}")


def _check_order(values: object, sources: _OptionSources, shorter: Option, longer: Option) -> None:
    """Raise an error about a value that was set, preferably the shorter one."""
    if getattr(values, shorter.name) <= getattr(values, longer.name):
        return
    low, high = sources.in_force(shorter), sources.in_force(longer)
    if sources.is_default(shorter):
        raise ConfigError(
            f"{high.place}: found {shown(high.text)}, expected at least {shorter.key}, which is {low.text}"
        )
    raise ConfigError(f"{low.place}: found {shown(low.text)}, expected at most {longer.key}, which is {high.text}")
