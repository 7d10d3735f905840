"""The kernel's layout of each version of `gpu_metrics`, and of a partition's `xcp_metrics`.

Alignment is natural, as in `ctypes`. Source: the kernel's `drivers/gpu/drm/amd/include/kgd_pp_interface.h`; the names
of the fields are the kernel's. The first tables of version 1.6, which were reverted, have 384 bytes and another layout,
and are not supported. Versions without a layout describe themselves: see `attributes`.
"""

from collections.abc import Mapping
from ctypes import LittleEndianStructure, c_uint8, c_uint16, c_uint32, c_uint64
from typing import TypeAlias

_STACKS, _XGMI_LINKS, _VCNS = 4, 8, 4
_XCCS, _XCPS = 8, 8
_JPEGS, _MORE_JPEGS = 32, 40
_CPUS, _MORE_CPUS, _L3S, _IPUS = 8, 16, 2, 8

_Fields: TypeAlias = tuple[tuple[str, type], ...]


def _u16(*names: str) -> _Fields:
    return tuple((name, c_uint16) for name in names)


def _u32(*names: str) -> _Fields:
    return tuple((name, c_uint32) for name in names)


def _u64(*names: str) -> _Fields:
    return tuple((name, c_uint64) for name in names)


class Header(LittleEndianStructure):
    """The start of every version: its size and its version."""

    _fields_ = (("structure_size", c_uint16), ("format_revision", c_uint8), ("content_revision", c_uint8))


_HEADER = (("common_header", Header),)

# Graphics cards, format 1.
_HEAT_AND_LOAD = _u16(
    *(f"temperature_{sensor}" for sensor in ("edge", "hotspot", "mem", "vrgfx", "vrsoc", "vrmem")),
    "average_gfx_activity",
    "average_umc_activity",
    "average_mm_activity",
    "average_socket_power",
)
_DOMAINS = ("vclk0", "dclk0", "vclk1", "dclk1")
_CLOCKS = _u16(
    *(f"average_{domain}_frequency" for domain in ("gfxclk", "socclk", "uclk", *_DOMAINS)),
    *(f"current_{domain}" for domain in ("gfxclk", "socclk", "uclk", *_DOMAINS)),
)


class V1p0(LittleEndianStructure):
    """Version 1.0."""

    _fields_ = (
        *_HEADER,
        *_u64("system_clock_counter"),
        *_HEAT_AND_LOAD,
        *_u32("energy_accumulator"),
        *_CLOCKS,
        *_u32("throttle_status"),
        *_u16("current_fan_speed"),
        ("pcie_link_width", c_uint8),
        ("pcie_link_speed", c_uint8),
    )


_UP_TO_STACKS = (
    *_HEADER,
    *_HEAT_AND_LOAD,
    *_u64("energy_accumulator", "system_clock_counter"),
    *_CLOCKS,
    *_u32("throttle_status"),
    *_u16("current_fan_speed", "pcie_link_width", "pcie_link_speed", "padding"),
    *_u32("gfx_activity_acc", "mem_activity_acc"),
    ("temperature_hbm", c_uint16 * _STACKS),
)


class V1p1(LittleEndianStructure):
    """Version 1.1."""

    _fields_ = _UP_TO_STACKS


class V1p2(LittleEndianStructure):
    """Version 1.2."""

    _fields_ = (*_UP_TO_STACKS, *_u64("firmware_timestamp"))


class V1p3(LittleEndianStructure):
    """Version 1.3."""

    _fields_ = (
        *_UP_TO_STACKS,
        *_u64("firmware_timestamp"),
        *_u16("voltage_soc", "voltage_gfx", "voltage_mem", "padding1"),
        *_u64("indep_throttle_status"),
    )


# MI300 and later.
_SOCKET = (
    *_HEADER,
    *_u16("temperature_hotspot", "temperature_mem", "temperature_vrsoc"),
    *_u16("curr_socket_power", "average_gfx_activity", "average_umc_activity"),
)
_LINKS_AND_BANDWIDTH = (
    *_u16("pcie_link_width", "pcie_link_speed", "xgmi_link_width", "xgmi_link_speed"),
    *_u32("gfx_activity_acc", "mem_activity_acc"),
    *_u64("pcie_bandwidth_acc", "pcie_bandwidth_inst", "pcie_l0_to_recov_count_acc"),
    *_u64("pcie_replay_count_acc", "pcie_replay_rover_count_acc"),
)
_NAKS = _u32("pcie_nak_sent_count_acc", "pcie_nak_rcvd_count_acc")
_XGMI = (("xgmi_read_data_acc", c_uint64 * _XGMI_LINKS), ("xgmi_write_data_acc", c_uint64 * _XGMI_LINKS))
_STATUS = (("xgmi_link_status", c_uint16 * _XGMI_LINKS), *_u16("padding"))
_TIME_AND_CLOCKS = (
    *_u64("firmware_timestamp"),
    ("current_gfxclk", c_uint16 * _XCCS),
    *((f"current_{domain}", c_uint16 * 4) for domain in ("socclk", "vclk0", "dclk0")),
    *_u16("current_uclk"),
)
_THROTTLE_STATUS = _u32("throttle_status", "gfxclk_lock_status")
_RESIDENCIES = _u32(
    "accumulation_counter",
    *(f"{cause}_residency_acc" for cause in ("prochot", "ppt", "socket_thm", "vr_thm", "hbm_thm")),
    "gfxclk_lock_status",
)


class V1p4(LittleEndianStructure):
    """Version 1.4."""

    _fields_ = (
        *_SOCKET,
        ("vcn_activity", c_uint16 * _VCNS),
        *_u64("energy_accumulator", "system_clock_counter"),
        *_THROTTLE_STATUS,
        *_LINKS_AND_BANDWIDTH,
        *_XGMI,
        *_TIME_AND_CLOCKS,
        *_u16("padding"),
    )


class V1p5(LittleEndianStructure):
    """Version 1.5."""

    _fields_ = (
        *_SOCKET,
        ("vcn_activity", c_uint16 * _VCNS),
        ("jpeg_activity", c_uint16 * _JPEGS),
        *_u64("energy_accumulator", "system_clock_counter"),
        *_THROTTLE_STATUS,
        *_LINKS_AND_BANDWIDTH,
        *_NAKS,
        *_XGMI,
        *_TIME_AND_CLOCKS,
        *_u16("padding"),
    )


def _xcp(jpegs: int, *accumulators: str) -> _Fields:
    return (
        ("gfx_busy_inst", c_uint32 * _XCCS),
        ("jpeg_busy", c_uint16 * jpegs),
        ("vcn_busy", c_uint16 * _VCNS),
        *((name, c_uint64 * _XCCS) for name in ("gfx_busy_acc", *accumulators)),
    )


class Xcp(LittleEndianStructure):
    """One partition in version 1.6."""

    _fields_ = _xcp(_JPEGS)


class Xcp1(LittleEndianStructure):
    """One partition in version 1.7."""

    _fields_ = _xcp(_JPEGS, "gfx_below_host_limit_acc")


class Xcp2(LittleEndianStructure):
    """One partition in version 1.8."""

    _fields_ = _xcp(
        _MORE_JPEGS,
        "gfx_below_host_limit_ppt_acc",
        "gfx_below_host_limit_thm_acc",
        "gfx_low_utilization_acc",
        "gfx_below_host_limit_total_acc",
    )


def _after_partitions(xcp: type[LittleEndianStructure]) -> _Fields:
    return (*_u16("num_partition"), ("xcp_stats", xcp * _XCPS), *_u32("pcie_lc_perf_other_end_recovery"))


class V1p6(LittleEndianStructure):
    """Version 1.6."""

    _fields_ = (
        *_SOCKET,
        *_u64("energy_accumulator", "system_clock_counter"),
        *_RESIDENCIES,
        *_LINKS_AND_BANDWIDTH,
        *_NAKS,
        *_XGMI,
        *_TIME_AND_CLOCKS,
        *_after_partitions(Xcp),
    )


_FROM_1P7 = (
    *_SOCKET,
    *_u64("mem_max_bandwidth", "energy_accumulator", "system_clock_counter"),
    *_RESIDENCIES,
    *_LINKS_AND_BANDWIDTH,
    *_NAKS,
    *_XGMI,
    *_STATUS,
    *_TIME_AND_CLOCKS,
)


class V1p7(LittleEndianStructure):
    """Version 1.7."""

    _fields_ = (*_FROM_1P7, *_after_partitions(Xcp1))


class V1p8(LittleEndianStructure):
    """Version 1.8."""

    _fields_ = (*_FROM_1P7, *_after_partitions(Xcp2))


class PartitionV1p0(LittleEndianStructure):
    """Version 1.0 of a partition's own table."""

    _fields_ = (
        *_HEADER,
        ("current_gfxclk", c_uint16 * _XCCS),
        *((f"current_{domain}", c_uint16 * 4) for domain in ("socclk", "vclk0", "dclk0")),
        *_u16("current_uclk", "padding"),
        *Xcp2._fields_,
    )


# Processors with graphics, formats 2 and 3.
_APU_HEAT = (
    *_u16("temperature_gfx", "temperature_soc"),
    ("temperature_core", c_uint16 * _CPUS),
    ("temperature_l3", c_uint16 * _L3S),
)
_APU_LOAD = _u16("average_gfx_activity", "average_mm_activity")
_APU_POWER_AND_CLOCKS = (
    *_u16(*(f"average_{part}_power" for part in ("socket", "cpu", "soc", "gfx"))),
    ("average_core_power", c_uint16 * _CPUS),
    *_u16(*(f"average_{each}clk_frequency" for each in ("gfx", "soc", "u", "f", "v", "d"))),
    *_u16(*(f"current_{each}clk" for each in ("gfx", "soc", "u", "f", "v", "d"))),
    ("current_coreclk", c_uint16 * _CPUS),
    ("current_l3clk", c_uint16 * _L3S),
    *_u32("throttle_status"),
    *_u16("fan_pwm"),
)
_APU = (
    *_HEADER,
    *_APU_HEAT,
    *_APU_LOAD,
    *_u64("system_clock_counter"),
    *_APU_POWER_AND_CLOCKS,
    ("padding", c_uint16 * 3),
)
_APU_AVERAGES = (
    *_u16("average_temperature_gfx", "average_temperature_soc"),
    ("average_temperature_core", c_uint16 * _CPUS),
    ("average_temperature_l3", c_uint16 * _L3S),
)


class V2p0(LittleEndianStructure):
    """Version 2.0."""

    _fields_ = (
        *_HEADER,
        *_u64("system_clock_counter"),
        *_APU_HEAT,
        *_APU_LOAD,
        *_APU_POWER_AND_CLOCKS,
        *_u16("padding"),
    )


class V2p1(LittleEndianStructure):
    """Version 2.1."""

    _fields_ = _APU


class V2p2(LittleEndianStructure):
    """Version 2.2."""

    _fields_ = (*_APU, *_u64("indep_throttle_status"))


class V2p3(LittleEndianStructure):
    """Version 2.3."""

    _fields_ = (*_APU, *_u64("indep_throttle_status"), *_APU_AVERAGES)


class V2p4(LittleEndianStructure):
    """Version 2.4."""

    _fields_ = (
        *_APU,
        *_u64("indep_throttle_status"),
        *_APU_AVERAGES,
        *_u16(*(f"average_{part}_voltage" for part in ("cpu", "soc", "gfx"))),
        *_u16(*(f"average_{part}_current" for part in ("cpu", "soc", "gfx"))),
    )


class V3p0(LittleEndianStructure):
    """Version 3.0."""

    _fields_ = (
        *_HEADER,
        *_u16("temperature_gfx", "temperature_soc"),
        ("temperature_core", c_uint16 * _MORE_CPUS),
        *_u16("temperature_skin", "average_gfx_activity", "average_vcn_activity"),
        ("average_ipu_activity", c_uint16 * _IPUS),
        ("average_core_c0_activity", c_uint16 * _MORE_CPUS),
        *_u16("average_dram_reads", "average_dram_writes", "average_ipu_reads", "average_ipu_writes"),
        *_u64("system_clock_counter"),
        *_u32("average_socket_power"),
        *_u16("average_ipu_power"),
        *_u32(*(f"average_{part}_power" for part in ("apu", "gfx", "dgpu", "all_core"))),
        ("average_core_power", c_uint16 * _MORE_CPUS),
        *_u16("average_sys_power", "stapm_power_limit", "current_stapm_power_limit"),
        *_u16(*(f"average_{each}_frequency" for each in ("gfxclk", "socclk", "vpeclk", "ipuclk"))),
        *_u16(*(f"average_{each}_frequency" for each in ("fclk", "vclk", "uclk", "mpipu"))),
        ("current_coreclk", c_uint16 * _MORE_CPUS),
        *_u16("current_core_maxfreq", "current_gfx_maxfreq"),
        *_u32(*(f"throttle_residency_{each}" for each in ("prochot", "spl", "fppt", "sppt"))),
        *_u32(*(f"throttle_residency_thm_{each}" for each in ("core", "gfx", "soc"))),
        *_u32("time_filter_alphavalue"),
    )


LAYOUTS: Mapping[tuple[int, int], type[LittleEndianStructure]] = {
    (1, 0): V1p0,
    (1, 1): V1p1,
    (1, 2): V1p2,
    (1, 3): V1p3,
    (1, 4): V1p4,
    (1, 5): V1p5,
    (1, 6): V1p6,
    (1, 7): V1p7,
    (1, 8): V1p8,
    (2, 0): V2p0,
    (2, 1): V2p1,
    (2, 2): V2p2,
    (2, 3): V2p3,
    (2, 4): V2p4,
    (3, 0): V3p0,
}

PARTITION_LAYOUTS: Mapping[tuple[int, int], type[LittleEndianStructure]] = {(1, 0): PartitionV1p0}
