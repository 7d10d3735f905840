"""The catalogue's other rows: containers, allocations, the exporter itself. Same row type, same rules."""

from collectors.contract import Reason
from collectors.labels import DEVICE_LABELS, PARTITION_LABELS
from collectors.metric import Kind, Label, Metric, Origin, Subject, Unit

_CONTAINER = (Subject.CONTAINER,)
_ALLOCATION = (Subject.ALLOCATION,)
_EXPORTER = (Subject.EXPORTER,)
_OWN_PROCESS = (Subject.OWN_PROCESS,)

_COLLECTOR = Label("collector")
_SOURCE = Label("source", ("podresources", "simulated"))

HOLDER_LABELS = ("namespace", "pod", "container")

# The labels every series of a subject has, before the row's own. A container or allocation has those of its device
# or partition; for a whole device the partition's two are absent.
SUBJECT_LABELS: dict[Subject, tuple[str, ...]] = {
    Subject.DEVICE: DEVICE_LABELS,
    Subject.PARTITION: PARTITION_LABELS,
    Subject.CONTAINER: (*PARTITION_LABELS, *HOLDER_LABELS),
    Subject.ALLOCATION: (*PARTITION_LABELS, *HOLDER_LABELS),
    Subject.PROCESS: PARTITION_LABELS,
    Subject.EXPORTER: (),
    Subject.OWN_PROCESS: (),
}

CONTAINER_UTILIZATION = Metric(
    "utilization_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Fraction of the last sampling period in which the container was executing on the device or partition. Only "
    "for a sole holder: elsewhere it cannot be measured.",
    _CONTAINER,
    origin=Origin.ATTRIBUTION,
)
CONTAINER_BUSY_SECONDS = Metric(
    "busy_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time the container was executing on the device or partition. Divide its rate by that of observed_seconds_total.",
    _CONTAINER,
    origin=Origin.ACCOUNTING,
)
CONTAINER_OBSERVED_SECONDS = Metric(
    "observed_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time over which the container's utilization was known. Gaps in the readings are not part of it.",
    _CONTAINER,
    origin=Origin.ACCOUNTING,
)
CONTAINER_LAST_ACTIVE = Metric(
    "last_active_timestamp_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Unix time of the last reading in which the container was executing. Absent until there is one.",
    _CONTAINER,
    origin=Origin.ACCOUNTING,
)
CONTAINER_MEMORY_USAGE = Metric(
    "memory_usage_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Device memory in use by the container. Only for a sole holder: elsewhere it cannot be measured.",
    _CONTAINER,
    origin=Origin.ATTRIBUTION,
)
CONTAINER_MEMORY_LIMIT = Metric(
    "memory_limit_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Size of the memory of the device or partition that the container holds alone.",
    _CONTAINER,
    origin=Origin.ATTRIBUTION,
)
CONTAINER_POWER = Metric(
    "power_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power drawn by the device that the container holds alone.",
    _CONTAINER,
    origin=Origin.ATTRIBUTION,
)
CONTAINER_ENERGY = Metric(
    "energy_joules_total",
    Kind.COUNTER,
    Unit.JOULES,
    "Energy the device has used while the container held it alone.",
    _CONTAINER,
    origin=Origin.ACCOUNTING,
)
ALLOCATION_INFO = Metric(
    "info",
    Kind.INFO,
    Unit.NONE,
    "One series for each container and the device or partition it holds, always 1.",
    _ALLOCATION,
    (Label("resource"), Label("source", ("device_plugin", "dra", "job")), Label("claim")),
    origin=Origin.ATTRIBUTION,
    persistent=True,
)
ALLOCATION_SHARE = Metric(
    "share_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "The container's part of the whole device: 1 for its sole holder, the compute fraction for a partition, divided "
    "evenly among holders that share. The shares of a device never exceed 1.",
    _ALLOCATION,
    origin=Origin.ATTRIBUTION,
)
ALLOCATION_DEVICE_SECONDS = Metric(
    "device_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Device time handed out to the container: share_ratio integrated over time, busy or not.",
    _ALLOCATION,
    origin=Origin.ACCOUNTING,
)
BUILD_INFO = Metric(
    "build_info",
    Kind.INFO,
    Unit.NONE,
    "Version of the exporter and of its Python, always 1.",
    _EXPORTER,
    (Label("version"), Label("python_version")),
    origin=Origin.EXPORTER,
)
COLLECTOR_UP = Metric(
    "collector_up",
    Kind.GAUGE,
    Unit.NONE,
    "1 while the collector's last call succeeded in time, 0 while it fails or is late. Absent while the vendor is "
    "absent from the node.",
    _EXPORTER,
    (_COLLECTOR,),
    origin=Origin.EXPORTER,
)
COLLECTOR_DEVICES = Metric(
    "collector_devices",
    Kind.GAUGE,
    Unit.NONE,
    "Number of devices the collector knows, lost ones included.",
    _EXPORTER,
    (_COLLECTOR,),
    origin=Origin.EXPORTER,
)
COLLECTOR_DURATION = Metric(
    "collector_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "How long the collector's last call took, or has taken so far if it is late.",
    _EXPORTER,
    (_COLLECTOR,),
    origin=Origin.EXPORTER,
)
COLLECTOR_LAST_SUCCESS = Metric(
    "collector_last_success_timestamp_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Unix time of the collector's last successful call.",
    _EXPORTER,
    (_COLLECTOR,),
    origin=Origin.EXPORTER,
)
COLLECTOR_ERRORS = Metric(
    "collector_errors_total",
    Kind.COUNTER,
    Unit.NONE,
    "Readings that failed, by reason.",
    _EXPORTER,
    (_COLLECTOR, Label("reason", tuple(reason.value for reason in Reason))),
    origin=Origin.EXPORTER,
)
ATTRIBUTION_UP = Metric(
    "attribution_up",
    Kind.GAUGE,
    Unit.NONE,
    "1 while the source of allocations answers, 0 while it does not.",
    _EXPORTER,
    (_SOURCE,),
    origin=Origin.EXPORTER,
)
ATTRIBUTION_LAST_SUCCESS = Metric(
    "attribution_last_success_timestamp_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Unix time of the last answer from the source of allocations.",
    _EXPORTER,
    (_SOURCE,),
    origin=Origin.EXPORTER,
)
UNMATCHED_DEVICES = Metric(
    "unmatched_devices",
    Kind.GAUGE,
    Unit.NONE,
    "Allocated device ids of an accelerator resource that match no device a collector knows.",
    _EXPORTER,
    (Label("resource"),),
    origin=Origin.EXPORTER,
)
SCRAPES = Metric(
    "scrapes_total",
    Kind.COUNTER,
    Unit.NONE,
    "Scrapes answered.",
    _EXPORTER,
    origin=Origin.EXPORTER,
)
CONFIG_RELOAD = Metric(
    "config_last_reload_successful",
    Kind.GAUGE,
    Unit.NONE,
    "1 while the configuration in force is the one last read, 0 after one that was refused.",
    _EXPORTER,
    origin=Origin.EXPORTER,
)
PROCESS_CPU = Metric(
    "cpu_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "User and system CPU time the exporter has used.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
)
PROCESS_RESIDENT_MEMORY = Metric(
    "resident_memory_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Resident memory of the exporter.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
)
PROCESS_VIRTUAL_MEMORY = Metric(
    "virtual_memory_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Virtual memory of the exporter.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
)
PROCESS_START_TIME = Metric(
    "start_time_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Unix time at which the exporter started.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
)
PROCESS_OPEN_FDS = Metric(
    "open_fds",
    Kind.GAUGE,
    Unit.NONE,
    "File descriptors the exporter has open.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
)
PROCESS_MAX_FDS = Metric(
    "max_fds",
    Kind.GAUGE,
    Unit.NONE,
    "File descriptors the exporter may open.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
)

# Every row above, in its order.
ROWS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
