"""Utilization, memory and clocks of a GPU, from the files of its PCI function.

Source: the kernel's `Documentation/gpu/amdgpu/thermal.rst` and `driver-misc.rst`. `pcie_bw` is never read, because it
blocks for a second.
"""

from collections.abc import Iterator
from functools import partial

from collectors import catalog
from collectors.amd.gpu_files import GpuFiles, Query
from collectors.metric import Metric
from collectors.query import InvalidValueError, NoDataError, RawValue
from collectors.sysfs import Root
from collectors.units import hertz_from_megahertz, ratio_from_percent

# Tables of clocks, by domain: lines such as `1: 1200Mhz *`, with a star at the active level.
_LEVELS = {
    "core": "pp_dpm_sclk",
    "memory": "pp_dpm_mclk",
    "soc": "pp_dpm_socclk",
    "fabric": "pp_dpm_fclk",
    "video": "pp_dpm_vclk",
    "display": "pp_dpm_dcefclk",
}
# MI300 and MI350.
_BANDWIDTH = frozenset({"gfx940", "gfx941", "gfx942", "gfx950"})
# The other domains have a sensor, which is more precise than a table.
_NOW_BY_TABLE = ("soc", "fabric", "video", "display")


def _percent(name: str, metric: Metric, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    yield RawValue(metric, files.kept.read_number(files.paths.folder, name), ratio_from_percent)


def _video_percent(_: Root, files: GpuFiles) -> Iterator[RawValue]:
    """vcn_busy_percent: the video engines decode and encode; the file does not distinguish the two."""
    percent = files.kept.read_number(files.paths.folder, "vcn_busy_percent")
    yield RawValue(catalog.ENGINE_UTILIZATION, percent, ratio_from_percent, ("video",))


def _bytes(name: str, metric: Metric, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    yield RawValue(metric, files.kept.read_number(files.paths.folder, name))


def _levels(domain: str, files: GpuFiles) -> tuple[list[int], list[int]]:
    """Megahertz of all levels, and of the active ones.

    Raises:
        NoDataError: The table is empty.
        InvalidValueError: A line is not a level.
    """
    name = _LEVELS[domain]
    levels, now = [], []
    for line in files.kept.read_long_text(files.paths.folder, name).splitlines():
        words = line.lower().replace("*", " *").split()
        try:
            megahertz = int(words[1].removesuffix("mhz"))
        except (IndexError, ValueError):
            raise InvalidValueError(f"{name}: {line[:40]!r}") from None
        levels.append(megahertz)
        now += [megahertz] if words[-1] == "*" else []
    if not levels:
        raise NoDataError(f"{name}: empty")
    return levels, now


def _clock(domain: str, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    now = _levels(domain, files)[1]
    if len(now) != 1:
        raise NoDataError(f"{_LEVELS[domain]}: no active level")
    yield RawValue(catalog.CLOCK, now[0], hertz_from_megahertz, (domain,))


def _max_clock(domain: str, _: Root, files: GpuFiles) -> Iterator[RawValue]:
    yield RawValue(catalog.MAX_CLOCK, max(_levels(domain, files)[0]), hertz_from_megahertz, (domain,))


UTILIZATION = "utilization"
MEMORY = "memory activity"
VIDEO = "video engines"

QUERIES: tuple[Query, ...] = (
    Query(UTILIZATION, (catalog.UTILIZATION,), partial(_percent, "gpu_busy_percent", catalog.UTILIZATION)),
    Query(VIDEO, (catalog.ENGINE_UTILIZATION,), _video_percent),
    Query("memory usage", (catalog.MEMORY_USAGE,), partial(_bytes, "mem_info_vram_used", catalog.MEMORY_USAGE)),
    Query("memory limit", (catalog.MEMORY_LIMIT,), partial(_bytes, "mem_info_vram_total", catalog.MEMORY_LIMIT)),
    Query("host memory", (catalog.HOST_MEMORY_USAGE,), partial(_bytes, "mem_info_gtt_used", catalog.HOST_MEMORY_USAGE)),
    *(Query(f"clock, {domain}", (catalog.CLOCK,), partial(_clock, domain)) for domain in _NOW_BY_TABLE),
    *(Query(f"highest clock, {domain}", (catalog.MAX_CLOCK,), partial(_max_clock, domain)) for domain in _LEVELS),
)
# The families of what the firmware reports about the memory; a GPU has one of them.
MEMORY_ROWS: tuple[Metric, ...] = (catalog.MEMORY_BANDWIDTH, catalog.MEMORY_CONTROLLER_ACTIVITY)


def memory_row(architecture: str) -> Metric:
    """The family of `mem_busy_percent`, and of `average_umc_activity` in the table `gpu_metrics`, which is the same.

    On MI300 and MI350 it is the used bandwidth: `DramBandwidthUtilization` in the kernel's `smu_v13_0_6_ppt.c` and
    `smu_v13_0_12_ppt.c`. On other GPUs it is the activity of the controllers' clock domain: `AverageUclkActivity` in
    `aldebaran_ppt.c`, `navi10_ppt.c`, `sienna_cichlid_ppt.c`, `smu_v13_0_0_ppt.c` and `smu_v14_0_2_ppt.c`.

    Args:
        architecture: Such as `gfx942`; empty if unknown.
    """
    return catalog.MEMORY_BANDWIDTH if architecture in _BANDWIDTH else catalog.MEMORY_CONTROLLER_ACTIVITY


def memory_query(row: Metric) -> Query:
    """The query for one of the families of the memory."""
    return Query(MEMORY, (row,), partial(_percent, "mem_busy_percent", row))
