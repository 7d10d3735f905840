"""The states of devices as numbers, the worst highest: a table sorts by them, and a timeline shows their history."""

from dataclasses import dataclass

from collectors import catalog
from collectors.metric import Subject, Unit
from dashboards.src.promql import Expression, ever_in_range, largest
from dashboards.src.scope import Scope
from exporter import families

# A device in joins: with the cluster, because two clusters may have nodes of one name.
DEVICE_KEY = ("instance", "uuid")
# The labels of a device that tables and legends show or need to distinguish devices.
OF_DEVICE = ("instance", "device", "model", "uuid")


@dataclass(frozen=True, slots=True)
class Look:
    """How a value is shown.

    Attributes:
        text: The word instead of the number.
        color: One of Grafana's colour names.
    """

    text: str
    color: str


# By rank. A device whose state is not known now is worse than an ok one: its collector hangs, or is down.
STATE_LOOKS: dict[int, Look] = {
    0: Look("ok", "green"),
    1: Look("unknown", "purple"),
    2: Look("degraded", "yellow"),
    3: Look("predicted failure", "orange"),
    4: Look("failed", "red"),
}
UP_LOOKS: dict[int, Look] = {1: Look("up", "green"), 0: Look("down", "red")}

_RANKS = {"failed": 4, "predicted_failure": 3, "degraded": 2, "ok": 0}


def rank(scope: Scope, *by: str) -> Expression:
    """The rank of the worst state of each group of devices; for each device, group by `OF_DEVICE`."""
    states = (
        scope.series(catalog.STATUS_STATE, Subject.DEVICE, f'state="{state}"').times(str(number), Unit.NONE)
        for state, number in _RANKS.items()
    )
    known = next(states)
    for state in states:
        known = known.or_else(state)
    info = scope.series(catalog.INFO, Subject.DEVICE)
    unknown = info.those_not_in(scope.series(catalog.STATUS_STATE, Subject.DEVICE), *DEVICE_KEY)
    return largest(known.or_else(unknown), *by)


def rank_with_pods(scope: Scope) -> Expression:
    """The rank of each device: once for each pod that it, or a partition of it, is allocated to, else once."""
    devices = rank(scope, *OF_DEVICE)
    return rank_of_held(scope, *OF_DEVICE, "namespace", "pod").or_else(devices, *DEVICE_KEY)


def rank_of_held(scope: Scope, *by: str) -> Expression:
    """The rank of the worst device that is allocated to each group of containers."""
    held = scope.series(families.ALLOCATION_INFO, Subject.ALLOCATION)
    return largest(held.times_one_of(rank(scope, *DEVICE_KEY), *DEVICE_KEY), *by)


def failed(scope: Scope) -> Expression:
    """1 for each device that failed."""
    return scope.series(catalog.STATUS_STATE, Subject.DEVICE, 'state="failed"').where("== 1")


def once_not_ok(scope: Scope) -> Expression:
    """Devices that were in another state than ok at any time of the dashboard's range."""
    return ever_in_range(scope.series(catalog.STATUS_STATE, Subject.DEVICE, 'state!="ok"')).where("> 0")
