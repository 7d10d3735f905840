"""Checks a zero of the library against the kernel's files.

If `gpu_busy_percent` is empty, garbled or refused, the library returns success and 0. The collector that reads the
kernel's files detects this, and its rules are used here: a zero is used only if that collector would report a zero.
"""

from collections.abc import Callable, Mapping

from collectors.amd import hwmon, load, ras
from collectors.amd.files import read_number
from collectors.amd.gpu_files import GpuFiles, GpuState
from collectors.amd.gpu_metrics.model import Parse
from collectors.amd.gpu_metrics.queries import GPU_METRICS_BATCH
from collectors.amd.gpu_paths import GpuPaths
from collectors.amd.kept_files import KeptFiles
from collectors.amd.partitions import PartitionLayout
from collectors.amd.rocm_smi.librocm_smi import BLOCKS
from collectors.contract import CollectorError
from collectors.sysfs import Root


class CrossCheck:
    """Reads the kernel file behind a reading.

    Args:
        sysfs: The root of the host's `/sys`.
        locate: Finds the files of the device at a PCI address.
        parse: Parses the table `gpu_metrics`.
    """

    def __init__(self, sysfs: Root, locate: Callable[[str], GpuPaths], parse: Parse) -> None:
        self._sysfs = sysfs
        self._locate = locate
        self._parse = parse

    def verify_zero(self, address: str, name: str) -> None:
        """Read from the kernel a reading for which the library returned 0.

        Args:
            address: Address of the device.
            name: A key of `librocm_smi.READINGS`.

        Raises:
            CollectorError: The kernel has no value, or it can't be read, or its 0 means that there is no value.
        """
        layout = PartitionLayout(known=False)
        state = GpuState(kept=KeptFiles(most=0))  # a zero is rare: nothing is read often
        READERS[name](self._sysfs, GpuFiles(self._locate(address), layout, self._parse, state))


_Reader = Callable[[Root, GpuFiles], object]
_QUERIES = {query.name: query for query in (*load.QUERIES, load.memory_query(load.memory_row("")), *hwmon.QUERIES)}
_ITEMS = {item.name: item for item in GPU_METRICS_BATCH.items}


def _query(name: str) -> _Reader:
    return lambda sysfs, files: tuple(_QUERIES[name].read(sysfs, files))


def _item(name: str) -> _Reader:
    def read(sysfs: Root, files: GpuFiles) -> None:
        [result] = GPU_METRICS_BATCH.read(sysfs, files, [_ITEMS[name].key])
        if isinstance(result, CollectorError):
            raise result

    return read


def _replays(_: Root, files: GpuFiles) -> int:
    return read_number(files.paths.folder / "pcie_replay_count")


def _block(name: str) -> _Reader:
    return lambda _, files: ras.read_count(files.paths.folder, name)


READERS: Mapping[str, _Reader] = {
    "utilization_percent": _query(load.UTILIZATION),
    "memory_activity_percent": _query(load.MEMORY),
    "vram_total_bytes": _query("memory limit"),
    "vram_used_bytes": _query("memory usage"),
    "gtt_used_bytes": _query("host memory"),
    "power_average_microwatts": _query(hwmon.POWER),
    "power_current_microwatts": _query(hwmon.POWER_NOW),
    "power_cap_microwatts": _query("power limit"),
    "energy_count": _item("energy"),
    "pcie_replays": _replays,
    "edge_millidegrees": _query(f"{hwmon.TEMPERATURE}, edge"),
    "junction_millidegrees": _query(f"{hwmon.TEMPERATURE}, junction"),
    "memory_millidegrees": _query(f"{hwmon.TEMPERATURE}, mem"),
    **{f"hbm{number}_millidegrees": _item(f"temperature, stack {number}") for number in range(4)},
    **{f"{block}_{kind}": _block(block) for block in BLOCKS for kind in ("corrected", "uncorrected")},
}
