"""The row about errors: critical events, memory errors, and what the device repaired."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Metric, Subject
from dashboards.src.device_tables import EVENT, NAME, OF_TABLE, critical_events
from dashboards.src.links import DEVICE_OF_SERIES
from dashboards.src.measures import new_critical_events, new_events
from dashboards.src.page import Panels
from dashboards.src.panels import About, Query, events
from dashboards.src.promql import Expression, largest, total
from dashboards.src.scope import Scope
from dashboards.src.status import OF_DEVICE, Look, rank
from dashboards.src.tables import Column, rows, state

_PENDING = {0: Look("no", "green"), 1: Look("pending", "orange")}
_FAILED = {0: Look("no", "green"), 1: Look("failed", "red")}


def panels(scope: Scope) -> Panels:
    """When it happened, to whom, and what is left to repair."""
    return (*_over_time(scope), critical_events(scope), _repairs(scope))


def _over_time(scope: Scope) -> Panels:
    return (
        events(
            About(
                "Critical events",
                "Events that the driver reported, by source and code (NVIDIA: XID), also of codes whose counter did "
                "not exist before. Class application is most often a fault of the program; class hardware needs a "
                "reset or a repair. The vendor's list explains the codes.",
            ),
            Query(
                new_critical_events(scope),
                EVENT,
            ),
            link=DEVICE_OF_SERIES,
        ),
        events(
            About(
                "Memory errors",
                "New errors since the point before; devices without errors are not shown. Single corrected "
                "errors are normal. Uncorrected errors end programs: reset the device when it is free, and replace it "
                "if they occur again.",
            ),
            Query(new_events(scope.series(catalog.MEMORY_ERRORS, Subject.DEVICE)), f"{NAME} {{{{kind}}}}"),
            link=DEVICE_OF_SERIES,
        ),
    )


def _repairs(scope: Scope) -> Builder[Panel]:
    about = About(
        "Memory repairs",
        "What the device did about defects of its memory. A pending repair is done by the next reset. After a failed "
        "repair the device has to be replaced. Remapped rows and retired pages are those so far.",
        width=24,
        height=7,
    )
    return rows(
        about,
        state(rank(scope, *OF_DEVICE)),
        OF_TABLE,
        Column("Repair pending", _worst(scope, catalog.MEMORY_REPAIR_PENDING), looks=_PENDING),
        Column("Repair failed", _worst(scope, catalog.MEMORY_REPAIR_FAILED), looks=_FAILED),
        Column("Remapped rows", _number(scope, catalog.MEMORY_REMAPPED_ROWS)),
        Column("Retired pages", _number(scope, catalog.MEMORY_RETIRED_PAGES)),
        hidden=("uuid",),
    )


def _worst(scope: Scope, row: Metric) -> Expression:
    return largest(scope.series(row, Subject.DEVICE), *OF_DEVICE)


def _number(scope: Scope, row: Metric) -> Expression:
    return total(scope.series(row, Subject.DEVICE), *OF_DEVICE)
