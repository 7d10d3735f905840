"""The catalogue of device and partition families: the one list from which everything else about them follows.

Order here is the order of the exposition. A family is added, renamed or explained here and nowhere else.
"""

from collectors import labels as own
from collectors.metric import Cadence, Kind, Label, Metric, Origin, Subject, Unit

_DEVICE = (Subject.DEVICE,)
_PARTITION = (Subject.PARTITION,)
_BOTH = (Subject.DEVICE, Subject.PARTITION)


def _gauge(
    stem: str,
    unit: Unit,
    text: str,
    subjects: tuple[Subject, ...],
    labels: tuple[Label, ...] = (),
    cadence: Cadence = Cadence.FAST,
) -> Metric:
    return Metric(stem, Kind.GAUGE, unit, text, subjects, labels, cadence)


def _counter(
    stem: str,
    unit: Unit,
    text: str,
    subjects: tuple[Subject, ...],
    labels: tuple[Label, ...] = (),
    cadence: Cadence = Cadence.FAST,
) -> Metric:
    return Metric(stem, Kind.COUNTER, unit, text, subjects, labels, cadence)


INFO = Metric(
    "info",
    Kind.INFO,
    Unit.NONE,
    "Fixed properties of the device or partition as labels, always 1. A property that is unknown has no label.",
    _BOTH,
    own.PROPERTIES,
    Cadence.SLOW,
    persistent=True,
)
STATUS_STATE = Metric(
    "status",
    Kind.GAUGE,
    Unit.NONE,
    "1 for the state the device is in, 0 for the others; failed means that it no longer answers or must be reset.",
    _DEVICE,
    (own.STATUS,),
    persistent=True,
)
RECOVERY_ACTION = _gauge(
    "recovery_action",
    Unit.NONE,
    "1 for what the driver says must be done to repair the device, 0 for the others.",
    _DEVICE,
    (own.RECOVERY,),
    Cadence.MEDIUM,
)
MODE_STATE = _gauge(
    "mode",
    Unit.NONE,
    "1 while the mode is in force on the device, 0 while it is not.",
    _DEVICE,
    (own.MODE,),
    Cadence.SLOW,
)
PARTITIONS = _gauge(
    "partitions", Unit.NONE, "Number of hardware partitions the device is cut into; 0 when it is whole.", _DEVICE
)
ALLOCATED = Metric(
    "allocated",
    Kind.GAUGE,
    Unit.NONE,
    "1 while a container holds the device or partition (a device also through one of its partitions), 0 while it "
    "is free. Absent while allocations are unknown.",
    _BOTH,
    origin=Origin.ATTRIBUTION,
    persistent=True,
)
ALLOCATIONS = Metric(
    "allocations",
    Kind.GAUGE,
    Unit.NONE,
    "Number of containers that hold the device or partition itself, not a part of it; more than 1 means that it is "
    "shared. Absent while allocations are unknown.",
    _BOTH,
    origin=Origin.ATTRIBUTION,
    persistent=True,
)
UTILIZATION = _gauge(
    "utilization_ratio",
    Unit.RATIO,
    "Fraction of the last sampling period in which the device or partition executed work; a partition is measured "
    "against itself, not against its device.",
    _BOTH,
)
BUSY_SECONDS = Metric(
    "busy_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which the device or partition executed work: its utilization, integrated. Divide its rate by that of "
    "observed_seconds_total.",
    _BOTH,
    origin=Origin.ACCOUNTING,
)
OBSERVED_SECONDS = Metric(
    "observed_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time over which the utilization of the device or partition was known. Gaps in the readings are not part of it.",
    _BOTH,
    origin=Origin.ACCOUNTING,
)
MEMORY_USAGE = _gauge(
    "memory_usage_bytes",
    Unit.BYTES,
    "Device memory in use, without what the driver reserves for itself where it tells that apart.",
    _BOTH,
)
MEMORY_LIMIT = Metric(
    "memory_limit_bytes", Kind.GAUGE, Unit.BYTES, "Size of the device memory, reserved memory included.", _BOTH
)
MEMORY_RESERVED = _gauge(
    "memory_reserved_bytes", Unit.BYTES, "Device memory that driver and firmware keep for themselves.", _BOTH
)
HOST_MEMORY_USAGE = Metric(
    "host_memory_usage_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Host memory that the device or partition uses: mapped for it (GTT), pinned or spilled to.",
    _BOTH,
)
MEMORY_BANDWIDTH = _gauge(
    "memory_bandwidth_utilization_ratio",
    Unit.RATIO,
    "Fraction of the last sampling period in which device memory was being read or written.",
    _BOTH,
)
ENGINE_UTILIZATION = _gauge(
    "engine_utilization_ratio",
    Unit.RATIO,
    "Fraction of the last sampling period in which a fixed-function engine was busy.",
    _BOTH,
    (own.ENGINE,),
    Cadence.MEDIUM,
)
PIPE_ACTIVITY = _gauge(
    "pipe_activity_ratio",
    Unit.RATIO,
    "Fraction of cycles in which an execution pipe was active. Pipes overlap: do not add them up.",
    _BOTH,
    (own.PIPE,),
)
SM_OCCUPANCY = _gauge(
    "sm_occupancy_ratio",
    Unit.RATIO,
    "Warps resident on the multiprocessors, as a fraction of the most that fit.",
    _BOTH,
)
COMPUTE_RATIO = _gauge(
    "compute_ratio",
    Unit.RATIO,
    "The partition's fraction of the compute units of its device.",
    _PARTITION,
    cadence=Cadence.SLOW,
)
PROCESSES = Metric(
    "processes",
    Kind.GAUGE,
    Unit.NONE,
    "Number of processes that use the device or partition.",
    _BOTH,
    cadence=Cadence.MEDIUM,
)
POWER = _gauge("power_watts", Unit.WATTS, "Power the device draws.", _DEVICE)
ENERGY = _counter(
    "energy_joules_total",
    Unit.JOULES,
    "Energy the device has used, by its own counter, which starts again when the driver is loaded. Where it has "
    "none, its power integrated since the exporter started.",
    _DEVICE,
)
POWER_LIMIT = Metric(
    "power_limit_watts", Kind.GAUGE, Unit.WATTS, "Power limit in force.", _DEVICE, cadence=Cadence.MEDIUM
)
POWER_DEFAULT_LIMIT = _gauge(
    "power_default_limit_watts",
    Unit.WATTS,
    "Power limit in force after the driver is loaded anew.",
    _DEVICE,
    cadence=Cadence.SLOW,
)
POWER_MIN_LIMIT = _gauge(
    "power_min_limit_watts", Unit.WATTS, "Lowest power limit that can be set.", _DEVICE, cadence=Cadence.SLOW
)
POWER_MAX_LIMIT = _gauge(
    "power_max_limit_watts", Unit.WATTS, "Highest power limit that can be set.", _DEVICE, cadence=Cadence.SLOW
)
TEMPERATURE = Metric(
    "temperature_celsius", Kind.GAUGE, Unit.CELSIUS, "Temperature at a sensor.", _DEVICE, (own.SENSOR,), Cadence.MEDIUM
)
TEMPERATURE_LIMIT = _gauge(
    "temperature_limit_celsius",
    Unit.CELSIUS,
    "Temperature at which the device slows down or shuts down, or that it should not exceed (maximum).",
    _DEVICE,
    (own.SENSOR, own.LIMIT),
    Cadence.SLOW,
)
TEMPERATURE_MARGIN = _gauge(
    "temperature_margin_celsius",
    Unit.CELSIUS,
    "Degrees left until a limit; negative beyond it. Given where the device tells the distance but not the limit.",
    _DEVICE,
    (own.SENSOR, own.LIMIT),
    Cadence.MEDIUM,
)
CLOCK = _gauge("clock_hertz", Unit.HERTZ, "Clock frequency now.", _DEVICE, (own.DOMAIN,), Cadence.MEDIUM)
MAX_CLOCK = _gauge(
    "max_clock_hertz",
    Unit.HERTZ,
    "Highest clock frequency the device can run at.",
    _DEVICE,
    (own.DOMAIN,),
    Cadence.SLOW,
)
FAN_SPEED = _gauge(
    "fan_speed_ratio", Unit.RATIO, "Fan speed as a fraction of its maximum.", _DEVICE, (own.FAN,), Cadence.MEDIUM
)
THROTTLE_ACTIVE = _gauge(
    "throttle_active",
    Unit.NONE,
    "1 while clocks are held down for the reason, 0 while they are not.",
    _DEVICE,
    (own.THROTTLE_REASON,),
)
THROTTLE_SECONDS = _counter(
    "throttle_seconds_total",
    Unit.SECONDS,
    "Time for which clocks were held down for the reason, from the hardware's own counters.",
    _DEVICE,
    (own.THROTTLE_REASON,),
    Cadence.MEDIUM,
)
PCIE_GENERATION = _gauge(
    "pcie_link_generation",
    Unit.NONE,
    "PCIe generation of the link now. It falls while the device idles: compare it under load.",
    _DEVICE,
    cadence=Cadence.MEDIUM,
)
PCIE_MAX_GENERATION = _gauge(
    "pcie_link_max_generation",
    Unit.NONE,
    "Highest PCIe generation that device and slot can run.",
    _DEVICE,
    cadence=Cadence.SLOW,
)
PCIE_WIDTH = _gauge("pcie_link_width", Unit.NONE, "PCIe lanes in use now.", _DEVICE, cadence=Cadence.MEDIUM)
PCIE_MAX_WIDTH = _gauge(
    "pcie_link_max_width", Unit.NONE, "PCIe lanes that device and slot can use.", _DEVICE, cadence=Cadence.SLOW
)
PCIE_BYTES = _counter(
    "pcie_bytes_total",
    Unit.BYTES,
    "Bytes moved over PCIe, from hardware counters.",
    _DEVICE,
    (own.DIRECTION,),
    Cadence.MEDIUM,
)
PCIE_REPLAYS = _counter(
    "pcie_replays_total", Unit.NONE, "PCIe packets sent again because of link errors.", _DEVICE, cadence=Cadence.MEDIUM
)
INTERCONNECT_BYTES = _counter(
    "interconnect_bytes_total",
    Unit.BYTES,
    "Bytes moved over the links between accelerators, all links of a fabric together.",
    _DEVICE,
    (own.FABRIC, own.DIRECTION),
    Cadence.MEDIUM,
)
INTERCONNECT_LINKS = _gauge(
    "interconnect_links",
    Unit.NONE,
    "Number of links between accelerators by state.",
    _DEVICE,
    (own.FABRIC, own.LINK_STATE),
    Cadence.MEDIUM,
)
INTERCONNECT_ERRORS = _counter(
    "interconnect_errors_total",
    Unit.NONE,
    "Errors on the links between accelerators.",
    _DEVICE,
    (own.FABRIC, own.LINK_ERROR),
    Cadence.MEDIUM,
)
INTERCONNECT_BANDWIDTH_LIMIT = _gauge(
    "interconnect_bandwidth_limit_bytes_per_second",
    Unit.BYTES_PER_SECOND,
    "Bandwidth of all links that are up together, in one direction.",
    _DEVICE,
    (own.FABRIC,),
    Cadence.SLOW,
)
FABRIC_STATUS = _gauge(
    "fabric_status",
    Unit.NONE,
    "1 for the state of the device's registration with its fabric, 0 for the others.",
    _DEVICE,
    (own.FABRIC, own.FABRIC_STATE),
    Cadence.SLOW,
)
MEMORY_ERRORS = _counter(
    "memory_errors_total",
    Unit.NONE,
    "Memory errors since the driver was loaded.",
    _DEVICE,
    (own.MEMORY_ERROR,),
    Cadence.SLOW,
)
MEMORY_LIFETIME_ERRORS = _counter(
    "memory_lifetime_errors_total",
    Unit.NONE,
    "Memory errors over the device's life, as it stores them.",
    _DEVICE,
    (own.MEMORY_ERROR,),
    Cadence.SLOW,
)
MEMORY_RETIRED_PAGES = _gauge(
    "memory_retired_pages",
    Unit.NONE,
    "Memory pages taken out of use because of errors.",
    _DEVICE,
    (own.MEMORY_ERROR,),
    Cadence.SLOW,
)
MEMORY_REMAPPED_ROWS = _gauge(
    "memory_remapped_rows",
    Unit.NONE,
    "Memory rows replaced by spare ones because of errors.",
    _DEVICE,
    (own.MEMORY_ERROR,),
    Cadence.SLOW,
)
MEMORY_REPAIR_PENDING = _gauge(
    "memory_repair_pending",
    Unit.NONE,
    "1 while a retired page or remapped row waits for a reset to take effect, else 0.",
    _DEVICE,
    cadence=Cadence.SLOW,
)
MEMORY_REPAIR_FAILED = _gauge(
    "memory_repair_failed",
    Unit.NONE,
    "1 when the device has no spare memory left to repair itself, else 0.",
    _DEVICE,
    cadence=Cadence.SLOW,
)
ERRORS = _counter(
    "errors_total",
    Unit.NONE,
    "Critical events the driver reported. class tells a fault of the hardware from one of the program.",
    _DEVICE,
    (own.ERROR_SOURCE, own.ERROR_CODE, own.ERROR_CLASS),
)
ERROR_LAST_TIMESTAMP = _gauge(
    "error_last_timestamp_seconds",
    Unit.SECONDS,
    "Unix time of the last critical event the driver reported, by source and code.",
    _DEVICE,
    (own.ERROR_SOURCE, own.ERROR_CODE, own.ERROR_CLASS),
)
PROCESS_MEMORY_USAGE = Metric(
    "memory_usage_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Device memory one process holds.",
    (Subject.PROCESS,),
    (Label("pid"), Label("name")),
    Cadence.MEDIUM,
    opt_in=True,
)
PROCESS_UTILIZATION = Metric(
    "utilization_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Fraction of the last sampling period in which one process was executing.",
    (Subject.PROCESS,),
    (Label("pid"), Label("name")),
    Cadence.MEDIUM,
    opt_in=True,
)

# Every row above, in its order.
ROWS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
