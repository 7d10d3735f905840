"""Parses the bytes of `gpu_metrics`, and of `xcp_metrics`, the table of one partition.

A field that the driver did not fill has all bits of its own width set. Units are those that the kernel's header states,
except where its drivers contradict it. It states no units for versions 2.0 to 2.3, and drivers fill them differently,
so only the reasons for throttling are used from these; the other values of such processors are in files.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from ctypes import LittleEndianStructure
from dataclasses import replace
from typing import NamedTuple

from collectors.amd.gpu_metrics.attributes import AttributeTable
from collectors.amd.gpu_metrics.layouts import LAYOUTS, PARTITION_LAYOUTS, Header
from collectors.amd.gpu_metrics.model import (
    Metrics,
    PartitionMetrics,
    Residencies,
    UnknownTableError,
    XgmiLinks,
    links_up,
)
from collectors.amd.gpu_metrics.table import StructureTable, Table
from collectors.query import InvalidValueError
from collectors.units import (
    bytes_from_gigabits,
    bytes_from_kibibytes,
    celsius_from_centicelsius,
    ratio_from_centipercent,
    ratio_from_percent,
    seconds_from_nanoseconds,
    watts_from_milliwatts,
)

# The kernel counts energy in units of 2^-16 J, which its header rounds to 15.259 microjoules.
_JOULES_PER_COUNT = 2**-16
_CAUSES = ("prochot", "ppt", "socket_thm", "vr_thm", "hbm_thm")
# No lane is as fast; a driver that does not convert the firmware's fixed-point number reports 1,024 times too much.
_MOST_GIGABITS = 1000
_DESCRIBED = (1, 9)
_PARTITION_DESCRIBED = (1, 1)


def parse(blob: bytes) -> Metrics:
    """The values in a table.

    Args:
        blob: The whole content of the file.

    Raises:
        UnknownTableError: Its layout is not supported.
        InvalidValueError: It is not such a table, or is incomplete.
    """
    header = _header("gpu_metrics", blob)
    if header.version == _DESCRIBED:
        return _by_attributes(_described(header, blob))
    table = _structure(header, LAYOUTS, blob)
    return _READERS[header.version](table)


def parse_partition(blob: bytes) -> PartitionMetrics:
    """The values in the table of one partition.

    Args:
        blob: The whole content of the file.

    Raises:
        UnknownTableError: Its layout is not supported.
        InvalidValueError: It is not such a table, or is incomplete.
    """
    header = _header("xcp_metrics", blob)
    if header.version == _PARTITION_DESCRIBED:
        return _partition(_described(header, blob))
    return _partition(_structure(header, PARTITION_LAYOUTS, blob))


class _Header(NamedTuple):
    """The start of a table.

    Attributes:
        name: What to call the table in errors.
        version: Its version.
        size: The size that it states.
    """

    name: str
    version: tuple[int, int]
    size: int


def _header(file: str, blob: bytes) -> _Header:
    if len(blob) < ctypes.sizeof(Header):
        raise InvalidValueError(f"{file}: {len(blob)} bytes")
    header = Header.from_buffer_copy(blob)
    version = (int(header.format_revision), int(header.content_revision))
    return _Header(f"{file} {version[0]}.{version[1]}", version, int(header.structure_size))


def _structure(
    header: _Header, layouts: Mapping[tuple[int, int], type[LittleEndianStructure]], blob: bytes
) -> StructureTable:
    """A table with a fixed layout. Some versions have existed with several layouts, which differ in size."""
    layout = layouts.get(header.version)
    if layout is None:
        raise UnknownTableError(f"{header.name}: this version is not supported")
    size = ctypes.sizeof(layout)
    if header.size != size:
        raise UnknownTableError(f"{header.name}: {header.size} bytes, expected {size}: this layout is not supported")
    return StructureTable(layout.from_buffer_copy(_whole(header, blob)))


def _described(header: _Header, blob: bytes) -> AttributeTable:
    return AttributeTable(_whole(header, blob), header.name)


def _whole(header: _Header, blob: bytes) -> bytes:
    """The table without what follows it."""
    if len(blob) < header.size:
        raise InvalidValueError(f"{header.name}: {len(blob)} bytes, {header.size} in the header")
    return blob[: header.size]


def _joules(count: float) -> float:
    return count * _JOULES_PER_COUNT


def _card(table: Table, *, energy: bool, stacks: bool, independent: bool) -> Metrics:
    """Versions 1.0 to 1.3; the energy counter of 1.0 has 32 bits and wraps after a few minutes on a busy card."""
    return Metrics(
        power_watts=table.number("average_socket_power"),
        energy_joules=table.converted("energy_accumulator", _joules) if energy else None,
        gfx_ratio=table.converted("average_gfx_activity", ratio_from_percent),
        umc_ratio=table.converted("average_umc_activity", ratio_from_percent),
        vcn_ratios=[table.converted("average_mm_activity", ratio_from_percent)],
        edge_celsius=table.number("temperature_edge"),
        hotspot_celsius=table.number("temperature_hotspot"),
        memory_celsius=table.number("temperature_mem"),
        hbm_celsius=table.numbers("temperature_hbm") if stacks else (),
        throttle_bits=table.number("indep_throttle_status") if independent else None,
    )


def _socket(  # one argument for each difference between versions
    table: Table,
    *,
    vcn_ratios: Sequence[float | None],
    jpeg_ratios: Sequence[float | None] = (),
    residencies: Residencies | None = None,
    links_up: Sequence[bool | None] = (),
    partitions: Sequence[PartitionMetrics] = (),
) -> Metrics:
    """Versions from 1.4 on."""
    return Metrics(
        power_watts=table.number("curr_socket_power"),
        energy_joules=table.converted("energy_accumulator", _joules),
        gfx_ratio=table.converted("average_gfx_activity", ratio_from_percent),
        umc_ratio=table.converted("average_umc_activity", ratio_from_percent),
        vcn_ratios=vcn_ratios,
        jpeg_ratios=jpeg_ratios,
        hotspot_celsius=table.number("temperature_hotspot"),
        memory_celsius=table.number("temperature_mem"),
        residencies=residencies,
        pcie_replays=table.number("pcie_replay_count_acc"),
        xgmi=_xgmi(table, links_up),
        partitions=partitions,
    )


def _xgmi(table: Table, links_up: Sequence[bool | None]) -> XgmiLinks:
    """The XGMI links; the bandwidth is the number of lanes times the gigabits per second of each lane."""
    lanes, gigabits = table.number("xgmi_link_width") or 0, table.number("xgmi_link_speed") or 0
    known = lanes and 0 < gigabits <= _MOST_GIGABITS
    return XgmiLinks(
        received_bytes=_of_links(table, "xgmi_read_data_acc"),
        sent_bytes=_of_links(table, "xgmi_write_data_acc"),
        up=links_up,
        link_bytes_per_second=lanes * bytes_from_gigabits(gigabits) if known else None,
    )


def _of_links(table: Table, name: str) -> list[float | None]:
    """Bytes of each link.

    A single value is not of one link: firmware of the MI400 sums the gigabytes per second of all links, although the
    table says KB. Source: the kernel's `smu_v15_0_8_pmfw.h` (XgmiReadBandwidthAcc) and `smu_v15_0_8_ppt.c`.
    """
    counts = table.all_converted(name, bytes_from_kibibytes)
    return counts if len(counts) > 1 else []


def _with_vcn(table: Table) -> Metrics:
    return _socket(table, vcn_ratios=table.all_converted("vcn_activity", ratio_from_percent))


def _with_jpeg(table: Table) -> Metrics:
    return _socket(
        table,
        vcn_ratios=table.all_converted("vcn_activity", ratio_from_percent),
        jpeg_ratios=table.all_converted("jpeg_activity", ratio_from_percent),
    )


def _with_partitions(table: StructureTable, links_up: Sequence[bool | None] = ()) -> Metrics:
    partitions = _partitions(table)
    return _socket(
        table,
        vcn_ratios=[ratio for partition in partitions for ratio in partition.vcn_ratios],
        jpeg_ratios=[ratio for partition in partitions for ratio in partition.jpeg_ratios],
        residencies=_residencies(table),
        links_up=links_up,
        partitions=partitions,
    )


def _with_link_status(table: StructureTable) -> Metrics:
    return _with_partitions(table, links_up(table.numbers("xgmi_link_status")))


def _by_attributes(table: Table) -> Metrics:
    """Version 1.9, which lists the engines of the whole GPU; a partition has its own table."""
    metrics = _socket(
        table,
        vcn_ratios=table.all_converted("vcn_busy", ratio_from_percent),
        jpeg_ratios=table.all_converted("jpeg_busy", ratio_from_percent),
        residencies=_residencies(table),
        links_up=links_up(table.numbers("xgmi_link_status")),
    )
    return replace(metrics, compute_dies=sum(busy is not None for busy in table.numbers("gfx_busy_inst")) or None)


def _partitions(table: StructureTable) -> list[PartitionMetrics]:
    """The partitions, as many as the table states; none if it states more than it has space for."""
    parts = table.parts("xcp_stats")
    count = table.number("num_partition")
    if count is None or count > len(parts):
        return []
    return [_partition(part) for part in parts[:count]]


def _partition(table: Table) -> PartitionMetrics:
    return PartitionMetrics(
        gfx_ratios=table.all_converted("gfx_busy_inst", ratio_from_percent),
        vcn_ratios=table.all_converted("vcn_busy", ratio_from_percent),
        jpeg_ratios=table.all_converted("jpeg_busy", ratio_from_percent),
    )


def _residencies(table: Table) -> Residencies | None:
    """The cycles with reduced clocks; None if several causes are said to apply in every cycle since the start.

    An idle MI300X with amdgpu 6.10.5 reported this in a public recording: power and two temperatures, at 120 W.
    """
    cycles = table.number("accumulation_counter")
    seconds = table.converted("system_clock_counter", seconds_from_nanoseconds)
    if cycles is None or seconds is None:
        return None
    by_cause = {cause: table.number(f"{cause}_residency_acc") for cause in _CAUSES}
    if cycles and sum(count == cycles for count in by_cause.values()) > 1:
        return None
    return Residencies(cycles, {cause: count for cause, count in by_cause.items() if count is not None}, seconds)


def _apu(table: Table) -> Metrics:
    return Metrics(throttle_bits=table.number("indep_throttle_status"))


def _apu_in_hundredths(table: Table) -> Metrics:
    """Version 2.4."""
    return Metrics(
        power_watts=table.converted("average_socket_power", watts_from_milliwatts),
        gfx_ratio=table.converted("average_gfx_activity", ratio_from_centipercent),
        vcn_ratios=[table.converted("average_mm_activity", ratio_from_centipercent)],
        edge_celsius=table.converted("temperature_gfx", celsius_from_centicelsius),
        throttle_bits=table.number("indep_throttle_status"),
    )


def _apu_filtered(table: Table) -> Metrics:
    """Version 3.0; the unit of its temperatures is not stated.

    Its drivers copy the firmware's numbers: the video engines are in hundredths of a percent, although the header says
    percent, and the unit of the graphics engine depends on the firmware. Source: the kernel's `smu_v14_0_0_ppt.c` and
    `smu_v15_0_0_ppt.c` (smu_v14_0_0_get_smu_metrics_data, METRICS_AVERAGE_VCNACTIVITY, METRICS_AVERAGE_GFXACTIVITY).
    """
    return Metrics(
        power_watts=table.converted("average_socket_power", watts_from_milliwatts),
        vcn_ratios=[table.converted("average_vcn_activity", ratio_from_centipercent)],
    )


def _nothing(_: Table) -> Metrics:
    return Metrics()


_READERS: Mapping[tuple[int, int], Callable[[StructureTable], Metrics]] = {
    (1, 0): lambda table: _card(table, energy=False, stacks=False, independent=False),
    (1, 1): lambda table: _card(table, energy=True, stacks=True, independent=False),
    (1, 2): lambda table: _card(table, energy=True, stacks=True, independent=False),
    (1, 3): lambda table: _card(table, energy=True, stacks=True, independent=True),
    (1, 4): _with_vcn,
    (1, 5): _with_jpeg,
    (1, 6): _with_partitions,
    (1, 7): _with_link_status,
    (1, 8): _with_link_status,
    (2, 0): _nothing,
    (2, 1): _nothing,
    (2, 2): _apu,
    (2, 3): _apu,
    (2, 4): _apu_in_hundredths,
    (3, 0): _apu_filtered,
}
