"""The settings of the exporter."""

from dataclasses import dataclass
from pathlib import Path

from exporter.configuration.options import AmdBackend
from exporter.logs import LogFormat, LogLevel


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
