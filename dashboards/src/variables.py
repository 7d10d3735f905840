"""The dashboard's variables, and which of them select the series of a subject."""

from dataclasses import dataclass
from typing import Self

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from collectors import catalog
from collectors.metric import Metric, Subject
from exporter import families

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable that lists the values of a label; several can be selected, the default is all.

    "All" is a pattern that also matches series without the label, so the label `cluster` is not required.

    Attributes:
        name: The variable's name.
        title: The title beside the list.
        label: The label whose values it lists.
        row: The catalogue's row of the family that has the label.
        subject: The subject of the family.
        within: The preceding variables that narrow its list.
        description: What it selects.
    """

    name: str
    title: str
    label: str
    row: Metric
    subject: Subject
    within: tuple[Self, ...]
    description: str

    @property
    def matcher(self) -> str:
        """The PromQL matcher of the variable."""
        return f'{self.label}=~"${self.name}"'

    def variable(self) -> QueryVariable:
        """The variable in the dashboard."""
        within = ", ".join(choice.matcher for choice in self.within)
        return (
            QueryVariable(self.name)
            .label(self.title)
            .description(self.description)
            .datasource(SOURCE)
            .query(f"label_values({self.row.name(self.subject)}{{{within}}}, {self.label})")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.NATURAL_ASC)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".*")
            .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
        )


_CLUSTER = Choice(
    "cluster",
    "Cluster",
    "cluster",
    families.BUILD_INFO,
    Subject.EXPORTER,
    (),
    "The label cluster, if Prometheus or the exporter adds one. It selects everything on the dashboard.",
)
_NODE = Choice(
    "node",
    "Node",
    "instance",
    families.BUILD_INFO,
    Subject.EXPORTER,
    (_CLUSTER,),
    "The exporter's instance: the node's name, with the shipped scrape configurations. It selects everything.",
)
_DEVICE = Choice(
    "device",
    "Device",
    "device",
    catalog.INFO,
    Subject.DEVICE,
    (_CLUSTER, _NODE),
    "The PCI address, or the kernel's name. It selects everything except the exporter's own health.",
)
_NAMESPACE = Choice(
    "namespace",
    "Namespace",
    "namespace",
    families.ALLOCATION_INFO,
    Subject.ALLOCATION,
    (_CLUSTER, _NODE),
    "Namespaces of pods with allocated devices. It selects only in the row Pods.",
)
_POD = Choice(
    "pod",
    "Pod",
    "pod",
    families.ALLOCATION_INFO,
    Subject.ALLOCATION,
    (_CLUSTER, _NODE, _NAMESPACE),
    "Pods with allocated devices. It selects only in the row Pods.",
)
CHOICES = (_CLUSTER, _NODE, _NAMESPACE, _POD, _DEVICE)

_OF_NODES = (_CLUSTER, _NODE)
_OF_DEVICES = (*_OF_NODES, _DEVICE)
_OF_PODS = (*_OF_DEVICES, _NAMESPACE, _POD)

# The matchers of every series of a subject.
SCOPES: dict[Subject, tuple[str, ...]] = {
    subject: tuple(choice.matcher for choice in choices)
    for subject, choices in {
        Subject.DEVICE: _OF_DEVICES,
        Subject.PARTITION: _OF_DEVICES,
        Subject.CONTAINER: _OF_PODS,
        Subject.ALLOCATION: _OF_PODS,
        Subject.EXPORTER: _OF_NODES,
        Subject.OWN_PROCESS: _OF_NODES,
    }.items()
}


def datasource_variable() -> DatasourceVariable:
    """The Prometheus to query; Grafana's default data source is selected first."""
    return (
        DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes the exporters.")
        .type("prometheus")
    )
