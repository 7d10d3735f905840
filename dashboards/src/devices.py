"""The row about devices: their load, memory, power, temperature and state."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.measures import OF_DEVICE, memory_fullness, utilization
from dashboards.src.panels import About, Query, lines
from dashboards.src.promql import POINT, RANGE, largest, series
from dashboards.src.tables import Column, rows

_LEGEND = "{{instance}} {{device}}"

STATUS_COLORS = {"ok": "green", "degraded": "yellow", "predicted_failure": "orange", "failed": "red"}


def panels() -> tuple[Builder[Panel], ...]:
    """The table first: it shows which line of the graphs matters."""
    return (_table(), *_graphs())


def _table() -> Builder[Panel]:
    of_die = 'sensor=~"core|hotspot|board"'  # MI300 report only the hottest spot
    columns = (
        Column("State", series(catalog.STATUS_STATE, Subject.DEVICE).where("== 1"), "state", STATUS_COLORS),
        Column("Allocations", series(catalog.ALLOCATIONS, Subject.DEVICE)),
        Column("Utilization", utilization(Subject.DEVICE, RANGE)),
        Column("Memory", memory_fullness(Subject.DEVICE)),
        Column("Power", series(catalog.POWER, Subject.DEVICE)),
        Column("Temperature", series(catalog.TEMPERATURE, Subject.DEVICE, of_die)),
    )
    about = About(
        "Devices now",
        "One line for each device. Utilization is the mean over the time range chosen above; all other values are "
        "current. Allocations is the number of containers that the device itself is allocated to: 0 means free or "
        "partitioned, more than 1 means shared. A cell is empty if the device does not support the reading. "
        "Temperature is that of the core, or of the hottest spot if the device reports it. If the state is not ok, see "
        "the row Health.",
        width=24,
    )
    return rows(
        about, {"instance": "Node", "device": "Device", "model": "Model"}, tuple(map(_by_device, columns)), ("uuid",)
    )


def _by_device(column: Column) -> Column:
    by = (*OF_DEVICE, column.label) if column.label else OF_DEVICE
    return Column(column.title, largest(column.expression, *by), column.label, column.colors)


def _graphs() -> tuple[Builder[Panel], ...]:
    return (
        lines(
            About(
                "Device utilization",
                "Busy time divided by observed time: the true mean of each step, including work between two scrapes. A "
                "gap is time without readings, not idle time. A partitioned device may have no utilization: see the "
                "row Partitions.",
            ),
            Query(utilization(Subject.DEVICE, POINT), _LEGEND),
        ),
        lines(
            About(
                "Device memory in use",
                "Device memory in use as a fraction of the total. Near 100 % the next allocation of a program fails. "
                "High memory use without utilization is often a forgotten process.",
            ),
            Query(memory_fullness(Subject.DEVICE), _LEGEND),
        ),
        lines(
            About(
                "Device power",
                "Power that each device draws. A flat line at the power limit means that the limit slows the device "
                "down: compare it with Throttled in the row Health.",
            ),
            Query(series(catalog.POWER, Subject.DEVICE), _LEGEND),
        ),
        lines(
            About(
                "Device temperature",
                "Temperature at each sensor of the device. If one device is hotter than its neighbours under the same "
                "load, check air flow and fans. "
                f"The device's own limits are in {catalog.TEMPERATURE_LIMIT.name(Subject.DEVICE)} "
                "(set limits).",
            ),
            Query(series(catalog.TEMPERATURE, Subject.DEVICE), f"{_LEGEND} {{{{sensor}}}}"),
        ),
    )
