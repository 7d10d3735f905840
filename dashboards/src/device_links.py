"""The row about links: PCIe and the interconnect between devices."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Metric, Subject
from dashboards.src.device_tables import NAME, OF_TABLE
from dashboards.src.measures import new_events
from dashboards.src.page import Panels
from dashboards.src.panels import About, Query, Step, events, lines
from dashboards.src.promql import POINT, RANGE, Expression, increase, largest, rate, total
from dashboards.src.scope import Scope
from dashboards.src.status import OF_DEVICE, rank
from dashboards.src.tables import Column, rows, state

_BAD_FROM_ONE = (Step(0, "text"), Step(1, "red"))


def panels(scope: Scope) -> Panels:
    """The links now, their traffic, and their errors."""
    return (_now(scope), *_traffic(scope), _errors(scope))


def _now(scope: Scope) -> Builder[Panel]:
    about = About(
        "Links",
        "Current generation and width of the PCIe link, and the number of links of the interconnect that are up and "
        "down; errors and replays are those of the time range chosen above. Compare a device with its neighbours of "
        "the same model: fewer lanes or a link that is down makes it slow. Some cards lower the PCIe generation while "
        "idle.",
        width=24,
        height=7,
    )
    return rows(
        about,
        state(rank(scope, *OF_DEVICE)),
        OF_TABLE,
        Column("PCIe generation", _of_device(scope, catalog.PCIE_GENERATION)),
        Column("PCIe lanes", _of_device(scope, catalog.PCIE_WIDTH)),
        Column("PCIe replays", _of_range(scope, catalog.PCIE_REPLAYS)),
        Column("Links up", _links(scope, "up")),
        Column("Links down", _links(scope, "down"), steps=_BAD_FROM_ONE),
        Column("Link errors", _of_range(scope, catalog.INTERCONNECT_ERRORS), steps=_BAD_FROM_ONE),
        hidden=("uuid",),
    )


def _of_device(scope: Scope, row: Metric) -> Expression:
    return largest(scope.series(row, Subject.DEVICE), *OF_DEVICE)


def _of_range(scope: Scope, counter: Metric) -> Expression:
    return total(increase(scope.series(counter, Subject.DEVICE), RANGE), *OF_DEVICE)


def _links(scope: Scope, state_of_link: str) -> Expression:
    return total(scope.series(catalog.INTERCONNECT_LINKS, Subject.DEVICE, f'state="{state_of_link}"'), *OF_DEVICE)


def _traffic(scope: Scope) -> Panels:
    return (
        lines(
            About(
                "PCIe traffic",
                "Bytes per second between host and device, seen from the device. Devices without a counter of it are "
                "not shown.",
                width=8,
            ),
            Query(rate(scope.series(catalog.PCIE_BYTES, Subject.DEVICE), POINT), f"{NAME} {{{{direction}}}}"),
        ),
        lines(
            About(
                "Interconnect traffic",
                "Bytes per second between devices, all links of a fabric together, seen from the device.",
                width=8,
            ),
            Query(
                rate(scope.series(catalog.INTERCONNECT_BYTES, Subject.DEVICE), POINT),
                f"{NAME} {{{{fabric}}}} {{{{direction}}}} {{{{link}}}}",
            ),
        ),
    )


def _errors(scope: Scope) -> Builder[Panel]:
    errors = scope.series(catalog.INTERCONNECT_ERRORS, Subject.DEVICE)
    replays = scope.series(catalog.PCIE_REPLAYS, Subject.DEVICE)
    return events(
        About(
            "Link errors",
            "New errors of the interconnect and new replays of PCIe since the point before; devices without "
            "any are not shown. Single replays are normal. If they go on, check connector, cable or riser.",
            width=8,
        ),
        Query(new_events(errors), f"{NAME} {{{{fabric}}}} {{{{kind}}}} {{{{link}}}}"),
        Query(new_events(replays), f"{NAME} PCIe replays"),
    )
