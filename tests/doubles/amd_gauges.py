"""Every gauge that the collector for AMD reads from hardware, on cards of a tree of files."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from collectors import catalog
from collectors.amd.gpu_metrics.parse import parse
from collectors.contract import Reading
from tests.doubles.amd_cards import GIB, MI210, MI300X, RX_7900_XTX
from tests.doubles.amd_node import ALL, collector_of
from tests.doubles.amd_tree import AmdTree, Gpu
from tests.doubles.collectors import Clock
from tests.doubles.hardware_gauges import POLL_SECONDS, HardwareGauge

_Write: TypeAlias = Callable[[Gpu, int], None]
_Table: TypeAlias = dict[HardwareGauge, _Write]

_MI210, _RADEON = "MI210", "RX 7900 XTX"
_CARDS = {"": MI300X, _MI210: MI210, _RADEON: RX_7900_XTX}
_MILLION = 10**6
_MARK_16, _MARK_32, _MARK_64 = 2**16 - 1, 2**32 - 1, 2**64 - 1
_PERCENT_OF_TIME = (40, 0.4, (101, _MARK_32))
_PERCENT_OF_TABLE = (40, 0.4, (101, _MARK_16 - 1))
_CELSIUS_OF_TABLE = (70, 70, (255, _MARK_16 - 1))
_MILLICELSIUS = (70_000, 70, (255_000, 65_535_000))
_MICROWATTS = (4_000_000 * _MILLION, _MARK_64)
_HERTZ = (1_500 * _MILLION, 1.5e9, (65_535 * _MILLION, 2**31 * _MILLION))
_MEGAHERTZ = (1_500, 1.5e9, (65_535, 2**31))
_BYTES = (_MARK_64 - 4095, _MARK_64)


def _file(name: str, text: str = "{}") -> _Write:
    return lambda gpu, raw: gpu.write(name, text.format(raw))


def _table(field: str) -> _Write:
    return lambda gpu, raw: gpu.write_table(**{field: raw})


def _pages(gpu: Gpu, raw: int) -> None:
    """So many retired pages, of which one is still in use; a line that is no page if there is a negative number."""
    line = "0x00000001 : 0x00001000 : R\n" if raw >= 0 else "4 bytes\n"
    gpu.write("ras/gpu_vram_bad_pages", f"{line * abs(raw)}0x00000002 : 0x00001000 : P")


def _busy_dies(gpu: Gpu, raw: int) -> None:
    """The dies of the first of two partitions."""
    dies = MI300X.dies
    gpu.kind = replace(MI300X, dies=(*(raw for _ in dies[:4]), *dies[4:]))
    gpu.write_table()


def _bank(name: str, text: str = "{}") -> _Write:
    """A file of the memory of the first partition."""

    def write(gpu: Gpu, raw: int) -> None:
        (gpu.tree.node(gpu) / "mem_banks" / "0" / name).write_text(text.format(raw))

    return write


_POWER: _Table = {
    HardwareGauge(catalog.POWER, (), 600 * _MILLION, 600, (2_251 * _MILLION, *_MICROWATTS)): _file(
        "hwmon/power1_input"
    ),
    HardwareGauge(catalog.POWER, (), 200 * _MILLION, 200, (901 * _MILLION, *_MICROWATTS), _MI210): _file(
        "hwmon/power1_average"
    ),
    HardwareGauge(catalog.POWER_LIMIT, (), 700 * _MILLION, 700, _MICROWATTS): _file("hwmon/power1_cap"),
    HardwareGauge(catalog.POWER_DEFAULT_LIMIT, (), 740 * _MILLION, 740, _MICROWATTS): _file("hwmon/power1_cap_default"),
    HardwareGauge(catalog.POWER_MIN_LIMIT, (), 100 * _MILLION, 100, _MICROWATTS): _file("hwmon/power1_cap_min"),
    HardwareGauge(catalog.POWER_MAX_LIMIT, (), 760 * _MILLION, 760, _MICROWATTS): _file("hwmon/power1_cap_max"),
    # 130 % of the nominal maximum.
    HardwareGauge(catalog.FAN_SPEED, ("0",), 4290, 1.3, (6_601, 65_535, -1), _RADEON): _file("hwmon/fan1_input"),
}
_HEAT_AND_CLOCKS: _Table = {
    HardwareGauge(catalog.TEMPERATURE, ("core",), *_MILLICELSIUS, _MI210): _file("hwmon/temp1_input"),
    HardwareGauge(catalog.TEMPERATURE, ("hotspot",), *_MILLICELSIUS): _file("hwmon/temp2_input"),
    HardwareGauge(catalog.TEMPERATURE, ("memory",), *_MILLICELSIUS): _file("hwmon/temp3_input"),
    HardwareGauge(catalog.TEMPERATURE, ("hbm0",), *_CELSIUS_OF_TABLE, _MI210): _table("hbm"),
    **{
        HardwareGauge(catalog.TEMPERATURE_LIMIT, (sensor, limit), *_MILLICELSIUS): _file(f"hwmon/temp{number}_{name}")
        for sensor, number in (("hotspot", 2), ("memory", 3))
        for limit, name in (("slowdown", "crit"), ("shutdown", "emergency"))
    },
    HardwareGauge(catalog.CLOCK, ("core",), *_HERTZ): _file("hwmon/freq1_input"),
    HardwareGauge(catalog.CLOCK, ("memory",), *_HERTZ): _file("hwmon/freq2_input"),
    **{
        HardwareGauge(catalog.CLOCK, (domain,), *_MEGAHERTZ, card, together=((catalog.MAX_CLOCK, (domain,)),)): _file(
            f"pp_dpm_{name}", "0: 500Mhz\n1: {}Mhz *"
        )
        for domain, name, card in (
            ("soc", "socclk", ""),
            ("fabric", "fclk", ""),
            ("video", "vclk", _RADEON),
            ("display", "dcefclk", _RADEON),
        )
    },
    **{
        HardwareGauge(catalog.MAX_CLOCK, (domain,), *_MEGAHERTZ, card): _file(f"pp_dpm_{name}", "0: 500Mhz *\n1: {}Mhz")
        for domain, name, card in (
            ("core", "sclk", ""),
            ("memory", "mclk", ""),
            ("soc", "socclk", ""),
            ("fabric", "fclk", ""),
            ("video", "vclk", _RADEON),
            ("display", "dcefclk", _RADEON),
        )
    },
}
_LOAD: _Table = {
    HardwareGauge(catalog.UTILIZATION, (), *_PERCENT_OF_TIME): _file("gpu_busy_percent"),
    HardwareGauge(catalog.MEMORY_BANDWIDTH, (), *_PERCENT_OF_TIME): _file("mem_busy_percent"),
    HardwareGauge(catalog.MEMORY_CONTROLLER_ACTIVITY, (), *_PERCENT_OF_TIME, _MI210): _file("mem_busy_percent"),
    HardwareGauge(catalog.ENGINE_UTILIZATION, ("video",), *_PERCENT_OF_TIME, _RADEON): _file("vcn_busy_percent"),
    HardwareGauge(catalog.MEMORY_USAGE, (), 9 * GIB, 9 * GIB, (193 * GIB, *_BYTES)): _file("mem_info_vram_used"),
    HardwareGauge(catalog.MEMORY_LIMIT, (), 191 * GIB, 191 * GIB, _BYTES): _file("mem_info_vram_total"),
    HardwareGauge(catalog.HOST_MEMORY_USAGE, (), GIB, GIB, _BYTES): _file("mem_info_gtt_used"),
}
_LINKS: _Table = {
    HardwareGauge(catalog.PCIE_GENERATION, (), 16, 4, (17, _MARK_32)): _file("current_link_speed", "{}.0 GT/s PCIe"),
    HardwareGauge(catalog.PCIE_MAX_GENERATION, (), 64, 6, (17, _MARK_32)): _file("max_link_speed", "{}.0 GT/s PCIe"),
    HardwareGauge(catalog.PCIE_WIDTH, (), 8, 8, (33, _MARK_32, -1)): _file("current_link_width"),
    HardwareGauge(catalog.PCIE_MAX_WIDTH, (), 32, 32, (33, _MARK_32)): _file("max_link_width"),
    HardwareGauge(catalog.INTERCONNECT_LINKS, ("xgmi", "up"), 3, 3 * 8, (200,), _MI210): _file(
        "xgmi_num_links", "{0:02x} {0:02x} {0:02x} {0:02x} {0:02x} {0:02x} {0:02x} {0:02x}"
    ),
    # 32 gigabits per second and lane over six links.
    HardwareGauge(catalog.INTERCONNECT_BANDWIDTH_LIMIT, ("xgmi",), 8, 192e9, (_MARK_16 - 1,)): _table("xgmi_width"),
}
_STATE: _Table = {
    HardwareGauge(catalog.MODE_STATE, ("ecc",), 1, 1, (2**64,)): _file("ras/features", "feature mask: {:#x}"),
    HardwareGauge(
        catalog.MEMORY_RETIRED_PAGES, ("uncorrected",), 3, 3, (-1,), together=((catalog.MEMORY_REPAIR_PENDING, ()),)
    ): _pages,
    HardwareGauge(
        catalog.MEMORY_REPAIR_PENDING, (), 3, 1, (-1,), together=((catalog.MEMORY_RETIRED_PAGES, ("uncorrected",)),)
    ): _pages,
}
_OF_PARTITIONS: _Table = {
    HardwareGauge(catalog.UTILIZATION, (), *_PERCENT_OF_TABLE, of_partition=True): _busy_dies,
    HardwareGauge(catalog.MEMORY_USAGE, (), GIB, GIB, (97 * GIB, *_BYTES, -1), of_partition=True): _bank("used_memory"),
    HardwareGauge(catalog.MEMORY_LIMIT, (), 95 * GIB, 95 * GIB, _BYTES, of_partition=True): _bank(
        "properties", "heap_type 1\nsize_in_bytes {}\nflags 0"
    ),
}
AMD: Mapping[HardwareGauge, _Write] = {
    **_POWER,
    **_HEAT_AND_CLOCKS,
    **_LOAD,
    **_LINKS,
    **_STATE,
    **_OF_PARTITIONS,
}
# The gauges that no single raw value decides, with the reason.
AMD_EXCEPTED = {
    catalog.STATUS_STATE: "the collector's own conclusion from other rows",
    catalog.ERROR_LAST_TIMESTAMP: "the exporter's own clock at an error",
    catalog.PARTITIONS: "the number of partitions that are listed",
    catalog.PROCESSES: "the number of processes that are listed",
    catalog.COMPUTE_RATIO: "the number of compute units divided by that of the same file for all partitions",
    catalog.THROTTLE_ACTIVE: "bits that are all possible, or differences of cycles",
}


def amd_cards(path: Path) -> Mapping[str, Gpu]:
    """The cards of all gauges, each the only one of its tree.

    Args:
        path: The directory for the trees.
    """
    return {
        name: AmdTree(path / str(number)).add(card, "0000:05:00.0")
        for number, (name, card) in enumerate(_CARDS.items())
    }


def amd_gauge(cards: Mapping[str, Gpu], gauge: HardwareGauge) -> tuple[Callable[[int], None], Callable[[], Reading]]:
    """How to write the raw value of a gauge of `AMD`, and how to read its card by a new collector.

    Args:
        cards: All cards.
        gauge: The gauge.
    """
    gpu = cards[gauge.card]
    if gauge.of_partition:
        gpu.set_partition_mode("DPX")
    clock = Clock()
    collector = collector_of(gpu.tree, parse=parse, clock=clock)
    collector.read(ALL)  # a fallback is read from the second reading on

    def read() -> Reading:
        clock.now += POLL_SECONDS
        return collector.read(ALL)

    return (lambda raw: AMD[gauge](gpu, raw)), read
