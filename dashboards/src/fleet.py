"""The dashboard about the fleet: how many devices there are, how many of them work, for whom, and which failed."""

from collections.abc import Mapping

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject, Unit
from dashboards.src import measures
from dashboards.src.device_tables import EVENT, critical_events, devices, history
from dashboards.src.links import DEVICE_OF_SERIES, FLEET
from dashboards.src.measures import active, allocated, effective, free, provisioned
from dashboards.src.page import Page, Panels
from dashboards.src.panels import BAD_FROM_ONE, About, Query, Step, events, lines, number, quotients
from dashboards.src.promql import (
    POINT,
    RANGE,
    RECENT,
    Expression,
    complement,
    increase,
    largest,
    largest_first,
    total,
)
from dashboards.src.scope import CLUSTERS, MODELS, NODES, VENDORS, Scope
from dashboards.src.status import DEVICE_KEY, OF_DEVICE, rank
from dashboards.src.tables import Column, rows, state

_MODEL = ("vendor", "model")


def _now(scope: Scope) -> Panels:
    return (*_use_now(scope), *_trouble_now(scope))


def _use_now(scope: Scope) -> Panels:
    """Provisioned, allocated, active, effective: each number is at most the one before it."""
    return (
        _number(
            "Provisioned",
            "Accelerators that the exporters know, including failed ones. If the nodes have more, see the dashboard "
            "about exporters, and run `accelerator-exporter check` on the node.",
            provisioned(scope),
        ),
        _number(
            "Allocated",
            "Devices that are allocated to a container, as a whole or by a partition. Absent while the kubelet does "
            "not answer.",
            allocated(scope),
        ),
        _number(
            "Active",
            "Allocated devices that executed for more than 1 % of the last 5 minutes. The others are allocated but "
            "idle: find their pods in the dashboard about workloads.",
            active(scope, RECENT),
        ),
        _number(
            "Effective",
            "How many fully busy devices would have done the work of the last 5 minutes: the sum of the utilization of "
            "allocated devices. Devices that report no utilization (A100 with MIG) are not included.",
            effective(scope, RECENT),
        ),
    )


def _trouble_now(scope: Scope) -> Panels:
    return (
        _number(
            "Free",
            "Devices that are not allocated and did not fail. Pods that wait although devices are free request another "
            "model or a partition, or do not tolerate the taints of the node.",
            free(scope),
        ),
        _number(
            "Failed",
            "Devices that no longer answer or must be reset. If above 0: they are the first lines of the table below. "
            "Drain the node and do what the column Action says.",
            _failed(scope),
            *BAD_FROM_ONE,
        ),
        _number(
            "Not ok",
            "Devices that are degraded, are predicted to fail, failed, or whose state is unknown.",
            total(rank(scope, *OF_DEVICE).where("> bool 0")),
            *BAD_FROM_ONE,
        ),
        _number(
            "Power",
            "Power that all devices draw together now. Compare it with the limit of the racks.",
            total(scope.series(catalog.POWER, Subject.DEVICE)),
        ),
    )


def _number(title: str, description: str, expression: Expression, *steps: Step) -> Builder[Panel]:
    return number(About(title, description, width=3, height=4), expression, *steps)


def _health(scope: Scope) -> Panels:
    not_ok = About(
        "History of devices that were not ok",
        "Devices that were in another state than ok at any time of the range chosen above. A gap is time without an "
        "answer.",
        width=24,
        height=6,
    )
    return (
        devices(scope, height=11),
        history(scope, not_ok, only_not_ok=True),
        critical_events(scope),
        events(
            About(
                "Critical events",
                "Events that the drivers reported since the point before, by source and code, also of codes whose "
                "counter did not exist before.",
                width=24,
                height=6,
            ),
            Query(
                measures.new_critical_events(scope),
                EVENT,
            ),
            link=DEVICE_OF_SERIES,
        ),
    )


def _capacity(scope: Scope) -> Panels:
    return (
        lines(
            About(
                "Use of the fleet",
                "Devices that are provisioned, allocated, active and effective, as in the numbers above, in the window "
                "before each point. The distance from allocated to active is waste; that from active to effective is "
                "work that could be packed closer.",
            ),
            Query(provisioned(scope), "provisioned"),
            Query(allocated(scope), "allocated"),
            Query(active(scope, POINT), "active"),
            Query(effective(scope, POINT), "effective"),
        ),
        lines(
            About("Free devices by model", "Devices that are not allocated and did not fail."),
            Query(free(scope, *_MODEL), "{{cluster}} {{vendor}} {{model}}"),
        ),
        _use(scope, "Models", {"vendor": "Vendor", "model": "Model"}),
        _use(scope, "Nodes", {"instance": "Node"}),
        _use(scope, "Clusters and vendors", {"vendor": "Vendor"}),
        _partitions(scope),
    )


def _use(scope: Scope, title: str, labels: Mapping[str, str]) -> Builder[Panel]:
    """The funnel for each group of devices."""
    about = About(
        title,
        "Current numbers of devices as in the row Fleet now, with the worst state among them first; the failed ones "
        "are counted in Failed. Utilization is the mean of the last 5 minutes.",
        width=24,
        height=6,
    )
    return rows(
        about,
        state(rank(scope, *labels)),
        labels,
        Column(
            "Failed",
            _failed(scope, *labels),
            steps=BAD_FROM_ONE,
        ),
        Column("Provisioned", provisioned(scope, *labels)),
        Column("Allocated", allocated(scope, *labels)),
        Column("Active", active(scope, RECENT, *labels)),
        Column("Effective", effective(scope, RECENT, *labels)),
        Column("Free", free(scope, *labels)),
        Column("Utilization", measures.mean_utilization(scope, Subject.DEVICE, RECENT, *labels)),
        Column("Power", total(scope.series(catalog.POWER, Subject.DEVICE), *labels)),
    )


def _partitions(scope: Scope) -> Builder[Panel]:
    held = scope.series(catalog.ALLOCATED, Subject.PARTITION)
    by = ("model", "profile")
    about = About(
        "Partitions by profile",
        "How many partitions of each profile are free and how many are allocated, with the worst state of their "
        "devices. If none of the profile that pods wait for is free, partition another device, or change a partition "
        "layout.",
        width=24,
        height=6,
    )
    worst = held.times("0", Unit.NONE).plus_one_of(rank(scope, *DEVICE_KEY), *DEVICE_KEY)
    return rows(
        about,
        state(largest(worst, *by)),
        {"model": "Model", "profile": "Profile"},
        Column("Free", total(complement(held), *by)),
        Column("Allocated", total(held, *by)),
    )


def _power(scope: Scope) -> Panels:
    power, limit, energy = (
        scope.series(row, Subject.DEVICE) for row in (catalog.POWER, catalog.POWER_LIMIT, catalog.ENERGY)
    )
    of_limit = total(power.those_in(limit, *DEVICE_KEY), *_MODEL).over(total(limit, *_MODEL))
    return (
        lines(
            About("Power by model", "Power that the devices of each model draw together."),
            Query(total(power, *_MODEL), "{{cluster}} {{vendor}} {{model}}"),
        ),
        lines(
            About("Power by node", "Power that the devices of each node draw together."),
            Query(total(power, "instance"), "{{cluster}} {{instance}}"),
        ),
        quotients(
            About(
                "Power as a part of the limit",
                "Power of the devices of each model as a part of their own limits together. Devices without a limit "
                "are not included. Near 1 the limit slows the devices down.",
            ),
            Query(of_limit, "{{cluster}} {{vendor}} {{model}}"),
        ),
        rows(
            About(
                "Energy by model",
                "Joules that the devices of each model used in the time range chosen above: 3.6 MJ are a "
                "kilowatt-hour.",
            ),
            Column("Energy", largest_first(total(increase(energy, RANGE), *_MODEL))),
            {"vendor": "Vendor", "model": "Model"},
        ),
    )


PAGE = Page(
    FLEET,
    "Accelerators: fleet",
    "All accelerators: how many are provisioned, allocated, active and effectively used, which are free, which failed "
    "and whose pods they hit, by cluster, vendor, model and node.",
    (CLUSTERS, VENDORS, MODELS, NODES),
    (("Fleet now", _now), ("Health", _health), ("Capacity", _capacity), ("Power", _power)),
)


def _failed(scope: Scope, *by: str) -> Expression:
    """The number of failed devices; 0 where none has failed, while their states are known."""
    return total(scope.series(catalog.STATUS_STATE, Subject.DEVICE, 'state="failed"'), *by)
