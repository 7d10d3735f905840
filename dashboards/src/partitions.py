"""The row about partitions, such as MIG instances."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.device_tables import PODS
from dashboards.src.measures import HELD_KEY, OF_PARTITION, PARTITION_KEY, memory_fullness, numbered, utilization
from dashboards.src.page import Panels
from dashboards.src.panels import About, Query, lines
from dashboards.src.promql import POINT, Expression, largest
from dashboards.src.scope import Scope
from dashboards.src.status import DEVICE_KEY, Look, rank
from dashboards.src.tables import Column, rows, state
from exporter import families

_NAME = "{{instance}} {{device}} {{profile}} #{{index}}{{gpu_instance_id}} {{compute_instance_id}}"
_NUMBER = {"index": "Number", "gpu_instance_id": "GPU instance", "compute_instance_id": "Compute instance"}
_NO_YES = {0: Look("free", "green"), 1: Look("allocated", "blue")}


def panels(scope: Scope) -> Panels:
    """Who holds them, then their load and memory."""
    return (
        _table(scope),
        lines(
            About(
                "Partition utilization",
                "Busy time divided by observed time of each partition, relative to the partition itself. The number "
                "after # is its index; for MIG, the ids of its GPU instance and its compute instance. MIG instances "
                "have a utilization from Hopper on; before Hopper this is empty.",
            ),
            Query(numbered(scope, utilization(scope, Subject.PARTITION, POINT)), _NAME),
        ),
        lines(
            About(
                "Partition memory in use",
                "Memory in use as a fraction of the partition's memory. If it is always near 100 %, the pod needs a "
                "larger profile; if it is always low, a smaller profile is enough.",
            ),
            Query(numbered(scope, memory_fullness(scope, Subject.PARTITION)), _NAME),
        ),
    )


def _table(scope: Scope) -> Builder[Panel]:
    about = About(
        "Partitions and their pods",
        "Current values of each partition, the worst state of its device first; a line for each pod that it is "
        "allocated to. Utilization and memory are relative to the partition.",
        width=24,
    )
    return rows(
        about,
        state(_with_pods(scope)),
        {"instance": "Node", "device": "Device", "profile": "Profile", **_NUMBER, **PODS},
        Column("Allocated", _of_partition(scope.series(catalog.ALLOCATED, Subject.PARTITION)), looks=_NO_YES),
        Column("Utilization", _of_partition(scope.series(catalog.UTILIZATION, Subject.PARTITION))),
        Column("Memory", _of_partition(memory_fullness(scope, Subject.PARTITION))),
        hidden=("model", "uuid", "partition_uuid"),
    )


def _of_partition(expression: Expression) -> Expression:
    return largest(expression, *OF_PARTITION)


def _with_pods(scope: Scope) -> Expression:
    """The rank of the device of each partition, once for each pod on it, else once."""
    info = scope.series(catalog.INFO, Subject.PARTITION)
    named = largest(info, *OF_PARTITION, *_NUMBER)
    held = largest(scope.series(families.ALLOCATION_INFO, Subject.ALLOCATION), *OF_PARTITION, *PODS)
    ranks = rank(scope, *DEVICE_KEY)
    with_pods = held.times_one_of(named, *PARTITION_KEY, adding=tuple(_NUMBER)).times_one_of(ranks, *DEVICE_KEY)
    return with_pods.or_else(named.times_one_of(ranks, *DEVICE_KEY), *HELD_KEY)
