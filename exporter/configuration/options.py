"""The table of options: the one list from which keys, flags, environment names and documentation follow."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic

from exporter.configuration.errors import ConfigError, shown
from exporter.configuration.value_types import (
    ADDRESS,
    DIRECTORY,
    NODE_NAME,
    SOCKET,
    SWITCH,
    URL_PATH,
    RefusedError,
    T_co,
    ValueKind,
    choice,
    duration,
)
from exporter.logs import LogFormat, LogLevel

ENVIRONMENT_PREFIX = "ACCELERATOR_EXPORTER_"


@dataclass(frozen=True, slots=True)
class RawOption:
    """A value that somebody gave for an option.

    Attributes:
        text: The value as it was written.
        place: Where it was written, to begin an error with: the flag, the variable, or the file, line and key.
        misread: What YAML takes the text for where that is not text, such as "an integer"; else empty.
    """

    text: str
    place: str
    misread: str = ""


@dataclass(frozen=True, slots=True)
class Option(Generic[T_co]):
    """One option.

    Attributes:
        key: Section and name, `web.listen_address`.
        kind: What its values look like.
        default: The value where nobody gives one, as it would be written; empty for none.
        help: One or two sentences for people.
        default_variable: An environment variable, not one of ours, that supplies the default.
        example: A value for the example file of an option without a default.
        reloadable: True where a new value takes effect without a restart.
    """

    key: str
    kind: ValueKind[T_co]
    default: str
    help: str
    default_variable: str = ""
    example: str = ""
    reloadable: bool = False

    @property
    def section(self) -> str:
        """The part of the key before the dot: a mapping in the file."""
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """The part of the key after the dot."""
        return self.key.partition(".")[2]

    @property
    def flag(self) -> str:
        """The flag, `--web.listen-address`."""
        return f"--{self.key.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable, `ACCELERATOR_EXPORTER_WEB_LISTEN_ADDRESS`."""
        return ENVIRONMENT_PREFIX + self.key.replace(".", "_").upper()

    def value(self, given: RawOption) -> T_co:
        """The value that a given text stands for.

        Raises:
            ConfigError: The text is not of this option's kind.
        """
        try:
            value = self.kind.parse(given.text)
        except RefusedError as error:
            problem = f"found {shown(given.text)}, expected {self.kind.expected}"
            raise ConfigError(f"{given.place}: {problem}{f', {error}' if str(error) else ''}") from None
        if given.misread and given.misread != self.kind.in_yaml:
            problem = f"found {shown(given.text)}, {given.misread}, expected text: write it in quotes"
            raise ConfigError(f"{given.place}: {problem}")
        return value


@dataclass(frozen=True, slots=True)
class Section:
    """A group of options: a mapping in the file, a heading elsewhere.

    Attributes:
        name: The first part of its options' keys.
        help: What its options are about, as a sentence.
    """

    name: str
    help: str


class AmdBackend(StrEnum):
    """By what AMD GPUs are read."""

    AUTO = "auto"
    KERNEL = "kernel"
    ROCM_SMI = "rocm-smi"


SECTIONS = (
    Section("web", "The HTTP server."),
    Section(
        "log",
        "Log lines, on standard error. An event is written five times, then once a minute with the number of lines "
        "suppressed in between; debug lines are all written.",
    ),
    Section("path", "Where the host's kernel file systems are mounted."),
    Section("node", "The machine."),
    Section("kubelet", "Which containers hold which devices, by the kubelet's PodResources API."),
    Section("poll", "How the hardware is read."),
    Section("amd", "AMD GPUs."),
    Section("collect", "Readings beyond the usual ones, and the care that is taken of the hardware."),
)

LISTEN_ADDRESS = Option(
    "web.listen_address",
    ADDRESS,
    ":9410",
    "Address to listen on. Without a host, every address of the machine; port 0 takes a free one.",
)
TELEMETRY_PATH = Option("web.telemetry_path", URL_PATH, "/metrics", "Path under which the metrics are served.")
LOG_LEVEL = Option(
    "log.level", choice(LogLevel), "info", "Lines of this severity and above are written.", reloadable=True
)
LOG_FORMAT = Option(
    "log.format", choice(LogFormat), "text", "text: one line of key=value. json: one object a line.", reloadable=True
)
SYSFS = Option("path.sysfs", DIRECTORY, "/sys", "Where the host's sysfs is mounted.")
PROCFS = Option("path.procfs", DIRECTORY, "/proc", "Where the host's procfs is mounted.")
NODE = Option(
    "node.name",
    NODE_NAME,
    "",
    "The node's name in the cluster. Devices without an id of their own are named after it where the machine has no "
    "product UUID.",
    default_variable="NODE_NAME",
    example="worker-1",
)
KUBELET_SOCKET = Option(
    "kubelet.socket",
    SOCKET,
    "/var/lib/kubelet/pod-resources/kubelet.sock",
    "The kubelet's socket. It need not exist when the exporter starts. In a container mount its directory: the "
    "kubelet makes a new socket when it restarts.",
    reloadable=True,
)
KUBELET_INTERVAL = Option("kubelet.interval", duration("500ms", "5m"), "5s", "Time between two calls.", reloadable=True)
KUBELET_TIMEOUT = Option("kubelet.timeout", duration("100ms", "1m"), "5s", "Deadline of one call.", reloadable=True)
KUBELET_HOLD = Option(
    "kubelet.hold",
    duration("1s", "1h"),
    "60s",
    "How long the last good answer is used while the kubelet does not answer.",
    reloadable=True,
)
FAST_INTERVAL = Option(
    "poll.fast_interval",
    duration("100ms", "1m"),
    "1s",
    "Time between two readings of what changes fast: utilization, memory, power.",
    reloadable=True,
)
MEDIUM_INTERVAL = Option(
    "poll.medium_interval",
    duration("100ms", "10m"),
    "10s",
    "Time between two readings of clocks, temperatures, links and processes.",
    reloadable=True,
)
SLOW_INTERVAL = Option(
    "poll.slow_interval",
    duration("100ms", "1h"),
    "60s",
    "Time between two readings of fixed properties and error counts. Absent vendors are looked for as often.",
    reloadable=True,
)
DEADLINE = Option(
    "poll.deadline",
    duration("100ms", "1m"),
    "5s",
    "A collector whose call takes longer counts as late. The call is not cut short; the other collectors go on.",
    reloadable=True,
)
MAX_AGE = Option(
    "poll.max_age",
    duration("100ms", "10m"),
    "10s",
    "How long past the time its successor was due a reading may still be served.",
    reloadable=True,
)
VERSION_MISMATCH_TIMEOUT = Option(
    "poll.version_mismatch_timeout",
    duration("100ms", "1h"),
    "2m",
    "How long library and driver of a vendor may be of different versions, as during a driver upgrade, before the "
    "exporter ends with exit code 4: only a restarted container is given the new library.",
    reloadable=True,
)
AMD_BACKEND = Option(
    "amd.backend",
    choice(AmdBackend),
    "auto",
    "By what AMD GPUs are read: the kernel's files, or rocm-smi, AMD's library, for what it can tell. With auto it is "
    "the files wherever they exist, which is wherever amdgpu drives a GPU. See docs/amd.md.",
)
EACH_LINK = Option(
    "collect.each_link",
    SWITCH,
    "false",
    "Interconnect series for each link instead of their sum over all links of a device.",
)
PCIE_THROUGHPUT = Option(
    "collect.pcie_throughput",
    SWITCH,
    "false",
    "Readings that block while the device measures: NVML's PCIe throughput takes 20 ms a direction and device.",
)
WAKE_SLEEPING = Option(
    "collect.wake_sleeping",
    SWITCH,
    "false",
    "Read also devices that the kernel has put to sleep to save power. That wakes them and keeps them awake.",
)
PROCESSES = Option(
    "collect.processes",
    SWITCH,
    "false",
    "The families `accelerator_process_*`: series for each process on a device, new ones with each new process.",
)

OPTIONS: tuple[Option[object], ...] = (
    LISTEN_ADDRESS,
    TELEMETRY_PATH,
    LOG_LEVEL,
    LOG_FORMAT,
    SYSFS,
    PROCFS,
    NODE,
    KUBELET_SOCKET,
    KUBELET_INTERVAL,
    KUBELET_TIMEOUT,
    KUBELET_HOLD,
    FAST_INTERVAL,
    MEDIUM_INTERVAL,
    SLOW_INTERVAL,
    DEADLINE,
    MAX_AGE,
    VERSION_MISMATCH_TIMEOUT,
    AMD_BACKEND,
    EACH_LINK,
    PCIE_THROUGHPUT,
    WAKE_SLEEPING,
    PROCESSES,
)

# Pairs of durations of which the first may not be longer than the second.
NOT_LONGER = (
    (KUBELET_INTERVAL, KUBELET_HOLD),
    (KUBELET_TIMEOUT, KUBELET_HOLD),
    (FAST_INTERVAL, MEDIUM_INTERVAL),
    (MEDIUM_INTERVAL, SLOW_INTERVAL),
)
