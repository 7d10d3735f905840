"""Families about power, temperature, clocks, fans and throttling."""

from collectors import labels as own
from collectors.catalog.bounds import FLAG, HIGHEST_WATTS
from collectors.catalog.row import DEVICE, counter, gauge
from collectors.metric import Cadence, Kind, Metric, MetricSet, Rare, Stability, Unit

# NVML documents that a fan may exceed 100 % of its nominal maximum.
_HIGHEST_FAN_SPEED = 2.0

POWER = gauge(
    "power_watts",
    Unit.WATTS,
    "Power drawn by the device. If only the power of a package is measured that it shares with another device or a "
    "processor, it is that of the package, and the other device has none.",
    DEVICE,
    stability=Stability.STABLE,
)
ENERGY = counter(
    "energy_joules_total",
    Unit.JOULES,
    "Energy used by the device, from its own counter, which restarts when the driver is loaded. If it has no counter: "
    "its power integrated since the exporter started.",
    DEVICE,
    most_per_second=HIGHEST_WATTS,
    stability=Stability.STABLE,
)
POWER_LIMIT = Metric(
    "power_limit_watts",
    Kind.GAUGE,
    Unit.WATTS,
    "Power limit in force.",
    DEVICE,
    cadence=Cadence.MEDIUM,
    stability=Stability.STABLE,
)
POWER_DEFAULT_LIMIT = gauge(
    "power_default_limit_watts",
    Unit.WATTS,
    "Power limit that is restored when the driver is reloaded.",
    DEVICE,
    cadence=Cadence.SLOW,
    metric_set=MetricSet.LIMITS,
)
POWER_MIN_LIMIT = gauge(
    "power_min_limit_watts",
    Unit.WATTS,
    "Lowest power limit that can be set.",
    DEVICE,
    cadence=Cadence.SLOW,
    metric_set=MetricSet.LIMITS,
)
POWER_MAX_LIMIT = gauge(
    "power_max_limit_watts",
    Unit.WATTS,
    "Highest power limit that can be set.",
    DEVICE,
    cadence=Cadence.SLOW,
    metric_set=MetricSet.LIMITS,
)
TEMPERATURE = Metric(
    "temperature_celsius",
    Kind.GAUGE,
    Unit.CELSIUS,
    "Temperature at a sensor.",
    DEVICE,
    (own.SENSOR,),
    Cadence.MEDIUM,
    stability=Stability.STABLE,
)
TEMPERATURE_LIMIT = gauge(
    "temperature_limit_celsius",
    Unit.CELSIUS,
    "Temperature at which the device slows down or shuts down, or that it should not exceed (maximum).",
    DEVICE,
    (own.SENSOR, own.LIMIT),
    Cadence.SLOW,
    metric_set=MetricSet.LIMITS,
)
TEMPERATURE_MARGIN = gauge(
    "temperature_margin_celsius",
    Unit.CELSIUS,
    "Degrees left until a limit; negative above the limit. Exported if the device reports the difference but not the "
    "limit.",
    DEVICE,
    (own.SENSOR, own.LIMIT),
    Cadence.MEDIUM,
    metric_set=MetricSet.HEALTH,
)
CLOCK = gauge(
    "clock_hertz",
    Unit.HERTZ,
    "Current clock frequency.",
    DEVICE,
    (own.DOMAIN,),
    Cadence.MEDIUM,
    rare=Rare(MetricSet.ENGINES, "domain", ("sm", "video", "soc", "fabric", "display")),
    stability=Stability.STABLE,
)
MAX_CLOCK = gauge(
    "clock_max_hertz",
    Unit.HERTZ,
    "Highest clock frequency that the device supports.",
    DEVICE,
    (own.DOMAIN,),
    Cadence.SLOW,
    metric_set=MetricSet.LIMITS,
)
FAN_SPEED = gauge(
    "fan_speed_ratio",
    Unit.RATIO,
    "Fan speed as a fraction of its nominal maximum, which a fan may exceed.",
    DEVICE,
    (own.FAN,),
    Cadence.MEDIUM,
    bounds=(0, _HIGHEST_FAN_SPEED),
    metric_set=MetricSet.HEALTH,
)
THROTTLE_ACTIVE = gauge(
    "throttle_active",
    Unit.NONE,
    "1 while clocks are reduced for this reason, else 0.",
    DEVICE,
    (own.THROTTLE_REASON,),
    bounds=FLAG,
    metric_set=MetricSet.HEALTH,
    stability=Stability.STABLE,
)
THROTTLE_SECONDS = counter(
    "throttle_seconds_total",
    Unit.SECONDS,
    "Time in which clocks were reduced for this reason: from counters of firmware or driver, else from "
    "throttle_active. NVIDIA devices have it only with the set diagnostics.",
    DEVICE,
    (own.THROTTLE_REASON,),
    Cadence.MEDIUM,
    most_per_second=1.0,
    metric_set=MetricSet.HEALTH,
    rare=Rare(MetricSet.DIAGNOSTICS, "vendor", ("nvidia",)),
)
