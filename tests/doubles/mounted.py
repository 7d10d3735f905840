"""The real `librocm_smi64` (Debian package `librocm-smi64-1`) in a process whose `/sys` is a tree of files.

A separate mount namespace gives it the tree; it is not visible outside. The library shares locks by /dev/shm
with every other process that has it open, and waits for those of dead ones: so it gets a separate /dev/shm.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from functools import cache, partial
from typing import NamedTuple

from collectors.amd.gpu_metrics.parse import parse
from collectors.amd.gpu_paths import locate
from collectors.amd.rocm_smi import worker
from collectors.amd.rocm_smi.backend import RocmSmiBackend
from collectors.amd.rocm_smi.child import Child
from collectors.amd.rocm_smi.cross_check import CrossCheck
from tests.doubles.amd_tree import AmdTree

_DEADLINE_SECONDS = 60.0
# $0 is the tree; the other arguments are the command.
_SCRIPT = 'mount --bind "$0" /sys && mount -t tmpfs none /dev/shm && exec "$@"'


class Mounted(NamedTuple):
    """The real library over a tree.

    Attributes:
        child: The process that has it open.
        backend: The backend that queries the child.
    """

    child: Child
    backend: RocmSmiBackend


def within(tree: AmdTree) -> tuple[str, ...]:
    """A command that runs another one with a tree as its `/sys`; a missing library fails the test."""
    assert find_library("rocm_smi64"), "librocm_smi64 not found: apt-get install librocm-smi64-1"
    return ("unshare", *namespaces(), "sh", "-c", _SCRIPT, str(tree.path))


@cache
def namespaces() -> tuple[str, ...]:
    """Commands that give a process separate mounts: the first is for root, unless it is only root of a container."""
    errors = []
    for namespaces in (("--mount",), ("--user", "--map-root-user", "--mount")):
        tried = subprocess.run(
            ["unshare", *namespaces, "mount", "-t", "tmpfs", "none", "/dev/shm"],  # noqa: S108 - a separate one
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode == 0:
            return namespaces
        errors.append(tried.stderr.strip())
    raise AssertionError(f"mounts are not permitted on this machine: {'; '.join(errors)}")


@contextmanager
def mounted(tree: AmdTree, clock: Callable[[], float] = time.monotonic) -> Iterator[Mounted]:
    """Open the library at the first query, and end its process afterwards; a missing library fails the test.

    Args:
        tree: Replaces `/sys`.
        clock: The clock of the child.
    """
    command = (*within(tree), sys.executable, "-m", worker.__name__)
    child = Child(command, clock, _DEADLINE_SECONDS)
    check = CrossCheck(tree.root, partial(locate, tree.root), parse)
    try:
        yield Mounted(child, RocmSmiBackend(child, check.verify_zero))
    finally:
        child.close()
