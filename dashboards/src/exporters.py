"""The dashboard about the exporters: whether their collectors and the attribution work, and what they cost."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors.metric import Metric, Subject, Unit
from dashboards.src import exporter_parts
from dashboards.src.links import EXPORTERS, NODE_OF_SERIES
from dashboards.src.page import Page, Panels
from dashboards.src.panels import BAD_FROM_ONE, About, Query, Step, events, lines, number, quotients
from dashboards.src.promql import POINT, STEP, Expression, before, count, largest, largest_first, rate, total
from dashboards.src.scope import CLUSTERS, EXPORTER_NODES, Scope
from dashboards.src.status import Look
from dashboards.src.tables import Column, rows
from exporter import families

_NODE = "{{instance}}"
_NUMBER_WIDTH = 4
_SCRAPED_LOOKS = {1: Look("yes", "green"), 0: Look("no", "red")}
_RELOAD_LOOKS = {1: Look("ok", "green"), 0: Look("failed", "red")}


def _now(scope: Scope) -> Panels:
    return (*_parts_now(scope), *_devices_now(scope))


def _parts_now(scope: Scope) -> Panels:
    return (
        _number(
            "Scraped",
            "Exporters that Prometheus scrapes now, one for each node.",
            count(_of_exporter(scope, families.BUILD_INFO)),
        ),
        _number(
            "Exporters gone",
            "Exporters that were scraped in the time range chosen above and are not now: the node was removed, or its "
            "exporter does not run. The table below names them.",
            total(exporter_parts.scraped(scope).where("== bool 0")),
            *BAD_FROM_ONE,
        ),
        _number(
            "Collectors down",
            "Collectors whose hardware library does not answer. Their readings end, and all others continue: run "
            "`accelerator-exporter check` on that node.",
            total(exporter_parts.down(scope, families.COLLECTOR_UP)),
            *BAD_FROM_ONE,
        ),
        _number(
            "Attribution down",
            "Sources of the allocations that do not answer, such as the kubelet. The last known allocations stay for a "
            "minute; then pods, allocated and free are unknown.",
            total(exporter_parts.down(scope, families.ATTRIBUTION_UP)),
            *BAD_FROM_ONE,
        ),
    )


def _devices_now(scope: Scope) -> Panels:
    return (
        _number(
            "Unmatched devices",
            "Allocated devices that the exporter could not find among those that it reads, of device plugins and of "
            "resource claims. See troubleshooting.md.",
            total(exporter_parts.unmatched(scope)),
            *BAD_FROM_ONE,
        ),
        _number(
            "Stuck devices",
            "Devices about which a call does not return. Nothing new is known of them: restart the node's driver, or "
            "the node.",
            total(exporter_parts.stuck(scope)),
            *BAD_FROM_ONE,
        ),
    )


def _number(title: str, description: str, expression: Expression, *steps: Step) -> Builder[Panel]:
    return number(About(title, description, width=_NUMBER_WIDTH, height=4), expression, *steps)


def _list_of_exporters(scope: Scope) -> Panels:
    by = ("instance",)
    about = About(
        "Exporters",
        "One line for each exporter, the one with the most problems first: not scraped any more, collectors and "
        "sources of allocations that are down, unmatched devices, devices that two collectors list, devices whose "
        "calls do not return, and a configuration that could not be reloaded.",
        width=24,
    )
    build = largest(_of_exporter(scope, families.BUILD_INFO), *by, "version", "python_version")
    return (
        rows(
            about,
            Column("Problems", largest_first(exporter_parts.problems(scope)), steps=BAD_FROM_ONE),
            {"instance": "Node"},
            Column("Scraped", exporter_parts.scraped(scope), looks=_SCRAPED_LOOKS),
            Column("Version", build, "version"),
            Column("Python", build, "python_version"),
            Column("Devices", total(_of_exporter(scope, families.COLLECTOR_DEVICES), *by)),
            Column("Collectors down", exporter_parts.down(scope, families.COLLECTOR_UP)),
            Column("Attribution down", exporter_parts.down(scope, families.ATTRIBUTION_UP)),
            Column("Unmatched", exporter_parts.unmatched(scope)),
            Column("Stuck", exporter_parts.stuck(scope)),
            Column("Listed twice", exporter_parts.duplicates(scope)),
            Column("Last reload", largest(_of_exporter(scope, families.CONFIG_RELOAD), *by), looks=_RELOAD_LOOKS),
        ),
    )


def _cost(scope: Scope) -> Panels:
    return (*_process(scope), *_serving(scope))


def _process(scope: Scope) -> Panels:
    memory = _own(scope, families.PROCESS_RESIDENT_MEMORY)
    files = _own(scope, families.PROCESS_OPEN_FDS).over(_own(scope, families.PROCESS_MAX_FDS))
    cpu = _only_exporters(scope, rate(scope.series(families.PROCESS_CPU, Subject.OWN_PROCESS), POINT))
    return (
        quotients(
            About(
                "Exporter CPU",
                "CPU time as a fraction of one core. Please report a lasting rise without more devices or pods.",
                width=8,
            ),
            Query(cpu, _NODE),
            link=NODE_OF_SERIES,
        ),
        lines(
            About(
                "Exporter memory",
                "Resident memory. It is constant after some minutes; at the memory limit of its container the exporter "
                "is killed and restarted.",
                width=8,
            ),
            Query(memory, _NODE),
            link=NODE_OF_SERIES,
        ),
        lines(
            About(
                "Open files",
                "Open file descriptors as a part of the process's limit. A steady rise is a leak: please report it.",
                width=8,
            ),
            Query(files, _NODE),
        ),
    )


def _serving(scope: Scope) -> Panels:
    start = scope.series(families.PROCESS_START_TIME, Subject.OWN_PROCESS)
    started = before(start, STEP).smaller_than(start).where("> bool 0").as_unit(Unit.NONE)
    return (
        events(
            About(
                "Exporter starts",
                "It is 1 where the process was started since the point before. Start after start is a crash, or two "
                "exporters under one name: see troubleshooting.md.",
            ),
            Query(_only_exporters(scope, started), _NODE),
        ),
        lines(
            About(
                "Scrapes",
                "Scrapes per second that the exporter answered. More than one of the scrape interval: several servers "
                "scrape it.",
            ),
            Query(rate(_of_exporter(scope, families.SCRAPES), POINT), _NODE),
        ),
    )


def _of_exporter(scope: Scope, row: Metric) -> Expression:
    return scope.series(row, Subject.EXPORTER)


def _own(scope: Scope, row: Metric) -> Expression:
    return _only_exporters(scope, scope.series(row, Subject.OWN_PROCESS))


def _only_exporters(scope: Scope, expression: Expression) -> Expression:
    """Only series of the exporter's targets, because other programs have families with the same names."""
    return expression.those_in(_of_exporter(scope, families.BUILD_INFO), "instance", "job")


PAGE = Page(
    EXPORTERS,
    "Accelerators: exporter health",
    "The exporters themselves: collectors, the attribution of devices to pods, and what the exporters cost.",
    (CLUSTERS, EXPORTER_NODES),
    (
        ("Exporters now", _now),
        ("Exporters", _list_of_exporters),
        ("Collectors", exporter_parts.collectors),
        ("Attribution", exporter_parts.attribution),
        ("Cost", _cost),
    ),
)
