"""The settings of the exporter. They are also the table of its options: each option is written only here.

The name of a field is the name of the option. Flag, environment variable, YAML key, `--help` and
docs/configuration.md are derived from it, in this order. Options of collectors are in `collectors/contract.py`.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from collectors.contract import AmdOptions, CollectOptions
from collectors.metric import ALL_SETS, DEFAULT_SETS, MetricSet
from collectors.registry import installed_names
from collectors.vendors import VENDORS
from exporter.configuration.options import option, section, sections_of
from exporter.configuration.value_types import (
    ADDRESSES,
    ALL,
    DIRECTORIES,
    DIRECTORY,
    DRIVERS,
    FILE,
    NAMESPACE,
    NODE_NAME,
    OPTIONAL_ADDRESSES,
    SOCKET,
    SWITCH,
    URL_PATH,
    choice,
    duration,
    label_name,
    names,
    size,
)
from exporter.families import USED_LABELS
from exporter.logs import LogFormat, LogLevel
from exporter.views import NAMES as VIEW_NAMES
from exporter.views import NATIVE


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The HTTP server."""

    listen_address: tuple[str, ...] = option(
        ADDRESSES,
        ":9410",
        "Addresses to listen on. Without a host: all addresses of the machine. Port 0: any free port.",
    )
    telemetry_path: str = option(URL_PATH, "/metrics", "URL path of the metrics.")
    plain_listen_address: tuple[str, ...] = option(
        OPTIONAL_ADDRESSES,
        "",
        "More addresses, with plain HTTP and without passwords whatever the web configuration file says: for probes, "
        "where clients need a certificate. They have all pages.",
        example="127.0.0.1:9411",
    )
    config_file: Path | None = option(
        FILE,
        "",
        "YAML file with TLS, users and headers, as other exporters of Prometheus have it: see "
        "docs/web-configuration.md. It is read again when it or a certificate changes.",
        example="/etc/accelerator-exporter/web.yml",
        usual_flag="--web.config.file",
    )
    ready_requires_devices: bool = option(
        SWITCH,
        "false",
        "The page /-/ready answers 503 until a device has been listed. Devices that are lost later do not change it. "
        "For clusters that take a ready pod as proof of a device.",
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Log lines."""

    level: LogLevel = option(choice(LogLevel), "info", "Lowest severity that is logged.", reloadable=True)
    format: LogFormat = option(
        choice(LogFormat),
        "text",
        "Format of log lines: key=value text, or one JSON object per line.",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class PathSettings:
    """Where the host's kernel file systems are."""

    sysfs: Path = option(DIRECTORY, "/sys", "Where the host's sysfs is mounted.")
    procfs: Path = option(DIRECTORY, "/proc", "Where the host's procfs is mounted.")


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The machine. Its name is None if it is not known."""

    name: str | None = option(
        NODE_NAME,
        "",
        "Name of the node in the cluster. For devices without an id, an id is generated from this name and the product "
        "UUID of the machine.",
        default_variable="NODE_NAME",
        example="worker-1",
    )


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """The kubelet's PodResources API. Durations are in seconds, sizes in bytes."""

    socket: Path = option(
        SOCKET,
        "/var/lib/kubelet/pod-resources/kubelet.sock",
        "Socket of the kubelet. It may be missing when the exporter starts. In a container, mount its directory: the "
        "kubelet creates a new socket when it restarts.",
        reloadable=True,
    )
    interval: float = option(
        duration("500ms", "5m"), "5s", "Time between two calls of the kubelet.", not_longer_than="hold", reloadable=True
    )
    timeout: float = option(
        duration("100ms", "1m"), "5s", "Deadline of one call of the kubelet.", not_longer_than="hold", reloadable=True
    )
    hold: float = option(
        duration("1s", "1h"),
        "60s",
        "How long the last answer is used while the kubelet does not answer.",
        reloadable=True,
    )
    max_answer_size: int = option(
        size("1MiB", "64MiB"),
        "16MiB",
        "Largest answer of the kubelet that is accepted. An answer of ordinary pods takes as much memory as its size, "
        "the worst one four times as much, and while the next one arrives there are two. A memory limit of 192 MiB is "
        "enough for the default; a larger size needs a higher limit, see docs/installation.md.",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class AttributionSettings:
    """How resource claims (DRA) are resolved to devices."""

    cdi_dirs: tuple[Path, ...] = option(
        DIRECTORIES,
        "/var/run/cdi,/etc/cdi",
        "Directories with the CDI files of the node, those that take precedence first. They need not exist. In a "
        "container, mount them from the host.",
    )
    own_namespace: str = option(
        NAMESPACE,
        "",
        "Namespace of the exporter. Resource claims in it count as those of monitors, and not as users of devices.",
        default_variable="POD_NAMESPACE",
        example="monitoring",
    )
    ignored_drivers: tuple[str, ...] = option(
        DRIVERS,
        "",
        "DRA drivers of devices that are no accelerators, such as network interfaces: their claims are not counted as "
        "unresolved. Those that docs/attribution.md names are always ignored.",
        example="nic.example.com",
    )
    resource_slices: bool = option(
        SWITCH,
        "false",
        "Read ResourceSlices, ResourceClaims and pods from the API server, to resolve more devices of resource claims "
        "(DRA), and to tell who only monitors. Needs a service account token and rights, see docs/kubernetes-api.md.",
    )


@dataclass(frozen=True, slots=True)
class PollSettings:
    """How the hardware is read. Durations are in seconds."""

    fast_interval: float = option(
        duration("100ms", "1m"),
        "1s",
        "Time between two readings of values that change fast: utilization, memory, power.",
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
        "Time between two readings of fixed properties and error counts, and between two searches for absent vendors.",
        reloadable=True,
    )
    deadline: float = option(
        duration("100ms", "1m"),
        "5s",
        "How long one call of a collector may take; after that it is late. The call is not interrupted, and other "
        "collectors continue.",
        reloadable=True,
    )
    max_age: float = option(
        duration("100ms", "10m"),
        "10s",
        "How long a reading is still exported after the next one was due.",
        reloadable=True,
    )
    version_mismatch_timeout: float = option(
        duration("100ms", "1h"),
        "2m",
        "How long the versions of a library and its driver may differ, for example during a driver upgrade. Then the "
        "exporter exits with code 4, because only a restarted container gets the new library.",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What is exported.

    Attributes:
        sets: The names of the sets; empty for all.
        views: The names of the views; empty for all.
        dcgm_vendors: The vendors of the devices in the view `dcgm`; empty for all.
    """

    sets: tuple[str, ...] = option(
        names(lambda: [each.value for each in MetricSet], "sets of metrics"),
        ",".join(each.value for each in MetricSet if each in DEFAULT_SETS),
        f"The sets of metrics that are exported, out of {', '.join(MetricSet)}. docs/metrics.md says "
        "what each has and costs. The metrics of the exporter itself are always exported.",
    )
    views: tuple[str, ...] = option(
        names(lambda: VIEW_NAMES, "views"),
        NATIVE,
        "The names under which metrics are exported: native are those in docs/metrics.md, dcgm those of NVIDIA's "
        "dcgm-exporter, see docs/from-dcgm-exporter.md, otel those of OpenTelemetry, see docs/opentelemetry.md. The "
        "metrics of the exporter itself are exported in any case. A view has what it needs of every set; metrics.sets "
        "is about native.",
    )
    dcgm_vendors: tuple[str, ...] = option(
        names(lambda: [each.name for each in VENDORS], "vendors"),
        "nvidia",
        "Vendors of the devices in the view dcgm. A device of another vendor than nvidia has no XID, no NVLink and no "
        "DCGM_FI_PROF_* there.",
    )

    @property
    def exported(self) -> frozenset[MetricSet]:
        """The sets."""
        return frozenset(map(MetricSet, self.sets)) or ALL_SETS

    @property
    def shown_views(self) -> tuple[str, ...]:
        """The names of the views."""
        return self.views or VIEW_NAMES


@dataclass(frozen=True, slots=True)
class ReleaseSettings:
    """What SIGUSR1 releases."""

    file: Path | None = option(
        FILE,
        "",
        "File with the PCI addresses of the devices that SIGUSR1 releases, one in each line. SIGUSR1 releases the "
        "whole hardware if the option is not set, the file is missing or it has no address.",
        example="/run/accelerator-exporter/release",
        reloadable=True,
    )


class PodSource(StrEnum):
    """Where the pods of a simulated node come from."""

    SCENARIO = "scenario"
    KUBELET = "kubelet"


@dataclass(frozen=True, slots=True)
class SimulateSettings:
    """The simulated node; without effect on the node's own devices."""

    pods: PodSource = option(
        choice(PodSource),
        "scenario",
        "Where the pods of a simulated node come from: its scenario, or the kubelet of this machine. With kubelet, "
        "simulated devices are allocated to real pods, see docs/simulation.md.",
    )


_LABEL = label_name(USED_LABELS)


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """The names of the labels of the container that a device is allocated to."""

    namespace: str = option(_LABEL, "namespace", "Label with the namespace of the pod.", distinct=True)
    pod: str = option(_LABEL, "pod", "Label with the name of the pod.", distinct=True)
    container: str = option(_LABEL, "container", "Label with the name of the container.", distinct=True)

    @property
    def ordered(self) -> tuple[str, ...]:
        """The names in the order of `families.HOLDER_LABELS`."""
        return self.namespace, self.pod, self.container


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, one field per section or option without a section. Without arguments: the defaults.

    Attributes:
        collectors: Names of the collectors that run; empty for all that are installed.
    """

    web: WebSettings = section(WebSettings, "The HTTP server.")
    log: LogSettings = section(
        LogSettings,
        "Log lines on standard error. The same message about the same device or collector is written at most five "
        "times at once, then once a minute with the number of suppressed lines. Debug lines are never suppressed.",
    )
    path: PathSettings = section(PathSettings, "Where the host's kernel file systems are mounted.")
    node: NodeSettings = section(NodeSettings, "The machine.")
    kubelet: KubeletSettings = section(
        KubeletSettings, "The kubelet's PodResources API, which lists the devices allocated to each container."
    )
    attribution: AttributionSettings = section(
        AttributionSettings, "How the devices of resource claims (DRA) are found, see docs/attribution.md."
    )
    poll: PollSettings = section(PollSettings, "How the hardware is read.")
    release: ReleaseSettings = section(
        ReleaseSettings, "What is closed for others that need it, see docs/installation.md. SIGUSR2 takes it up again."
    )
    simulate: SimulateSettings = section(
        SimulateSettings, "The simulated node, which the flag --simulate starts; without the flag it has no effect."
    )
    labels: LabelSettings = section(
        LabelSettings,
        "Labels of the container that a device is allocated to. Other names are for platforms that replace them, see "
        "docs/installation.md; queries, dashboards and rules must use the same names.",
    )
    metrics: MetricsSettings = section(MetricsSettings, "What is exported.")
    amd: AmdOptions = section(AmdOptions, "AMD GPUs.")
    collect: CollectOptions = section(CollectOptions, "Optional readings, and the handling of sleeping devices.")
    collectors: tuple[str, ...] = option(
        names(installed_names, "installed collectors"),
        ALL,
        "The collectors that run, in the order of their precedence: a device that two of them list is exported once, "
        "as the first of them reads it, and not at all while that one fails; if that one reports its vendor as absent, "
        "the next one takes over. all: every installed collector, in alphabetical order.",
    )


SECTIONS = sections_of(Settings)
OPTIONS = tuple(row for each in SECTIONS for row in each.options)
