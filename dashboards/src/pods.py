"""The row about pods: their allocations, their utilization, and idle pods."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.measures import (
    DEVICE_KEY,
    OF_CONTAINER,
    OF_EDGE,
    edge,
    mean_utilization,
    power_by_pod,
    utilization,
)
from dashboards.src.panels import About, Query, Step, bars, lines
from dashboards.src.promql import POINT, RANGE, Expression, increase, largest, series, since, total
from dashboards.src.tables import Column, rows
from exporter import families

_POD = "{{namespace}}/{{pod}}"
_CONTAINER = f"{_POD} {{{{container}}}}"
_TITLES = {
    "namespace": "Namespace",
    "pod": "Pod",
    "container": "Container",
    "instance": "Node",
    "device": "Device",
    "profile": "Partition",
}
_HIDDEN = tuple(label for label in OF_EDGE if label not in _TITLES)
_SHARE = series(families.ALLOCATION_SHARE, Subject.ALLOCATION)

_HALF_AN_HOUR = 1800
_AN_HOUR = 3600
# Below this fraction of busy time a container is idle, if it was observed for at least half of the time range.
_IDLE_RATIO = 0.01
_LONG_ENOUGH = "> 0.5 * $__range_s"


def panels() -> tuple[Builder[Panel], ...]:
    """Tables of all allocations and of the idle ones, then the graphs."""
    return (_allocations(), _idle(), *_use(), *_cost())


def _allocations() -> Builder[Panel]:
    about = About(
        "Allocations",
        "One line for each container and each device or partition that is allocated to it. Share is its fraction of "
        "the whole device. Utilization is the mean over the time range. Idle for is the time since the container was "
        "last seen executing; if it was never seen executing, the time for which it has been observed: it is idle for "
        "at least that long. Both are empty if several containers share a device, because their parts cannot be "
        "measured.",
        width=24,
    )
    columns = (
        Column("Share", edge(_SHARE)),
        Column("Utilization", edge(utilization(Subject.CONTAINER, RANGE))),
        Column("Idle for", _idle_time(OF_EDGE)),
    )
    return rows(about, _TITLES, columns, _HIDDEN)


def _idle() -> Builder[Panel]:
    about = About(
        "Allocated but idle",
        "Containers whose devices were busy for less than 1 % of the time range and observed for at least half of it. "
        "Containers that share a device are listed if the whole device was idle. Choose a range of an hour or more, "
        "then ask the owner whether the pod can be deleted.",
        width=24,
        height=6,
    )
    return rows(about, _TITLES, (Column("Utilization", edge(_idle_alone().or_else(_idle_together()))),), _HIDDEN)


def _idle_time(by: tuple[str, ...]) -> Expression:
    """Seconds since a container was last seen executing; if it never was, the seconds for which it has been observed.

    A container that was never active has no last time, although it is the most idle one.
    """
    last_active = series(families.CONTAINER_LAST_ACTIVE, Subject.CONTAINER)
    observed = series(families.CONTAINER_OBSERVED_SECONDS, Subject.CONTAINER)
    return since(largest(last_active, *by)).or_else(largest(observed, *by))


def _idle_alone() -> Expression:
    """Containers whose own use is measured."""
    observed = increase(series(families.CONTAINER_OBSERVED_SECONDS, Subject.CONTAINER), RANGE)
    idle = utilization(Subject.CONTAINER, RANGE).where(f"< {_IDLE_RATIO}")
    return idle.those_in(observed.where(_LONG_ENOUGH), *OF_CONTAINER, "instance", "uuid", "partition_uuid")


def _idle_together() -> Expression:
    """Containers that share a device, with the utilization of the device."""
    observed = increase(series(catalog.OBSERVED_SECONDS, Subject.DEVICE), RANGE)
    shared = series(catalog.ALLOCATIONS, Subject.DEVICE).where("> 1")
    idle = utilization(Subject.DEVICE, RANGE).where(f"< {_IDLE_RATIO}")
    device = idle.those_in(observed.where(_LONG_ENOUGH), *DEVICE_KEY).those_in(shared, *DEVICE_KEY)
    return series(families.ALLOCATION_INFO, Subject.ALLOCATION).times_one_of(device, *DEVICE_KEY)


def _use() -> tuple[Builder[Panel], ...]:
    return (
        lines(
            About(
                "Container utilization",
                "Busy time divided by observed time of each container; the mean if it has several devices. An "
                "autoscaler should use this value. Absent for containers that share a device.",
            ),
            Query(mean_utilization(Subject.CONTAINER, POINT, *OF_CONTAINER), _CONTAINER),
        ),
        lines(
            About(
                "Container memory",
                "Device memory in use by each container on all its devices. A steady rise is a leak or a growing "
                "cache. Absent for containers that share a device.",
            ),
            Query(total(series(families.CONTAINER_MEMORY_USAGE, Subject.CONTAINER), *OF_CONTAINER), _CONTAINER),
        ),
    )


def _cost() -> tuple[Builder[Panel], ...]:
    return (
        bars(
            About(
                "Time since last active",
                "Time since each container was last seen executing on any of its devices. If it was never seen "
                "executing, the time for which it has been observed: it is idle for at least that long. It "
                "starts again at 0 if the exporter restarts. Absent for containers that share a device.",
                width=8,
            ),
            Query(_idle_time(OF_CONTAINER), _CONTAINER),
            Step(0, "green"),
            Step(_HALF_AN_HOUR, "yellow"),
            Step(_AN_HOUR, "red"),
        ),
        lines(
            About(
                "Power by pod",
                "Power of the devices, divided among their containers by their share. The sum is never more than the "
                "devices draw; the free part of a device belongs to no pod.",
                width=8,
            ),
            Query(power_by_pod(), _POD),
        ),
        lines(
            About(
                "Allocated devices by pod",
                "The sum of the shares of each pod: 1 is a whole device, used or not. A bill by time is based on this "
                "value.",
                width=8,
            ),
            Query(total(_SHARE, "namespace", "pod").as_count(), _POD),
        ),
    )
