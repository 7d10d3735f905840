"""The row about health: of the devices and of the exporter."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.panels import About, Query, events, lines, states
from dashboards.src.promql import POINT, Expression, increase, part_of_time, rate, series
from exporter import families

_DEVICE = "{{instance}} {{device}}"


def panels() -> tuple[Builder[Panel], ...]:
    """Problems of devices, then the exporter."""
    return (*_of_devices(), *_of_exporters())


def _of_devices() -> tuple[Builder[Panel], ...]:
    return (
        lines(
            About(
                "Throttled",
                "Fraction of the time in which the device reduced its clocks, by reason; devices that did not are not "
                "shown. power: the limit is low for the load. thermal: check cooling. external: requested by the power "
                "supply or the chassis.",
                width=8,
            ),
            Query(
                part_of_time(series(catalog.THROTTLE_ACTIVE, Subject.DEVICE), POINT).where("> 0"),
                f"{_DEVICE} {{{{reason}}}}",
            ),
        ),
        events(
            About(
                "Memory errors",
                "New errors in the window before each point; devices without errors are not shown. Single corrected "
                "errors are normal. Uncorrected errors end programs: reset the device when it is free, and replace it "
                "if they occur again.",
                width=8,
            ),
            Query(_new(series(catalog.MEMORY_ERRORS, Subject.DEVICE)), f"{_DEVICE} {{{{kind}}}}"),
        ),
        events(
            About(
                "Critical events",
                "Events that the driver reported, by source and code (NVIDIA: XID). Class application is most often a "
                "fault of the program; class hardware needs a reset or a repair. The vendor's list explains the codes.",
                width=8,
            ),
            Query(_new(series(catalog.ERRORS, Subject.DEVICE)), f"{_DEVICE} {{{{source}}}} {{{{code}}}} {{{{class}}}}"),
        ),
    )


def _of_exporters() -> tuple[Builder[Panel], ...]:
    return (
        states(
            About(
                "Collectors and attribution",
                "Up while the hardware library, or the source of the allocations, answers. While it is down its "
                "readings end and all others continue: run `accelerator-exporter check` on that node.",
                width=8,
            ),
            Query(series(families.COLLECTOR_UP, Subject.EXPORTER), "{{instance}} collector {{collector}}"),
            Query(series(families.ATTRIBUTION_UP, Subject.EXPORTER), "{{instance}} pods by {{source}}"),
        ),
        lines(
            About(
                "Exporter CPU",
                "CPU time as a fraction of one core. Please report a lasting rise without more devices or pods.",
                width=8,
            ),
            Query(_own(rate(series(families.PROCESS_CPU, Subject.OWN_PROCESS), POINT)), "{{instance}}"),
        ),
        lines(
            About(
                "Exporter memory",
                "Resident memory. It is constant after some minutes; at the memory limit of its container the exporter "
                "is killed and restarted.",
                width=8,
            ),
            Query(_own(series(families.PROCESS_RESIDENT_MEMORY, Subject.OWN_PROCESS)), "{{instance}}"),
        ),
    )


def _new(counter: Expression) -> Expression:
    return increase(counter, POINT).where("> 0")


def _own(expression: Expression) -> Expression:
    """Only series of the exporter's targets, because other programs have families with the same names."""
    return expression.those_in(series(families.BUILD_INFO, Subject.EXPORTER), "instance", "job")
