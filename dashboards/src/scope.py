"""The variables of a dashboard, and the series that they select."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from collectors import catalog
from collectors.metric import Metric, Subject
from dashboards.src.promql import CLUSTER, Expression
from exporter import families

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
# The node's name, with the shipped scrape configurations. Prometheus gives it to every series.
INSTANCE = "instance"


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
        description: What it selects.
    """

    name: str
    title: str
    label: str
    row: Metric
    subject: Subject
    description: str

    @property
    def matcher(self) -> str:
        """The PromQL matcher of the variable."""
        return f'{self.label}=~"${self.name}"'

    def selects(self, subject: Subject) -> bool:
        """Whether the series of a subject have its label."""
        return self.label in (CLUSTER, INSTANCE, *families.SUBJECT_LABELS[subject])


CLUSTERS = Choice(
    "cluster",
    "Cluster",
    CLUSTER,
    families.BUILD_INFO,
    Subject.EXPORTER,
    "The label cluster, if Prometheus or the exporter adds one. Leave it at All if there is none.",
)
VENDORS = Choice("vendor", "Vendor", "vendor", catalog.INFO, Subject.DEVICE, "The vendor of the devices.")
MODELS = Choice("model", "Model", "model", catalog.INFO, Subject.DEVICE, "The model of the devices.")
NODES = Choice(
    "node",
    "Node",
    INSTANCE,
    catalog.INFO,
    Subject.DEVICE,
    "Nodes with devices, by the label instance: the node's name, with the shipped scrape configurations.",
)
EXPORTER_NODES = Choice(
    "node",
    "Node",
    INSTANCE,
    families.BUILD_INFO,
    Subject.EXPORTER,
    "Nodes with an exporter, by the label instance: the node's name, with the shipped scrape configurations.",
)
DEVICES = Choice(
    "device",
    "Device",
    "device",
    catalog.INFO,
    Subject.DEVICE,
    "The PCI address, or the kernel's name. Select the node first: other nodes have the same addresses.",
)
NAMESPACES = Choice(
    "namespace",
    "Namespace",
    "namespace",
    families.ALLOCATION_INFO,
    Subject.ALLOCATION,
    "Namespaces of pods with allocated devices.",
)
PODS = Choice("pod", "Pod", "pod", families.ALLOCATION_INFO, Subject.ALLOCATION, "Pods with allocated devices.")


@dataclass(frozen=True, slots=True)
class Scope:
    """What the variables of one dashboard select.

    Attributes:
        choices: The variables, in order.
    """

    choices: tuple[Choice, ...]

    def matchers(self, subject: Subject) -> tuple[str, ...]:
        """The matchers of every series of a subject: those of the variables whose label the subject has."""
        return _matchers(self.choices, subject)

    def series(self, row: Metric, subject: Subject, *matchers: str) -> Expression:
        """The family's series that the variables select.

        Args:
            row: The catalogue's row.
            subject: The subject of the family.
            matchers: More matchers, such as `sensor="core"`.
        """
        return Expression(f"{row.name(subject)}{{{', '.join((*self.matchers(subject), *matchers))}}}", row.unit)

    def variables(self) -> tuple[DatasourceVariable | QueryVariable, ...]:
        """The variables of the dashboard; each list is narrowed by the variables before it."""
        listed = (_variable(choice, self.choices[:number]) for number, choice in enumerate(self.choices))
        return (_datasource(), *listed)


def _matchers(choices: Sequence[Choice], subject: Subject) -> tuple[str, ...]:
    return tuple(choice.matcher for choice in choices if choice.selects(subject))


def _variable(choice: Choice, before: Sequence[Choice]) -> QueryVariable:
    within = ", ".join(_matchers(before, choice.subject))
    return (
        QueryVariable(choice.name)
        .label(choice.title)
        .description(choice.description)
        .datasource(SOURCE)
        .query(f"label_values({choice.row.name(choice.subject)}{{{within}}}, {choice.label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _datasource() -> DatasourceVariable:
    """The Prometheus to query; Grafana's default data source is selected first."""
    return (
        DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes the exporters.")
        .type("prometheus")
    )
