"""AMD GPUs, read through the kernel's files. Importing this touches no hardware."""

import time

from collectors.amd.collector import METRICS, PARTITION_METRICS, AmdCollector
from collectors.amd.identity import DRA_DRIVER, RESOURCE_PREFIX
from collectors.amd.metrics_blob import parse
from collectors.contract import Collector, CollectorSpec, Node


def _create(node: Node) -> Collector:
    return AmdCollector(node, time.time, parse, time.monotonic)


SPEC = CollectorSpec(
    name="amd",
    metrics=METRICS,
    resource_prefixes=(RESOURCE_PREFIX, DRA_DRIVER),
    create=_create,
    partition_metrics=PARTITION_METRICS,
)
