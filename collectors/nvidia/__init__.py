"""NVIDIA GPUs, read through NVML. Importing this package loads neither the library nor its binding."""

import time

from collectors.contract import Collector, CollectorSpec, Node
from collectors.device_calls import DeviceCalls
from collectors.nvidia.collector import METRICS, PARTITION_METRICS, NvidiaCollector
from collectors.nvidia.identity import DRA_DRIVER, RESOURCE_PREFIX
from collectors.nvidia.nvml import open_library


def _create(node: Node) -> Collector:
    return NvidiaCollector(node, open_library, time.monotonic, time.time, DeviceCalls("nvidia-devices"))


SPEC = CollectorSpec(
    name="nvidia",
    metrics=METRICS,
    resource_prefixes=(RESOURCE_PREFIX,),
    create=_create,
    partition_metrics=PARTITION_METRICS,
    dra_drivers=(DRA_DRIVER,),
)
