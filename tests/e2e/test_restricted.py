"""The exporter as uid 0 without capabilities, with read-only mounts and a seccomp filter, serves the same as without.

What a container of the manifest has and this process has not: separate namespaces for processes, network, IPC and host
name; a device cgroup, which refuses files of `/dev`; masked paths in `/proc` and `/sys`; a profile of AppArmor or
SELinux; and the runtime's own filter, which lists what it permits, so that it also refuses calls that are in neither
list. `tests/deploy/test_image.py` runs the image in a real container. Stricter than a container: every mount is
read-only here, not only the root. The real library of NVIDIA needs the hardware and is not part of this.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from soak.node import SoakNode, soak_node
from tests.doubles.amd_cards import MI210
from tests.doubles.amd_tree import AmdTree
from tests.doubles.exporter_process import ExporterProcess, Scrape, Series, exporter, wait_until
from tests.doubles.mounted import within
from tests.doubles.node import QUICK
from tests.doubles.restricted_process import restricted, restricted_in_namespace
from tests.doubles.seccomp_filter import DENIED, system_calls

_WITHIN_SECONDS = 60.0
_NEW_USER_NAMESPACE = 0x1000_0000
# Refused by nothing but the filter.
_HARMLESS = ("unshare", "personality", "kcmp", "keyctl", "get_mempolicy")
# Prints its uid, the error of each system call whose number and first argument it is given, with 0 for all other
# arguments, and the error of writing to each of the paths.
_PROBE = """\
import ctypes, errno, json, os, sys
calls, paths = json.loads(sys.argv[1])
libc, found = ctypes.CDLL(None, use_errno=True), {"uid": os.geteuid()}
for name, (number, first) in calls.items():
    ctypes.set_errno(0)
    libc.syscall(number, first, 0, 0, 0, 0, 0)
    found[name] = errno.errorcode.get(ctypes.get_errno())
for path in paths:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
        found[path] = None
    except OSError as error:
        found[path] = errno.errorcode[error.errno]
print(json.dumps(found))
"""


@pytest.fixture
def full_node(tmp_path: Path, nvml_library: Path) -> Iterator[SoakNode]:
    """NVIDIA and AMD GPUs, whole and partitioned, with pods and processes on them."""
    with soak_node(tmp_path, nvml_library) as node:
        yield node


def probed(within: Sequence[str], calls: dict[str, tuple[int, int]], *paths: Path) -> dict[str, str | int | None]:
    """The uid, and the name of the error of each call and of writing to each path; None where there is none."""
    command = [*within, sys.executable, "-c", _PROBE, json.dumps([calls, list(map(str, paths))])]
    found: dict[str, str | int | None] = json.loads(subprocess.check_output(command, text=True))
    return found


def status(process: ExporterProcess) -> dict[str, str]:
    """What the kernel reports about a process."""
    lines = Path(f"/proc/{process.process.pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def check_status(process: ExporterProcess) -> None:
    found = status(process)
    assert {int(found[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    mounts = Path(f"/proc/{process.process.pid}/mountinfo").read_text(encoding="utf-8").splitlines()
    assert {line.split()[5].split(",")[0] for line in mounts if line.split()[4] == "/"} == {"ro"}


def served(process: ExporterProcess) -> dict[tuple[str, tuple[tuple[str, str], ...]], float | None]:
    """Every series, with its value if it does not depend on when it is read."""
    return {
        (series.name, tuple(sorted(series.labels.items()))): series.value if _is_constant(series) else None
        for series in process.scrape()
    }


def _is_constant(series: Series) -> bool:
    """Whether two exporters serve the same value, also if one of them was late once."""
    of_hardware = series.name.startswith(("accelerator_device_", "accelerator_partition_", "accelerator_allocation_"))
    return (of_hardware and not series.name.endswith("_total")) or series.labels.get("reason") == "permission_denied"


def complete(scrape: Scrape, pods: int) -> bool:
    """Whether both vendors, all pods and the processes are served."""
    vendors = {series.labels["vendor"] for series in scrape.find("accelerator_device_utilization_ratio")}
    holders = {series.labels["pod"] for series in scrape.find("accelerator_container_memory_usage_bytes")}
    names = {series.labels.get("name") for series in scrape.find("accelerator_process_memory_usage_bytes")}
    return vendors == {"amd", "nvidia"} and len(holders) == pods and names == {"python3"}


def test_devices_pods_and_processes_are_served_as_without_restrictions(full_node: SoakNode, tmp_path: Path) -> None:
    environment = full_node.nvidia.environment
    pods = len(full_node.nvidia.kubelet.pods)
    for name in ("free", "bound"):
        (tmp_path / name).mkdir()
    bounds = restricted_in_namespace(full_node.nvidia.nvml.path)  # the library of the double writes to its state
    with (
        exporter(tmp_path / "free", *full_node.flags, environment=environment) as free,
        exporter(tmp_path / "bound", *full_node.flags, environment=environment, within=bounds) as bound,
    ):
        check_status(bound)
        wait_until(lambda: complete(bound.scrape(), pods), _WITHIN_SECONDS)
        wait_until(lambda: served(free) == served(bound), _WITHIN_SECONDS)
        assert bound.get("/")[0] == free.get("/")[0] == 200
        assert bound.terminate(_WITHIN_SECONDS) == 0
    assert "denied" not in bound.log.read_text()


def test_the_child_with_amds_library_starts_and_answers(tmp_path: Path) -> None:
    tree = AmdTree(tmp_path / "sys")
    gpu = tree.add(MI210, "0000:63:00.0")
    gpu.write("gpu_busy_percent", "7 garbage")  # the library reads this as 7, the reader of files does not
    flags = ("--amd.backend=rocm-smi", "--kubelet.socket=/nonexistent", *QUICK)
    command = (*within(tree), *restricted(Path("/dev/shm")))  # noqa: S108 - the locks of the library
    with exporter(tmp_path, *flags, within=command) as running:
        check_status(running)
        scrape = wait_until(lambda: s if (s := running.scrape()).find("accelerator_device_utilization_ratio") else None)
        assert scrape.value("accelerator_device_utilization_ratio", uuid=gpu.uuid) == 0.07


def test_the_restrictions_are_those_of_a_container(tmp_path: Path) -> None:
    writable = tmp_path / "writable"
    writable.touch()
    numbers = system_calls()
    calls = {name: (numbers[name], 0) for name in (*DENIED, "clone3") if name in numbers}
    calls["clone"] = (numbers["clone"], _NEW_USER_NAMESPACE)
    closed = tmp_path / "closed"

    found = probed(restricted_in_namespace(writable), calls, closed, writable)

    assert found.pop("uid") == 0
    assert found.pop("clone3") == "ENOSYS"
    assert found.pop(str(writable)) is None
    assert found.pop(str(closed)) == "EROFS"
    assert set(found.values()) == {"EPERM"}
    assert "EPERM" not in probed((), {name: (numbers[name], 0) for name in _HARMLESS}).values()
