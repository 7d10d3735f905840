"""The catalogue of device and partition families: the one list from which everything else about them follows.

Order in the modules here, and of them in `ROWS`, is the order of the exposition. A family is added, renamed or
explained here and nowhere else.
"""

from collectors.catalog import errors, links, load, power, processes, state
from collectors.catalog.errors import (
    ERROR_LAST_TIMESTAMP,
    ERRORS,
    MEMORY_ERRORS,
    MEMORY_LIFETIME_ERRORS,
    MEMORY_REMAPPED_ROWS,
    MEMORY_REPAIR_FAILED,
    MEMORY_REPAIR_PENDING,
    MEMORY_RETIRED_PAGES,
)
from collectors.catalog.links import (
    FABRIC_STATUS,
    INTERCONNECT_BANDWIDTH_LIMIT,
    INTERCONNECT_BYTES,
    INTERCONNECT_ERRORS,
    INTERCONNECT_LINKS,
    PCIE_BYTES,
    PCIE_GENERATION,
    PCIE_MAX_GENERATION,
    PCIE_MAX_WIDTH,
    PCIE_REPLAYS,
    PCIE_THROUGHPUT,
    PCIE_WIDTH,
)
from collectors.catalog.load import (
    BUSY_SECONDS,
    COMPUTE_RATIO,
    ENGINE_UTILIZATION,
    HOST_MEMORY_USAGE,
    MEMORY_BANDWIDTH,
    MEMORY_LIMIT,
    MEMORY_RESERVED,
    MEMORY_USAGE,
    OBSERVED_SECONDS,
    PIPE_ACTIVE_CYCLES,
    PIPE_ACTIVITY,
    PIPE_ELAPSED_CYCLES,
    PROCESSES,
    SM_OCCUPANCY,
    UTILIZATION,
)
from collectors.catalog.power import (
    CLOCK,
    ENERGY,
    FAN_SPEED,
    MAX_CLOCK,
    POWER,
    POWER_DEFAULT_LIMIT,
    POWER_LIMIT,
    POWER_MAX_LIMIT,
    POWER_MIN_LIMIT,
    TEMPERATURE,
    TEMPERATURE_LIMIT,
    TEMPERATURE_MARGIN,
    THROTTLE_ACTIVE,
    THROTTLE_SECONDS,
)
from collectors.catalog.processes import (
    PROCESS_COPY_SECONDS,
    PROCESS_MEMORY_USAGE,
    PROCESS_OCCUPANCY,
    PROCESS_UTILIZATION,
)
from collectors.catalog.state import (
    ALLOCATED,
    ALLOCATIONS,
    INFO,
    MODE_STATE,
    PARTITIONS,
    RECOVERY_ACTION,
    STATUS_STATE,
)
from collectors.metric import Metric

# Every row, in the order of the modules.
ROWS: tuple[Metric, ...] = tuple(
    row
    for module in (state, load, power, links, errors, processes)
    for row in vars(module).values()
    if isinstance(row, Metric)
)
