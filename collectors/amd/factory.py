"""Creates the collector of AMD GPUs with everything that it uses. Loaded only on a node that has such a GPU."""

import sys
import time
from functools import partial

from collectors.amd.collector import AmdCollector
from collectors.amd.gpu_metrics.parse import parse
from collectors.amd.gpu_paths import locate
from collectors.amd.rocm_smi import worker
from collectors.amd.rocm_smi.backend import RocmSmiBackend
from collectors.amd.rocm_smi.child import Child
from collectors.amd.rocm_smi.cross_check import CrossCheck
from collectors.contract import AmdBackend, Collector, Node
from collectors.device_calls import DeviceCalls

# Long for a library that reads files, and short enough that a late poll ends soon.
_DEADLINE_SECONDS = 5.0
# Longer than a request that is late and the end of its process: while one GPU waits for them, the others do too.
_LIBRARY_CALL_SECONDS = 8.0
_THREAD = "amd-devices"


def create(node: Node) -> Collector:
    """The collector for a machine. Does not access its hardware."""
    if node.amd.backend is AmdBackend.ROCM_SMI:
        calls = DeviceCalls(_THREAD, _LIBRARY_CALL_SECONDS)
        return AmdCollector(node, time.time, parse, time.monotonic, calls, _library(node))
    return AmdCollector(node, time.time, parse, time.monotonic, DeviceCalls(_THREAD))


def _library(node: Node) -> RocmSmiBackend:
    command = (sys.executable, "-m", worker.__name__)
    check = CrossCheck(node.sysfs, partial(locate, node.sysfs), parse)
    return RocmSmiBackend(Child(command, time.monotonic, _DEADLINE_SECONDS), check.verify_zero)
