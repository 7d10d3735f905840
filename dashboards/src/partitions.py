"""The row about partitions: MIG instances and their like."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from collectors import catalog
from collectors.metric import Subject
from dashboards.src.measures import memory_fullness, numbered, utilization
from dashboards.src.panels import About, Query, lines
from dashboards.src.promql import POINT, complement, series, total
from dashboards.src.tables import Column, rows

_LEGEND = "{{instance}} {{device}} #{{index}} {{profile}}"
_ALLOCATED = series(catalog.ALLOCATED, Subject.PARTITION)
_KIND = ("model", "profile")


def panels() -> tuple[Builder[Panel], ...]:
    """Load, memory, and what is left to hand out."""
    return (
        lines(
            About(
                "Partition utilization",
                "Busy over observed time of each partition, measured against the partition itself. MIG instances have "
                "it from Hopper on; before Hopper this is empty.",
                width=8,
            ),
            Query(numbered(utilization(Subject.PARTITION, POINT)), _LEGEND),
        ),
        lines(
            About(
                "Partition memory in use",
                "Memory in use as a fraction of the partition's own. Always near 100 %: the pod needs a larger "
                "profile. Always low: a smaller one does.",
                width=8,
            ),
            Query(numbered(memory_fullness(Subject.PARTITION)), _LEGEND),
        ),
        rows(
            About(
                "Partitions by profile",
                "How many of each profile are held and how many a pod could still be given. None free of the profile "
                "that pods wait for: cut another device, or cut it differently.",
                width=8,
            ),
            {"model": "Model", "profile": "Profile"},
            (Column("Held", total(_ALLOCATED, *_KIND)), Column("Free", total(complement(_ALLOCATED), *_KIND))),
        ),
    )
