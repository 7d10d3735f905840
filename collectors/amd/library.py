"""AMD's library in a child process, as the collector uses it. Loaded only with this `amd.backend`."""

import sys
import time
from functools import partial

from collectors.amd.gpu_metrics.parse import parse
from collectors.amd.gpu_paths import locate
from collectors.amd.rocm_smi import worker
from collectors.amd.rocm_smi.backend import RocmSmiBackend
from collectors.amd.rocm_smi.child import Child
from collectors.amd.rocm_smi.cross_check import CrossCheck
from collectors.contract import Node

# Long for a library that reads files, and short enough that a late poll ends soon.
_DEADLINE_SECONDS = 5.0


def library_of(node: Node) -> RocmSmiBackend:
    """The library for a machine. Starts no process before the first query."""
    command = (sys.executable, "-m", worker.__name__)
    check = CrossCheck(node.sysfs, partial(locate, node.sysfs), parse)
    return RocmSmiBackend(Child(command, time.monotonic, _DEADLINE_SECONDS), check.verify_zero)
