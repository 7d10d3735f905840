"""Power and heat, the clocks that follow from them, and what holds those down."""

from collectors import labels as own
from collectors.catalog.row import DEVICE, counter, gauge
from collectors.metric import Cadence, Kind, Metric, Unit

POWER = gauge("power_watts", Unit.WATTS, "Power the device draws.", DEVICE)
ENERGY = counter(
    "energy_joules_total",
    Unit.JOULES,
    "Energy the device has used, by its own counter, which starts again when the driver is loaded. Where it has "
    "none, its power integrated since the exporter started.",
    DEVICE,
)
POWER_LIMIT = Metric(
    "power_limit_watts", Kind.GAUGE, Unit.WATTS, "Power limit in force.", DEVICE, cadence=Cadence.MEDIUM
)
POWER_DEFAULT_LIMIT = gauge(
    "power_default_limit_watts",
    Unit.WATTS,
    "Power limit in force after the driver is loaded anew.",
    DEVICE,
    cadence=Cadence.SLOW,
)
POWER_MIN_LIMIT = gauge(
    "power_min_limit_watts", Unit.WATTS, "Lowest power limit that can be set.", DEVICE, cadence=Cadence.SLOW
)
POWER_MAX_LIMIT = gauge(
    "power_max_limit_watts", Unit.WATTS, "Highest power limit that can be set.", DEVICE, cadence=Cadence.SLOW
)
TEMPERATURE = Metric(
    "temperature_celsius", Kind.GAUGE, Unit.CELSIUS, "Temperature at a sensor.", DEVICE, (own.SENSOR,), Cadence.MEDIUM
)
TEMPERATURE_LIMIT = gauge(
    "temperature_limit_celsius",
    Unit.CELSIUS,
    "Temperature at which the device slows down or shuts down, or that it should not exceed (maximum).",
    DEVICE,
    (own.SENSOR, own.LIMIT),
    Cadence.SLOW,
)
TEMPERATURE_MARGIN = gauge(
    "temperature_margin_celsius",
    Unit.CELSIUS,
    "Degrees left until a limit; negative beyond it. Given where the device tells the distance but not the limit.",
    DEVICE,
    (own.SENSOR, own.LIMIT),
    Cadence.MEDIUM,
)
CLOCK = gauge("clock_hertz", Unit.HERTZ, "Clock frequency now.", DEVICE, (own.DOMAIN,), Cadence.MEDIUM)
MAX_CLOCK = gauge(
    "max_clock_hertz",
    Unit.HERTZ,
    "Highest clock frequency the device can run at.",
    DEVICE,
    (own.DOMAIN,),
    Cadence.SLOW,
)
FAN_SPEED = gauge(
    "fan_speed_ratio", Unit.RATIO, "Fan speed as a fraction of its maximum.", DEVICE, (own.FAN,), Cadence.MEDIUM
)
THROTTLE_ACTIVE = gauge(
    "throttle_active",
    Unit.NONE,
    "1 while clocks are held down for the reason, 0 while they are not.",
    DEVICE,
    (own.THROTTLE_REASON,),
)
THROTTLE_SECONDS = counter(
    "throttle_seconds_total",
    Unit.SECONDS,
    "Time for which clocks were held down for the reason, from the hardware's own counters.",
    DEVICE,
    (own.THROTTLE_REASON,),
    Cadence.MEDIUM,
)
