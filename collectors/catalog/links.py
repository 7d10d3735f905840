"""Families about links: to the host, and between accelerators."""

from collectors import labels as own
from collectors.catalog.bounds import FLAG
from collectors.catalog.row import DEVICE, counter, gauge
from collectors.metric import Cadence, Kind, Metric, MetricSet, Rare, Unit

_HIGHEST_GENERATION = 16
_HIGHEST_WIDTH = 32  # the most lanes that PCIe defines
_MOST_LINKS = 1024
# Twice the bytes per second and direction of PCIe 7.0 x16.
_PCIE_BYTES_PER_SECOND = 512e9
# Ten times those of NVLink 5, 0.9 TB/s.
_INTERCONNECT_BYTES_PER_SECOND = 1e13

PCIE_GENERATION = gauge(
    "pcie_link_generation",
    Unit.NONE,
    "Current PCIe generation of the link. It is lower while the device is idle: compare it under load.",
    DEVICE,
    cadence=Cadence.MEDIUM,
    bounds=(0, _HIGHEST_GENERATION),
    metric_set=MetricSet.HEALTH,
)
PCIE_MAX_GENERATION = gauge(
    "pcie_link_max_generation",
    Unit.NONE,
    "Highest PCIe generation that device and slot support.",
    DEVICE,
    cadence=Cadence.SLOW,
    bounds=(0, _HIGHEST_GENERATION),
    metric_set=MetricSet.LIMITS,
)
PCIE_WIDTH = gauge(
    "pcie_link_width",
    Unit.NONE,
    "PCIe lanes currently in use.",
    DEVICE,
    cadence=Cadence.MEDIUM,
    bounds=(0, _HIGHEST_WIDTH),
    metric_set=MetricSet.HEALTH,
)
PCIE_MAX_WIDTH = gauge(
    "pcie_link_max_width",
    Unit.NONE,
    "Highest number of PCIe lanes that device and slot support.",
    DEVICE,
    cadence=Cadence.SLOW,
    bounds=(0, _HIGHEST_WIDTH),
    metric_set=MetricSet.LIMITS,
)
PCIE_BYTES = counter(
    "pcie_bytes_total",
    Unit.BYTES,
    "Bytes transferred over PCIe, from hardware counters.",
    DEVICE,
    (own.DIRECTION,),
    Cadence.MEDIUM,
    most_per_second=_PCIE_BYTES_PER_SECOND,
    metric_set=MetricSet.ACTIVITY,
)
PCIE_THROUGHPUT = Metric(
    "pcie_throughput_bytes_per_second",
    Kind.GAUGE,
    Unit.BYTES_PER_SECOND,
    "Bytes transferred over PCIe per second, measured over some milliseconds. The measurement blocks the device's "
    "driver during that time.",
    DEVICE,
    (own.DIRECTION,),
    Cadence.MEDIUM,
    metric_set=MetricSet.ACTIVITY,
    option="collect.pcie_throughput",
    bounds=(0, _PCIE_BYTES_PER_SECOND),
)
PCIE_REPLAYS = counter(
    "pcie_replays_total",
    Unit.NONE,
    "PCIe packets sent again because of link errors.",
    DEVICE,
    cadence=Cadence.MEDIUM,
    metric_set=MetricSet.HEALTH,
)
INTERCONNECT_BYTES = counter(
    "interconnect_bytes_total",
    Unit.BYTES,
    "Bytes transferred over the links between accelerators: the sum over all links of a fabric or, with the set "
    "links, the bytes of each link.",
    DEVICE,
    (own.FABRIC, own.DIRECTION, own.LINK),
    Cadence.MEDIUM,
    most_per_second=_INTERCONNECT_BYTES_PER_SECOND,
    metric_set=MetricSet.ACTIVITY,
    rare=Rare(MetricSet.LINKS, "link"),
)
INTERCONNECT_LINKS = gauge(
    "interconnect_links",
    Unit.NONE,
    "Number of links between accelerators by state.",
    DEVICE,
    (own.FABRIC, own.LINK_STATE),
    Cadence.MEDIUM,
    bounds=(0, _MOST_LINKS),
    metric_set=MetricSet.HEALTH,
)
INTERCONNECT_ERRORS = counter(
    "interconnect_errors_total",
    Unit.NONE,
    "Errors on the links between accelerators: the sum over all links of a fabric or, with the set "
    "links, the errors of each link.",
    DEVICE,
    (own.FABRIC, own.LINK_ERROR, own.LINK),
    Cadence.MEDIUM,
    metric_set=MetricSet.HEALTH,
    rare=Rare(MetricSet.LINKS, "link"),
)
INTERCONNECT_BANDWIDTH_LIMIT = gauge(
    "interconnect_bandwidth_limit_bytes_per_second",
    Unit.BYTES_PER_SECOND,
    "Total bandwidth of all links that are up, in one direction.",
    DEVICE,
    (own.FABRIC,),
    Cadence.SLOW,
    bounds=(0, _INTERCONNECT_BYTES_PER_SECOND),
    metric_set=MetricSet.LIMITS,
)
FABRIC_STATUS = gauge(
    "fabric_status",
    Unit.NONE,
    "1 for the current state of the device's registration with its fabric, 0 for the other states.",
    DEVICE,
    (own.FABRIC, own.FABRIC_STATE),
    Cadence.SLOW,
    bounds=FLAG,
    metric_set=MetricSet.DIAGNOSTICS,
)
