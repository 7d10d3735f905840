"""The other rows of the catalogue: containers, allocations and the exporter itself. They follow the same rules."""

from collectors import catalog
from collectors.contract import Reason
from collectors.labels import DEVICE_LABELS, PARTITION_LABELS
from collectors.metric import Kind, Label, Metric, MetricSet, Origin, Stability, Subject, Unit

_CONTAINER = (Subject.CONTAINER,)
_ALLOCATION = (Subject.ALLOCATION,)
_EXPORTER = (Subject.EXPORTER,)
_OWN_PROCESS = (Subject.OWN_PROCESS,)

_COLLECTOR = Label("collector")
_SOURCE = Label("source", ("podresources", "simulated"))

HOLDER_LABELS = ("namespace", "pod", "container")

# The labels of every series of a subject; the row's own labels follow. A container or allocation has the labels of its
# device or partition; for a whole device the two labels of the partition are absent.
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
    "Fraction of the last sampling period in which the container was executing on the device or partition. Absent if "
    "several containers share it: their parts are not measured.",
    _CONTAINER,
    origin=Origin.ATTRIBUTION,
    stability=Stability.STABLE,
)
CONTAINER_BUSY_SECONDS = Metric(
    "busy_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which the container was executing on the device or partition. Divide its rate by the rate of "
    "observed_seconds_total.",
    _CONTAINER,
    origin=Origin.ACCOUNTING,
    stability=Stability.STABLE,
)
CONTAINER_OBSERVED_SECONDS = Metric(
    "observed_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which the container's utilization was known. It does not include gaps in the readings.",
    _CONTAINER,
    origin=Origin.ACCOUNTING,
    stability=Stability.STABLE,
)
CONTAINER_LAST_ACTIVE = Metric(
    "last_active_timestamp_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Unix time of the last reading in which the container was executing. Absent before the first one.",
    _CONTAINER,
    origin=Origin.ACCOUNTING,
    stability=Stability.STABLE,
)
CONTAINER_MEMORY_USAGE = Metric(
    "memory_usage_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Device memory in use by the container. Absent if several containers share the device or partition: their parts "
    "are not measured.",
    _CONTAINER,
    origin=Origin.ATTRIBUTION,
    stability=Stability.STABLE,
)
CONTAINER_MEMORY_LIMIT = Metric(
    "memory_limit_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Memory size of the device or partition that is allocated to this container only.",
    _CONTAINER,
    origin=Origin.ATTRIBUTION,
    stability=Stability.STABLE,
)
CONTAINER_POWER = Metric(
    "power_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power drawn by the device that is allocated to this container only. Absent if only the power of a package is "
    "measured that the device shares with another device or a processor.",
    _CONTAINER,
    origin=Origin.ATTRIBUTION,
    stability=Stability.STABLE,
)
CONTAINER_ENERGY = Metric(
    "energy_joules_total",
    Kind.COUNTER,
    Unit.JOULES,
    "Energy used by the device while it was allocated to this container only. Absent if its power is.",
    _CONTAINER,
    origin=Origin.ACCOUNTING,
    stability=Stability.STABLE,
)
ALLOCATION_INFO = Metric(
    "info",
    Kind.INFO,
    Unit.NONE,
    "One series for each pair of a container and a device or partition allocated to it, always 1.",
    _ALLOCATION,
    (Label("resource"), Label("source", ("device_plugin", "dra", "job")), Label("claim")),
    origin=Origin.ATTRIBUTION,
    persistent=True,
    stability=Stability.STABLE,
)
ALLOCATION_SHARE = Metric(
    "share_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "The container's part of the whole device: 1, or the compute fraction of a partition, divided evenly among the "
    "containers that share it. The sum over a device never exceeds 1.",
    _ALLOCATION,
    origin=Origin.ATTRIBUTION,
    stability=Stability.STABLE,
)
ALLOCATION_ENERGY = Metric(
    "energy_joules_total",
    Kind.COUNTER,
    Unit.JOULES,
    "The device's energy times the container's share_ratio, for bills of whole, shared and partitioned devices. Never "
    "add it to the measured energy of containers.",
    _ALLOCATION,
    metric_set=MetricSet.BILLING,
    origin=Origin.ACCOUNTING,
)
ALLOCATION_DEVICE_SECONDS = Metric(
    "device_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Device time allocated to the container: share_ratio integrated over time, busy or not.",
    _ALLOCATION,
    origin=Origin.ACCOUNTING,
    stability=Stability.STABLE,
)
BUILD_INFO = Metric(
    "build_info",
    Kind.INFO,
    Unit.NONE,
    "Version of the exporter and of its Python, always 1.",
    _EXPORTER,
    (Label("version"), Label("python_version")),
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
COLLECTOR_UP = Metric(
    "collector_up",
    Kind.GAUGE,
    Unit.NONE,
    "1 if the collector's last call succeeded in time, 0 if it failed or is late. Absent while the node has no "
    "devices of the vendor.",
    _EXPORTER,
    (_COLLECTOR,),
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
COLLECTOR_DEVICES = Metric(
    "collector_devices",
    Kind.GAUGE,
    Unit.NONE,
    "Number of devices that the collector knows and exports, including lost devices.",
    _EXPORTER,
    (_COLLECTOR,),
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
DUPLICATE_DEVICES = Metric(
    "duplicate_devices",
    Kind.GAUGE,
    Unit.NONE,
    "Number of devices that the collector lists and does not export, because a collector before it in the option "
    "collectors lists them too. Absent if there are none.",
    _EXPORTER,
    (_COLLECTOR,),
    origin=Origin.EXPORTER,
)
DEVICE_STUCK = Metric(
    "device_stuck_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "For how long a call about the device has not returned, so that nothing new is known of it. Absent for all other "
    "devices.",
    _EXPORTER,
    (_COLLECTOR, Label("uuid")),
    origin=Origin.EXPORTER,
)
COLLECTOR_DURATION = Metric(
    "collector_duration_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Duration of the collector's last call, or of the current call so far if it is late.",
    _EXPORTER,
    (_COLLECTOR,),
    origin=Origin.EXPORTER,
)
COLLECTOR_CPU = Metric(
    "collector_cpu_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "CPU time used by the collector's own threads, the time that they spend in a vendor's library included.",
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
    stability=Stability.STABLE,
)
COLLECTOR_ERRORS = Metric(
    "collector_errors_total",
    Kind.COUNTER,
    Unit.NONE,
    "Failed readings, by reason.",
    _EXPORTER,
    (_COLLECTOR, Label("reason", tuple(reason.value for reason in Reason))),
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
ATTRIBUTION_UP = Metric(
    "attribution_up",
    Kind.GAUGE,
    Unit.NONE,
    "1 while the source of allocations answers, 0 while it does not.",
    _EXPORTER,
    (_SOURCE,),
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
ATTRIBUTION_LAST_SUCCESS = Metric(
    "attribution_last_success_timestamp_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Unix time of the last answer from the source of allocations.",
    _EXPORTER,
    (_SOURCE,),
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
UNMATCHED_DEVICES = Metric(
    "unmatched_devices",
    Kind.GAUGE,
    Unit.NONE,
    "Number of allocated device ids that match no device of any collector, of accelerator resources or with the name "
    "of a device in the id. Of more than 100 resources, the rest counts as other.",
    _EXPORTER,
    (Label("resource"),),
    origin=Origin.EXPORTER,
)
UNRESOLVED_CLAIM_DEVICES = Metric(
    "unresolved_claim_devices",
    Kind.GAUGE,
    Unit.NONE,
    "Number of devices of resource claims (DRA) that are not resolved. allocated and allocations of the devices they "
    "may be are absent. Absent without claims. From the 101st on, drivers are other.",
    _EXPORTER,
    (Label("driver"),),
    origin=Origin.EXPORTER,
)
SCRAPES = Metric(
    "scrapes_total",
    Kind.COUNTER,
    Unit.NONE,
    "Number of scrapes answered.",
    _EXPORTER,
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
CONFIG_RELOAD = Metric(
    "config_last_reload_successful",
    Kind.GAUGE,
    Unit.NONE,
    "1 if the configuration that was read last is in use, 0 if it was rejected.",
    _EXPORTER,
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
PROCESS_CPU = Metric(
    "cpu_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "User and system CPU time used by the exporter.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
PROCESS_RESIDENT_MEMORY = Metric(
    "resident_memory_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Resident memory of the exporter.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
PROCESS_VIRTUAL_MEMORY = Metric(
    "virtual_memory_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Virtual memory of the exporter.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
PROCESS_START_TIME = Metric(
    "start_time_seconds",
    Kind.GAUGE,
    Unit.SECONDS,
    "Unix time at which the exporter started.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
PROCESS_OPEN_FDS = Metric(
    "open_fds",
    Kind.GAUGE,
    Unit.NONE,
    "Number of open file descriptors of the exporter.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)
PROCESS_MAX_FDS = Metric(
    "max_fds",
    Kind.GAUGE,
    Unit.NONE,
    "Highest number of file descriptors that the exporter may open.",
    _OWN_PROCESS,
    origin=Origin.EXPORTER,
    stability=Stability.STABLE,
)

# All rows above, in their order.
ROWS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

# Labels that belong to the scraped target, to a query language or to histograms: no family has them.
SCRAPE_LABELS = frozenset(
    {"instance", "job", "node", "cluster", "region", "zone", "service", "env", "type", "le", "quantile"}
)
# Names that the labels of a container cannot have, because they mean something else in the same or in other series.
USED_LABELS = SCRAPE_LABELS | {
    *PARTITION_LABELS,
    *(label.name for row in (*catalog.ROWS, *ROWS) for label in row.labels),
}
