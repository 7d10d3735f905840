"""What the dashboards about fleet and node both show of devices: who is hit, since when, and by which event."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.links import DEVICE_OF_SERIES
from dashboards.src.measures import memory_fullness, power_of_limit
from dashboards.src.panels import About, Query, Step, states
from dashboards.src.promql import Expression, largest, since, smallest
from dashboards.src.scope import Scope
from dashboards.src.status import DEVICE_KEY, OF_DEVICE, STATE_LOOKS, once_not_ok, rank, rank_with_pods
from dashboards.src.tables import Column, rows, state

OF_TABLE = {"instance": "Node", "device": "Device", "model": "Model"}
PODS = {"namespace": "Namespace", "pod": "Pod"}
NAME = "{{instance}} {{device}}"
EVENT = f"{NAME} {{{{source}}}} {{{{code}}}} {{{{class}}}}"

# In kelvin, before the driver reduces clocks or switches the device off.
MARGIN_STEPS = (Step(0, "red"), Step(5, "yellow"), Step(10, "green"))
MEMORY_STEPS = (Step(0, "blue"), Step(0.95, "orange"))
POWER_STEPS = (Step(0, "blue"), Step(0.98, "orange"))


def devices(scope: Scope, height: int) -> Builder[Panel]:
    """Every device with its pods."""
    action = scope.series(catalog.RECOVERY_ACTION, Subject.DEVICE, 'action!="none"').where("== 1")
    margin = smallest(scope.series(catalog.TEMPERATURE_MARGIN, Subject.DEVICE), *OF_DEVICE)
    about = About(
        "Devices and their pods",
        "Current values, the worst state first; a line for each pod on the device or on a partition of it. Unknown: "
        "the device is known, but its readings ended, because its collector hangs or is down. Action is what the "
        "driver asks for. Power is a part of the device's own limit. Margin is what is left until the device's own "
        "temperature limit, at the hottest sensor. A cell is empty if the device does not report the reading.",
        width=24,
        height=height,
    )
    return rows(
        about,
        state(rank_with_pods(scope)),
        {**OF_TABLE, **PODS},
        Column("Action", largest(action, *OF_DEVICE, "action"), "action"),
        Column("Utilization", largest(scope.series(catalog.UTILIZATION, Subject.DEVICE), *OF_DEVICE)),
        Column("Memory", largest(memory_fullness(scope, Subject.DEVICE), *OF_DEVICE), steps=MEMORY_STEPS),
        Column("Power", largest(power_of_limit(scope), *OF_DEVICE), steps=POWER_STEPS),
        Column("Temperature", largest(_of_die(scope), *OF_DEVICE)),
        Column("Margin", margin, steps=MARGIN_STEPS),
        hidden=("uuid",),
    )


def history(scope: Scope, about: About, *, only_not_ok: bool) -> Builder[Panel]:
    """The states of devices over time; of all, or of those that were not ok at some time."""
    shown = rank(scope, *OF_DEVICE)
    if only_not_ok:
        shown = shown.those_in(once_not_ok(scope), *DEVICE_KEY)
    return states(about, STATE_LOOKS, Query(shown, NAME), link=DEVICE_OF_SERIES)


def critical_events(scope: Scope) -> Builder[Panel]:
    """The last event of each device that had one, with the pods that the device is allocated to."""
    times = scope.series(catalog.ERROR_LAST_TIMESTAMP, Subject.DEVICE)
    last = times.equal_to_one_of(largest(times, *DEVICE_KEY), *DEVICE_KEY)
    ago = since(largest(last, *OF_DEVICE, "source", "code", "class")).where("< $__range_s")
    about = About(
        "Last critical events",
        "The last event of each device in the time range chosen above, by source and code (NVIDIA: XID), with the "
        "present state and pods of the device. It includes events whose counter did not exist before. Class "
        "application is most often a fault of the program; class hardware needs a reset or a repair.",
        width=24,
        height=6,
    )
    return rows(
        about,
        state(rank_with_pods(scope).those_in(ago, *DEVICE_KEY)),
        {"instance": "Node", "device": "Device", **PODS, "source": "Source", "code": "Code", "class": "Class"},
        Column("Ago", ago),
        hidden=("model", "uuid"),
    )


def _of_die(scope: Scope) -> Expression:
    """The temperature of the core, or that of the hottest spot: MI300 report only this one."""
    return scope.series(catalog.TEMPERATURE, Subject.DEVICE, 'sensor=~"core|hotspot|board"')
