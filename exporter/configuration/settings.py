"""The settings of the exporter, which are the table of its options: each is written once, here.

The name of a field is the name of the option; flag, environment variable, key of the file, `--help` and
docs/configuration.md follow, in this order. The options of collectors stand in `collectors/contract.py`.
"""

from dataclasses import dataclass
from pathlib import Path

from collectors.contract import AmdOptions, CollectOptions
from exporter.configuration.options import option, section, sections_of
from exporter.configuration.value_types import (
    ADDRESS,
    DIRECTORY,
    NODE_NAME,
    SOCKET,
    URL_PATH,
    choice,
    duration,
)
from exporter.logs import LogFormat, LogLevel


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The HTTP server."""

    listen_address: str = option(
        ADDRESS,
        ":9410",
        "Address to listen on. Without a host, every address of the machine; port 0 takes a free one.",
    )
    telemetry_path: str = option(URL_PATH, "/metrics", "Path under which the metrics are served.")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Log lines."""

    level: LogLevel = option(choice(LogLevel), "info", "Lines of this severity and above are written.", reloadable=True)
    format: LogFormat = option(
        choice(LogFormat), "text", "text: one line of key=value. json: one object a line.", reloadable=True
    )


@dataclass(frozen=True, slots=True)
class PathSettings:
    """Where the host's kernel file systems are."""

    sysfs: Path = option(DIRECTORY, "/sys", "Where the host's sysfs is mounted.")
    procfs: Path = option(DIRECTORY, "/proc", "Where the host's procfs is mounted.")


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The machine. Its name is None where it is not known."""

    name: str | None = option(
        NODE_NAME,
        "",
        "The node's name in the cluster. Devices without an id of their own are named after it where the machine has "
        "no product UUID.",
        default_variable="NODE_NAME",
        example="worker-1",
    )


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """The kubelet's PodResources API. Durations are in seconds."""

    socket: Path = option(
        SOCKET,
        "/var/lib/kubelet/pod-resources/kubelet.sock",
        "The kubelet's socket. It need not exist when the exporter starts. In a container mount its directory: the "
        "kubelet makes a new socket when it restarts.",
        reloadable=True,
    )
    interval: float = option(
        duration("500ms", "5m"), "5s", "Time between two calls.", not_longer_than="hold", reloadable=True
    )
    timeout: float = option(
        duration("100ms", "1m"), "5s", "Deadline of one call.", not_longer_than="hold", reloadable=True
    )
    hold: float = option(
        duration("1s", "1h"),
        "60s",
        "How long the last good answer is used while the kubelet does not answer.",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How the hardware is read. Durations are in seconds."""

    fast_interval: float = option(
        duration("100ms", "1m"),
        "1s",
        "Time between two readings of what changes fast: utilization, memory, power.",
        not_longer_than="medium_interval",
        reloadable=True,
    )
    medium_interval: float = option(
        duration("100ms", "10m"),
        "10s",
        "Time between two readings of clocks, temperatures, links and processes.",
        not_longer_than="slow_interval",
        reloadable=True,
    )
    slow_interval: float = option(
        duration("100ms", "1h"),
        "60s",
        "Time between two readings of fixed properties and error counts. Absent vendors are looked for as often.",
        reloadable=True,
    )
    deadline: float = option(
        duration("100ms", "1m"),
        "5s",
        "A collector whose call takes longer counts as late. The call is not cut short; the other collectors go on.",
        reloadable=True,
    )
    max_age: float = option(
        duration("100ms", "10m"),
        "10s",
        "How long past the time its successor was due a reading may still be served.",
        reloadable=True,
    )
    version_mismatch_timeout: float = option(
        duration("100ms", "1h"),
        "2m",
        "How long library and driver of a vendor may be of different versions, as during a driver upgrade, before the "
        "exporter ends with exit code 4: only a restarted container is given the new library.",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All of them, a field for each section; without arguments, the defaults."""

    web: WebSettings = section(WebSettings, "The HTTP server.")
    log: LogSettings = section(
        LogSettings,
        "Log lines, on standard error. An event is written five times, then once a minute with the number of lines "
        "suppressed in between; debug lines are all written.",
    )
    path: PathSettings = section(PathSettings, "Where the host's kernel file systems are mounted.")
    node: NodeSettings = section(NodeSettings, "The machine.")
    kubelet: KubeletSettings = section(
        KubeletSettings, "Which containers hold which devices, by the kubelet's PodResources API."
    )
    poll: PollSettings = section(PollSettings, "How the hardware is read.")
    amd: AmdOptions = section(AmdOptions, "AMD GPUs.")
    collect: CollectOptions = section(
        CollectOptions, "Readings beyond the usual ones, and the care that is taken of the hardware."
    )


SECTIONS = sections_of(Settings)
OPTIONS = tuple(row for each in SECTIONS for row in each.options)
