"""The dashboard about nodes and devices: everything that the exporter knows of the chosen ones."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src import device_errors, device_links, device_load, device_power, partitions
from dashboards.src.device_tables import OF_TABLE, devices, history
from dashboards.src.links import NODE_AND_DEVICE
from dashboards.src.page import Page, Panels
from dashboards.src.panels import About
from dashboards.src.promql import largest
from dashboards.src.scope import CLUSTERS, DEVICES, MODELS, NODES, VENDORS, Scope
from dashboards.src.status import OF_DEVICE, Look, rank
from dashboards.src.tables import Column, rows, state

_PROPERTIES = {
    "index": "Index",
    "class": "Class",
    "architecture": "Architecture",
    "driver_version": "Driver",
    "firmware_version": "Firmware",
    "serial": "Serial",
    "numa_node": "NUMA",
}
_OFF_ON = {0: Look("off", "text"), 1: Look("on", "blue")}


def _overview(scope: Scope) -> Panels:
    about = About(
        "Status history",
        "The state of each device over time. A gap is time without an answer. What made it degraded or failed is in "
        "the row Errors, in Throttled and in Links.",
        width=24,
        height=7,
    )
    return (devices(scope, height=9), history(scope, about, only_not_ok=False), _properties(scope))


def _properties(scope: Scope) -> Builder[Panel]:
    """What does not change while a driver is loaded."""
    about = About(
        "Properties",
        "What identifies each device, its modes, and the number of its partitions and of the containers that it is "
        "allocated to. The index is the driver's: it can be another one after a restart.",
        width=24,
        height=7,
    )
    info = largest(scope.series(catalog.INFO, Subject.DEVICE), *OF_DEVICE, *_PROPERTIES)
    return rows(
        about,
        state(info.times_one_of(rank(scope, "instance", "uuid"), "instance", "uuid")),
        {**OF_TABLE, "uuid": "UUID", **_PROPERTIES},
        _mode(scope, "ECC", "ecc"),
        _mode(scope, "Partitioning", "partitioning"),
        Column("Partitions", largest(scope.series(catalog.PARTITIONS, Subject.DEVICE), *OF_DEVICE)),
        Column("Containers", largest(scope.series(catalog.ALLOCATIONS, Subject.DEVICE), *OF_DEVICE)),
    )


def _mode(scope: Scope, title: str, mode: str) -> Column:
    return Column(
        title, largest(scope.series(catalog.MODE_STATE, Subject.DEVICE, f'mode="{mode}"'), *OF_DEVICE), looks=_OFF_ON
    )


PAGE = Page(
    NODE_AND_DEVICE,
    "Accelerators: node and device",
    "Each accelerator of the chosen nodes: its state and its history, the pods that it is allocated to, load, memory, "
    "power, temperature, links, errors and partitions.",
    (CLUSTERS, VENDORS, MODELS, NODES, DEVICES),
    (
        ("Devices", _overview),
        ("Load", device_load.panels),
        ("Power, temperature and clocks", device_power.panels),
        ("Links", device_links.panels),
        ("Errors", device_errors.panels),
        ("Partitions", partitions.panels),
    ),
)
