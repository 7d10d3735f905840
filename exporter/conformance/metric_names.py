"""Chooses the metrics that are judged, and writes the flags with which the official test finds the same ones."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from collectors import catalog
from collectors.metric import Subject
from exporter.conformance.official import DRAFT_1, UTILIZATION_PATTERNS, OfficialSample, find
from exporter.conformance.scrape import ScrapeTarget

# The figure of a whole device is in one metric among several with similar names: documented names come first. They are
# this exporter's, those of OpenTelemetry's hardware conventions, of dcgm-exporter and of AMD's device-metrics-exporter.
_ENGINE_ACTIVE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
_UTILIZATION = (
    catalog.UTILIZATION.name(Subject.DEVICE),
    "hw_gpu_utilization_ratio",
    "DCGM_FI_DEV_GPU_UTIL",
    "gpu_gfx_activity",
    catalog.UTILIZATION.name(Subject.PARTITION),
    _ENGINE_ACTIVE,
)
_MEMORY = (
    catalog.MEMORY_USAGE.name(Subject.DEVICE),
    "hw_gpu_memory_usage_bytes",
    "DCGM_FI_DEV_FB_USED",
    "gpu_used_vram",
    catalog.MEMORY_USAGE.name(Subject.PARTITION),
)
_RATIO = "_ratio"
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class MetricNames(NamedTuple):
    """The metrics of the two figures that each accelerator must have; empty where there is none."""

    utilization: str
    memory: str


def full_scale(name: str) -> float:
    """The highest value of a utilization: 1 for a ratio, as dcgm-exporter has for MIG, else 100 percent.

    Args:
        name: The name of the metric.
    """
    return 1.0 if name.endswith(_RATIO) or name == _ENGINE_ACTIVE else 100.0


def is_metric_name(text: str) -> bool:
    """Whether a text can be the name of a metric.

    Args:
        text: The text.
    """
    return _NAME.fullmatch(text) is not None


def choose(samples: Sequence[OfficialSample], given: MetricNames) -> MetricNames:
    """The metrics to judge.

    Args:
        samples: Samples of the newer draft.
        given: What the operator has named; empty where not.
    """
    return MetricNames(
        given.utilization or _best(samples, _UTILIZATION, UTILIZATION_PATTERNS),
        given.memory or _best(samples, _MEMORY, DRAFT_1.memory_patterns),
    )


def _best(samples: Sequence[OfficialSample], documented: Sequence[str], patterns: Sequence[str]) -> str:
    """The metric that most accelerators have: a documented one, else the shortest name that contains a pattern.

    What is no name of a metric is never chosen: it would be in a command that the operator copies into a shell.
    """
    others = {sample.name for sample in find(samples, "", patterns) if is_metric_name(sample.name)}
    for names in (documented, sorted(others, key=_length_and_name)):
        counts = {name: len({sample.accelerator for sample in find(samples, name, ())}) for name in names}
        if any(counts.values()):
            return max(counts, key=counts.__getitem__)
    return ""


def _length_and_name(name: str) -> tuple[int, str]:
    return len(name), name


def official_flags(target: ScrapeTarget, names: MetricNames) -> tuple[str, ...]:
    """The flags with which draft 2 of the official test finds these metrics behind a Service.

    Args:
        target: What was read; namespace and Service are known if its host is the name of a Service.
        names: The metrics.
    """
    service, namespace = target.service
    return (
        f"-metrics-namespace={namespace or 'NAMESPACE'}",
        f"-metrics-service-name={service or 'SERVICE'}",
        f"-metrics-service-port={target.port}",
        *((f"-metrics-utilization-metric={names.utilization}",) if names.utilization else ()),
        *((f"-metrics-memory-metric={names.memory}",) if names.memory else ()),
    )
