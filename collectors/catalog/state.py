"""State: what a device is, how it is, how it is cut and handed out."""

from collectors import labels as own
from collectors.catalog.row import BOTH, DEVICE, gauge
from collectors.metric import Cadence, Kind, Metric, Origin, Unit

INFO = Metric(
    "info",
    Kind.INFO,
    Unit.NONE,
    "Fixed properties of the device or partition as labels, always 1. A property that is unknown has no label.",
    BOTH,
    own.PROPERTIES,
    Cadence.SLOW,
    persistent=True,
)
STATUS_STATE = Metric(
    "status",
    Kind.GAUGE,
    Unit.NONE,
    "1 for the state the device is in, 0 for the others; failed means that it no longer answers or must be reset.",
    DEVICE,
    (own.STATUS,),
    persistent=True,
)
RECOVERY_ACTION = gauge(
    "recovery_action",
    Unit.NONE,
    "1 for what the driver says must be done to repair the device, 0 for the others.",
    DEVICE,
    (own.RECOVERY,),
    Cadence.MEDIUM,
)
MODE_STATE = gauge(
    "mode",
    Unit.NONE,
    "1 while the mode is in force on the device, 0 while it is not.",
    DEVICE,
    (own.MODE,),
    Cadence.SLOW,
)
PARTITIONS = gauge(
    "partitions", Unit.NONE, "Number of hardware partitions the device is cut into; 0 when it is whole.", DEVICE
)
ALLOCATED = Metric(
    "allocated",
    Kind.GAUGE,
    Unit.NONE,
    "1 while a container holds the device or partition (a device also through one of its partitions), 0 while it "
    "is free. Absent while allocations are unknown.",
    BOTH,
    origin=Origin.ATTRIBUTION,
    persistent=True,
)
ALLOCATIONS = Metric(
    "allocations",
    Kind.GAUGE,
    Unit.NONE,
    "Number of containers that hold the device or partition itself, not a part of it; more than 1 means that it is "
    "shared. Absent while allocations are unknown.",
    BOTH,
    origin=Origin.ATTRIBUTION,
    persistent=True,
)
