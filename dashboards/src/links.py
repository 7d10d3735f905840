"""The addresses of the dashboards, and links from a series or a line of a table to a dashboard about it."""

from dataclasses import dataclass
from typing import Any

TAG = "accelerator-exporter"

# The ends of the dashboards' addresses, and the names of their files. They never change.
FLEET = "accelerators-fleet"
NODE_AND_DEVICE = "accelerators-node-and-pods"  # the name of the only dashboard before there were four
WORKLOADS = "accelerators-workloads"
EXPORTERS = "accelerators-exporters"

_KEPT = "${datasource:queryparam}&${cluster:queryparam}&${__url_time_range}"


@dataclass(frozen=True, slots=True)
class Link:
    """A link that Grafana shows for a value.

    Attributes:
        title: Its text.
        url: The address, with Grafana's variables.
    """

    title: str
    url: str

    def value(self) -> dict[str, Any]:
        """Grafana's form."""
        return {"title": self.title, "url": self.url}


def _link(title: str, uid: str, **variables: str) -> Link:
    chosen = "".join(f"&var-{name}=${{{value}}}" for name, value in variables.items())
    return Link(title, f"/d/{uid}?{_KEPT}{chosen}")


def _cell(column: str) -> str:
    return f"__data.fields.{column}"


def _label(name: str) -> str:
    return f"__field.labels.{name}"


# From a cell of a table: the other cells of the line are named by the title of their column.
CELL_LINKS: dict[str, Link] = {
    "instance": _link("Show the node", NODE_AND_DEVICE, node=_cell("Node")),
    "device": _link("Show the device", NODE_AND_DEVICE, node=_cell("Node"), device=_cell("Device")),
    "namespace": _link("Show the namespace", WORKLOADS, namespace=_cell("Namespace")),
    "pod": _link("Show the pod", WORKLOADS, namespace=_cell("Namespace"), pod=_cell("Pod")),
    "model": _link("Show devices of this model", FLEET, model=_cell("Model")),
}

# From a series of a graph.
DEVICE_OF_SERIES = _link("Show the device", NODE_AND_DEVICE, node=_label("instance"), device=_label("device"))
POD_OF_SERIES = _link("Show the pod", WORKLOADS, namespace=_label("namespace"), pod=_label("pod"))
NODE_OF_SERIES = _link("Show the node", NODE_AND_DEVICE, node=_label("instance"))
