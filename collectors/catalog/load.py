"""Load: how busy a device is, how full its memory, by how many processes."""

from collectors import labels as own
from collectors.catalog.row import BOTH, PARTITION, counter, gauge
from collectors.metric import Cadence, Kind, Metric, Origin, Unit

UTILIZATION = gauge(
    "utilization_ratio",
    Unit.RATIO,
    "Fraction of the last sampling period in which the device or partition executed work; a partition is measured "
    "against itself, not against its device.",
    BOTH,
)
BUSY_SECONDS = Metric(
    "busy_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time in which the device or partition executed work: its utilization, integrated. Divide its rate by that of "
    "observed_seconds_total.",
    BOTH,
    origin=Origin.ACCOUNTING,
)
OBSERVED_SECONDS = Metric(
    "observed_seconds_total",
    Kind.COUNTER,
    Unit.SECONDS,
    "Time over which the utilization of the device or partition was known. Gaps in the readings are not part of it.",
    BOTH,
    origin=Origin.ACCOUNTING,
)
MEMORY_USAGE = gauge(
    "memory_usage_bytes",
    Unit.BYTES,
    "Device memory in use, without what the driver reserves for itself where it tells that apart.",
    BOTH,
)
MEMORY_LIMIT = Metric(
    "memory_limit_bytes", Kind.GAUGE, Unit.BYTES, "Size of the device memory, reserved memory included.", BOTH
)
MEMORY_RESERVED = gauge(
    "memory_reserved_bytes", Unit.BYTES, "Device memory that driver and firmware keep for themselves.", BOTH
)
HOST_MEMORY_USAGE = Metric(
    "host_memory_usage_bytes",
    Kind.GAUGE,
    Unit.BYTES,
    "Host memory that the device or partition uses: mapped for it (GTT), pinned or spilled to.",
    BOTH,
)
MEMORY_BANDWIDTH = gauge(
    "memory_bandwidth_utilization_ratio",
    Unit.RATIO,
    "Fraction of the bandwidth of device memory that was used, where the hardware tells it (GPM), else of the last "
    "sampling period in which memory was read or written.",
    BOTH,
)
ENGINE_UTILIZATION = gauge(
    "engine_utilization_ratio",
    Unit.RATIO,
    "Fraction of the last sampling period in which a fixed-function engine was busy.",
    BOTH,
    (own.ENGINE,),
    Cadence.MEDIUM,
)
PIPE_ACTIVITY = gauge(
    "pipe_activity_ratio",
    Unit.RATIO,
    "Fraction of cycles in which an execution pipe was active. Pipes overlap: do not add them up.",
    BOTH,
    (own.PIPE,),
)
PIPE_ACTIVE_CYCLES = counter(
    "pipe_active_cycles_total",
    Unit.NONE,
    "Cycles in which an execution pipe was active, from hardware counters. Divide its rate by that of "
    "pipe_elapsed_cycles_total. Pipes overlap.",
    BOTH,
    (own.PIPE,),
    Cadence.MEDIUM,
)
PIPE_ELAPSED_CYCLES = counter(
    "pipe_elapsed_cycles_total",
    Unit.NONE,
    "Cycles that the execution pipes had, active or not, from hardware counters.",
    BOTH,
    cadence=Cadence.MEDIUM,
)
SM_OCCUPANCY = gauge(
    "sm_occupancy_ratio",
    Unit.RATIO,
    "Warps resident on the multiprocessors, as a fraction of the most that fit.",
    BOTH,
)
COMPUTE_RATIO = gauge(
    "compute_ratio",
    Unit.RATIO,
    "The partition's fraction of the compute units of its device.",
    PARTITION,
    cadence=Cadence.SLOW,
)
PROCESSES = Metric(
    "processes",
    Kind.GAUGE,
    Unit.NONE,
    "Number of processes that use the device or partition.",
    BOTH,
    cadence=Cadence.MEDIUM,
)
