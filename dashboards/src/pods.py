"""The row about pods: their allocations, their use, and idle pods."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.links import POD_OF_SERIES
from dashboards.src.measures import (
    HELD_KEY,
    IDLE_RATIO,
    OF_CONTAINER,
    OF_EDGE,
    edge,
    mean_utilization,
    utilization,
)
from dashboards.src.page import Panels
from dashboards.src.panels import About, Query, lines
from dashboards.src.promql import POINT, RANGE, Expression, increase, largest, largest_first, since, total
from dashboards.src.scope import Scope
from dashboards.src.status import DEVICE_KEY, rank_of_held
from dashboards.src.tables import Column, rows, state
from exporter import families

_CONTAINER = "{{namespace}}/{{pod}} {{container}}"
_TITLES = {
    "namespace": "Namespace",
    "pod": "Pod",
    "container": "Container",
    "instance": "Node",
    "device": "Device",
    "profile": "Partition",
}
_HIDDEN = tuple(label for label in OF_EDGE if label not in _TITLES)
_LONG_ENOUGH = "> 0.5 * $__range_s"


def panels(scope: Scope) -> Panels:
    """Tables of all allocations and of the idle ones, then the graphs."""
    return (_allocations(scope), _idle(scope), *_use(scope))


def of_edges(scope: Scope) -> Expression:
    """One element for each pod with an allocation."""
    return largest(scope.series(families.ALLOCATION_INFO, Subject.ALLOCATION), "namespace", "pod")


def _allocations(scope: Scope) -> Builder[Panel]:
    about = About(
        "Allocations",
        "Current values; a line for each container and each device or partition that is allocated to it, the worst "
        "state of the device first. Share is its fraction of the whole device. Idle for is the time since the "
        "container was last seen executing; if it was never seen executing, the time for which it has been observed. "
        "Utilization, memory, power and Idle for are empty if several containers share a device, because their parts "
        "cannot be measured.",
        width=24,
        height=11,
    )
    memory = scope.series(families.CONTAINER_MEMORY_USAGE, Subject.CONTAINER).over(
        scope.series(families.CONTAINER_MEMORY_LIMIT, Subject.CONTAINER)
    )
    return rows(
        about,
        state(rank_of_held(scope, *OF_EDGE)),
        _TITLES,
        Column("Share", edge(scope.series(families.ALLOCATION_SHARE, Subject.ALLOCATION))),
        Column("Utilization", edge(scope.series(families.CONTAINER_UTILIZATION, Subject.CONTAINER))),
        Column("Memory", edge(memory)),
        Column("Power", edge(scope.series(families.CONTAINER_POWER, Subject.CONTAINER))),
        Column("Idle for", idle_time(scope, *OF_EDGE)),
        hidden=_HIDDEN,
    )


def _idle(scope: Scope) -> Builder[Panel]:
    about = About(
        "Allocated but idle",
        "Containers whose devices were busy for less than 1 % of the time range chosen above and observed for at least "
        "half of it, the largest share first. Containers that share a device are listed if the whole device was idle. "
        "Choose a range of an hour or more, then ask the owner whether the pod can be deleted.",
        width=24,
        height=7,
    )
    share = edge(scope.series(families.ALLOCATION_SHARE, Subject.ALLOCATION))
    idle = edge(_idle_alone(scope).or_else(_idle_together(scope)))
    return rows(
        about,
        Column("Share", largest_first(share.those_in(idle, *OF_CONTAINER, *HELD_KEY))),
        _TITLES,
        Column("Mean utilization", idle),
        hidden=_HIDDEN,
    )


def idle_time(scope: Scope, *by: str) -> Expression:
    """Seconds since a container was last seen executing; if it never was, the seconds for which it has been observed.

    A container that was never active has no last time, although it is the most idle one.
    """
    last_active = scope.series(families.CONTAINER_LAST_ACTIVE, Subject.CONTAINER)
    observed = scope.series(families.CONTAINER_OBSERVED_SECONDS, Subject.CONTAINER)
    return since(largest(last_active, *by)).or_else(largest(observed, *by))


def _idle_alone(scope: Scope) -> Expression:
    """Containers whose own use is measured."""
    observed = increase(scope.series(families.CONTAINER_OBSERVED_SECONDS, Subject.CONTAINER), RANGE)
    idle = utilization(scope, Subject.CONTAINER, RANGE).where(f"< {IDLE_RATIO}")
    return idle.those_in(observed.where(_LONG_ENOUGH), *OF_CONTAINER, *HELD_KEY)


def _idle_together(scope: Scope) -> Expression:
    """Containers that share a device, with the utilization of the device."""
    observed = increase(scope.series(catalog.OBSERVED_SECONDS, Subject.DEVICE), RANGE)
    shared = scope.series(catalog.ALLOCATIONS, Subject.DEVICE).where("> 1")
    idle = utilization(scope, Subject.DEVICE, RANGE).where(f"< {IDLE_RATIO}")
    device = idle.those_in(observed.where(_LONG_ENOUGH), *DEVICE_KEY).those_in(shared, *DEVICE_KEY)
    return scope.series(families.ALLOCATION_INFO, Subject.ALLOCATION).times_one_of(device, *DEVICE_KEY)


def _use(scope: Scope) -> Panels:
    return (
        lines(
            About(
                "Container utilization",
                "Busy time divided by observed time of each container; the mean if it has several devices. An "
                "autoscaler should use this value. Absent for containers that share a device.",
            ),
            Query(mean_utilization(scope, Subject.CONTAINER, POINT, *OF_CONTAINER), _CONTAINER),
            link=POD_OF_SERIES,
        ),
        lines(
            About(
                "Container memory",
                "Device memory in use by each container on all its devices. A steady rise is a leak or a growing "
                "cache. Absent for containers that share a device.",
            ),
            Query(total(scope.series(families.CONTAINER_MEMORY_USAGE, Subject.CONTAINER), *OF_CONTAINER), _CONTAINER),
            link=POD_OF_SERIES,
        ),
    )
