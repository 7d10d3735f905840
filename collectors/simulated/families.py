"""Families that go together: what a profile tells is made of these."""

from collectors import catalog

STATE = frozenset({catalog.INFO, catalog.STATUS_STATE, catalog.MODE_STATE, catalog.PARTITIONS, catalog.PROCESSES})
LOAD = frozenset({catalog.UTILIZATION, catalog.MEMORY_BANDWIDTH, catalog.ENGINE_UTILIZATION})
ACTIVITY = frozenset({catalog.PIPE_ACTIVITY, catalog.SM_OCCUPANCY})
MEMORY = frozenset({catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT, catalog.MEMORY_RESERVED})
POWER = frozenset(
    {
        catalog.POWER,
        catalog.ENERGY,
        catalog.POWER_LIMIT,
        catalog.POWER_DEFAULT_LIMIT,
        catalog.POWER_MIN_LIMIT,
        catalog.POWER_MAX_LIMIT,
    }
)
HEAT = frozenset({catalog.TEMPERATURE, catalog.TEMPERATURE_LIMIT, catalog.TEMPERATURE_MARGIN})
CLOCKS = frozenset({catalog.CLOCK, catalog.MAX_CLOCK, catalog.THROTTLE_ACTIVE, catalog.THROTTLE_SECONDS})
PCIE = frozenset(
    {
        catalog.PCIE_GENERATION,
        catalog.PCIE_MAX_GENERATION,
        catalog.PCIE_WIDTH,
        catalog.PCIE_MAX_WIDTH,
        catalog.PCIE_REPLAYS,
    }
)
LINKS = frozenset(
    {
        catalog.INTERCONNECT_BYTES,
        catalog.INTERCONNECT_LINKS,
        catalog.INTERCONNECT_ERRORS,
        catalog.INTERCONNECT_BANDWIDTH_LIMIT,
    }
)
EVENTS = frozenset({catalog.ERRORS, catalog.ERROR_LAST_TIMESTAMP, catalog.MEMORY_ERRORS})
REPAIR = frozenset({catalog.MEMORY_REPAIR_PENDING, catalog.MEMORY_REPAIR_FAILED})
ROWS = frozenset({catalog.MEMORY_REMAPPED_ROWS}) | REPAIR
SLICE = frozenset({catalog.INFO, catalog.COMPUTE_RATIO, catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT, catalog.PROCESSES})
