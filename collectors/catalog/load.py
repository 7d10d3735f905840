"""Families about load: utilization, memory usage and number of processes."""

from collectors import labels as own
from collectors.catalog.row import BOTH, DEVICE, PARTITION, counter, gauge
from collectors.metric import Cadence, Kind, Metric, MetricSet, Origin, Rare, Stability, Unit

# Some thousand pipes at a few gigahertz.
_CYCLES_PER_SECOND = 1e13
_MOST_PROCESSES = 1 << 22  # the most process ids that Linux has

UTILIZATION = gauge(
    "utilization_ratio",
    Unit.RATIO,
    "Fraction of the last sampling period in which the device or partition executed work. For a partition it is "
    "relative to the partition, not to the device.",
    BOTH,
    stability=Stability.STABLE,
)
BUSY_SECONDS = Metric(
    "busy_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which the device or partition executed work: its utilization integrated over time. Divide its rate by "
    "the rate of observed_seconds_total.",
    BOTH,
    origin=Origin.ACCOUNTING,
    stability=Stability.STABLE,
)
OBSERVED_SECONDS = Metric(
    "observed_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which the utilization of the device or partition was known. It does not include gaps in the readings.",
    BOTH,
    origin=Origin.ACCOUNTING,
    stability=Stability.STABLE,
)
MEMORY_USAGE = gauge(
    "memory_usage_bytes",
    Unit.BYTES,
    "Device memory in use, without the memory reserved by the driver if the driver reports that separately.",
    BOTH,
    stability=Stability.STABLE,
)
MEMORY_LIMIT = Metric(
    "memory_limit_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Size of the device memory, including reserved memory.",
    BOTH,
    stability=Stability.STABLE,
)
MEMORY_RESERVED = gauge(
    "memory_reserved_bytes",
    Unit.BYTES,
    "Device memory reserved by driver and firmware.",
    BOTH,
    metric_set=MetricSet.LIMITS,
)
HOST_MEMORY_USAGE = Metric(
    "host_memory_usage_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Host memory that the device or partition uses: mapped (GTT), pinned or spilled.",
    BOTH,
)
MEMORY_BANDWIDTH = gauge(
    "memory_bandwidth_utilization_ratio",
    Unit.RATIO,
    "Fraction of the memory's bandwidth that was used.",
    BOTH,
    metric_set=MetricSet.ACTIVITY,
    rare=Rare(MetricSet.PIPES, of_partitions=True),
)
MEMORY_BUSY = gauge(
    "memory_busy_ratio",
    Unit.RATIO,
    "Fraction of the last sampling period in which memory was read or written, however fast. It says nothing about "
    "the used bandwidth: devices that report that do not have this family.",
    DEVICE,
    metric_set=MetricSet.ACTIVITY,
)
MEMORY_CONTROLLER_ACTIVITY = gauge(
    "memory_controller_activity_ratio",
    Unit.RATIO,
    "Activity of the memory controllers as the device's firmware computes it, where that is neither the used bandwidth "
    "nor the time in use.",
    DEVICE,
    metric_set=MetricSet.ACTIVITY,
)
ENGINE_UTILIZATION = gauge(
    "engine_utilization_ratio",
    Unit.RATIO,
    "Fraction of the last sampling period in which a fixed-function engine was busy.",
    BOTH,
    (own.ENGINE,),
    Cadence.MEDIUM,
    metric_set=MetricSet.ACTIVITY,
    rare=Rare(
        MetricSet.ENGINES, "engine", ("jpeg", "optical_flow", "copy", "video_enhance", "render"), of_partitions=True
    ),
)
PIPE_ACTIVITY = gauge(
    "pipe_activity_ratio",
    Unit.RATIO,
    "Fraction of cycles in which an execution pipe was active. Pipes overlap: do not add them up.",
    BOTH,
    (own.PIPE,),
    metric_set=MetricSet.ACTIVITY,
    rare=Rare(MetricSet.PIPES, "pipe", ("fp64", "fp32", "fp16", "integer"), of_partitions=True),
)
PIPE_ACTIVE_CYCLES = counter(
    "pipe_active_cycles_total",
    Unit.NONE,
    "Cycles in which an execution pipe was active, from hardware counters. Divide its rate by the rate of "
    "pipe_elapsed_cycles_total. Pipes overlap: do not add them up.",
    BOTH,
    (own.PIPE,),
    Cadence.MEDIUM,
    most_per_second=_CYCLES_PER_SECOND,
    metric_set=MetricSet.PIPES,
)
PIPE_ELAPSED_CYCLES = counter(
    "pipe_elapsed_cycles_total",
    Unit.NONE,
    "All cycles of the execution pipes, active or not, from hardware counters.",
    BOTH,
    cadence=Cadence.MEDIUM,
    most_per_second=_CYCLES_PER_SECOND,
    metric_set=MetricSet.PIPES,
)
SM_OCCUPANCY = gauge(
    "sm_occupancy_ratio",
    Unit.RATIO,
    "Warps resident on the multiprocessors, as a fraction of the maximum.",
    BOTH,
    metric_set=MetricSet.PIPES,
)
COMPUTE_RATIO = Metric(
    "compute_ratio",
    Kind.GAUGE,
    Unit.RATIO,
    "Fraction of the device's compute units that belong to the partition.",
    PARTITION,
    cadence=Cadence.SLOW,
    persistent=True,
    metric_set=MetricSet.LIMITS,
)
PROCESSES = Metric(
    "processes",
    Kind.GAUGE,
    Unit.NONE,
    "Number of processes that use the device or partition.",
    BOTH,
    cadence=Cadence.MEDIUM,
    bounds=(0, _MOST_PROCESSES),
    rare=Rare(MetricSet.DIAGNOSTICS, of_partitions=True),
)
