"""The row about the largest consumers: the pods with the most device-hours, waste, idle time and power."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from dashboards.src.links import POD_OF_SERIES
from dashboards.src.measures import device_hours, held_power, held_power_by_energy, idle_device_hours
from dashboards.src.page import Panels
from dashboards.src.panels import About, Query, Step, bars, lines
from dashboards.src.pods import idle_time
from dashboards.src.promql import Expression, energy_in_range, ranking
from dashboards.src.scope import Scope
from dashboards.src.status import rank_of_held
from dashboards.src.tables import Column, rows, state

_POD = ("namespace", "pod")
_NAME = "{{namespace}}/{{pod}}"
_MOST = 10
_HALF_AN_HOUR = 1800
_AN_HOUR = 3600


def panels(scope: Scope) -> Panels:
    """The ranking by each measure, and the table of all pods."""
    return (*_rankings(scope), _table(scope), _power(scope))


def _rankings(scope: Scope) -> Panels:
    return (
        _ranking(
            "Most device-hours",
            "The pods with the most device-hours in the time range chosen above, used or not; also pods that ended.",
            device_hours(scope, *_POD),
        ),
        _ranking(
            "Most idle device-hours",
            "The pods with the most device-hours in which nothing executed; also pods that ended.",
            idle_device_hours(scope, *_POD),
            Step(0, "green"),
            Step(1, "yellow"),
            Step(8, "red"),
        ),
        _ranking(
            "Longest idle now",
            "Time since each pod was last seen executing on any of its devices. If it was never seen executing, the "
            "time for which it has been observed: it is idle for at least that long. It starts again at 0 if the "
            "exporter restarts. Absent for containers that share a device.",
            idle_time(scope, *_POD),
            Step(0, "green"),
            Step(_HALF_AN_HOUR, "yellow"),
            Step(_AN_HOUR, "red"),
        ),
    )


def _ranking(title: str, description: str, expression: Expression, *steps: Step) -> Builder[Panel]:
    about = About(title, description, width=8)
    return bars(about, Query(ranking(_MOST, expression), _NAME), *steps, link=POD_OF_SERIES)


def _table(scope: Scope) -> Builder[Panel]:
    about = About(
        "Pods",
        "Device-hours, the idle ones among them, and energy of each pod in the time range chosen above; power now. "
        "Pods that ended are listed without a state.",
        width=24,
    )
    return rows(
        about,
        state(rank_of_held(scope, *_POD)),
        {"namespace": "Namespace", "pod": "Pod"},
        Column("Device-hours", device_hours(scope, *_POD)),
        Column("Idle device-hours", idle_device_hours(scope, *_POD)),
        Column("Energy", energy_in_range(held_power_by_energy(scope, *_POD))),
        Column("Power", held_power(scope, *_POD)),
    )


def _power(scope: Scope) -> Builder[Panel]:
    return lines(
        About(
            "Power by pod",
            "Power of the devices, divided among their containers by their share. The sum is never more than the "
            "devices draw; the free part of a device belongs to no pod.",
            width=24,
        ),
        Query(held_power(scope, *_POD), _NAME),
        link=POD_OF_SERIES,
    )
