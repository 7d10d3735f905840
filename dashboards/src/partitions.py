"""The row about partitions, such as MIG instances."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.measures import memory_fullness, numbered, utilization
from dashboards.src.panels import About, Query, lines
from dashboards.src.promql import POINT, complement, series, total
from dashboards.src.tables import Column, rows

_LEGEND = "{{instance}} {{device}} {{profile}} #{{index}}{{gpu_instance_id}} {{compute_instance_id}}"
_ALLOCATED = series(catalog.ALLOCATED, Subject.PARTITION)
_KIND = ("model", "profile")


def panels() -> tuple[Builder[Panel], ...]:
    """Load, memory, and free partitions."""
    return (
        lines(
            About(
                "Partition utilization",
                "Busy time divided by observed time of each partition, relative to the partition itself. The number "
                "after # is its index; for MIG, the ids of its GPU instance and its compute instance. MIG instances "
                "have a utilization from Hopper on; before Hopper this is empty.",
                width=8,
            ),
            Query(numbered(utilization(Subject.PARTITION, POINT)), _LEGEND),
        ),
        lines(
            About(
                "Partition memory in use",
                "Memory in use as a fraction of the partition's memory. If it is always near 100 %, the pod needs a "
                "larger profile; if it is always low, a smaller profile is enough.",
                width=8,
            ),
            Query(numbered(memory_fullness(Subject.PARTITION)), _LEGEND),
        ),
        rows(
            About(
                "Partitions by profile",
                "How many partitions of each profile are allocated and how many are free. If no partition of "
                "the profile that pods wait for is free, partition another device, or change a partition layout.",
                width=8,
            ),
            {"model": "Model", "profile": "Profile"},
            (Column("Allocated", total(_ALLOCATED, *_KIND)), Column("Free", total(complement(_ALLOCATED), *_KIND))),
        ),
    )
