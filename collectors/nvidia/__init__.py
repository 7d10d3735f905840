"""NVIDIA GPUs, read through NVML. Importing this package loads neither the library nor its binding."""

import ctypes
import time
from collections.abc import Sequence
from functools import partial

from collectors.contract import AbsentError, Collector, CollectorSpec, Node
from collectors.deferred import DeferredCollector, DeferredRows, ReleasingCollector
from collectors.metric import Metric
from collectors.nvidia.names import DRA_DRIVER, LIBRARY, PCI_VENDOR, RESOURCE_PREFIX
from collectors.pci import functions_of


def _create(node: Node) -> Collector:
    return DeferredCollector(partial(_verify_presence, node), partial(_create_loaded, node))


def _verify_presence(node: Node) -> None:
    """Raise an AbsentError without a device on the PCI bus and without the library, which may list others (Jetson)."""
    if functions_of(node.sysfs, PCI_VENDOR):
        return
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise AbsentError(f"no NVIDIA device on this node (cannot load {LIBRARY}: {error})") from None


def _create_loaded(node: Node) -> ReleasingCollector:
    from collectors.device_calls import DeviceCalls  # noqa: PLC0415 - see `collectors.deferred`
    from collectors.nvidia.collector import NvidiaCollector  # noqa: PLC0415
    from collectors.nvidia.nvml import open_library  # noqa: PLC0415

    return NvidiaCollector(node, open_library, time.monotonic, time.time, DeviceCalls("nvidia-devices"))


def _metrics() -> Sequence[Metric]:
    from collectors.nvidia.collector import METRICS  # noqa: PLC0415 - see `collectors.deferred`

    return METRICS


def _partition_metrics() -> Sequence[Metric]:
    from collectors.nvidia.collector import PARTITION_METRICS  # noqa: PLC0415 - see `collectors.deferred`

    return PARTITION_METRICS


SPEC = CollectorSpec(
    name="nvidia",
    metrics=DeferredRows(_metrics),
    resource_prefixes=(RESOURCE_PREFIX,),
    create=_create,
    partition_metrics=DeferredRows(_partition_metrics),
    dra_drivers=(DRA_DRIVER,),
)
