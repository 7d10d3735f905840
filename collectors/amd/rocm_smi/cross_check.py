"""What the kernel's own files say to a zero of the library.

Where `gpu_busy_percent` is empty, garbled or refused, the library tells success and 0. The collector that reads the
kernel's files knows better, and its rules are used here: a zero is believed where that collector would have told one.
"""

from collections.abc import Callable, Mapping

from collectors.amd import hwmon, load, ras
from collectors.amd.files import read_number
from collectors.amd.gpu_files import Visit
from collectors.amd.gpu_metrics.model import Parse
from collectors.amd.gpu_metrics.queries import GPU_METRICS_BATCH
from collectors.amd.gpu_paths import Layout
from collectors.amd.partitions import Cut
from collectors.amd.rocm_smi.librocm_smi import BLOCKS
from collectors.amd.throttle_time import HeldTime
from collectors.contract import CollectorError
from collectors.sysfs import Root


class CrossCheck:
    """Reads the kernel file behind a reading.

    Args:
        sysfs: The root of the host's `/sys`.
        layout_of: Finds the files of the device at a PCI address.
        parse: Understands the table `gpu_metrics`.
    """

    def __init__(self, sysfs: Root, layout_of: Callable[[str], Layout], parse: Parse) -> None:
        self._sysfs = sysfs
        self._layout_of = layout_of
        self._parse = parse

    def kernel_says(self, address: str, name: str) -> None:
        """Ask the kernel for a reading that the library says is 0.

        Args:
            address: Of the device.
            name: A key of `librocm_smi.READINGS`.

        Raises:
            CollectorError: The kernel has no value for it, or none that can be read, or its 0 stands for nothing.
        """
        READERS[name](self._sysfs, Visit(self._layout_of(address), Cut(known=False), self._parse, HeldTime()))


_Reader = Callable[[Root, Visit], object]
_QUERIES = {query.name: query for query in (*load.QUERIES, *hwmon.QUERIES)}
_PARTS = {part.name: part for part in GPU_METRICS_BATCH.parts}


def _query(name: str) -> _Reader:
    return lambda sysfs, visit: tuple(_QUERIES[name].ask(sysfs, visit))


def _part(name: str) -> _Reader:
    def read(sysfs: Root, visit: Visit) -> None:
        [told] = GPU_METRICS_BATCH.ask(sysfs, visit, [_PARTS[name].key])
        if isinstance(told, CollectorError):
            raise told

    return read


def _replays(_: Root, visit: Visit) -> int:
    return read_number(visit.layout.folder / "pcie_replay_count")


def _block(name: str) -> _Reader:
    return lambda _, visit: ras.read_count(visit.layout.folder, name)


READERS: Mapping[str, _Reader] = {
    "utilization_percent": _query(load.UTILIZATION),
    "memory_activity_percent": _query(load.MEMORY_BANDWIDTH),
    "vram_total_bytes": _query("memory limit"),
    "vram_used_bytes": _query("memory usage"),
    "gtt_used_bytes": _query("host memory"),
    "power_average_microwatts": _query(hwmon.POWER),
    "power_current_microwatts": _query(hwmon.POWER_NOW),
    "power_cap_microwatts": _query("power limit"),
    "energy_count": _part("energy"),
    "pcie_replays": _replays,
    "edge_millidegrees": _query(f"{hwmon.TEMPERATURE}, edge"),
    "junction_millidegrees": _query(f"{hwmon.TEMPERATURE}, junction"),
    "memory_millidegrees": _query(f"{hwmon.TEMPERATURE}, mem"),
    **{f"hbm{number}_millidegrees": _part(f"temperature, stack {number}") for number in range(4)},
    **{f"{block}_{kind}": _block(block) for block in BLOCKS for kind in ("corrected", "uncorrected")},
}
