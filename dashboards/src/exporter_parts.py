"""The rows about collectors and attribution, and the problems of an exporter as numbers for each node."""

from collectors.metric import Metric, Subject, Unit
from dashboards.src.measures import new_events
from dashboards.src.page import Panels
from dashboards.src.panels import About, Query, Step, bars, events, lines, quotients, states
from dashboards.src.promql import (
    POINT,
    Expression,
    complement,
    largest,
    latest_in_range,
    rate,
    since,
    total,
)
from dashboards.src.scope import INSTANCE, Scope
from dashboards.src.status import UP_LOOKS
from exporter import families

_COLLECTOR = "{{instance}} {{collector}}"
_SOURCE = "{{instance}} {{source}}"
# In seconds. Readings end after 15 by default, and up to a scrape interval is added to what the panel shows.
_AGE_STEPS = (Step(0, "green"), Step(30, "yellow"), Step(60, "red"))


def problems(scope: Scope) -> Expression:
    """The number of problems of each exporter; 1 for an exporter that is not scraped any more."""
    found = down(scope, families.COLLECTOR_UP)
    for problem in (
        down(scope, families.ATTRIBUTION_UP),
        down(scope, families.CONFIG_RELOAD),
        unmatched(scope),
        duplicates(scope),
        stuck(scope),
    ):
        found = found.plus(problem)
    return found.or_else(scraped(scope).where("== bool 0"), INSTANCE)


def down(scope: Scope, row: Metric) -> Expression:
    """The number of states of each exporter that are 0 and should be 1."""
    return _by_node(scope, complement(_series(scope, row)))


def unmatched(scope: Scope) -> Expression:
    """Allocated devices of each node that are not among those that the exporter reads."""
    claims = _series(scope, families.UNRESOLVED_CLAIM_DEVICES)
    return _by_node(scope, _series(scope, families.UNMATCHED_DEVICES).or_else(claims))


def stuck(scope: Scope) -> Expression:
    """Devices of each node about which a call does not return."""
    return _by_node(scope, _series(scope, families.DEVICE_STUCK).where("> bool 0"))


def duplicates(scope: Scope) -> Expression:
    """Devices of each node that a second collector lists and does not export."""
    return _by_node(scope, _series(scope, families.DUPLICATE_DEVICES))


def scraped(scope: Scope) -> Expression:
    """1 for each exporter that is scraped now, 0 for one that was in the time range and is not now."""
    now = _series(scope, families.BUILD_INFO)
    known = latest_in_range(now)
    return largest(now, INSTANCE).or_else(largest(known, INSTANCE).times("0", Unit.NONE), INSTANCE)


def _by_node(scope: Scope, found: Expression) -> Expression:
    """The sum for each exporter: 0 where the family has no series, as long as the exporter is scraped."""
    none = _series(scope, families.BUILD_INFO).times("0", Unit.NONE)
    return total(found.or_else(none), INSTANCE).as_unit(Unit.NONE)


def _series(scope: Scope, row: Metric) -> Expression:
    return scope.series(row, Subject.EXPORTER)


def collectors(scope: Scope) -> Panels:
    """Whether the collectors work, how long their calls take, and what fails."""
    return (*_working(scope), *_calls(scope))


def _working(scope: Scope) -> Panels:
    return (
        states(
            About(
                "Collectors",
                "Up while the hardware library answers in time. While it is down its readings end and all others "
                "continue: run `accelerator-exporter check` on that node.",
            ),
            UP_LOOKS,
            Query(_series(scope, families.COLLECTOR_UP), _COLLECTOR),
        ),
        events(
            About(
                "Failed readings",
                "Readings that failed since the point before, by reason; see troubleshooting.md for each. "
                "Those of reason invalid_value are values that cannot be.",
            ),
            Query(new_events(_series(scope, families.COLLECTOR_ERRORS)), f"{_COLLECTOR} {{{{reason}}}}"),
        ),
        bars(
            About(
                "Time since the last success",
                "How old the readings of each collector are. More than a few seconds: the collector hangs or fails.",
                width=8,
            ),
            Query(since(_series(scope, families.COLLECTOR_LAST_SUCCESS)), _COLLECTOR),
            *_AGE_STEPS,
        ),
    )


def _calls(scope: Scope) -> Panels:
    return (
        lines(
            About(
                "Duration of calls",
                "How long the last call of each collector took, or takes if it is late. Slow calls are most often a "
                "busy or failing driver.",
                width=8,
            ),
            Query(_series(scope, families.COLLECTOR_DURATION), _COLLECTOR),
        ),
        quotients(
            About(
                "CPU of collectors",
                "CPU time of each collector's threads, also in the vendor's library, as a fraction of one core.",
                width=8,
            ),
            Query(rate(_series(scope, families.COLLECTOR_CPU), POINT), _COLLECTOR),
        ),
        lines(
            About("Devices by collector", "Devices that each collector knows and exports, including lost ones."),
            Query(_series(scope, families.COLLECTOR_DEVICES), _COLLECTOR),
        ).decimals(0),
        lines(
            About(
                "Time that devices are stuck",
                "For how long a call about a device has not returned. Other devices are read on.",
                width=12,
            ),
            Query(_series(scope, families.DEVICE_STUCK), f"{_COLLECTOR} {{{{uuid}}}}"),
        ),
    )


def attribution(scope: Scope) -> Panels:
    """Whether the allocations are known, and what could not be matched."""
    return (
        states(
            About("Sources of allocations", "Up while the source answers: the kubelet, or the files of jobs.", width=8),
            UP_LOOKS,
            Query(_series(scope, families.ATTRIBUTION_UP), _SOURCE),
        ),
        lines(
            About(
                "Age of the allocations",
                "Time since the source's last answer. After a minute the allocations are unknown.",
                width=8,
            ),
            Query(since(_series(scope, families.ATTRIBUTION_LAST_SUCCESS)), _SOURCE),
        ),
        lines(
            About(
                "Unmatched devices by resource",
                "Allocated devices that are not among those that the exporter reads, by resource, or by driver for "
                "resource claims. Their pods are not shown. See troubleshooting.md.",
                width=8,
            ),
            Query(_series(scope, families.UNMATCHED_DEVICES), "{{instance}} {{resource}}"),
            Query(_series(scope, families.UNRESOLVED_CLAIM_DEVICES), "{{instance}} {{driver}}"),
        ).decimals(0),
    )
