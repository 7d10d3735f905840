"""Families about properties, health, partition layout and allocation of a device."""

from collectors import labels as own
from collectors.catalog.bounds import FLAG
from collectors.catalog.row import BOTH, DEVICE, gauge
from collectors.metric import Cadence, Kind, Metric, MetricSet, Origin, Rare, Stability, Unit

_MOST_PARTITIONS = 1024

INFO = Metric(
    "info",
    Kind.INFO,
    Unit.NONE,
    "Fixed properties of the device or partition as labels, always 1. An unknown property has no label.",
    BOTH,
    own.PROPERTIES,
    Cadence.SLOW,
    persistent=True,
    stability=Stability.STABLE,
)
STATUS_STATE = Metric(
    "status",
    Kind.GAUGE,
    Unit.NONE,
    "1 for the current state of the device, 0 for the other states. failed means that it no longer answers or must be "
    "reset.",
    DEVICE,
    (own.STATUS,),
    persistent=True,
    bounds=FLAG,
    metric_set=MetricSet.HEALTH,
    stability=Stability.STABLE,
)
RECOVERY_ACTION = gauge(
    "recovery_action",
    Unit.NONE,
    "1 for the action that the driver requires to repair the device, 0 for the other actions.",
    DEVICE,
    (own.RECOVERY,),
    Cadence.MEDIUM,
    bounds=FLAG,
    metric_set=MetricSet.HEALTH,
)
MODE_STATE = gauge(
    "mode",
    Unit.NONE,
    "1 while the mode is active on the device, else 0.",
    DEVICE,
    (own.MODE,),
    Cadence.SLOW,
    bounds=FLAG,
    rare=Rare(MetricSet.LIMITS, "mode", ("persistence", "exclusive", "confidential")),
)
PARTITIONS = gauge(
    "partitions",
    Unit.NONE,
    "Number of hardware partitions of the device; 0 if it is not partitioned.",
    DEVICE,
    bounds=(0, _MOST_PARTITIONS),
    stability=Stability.STABLE,
)
ALLOCATED = Metric(
    "allocated",
    Kind.GAUGE,
    Unit.NONE,
    "1 while the device or partition is allocated to a container, else 0. A device is also allocated if one of its "
    "partitions is. Absent while allocations are unknown.",
    BOTH,
    origin=Origin.ATTRIBUTION,
    persistent=True,
    stability=Stability.STABLE,
)
ALLOCATIONS = Metric(
    "allocations",
    Kind.GAUGE,
    Unit.NONE,
    "Number of containers to which the device or partition itself is allocated, not a part of it. More than 1 means "
    "that it is shared. Absent while allocations are unknown.",
    BOTH,
    origin=Origin.ATTRIBUTION,
    persistent=True,
    rare=Rare(MetricSet.DIAGNOSTICS, of_partitions=True),
    stability=Stability.STABLE,
)
