"""Loads the settings: how flags, environment, file and defaults combine to them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from exporter.configuration import options
from exporter.configuration.environment import read_defaults, read_environment
from exporter.configuration.errors import ConfigError, shown
from exporter.configuration.file import read_config_file
from exporter.configuration.options import Option, RawOption
from exporter.configuration.settings import (
    AmdSettings,
    CollectSettings,
    KubeletSettings,
    LogSettings,
    NodeSettings,
    PathSettings,
    PollSettings,
    Settings,
    WebSettings,
)

T = TypeVar("T")


def load_settings(flags: Mapping[str, str], environ: Mapping[str, str], file: Path | None) -> Settings:
    """The settings that the four sources give together: flags before environment before file before defaults.

    Every value is checked, also one that a stronger source overrules.

    Args:
        flags: Values of flags by option key.
        environ: The environment of the process.
        file: The configuration file, if there is one.

    Raises:
        ConfigError: Any of it is not as it should be.
    """
    given = _Sources(
        (
            read_defaults(environ),
            {} if file is None else read_config_file(file),
            read_environment(environ),
            {
                option.key: RawOption(flags[option.key], option.flag)
                for option in options.OPTIONS
                if option.key in flags
            },
        )
    )
    settings = _settings(given)
    for shorter, longer in options.NOT_LONGER:
        _check_order(given, shorter, longer)
    return settings


class _Sources:
    """What was given, by key: the table's defaults, which have every key, and over them each stronger source."""

    def __init__(self, stronger: Sequence[Mapping[str, RawOption]]) -> None:
        self._defaults = {
            option.key: RawOption(option.default, f"default of {option.key}") for option in options.OPTIONS
        }
        self._stronger = stronger

    def value(self, option: Option[T]) -> T:
        """The value of the strongest source, each source's value having been checked."""
        return [option.value(given) for given in self._all(option.key)][-1]

    def in_force(self, key: str) -> RawOption:
        """What the strongest source gave."""
        return self._all(key)[-1]

    def is_default(self, key: str) -> bool:
        """Whether nobody overrules the table."""
        return len(self._all(key)) == 1

    def _all(self, key: str) -> list[RawOption]:
        return [self._defaults[key], *(source[key] for source in self._stronger if key in source)]


def _settings(given: _Sources) -> Settings:
    return Settings(
        web=WebSettings(given.value(options.LISTEN_ADDRESS), given.value(options.TELEMETRY_PATH)),
        log=LogSettings(given.value(options.LOG_LEVEL), given.value(options.LOG_FORMAT)),
        path=PathSettings(given.value(options.SYSFS), given.value(options.PROCFS)),
        node=NodeSettings(given.value(options.NODE)),
        kubelet=KubeletSettings(
            socket=given.value(options.KUBELET_SOCKET),
            interval=given.value(options.KUBELET_INTERVAL),
            timeout=given.value(options.KUBELET_TIMEOUT),
            hold=given.value(options.KUBELET_HOLD),
        ),
        poll=PollSettings(
            fast_interval=given.value(options.FAST_INTERVAL),
            medium_interval=given.value(options.MEDIUM_INTERVAL),
            slow_interval=given.value(options.SLOW_INTERVAL),
            deadline=given.value(options.DEADLINE),
            max_age=given.value(options.MAX_AGE),
            version_mismatch_timeout=given.value(options.VERSION_MISMATCH_TIMEOUT),
        ),
        amd=AmdSettings(given.value(options.AMD_BACKEND)),
        collect=CollectSettings(
            each_link=given.value(options.EACH_LINK),
            pcie_throughput=given.value(options.PCIE_THROUGHPUT),
            wake_sleeping=given.value(options.WAKE_SLEEPING),
            processes=given.value(options.PROCESSES),
        ),
    )


def _check_order(given: _Sources, shorter: Option[float], longer: Option[float]) -> None:
    """Blames a value that somebody gave, the shorter one's first."""
    if given.value(shorter) <= given.value(longer):
        return
    low, high = given.in_force(shorter.key), given.in_force(longer.key)
    if given.is_default(shorter.key):
        raise ConfigError(
            f"{high.place}: found {shown(high.text)}, expected at least {shorter.key}, which is {low.text}"
        )
    raise ConfigError(f"{low.place}: found {shown(low.text)}, expected at most {longer.key}, which is {high.text}")
