"""The settings of the exporter, and how flags, environment, file and defaults combine to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from exporter.configuration import options
from exporter.configuration.environment import read_defaults, read_environment
from exporter.configuration.errors import ConfigError, shown
from exporter.configuration.file import read_config_file
from exporter.configuration.options import AmdBackend, Option, RawOption
from exporter.logs import LogFormat, LogLevel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The HTTP server.

    Attributes:
        listen_address: `host:port`, `[IPv6 address]:port` or `:port`, well-formed.
        telemetry_path: The URL path of the metrics.
    """

    listen_address: str
    telemetry_path: str


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Log lines.

    Attributes:
        level: The lowest severity that is written.
        format: How a line is written.
    """

    level: LogLevel
    format: LogFormat


@dataclass(frozen=True, slots=True)
class PathSettings:
    """Where the host's kernel file systems are.

    Attributes:
        sysfs: An absolute path.
        procfs: An absolute path.
    """

    sysfs: Path
    procfs: Path


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The machine.

    Attributes:
        name: Its name in the cluster; None where nobody told.
    """

    name: str | None


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """The kubelet's PodResources API.

    Attributes:
        socket: An absolute path, short enough for a socket address.
        interval: Seconds between two calls.
        timeout: Seconds that one call may take.
        hold: Seconds for which the last good answer is used.
    """

    socket: Path
    interval: float
    timeout: float
    hold: float


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How the hardware is read.

    Attributes:
        fast_interval: Seconds between two readings of the fast cadence.
        medium_interval: Seconds, the same for the medium cadence, not below the fast one.
        slow_interval: Seconds, the same for the slow cadence, not below the medium one.
        deadline: Seconds after which a call counts as late.
        max_age: Seconds past its due time for which a reading is served.
        version_mismatch_timeout: Seconds for which a library may be of another version than its driver.
    """

    fast_interval: float
    medium_interval: float
    slow_interval: float
    deadline: float
    max_age: float
    version_mismatch_timeout: float


@dataclass(frozen=True, slots=True)
class AmdSettings:
    """How AMD GPUs are read.

    Attributes:
        backend: By what.
    """

    backend: AmdBackend


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """Readings beyond the usual ones.

    Attributes:
        each_link: Interconnect series for each link instead of their sum.
        pcie_throughput: Readings that block while the device measures.
        wake_sleeping: Read also devices that the kernel has put to sleep.
        processes: Series for each process.
    """

    each_link: bool
    pcie_throughput: bool
    wake_sleeping: bool
    processes: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them; a field for each section of the option table."""

    web: WebSettings
    log: LogSettings
    path: PathSettings
    node: NodeSettings
    kubelet: KubeletSettings
    poll: PollSettings
    amd: AmdSettings
    collect: CollectSettings


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
