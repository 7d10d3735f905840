"""The dashboard about workloads: which namespaces and pods use which devices, what it costs, and what lies idle."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors.metric import Subject, Unit
from dashboards.src import consumers, pods
from dashboards.src.links import WORKLOADS
from dashboards.src.measures import device_hours, held_power, held_power_by_energy, idle_device_hours
from dashboards.src.page import Page, Panels
from dashboards.src.panels import BAD_FROM_ONE, About, Query, Step, lines, number
from dashboards.src.promql import Expression, count, energy_in_range, total
from dashboards.src.scope import CLUSTERS, MODELS, NAMESPACES, NODES, PODS, VENDORS, Scope
from dashboards.src.status import rank_of_held
from dashboards.src.tables import Column, rows, state
from exporter import families


def _now(scope: Scope) -> Panels:
    return (*_held_now(scope), *_in_range(scope))


def _held_now(scope: Scope) -> Panels:
    on_bad = rank_of_held(scope, "namespace", "pod").where("> bool 0")
    return (
        _number(
            "Pods with devices", "Pods that a device or a partition is allocated to now.", count(pods.of_edges(scope))
        ),
        _number(
            "Pods on bad devices",
            "Pods that have a device that is degraded, is predicted to fail, failed, or whose state is unknown. They "
            "are the first lines of the tables below.",
            total(on_bad),
            *BAD_FROM_ONE,
        ),
        _number(
            "Allocated devices",
            "The sum of the shares of devices that are allocated now: a partition counts as its fraction of the "
            "device.",
            total(scope.series(families.ALLOCATION_SHARE, Subject.ALLOCATION)).as_unit(Unit.NONE),
        ),
    )


def _in_range(scope: Scope) -> Panels:
    return (
        _number(
            "Device-hours",
            "Hours times allocated devices in the time range chosen above, used or not.",
            device_hours(scope),
        ),
        _number(
            "Idle device-hours",
            "The device-hours in which nothing executed: what could be given to others. Allocations without a known "
            "utilization are not included.",
            idle_device_hours(scope),
        ),
        _number(
            "Energy",
            "Joules in the time range chosen above, divided among the pods by their share of each device: 3.6 MJ are a "
            "kilowatt-hour. The exact bill is in the set billing.",
            energy_in_range(held_power_by_energy(scope)),
        ),
    )


def _number(title: str, description: str, expression: Expression, *steps: Step) -> Builder[Panel]:
    return number(About(title, description, width=4, height=4), expression, *steps)


def _namespaces(scope: Scope) -> Panels:
    by = ("namespace",)
    about = About(
        "Namespaces",
        "What each namespace has now (devices, power) and what it had in the time range chosen above (device-hours, "
        "idle ones among them, energy), with the worst state of its devices first. Namespaces without a device now are "
        "listed without a state.",
        width=24,
    )
    share = scope.series(families.ALLOCATION_SHARE, Subject.ALLOCATION)
    return (
        rows(
            about,
            state(rank_of_held(scope, *by)),
            {"namespace": "Namespace"},
            Column("Devices", total(share, *by).as_unit(Unit.NONE)),
            Column("Power", held_power(scope, *by)),
            Column("Device-hours", device_hours(scope, *by)),
            Column("Idle device-hours", idle_device_hours(scope, *by)),
            Column("Energy", energy_in_range(held_power_by_energy(scope, *by))),
        ),
        lines(
            About(
                "Allocated devices by namespace",
                "The sum of the shares of each namespace: 1 is a whole device, used or not.",
            ),
            Query(total(share, *by).as_unit(Unit.NONE), "{{namespace}}"),
        ),
        lines(
            About(
                "Power by namespace",
                "Power of the devices, divided among their containers by their share. The sum is never more than the "
                "devices draw; the free part of a device belongs to no namespace.",
            ),
            Query(held_power(scope, *by), "{{namespace}}"),
        ),
    )


PAGE = Page(
    WORKLOADS,
    "Accelerators: workloads",
    "Namespaces and pods with accelerators: who uses what, device-hours, energy, idle devices, the largest consumers, "
    "and whose devices failed.",
    (CLUSTERS, VENDORS, MODELS, NODES, NAMESPACES, PODS),
    (
        ("Workloads now", _now),
        ("Namespaces", _namespaces),
        ("Pods", pods.panels),
        ("Largest consumers", consumers.panels),
    ),
)
