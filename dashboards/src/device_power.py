"""The row about power, temperature and clocks: what limits a device, and by how much."""

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.device_tables import MARGIN_STEPS, NAME
from dashboards.src.links import DEVICE_OF_SERIES
from dashboards.src.measures import temperature_limits
from dashboards.src.page import Panels
from dashboards.src.panels import About, Query, lines, margins
from dashboards.src.promql import POINT, limited_to_one, part_of_time, rate
from dashboards.src.scope import Scope


def panels(scope: Scope) -> Panels:
    """Power and heat with the device's own limits, then their effects."""
    return (*_causes(scope), *_effects(scope))


def _causes(scope: Scope) -> Panels:
    return (
        lines(
            About(
                "Device power",
                "Power that each device draws, and dashed its own limit, if it reports one. A flat line at the limit "
                "means that the limit slows the device down: compare it with Throttled.",
            ),
            Query(scope.series(catalog.POWER, Subject.DEVICE), NAME),
            Query(scope.series(catalog.POWER_LIMIT, Subject.DEVICE), f"{NAME} limit", limit=True),
            link=DEVICE_OF_SERIES,
        ),
        lines(
            About(
                "Device temperature",
                "Temperature at each sensor, and dashed the device's own limits, if it reports the margin to them. If "
                "one device is hotter than its neighbours under the same load, check air flow and fans.",
            ),
            Query(scope.series(catalog.TEMPERATURE, Subject.DEVICE), f"{NAME} {{{{sensor}}}}"),
            Query(temperature_limits(scope), f"{NAME} {{{{sensor}}}} {{{{limit}}}}", limit=True),
            link=DEVICE_OF_SERIES,
        ),
        margins(
            About(
                "Temperature margin",
                "What is left until each limit of the device. Below 5 the driver is about to reduce the clocks or to "
                "switch the device off.",
                width=8,
            ),
            Query(scope.series(catalog.TEMPERATURE_MARGIN, Subject.DEVICE), f"{NAME} {{{{sensor}}}} {{{{limit}}}}"),
            *MARGIN_STEPS,
            link=DEVICE_OF_SERIES,
        ),
    )


def _effects(scope: Scope) -> Panels:
    counted = limited_to_one(rate(scope.series(catalog.THROTTLE_SECONDS, Subject.DEVICE), POINT))
    sampled = part_of_time(scope.series(catalog.THROTTLE_ACTIVE, Subject.DEVICE), POINT)
    return (
        lines(
            About(
                "Throttled",
                "Fraction of the time in which the device reduced its clocks, by reason; devices that did not are not "
                "shown. power: the limit is low for the load. thermal: check cooling. external: requested by the power "
                "supply or the chassis.",
                width=8,
            ),
            Query(counted.or_else(sampled).where("> 0"), f"{NAME} {{{{reason}}}}"),
            link=DEVICE_OF_SERIES,
        ),
        lines(
            About(
                "Fans",
                "Speed of each fan as a fraction of its maximum. Devices without fans are cooled by the chassis.",
                width=8,
            ),
            Query(scope.series(catalog.FAN_SPEED, Subject.DEVICE), f"{NAME} {{{{fan}}}}"),
        ),
        lines(
            About(
                "Clocks",
                "Current frequencies. Low under load: see Throttled. Low without load is normal. More clocks are in "
                "the set engines.",
                width=24,
            ),
            Query(scope.series(catalog.CLOCK, Subject.DEVICE), f"{NAME} {{{{domain}}}}"),
        ),
    )
