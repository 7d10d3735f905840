"""The dashboard "Accelerators: node and pods": from the totals of all nodes down to one device or pod."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync

from dashboards.src import devices, health, overview, partitions, pods
from dashboards.src.variables import CHOICES, datasource_variable

UID = "accelerators-node-and-pods"
_DESCRIPTION = (
    "Every accelerator of the chosen nodes and the pods that they are allocated to, as exported by "
    "accelerator-exporter. Empty means that the value is unknown: unknown is never drawn as 0."
)
_ROWS = (
    ("Overview", overview.panels),
    ("Devices", devices.panels),
    ("Pods", pods.panels),
    ("Partitions", partitions.panels),
    ("Health", health.panels),
)


def dashboard() -> Dashboard:
    """The dashboard, the same every time."""
    builder = (
        build.Dashboard("Accelerators: node and pods")
        .uid(UID)
        .description(_DESCRIPTION)
        .tags(["accelerator-exporter"])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(datasource_variable())
    )
    for choice in CHOICES:
        builder.with_variable(choice.variable())
    for title, panels in _ROWS:
        builder.with_row(build.Row(title))
        for panel in panels():
            builder.with_panel(panel)
    built = builder.build()
    for number, placed in enumerate(built.panels or (), start=1):
        placed.id_val = number
    return built
