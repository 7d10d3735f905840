"""Groups of families, of which profiles are composed. A value added to a group is in every profile with the group."""

from collectors import catalog
from collectors.simulated import device_rows, diagnostic_rows, partition_rows

STATE = frozenset(device_rows.STATE_ROWS)
LOAD = frozenset(device_rows.LOAD_ROWS)
ACTIVITY = frozenset(device_rows.ACTIVITY_ROWS)
MEMORY = frozenset(device_rows.MEMORY_ROWS)
POWER = frozenset(device_rows.POWER_ROWS)
HEAT = frozenset(device_rows.HEAT_ROWS)
CLOCKS = frozenset(device_rows.CLOCK_ROWS)
PCIE = frozenset(device_rows.PCIE_ROWS)
LINKS = frozenset(device_rows.LINK_ROWS)
EVENTS = frozenset(device_rows.EVENT_ROWS)
REPAIR = frozenset(device_rows.REPAIR_ROWS)
NVIDIA = frozenset({*device_rows.NVIDIA_ROWS, *diagnostic_rows.NVIDIA_ROWS, *diagnostic_rows.ALSO["nvidia"]})
FABRIC = frozenset({catalog.FABRIC_STATUS, *diagnostic_rows.FABRIC_ROWS})
LIMITS = frozenset({catalog.TEMPERATURE_LIMIT})
MARGIN = frozenset({catalog.TEMPERATURE_MARGIN})
ROWS = REPAIR | {catalog.MEMORY_REMAPPED_ROWS, *diagnostic_rows.BANK_ROWS}
SLICE = frozenset(partition_rows.SLICE_ROWS)
