"""The kernel file behind each reading of the library, for zeros that are not to be believed on the library's word.

A file that is empty, garbled or answered with an error is a 0 with "success" to the library.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from collectors.amd import layout, ras
from collectors.amd.files import read_number
from collectors.amd.layout import Layout
from collectors.amd.rocm_smi.library import BLOCKS
from collectors.contract import UnsupportedError
from collectors.sysfs import Root

_Read = Callable[[Layout], object]


def _number(name: str, where: Layout) -> int:
    return read_number(where.folder / name)


def _sensors(where: Layout) -> Path:
    if where.hwmon is None:
        raise UnsupportedError("no hwmon folder of amdgpu")
    return where.hwmon


def _of_sensors(name: str, where: Layout) -> int:
    return read_number(_sensors(where) / name)


def _temperature(label: str, where: Layout) -> int:
    stem = where.sensors.get(f"temp {label}")
    if stem is None:
        raise UnsupportedError(f"hwmon: no temp sensor labelled {label}")
    return read_number(_sensors(where) / f"{stem}_input")


def _errors(block: str, where: Layout) -> object:
    return ras.read_count(where.folder, block)


_FILES: Mapping[str, _Read] = {
    "utilization_percent": partial(_number, "gpu_busy_percent"),
    "memory_activity_percent": partial(_number, "mem_busy_percent"),
    "vram_total_bytes": partial(_number, "mem_info_vram_total"),
    "vram_used_bytes": partial(_number, "mem_info_vram_used"),
    "gtt_used_bytes": partial(_number, "mem_info_gtt_used"),
    "power_average_microwatts": partial(_of_sensors, "power1_average"),
    "power_current_microwatts": partial(_of_sensors, "power1_input"),
    "power_cap_microwatts": partial(_of_sensors, "power1_cap"),
    "pcie_replays": partial(_number, "pcie_replay_count"),
    "edge_millidegrees": partial(_temperature, "edge"),
    "junction_millidegrees": partial(_temperature, "junction"),
    "memory_millidegrees": partial(_temperature, "mem"),
    **{f"{block}_{kind}": partial(_errors, block) for block in BLOCKS for kind in ("corrected", "uncorrected")},
}
# They come from `gpu_metrics`, which the library checks, and are not asked for twice.
UNCHECKED = frozenset({"energy_count", *(f"hbm{stack}_millidegrees" for stack in range(4))})


class KernelFiles:
    """Reads them.

    Args:
        sysfs: The root of the host's `/sys`.
    """

    def __init__(self, sysfs: Root) -> None:
        self._sysfs = sysfs

    def __call__(self, address: str, name: str) -> None:
        """Read the file behind a reading.

        Args:
            address: Of the device, in the kernel's spelling.
            name: A key of `library.READINGS`.

        Raises:
            CollectorError: There is no such file, it can't be read, or it says nothing.
        """
        read = _FILES.get(name)
        if read is not None:
            read(layout.locate(self._sysfs, address))
