"""Creates the collector of AMD GPUs with everything that it uses. Loaded only on a node that has such a GPU."""

import time

from collectors.amd.collector import AmdCollector
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import AmdBackend, Node
from collectors.device_calls import DeviceCalls

# Longer than a request that is late and the end of its process: while one GPU waits for them, the others do too.
_LIBRARY_CALL_SECONDS = 8.0
_THREAD = "amd-devices"


def create(node: Node) -> AmdCollector:
    """The collector for a machine. Does not access its hardware."""
    if node.amd.backend is AmdBackend.ROCM_SMI:
        from collectors.amd.library import library_of  # noqa: PLC0415 - without this backend, it is not needed

        calls = DeviceCalls(_THREAD, _LIBRARY_CALL_SECONDS)
        return AmdCollector(node, time.time, parse, time.monotonic, calls, library_of(node))
    return AmdCollector(node, time.time, parse, time.monotonic, DeviceCalls(_THREAD))
