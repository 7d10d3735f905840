"""Parses the bytes of `gpu_metrics`.

A field that the driver did not fill has all bits of its own width set; nothing else means "unknown". Units are those
that the kernel's header states. It states no units for versions 2.0 to 2.3, and drivers fill them differently, so only
the reasons for throttling are used from these; the other values of such processors are in files.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from ctypes import LittleEndianStructure

from collectors.amd.gpu_metrics.layouts import LAYOUTS, Header
from collectors.amd.gpu_metrics.model import (
    Metrics,
    PartitionMetrics,
    Residencies,
    UnknownTableError,
    XgmiLinks,
    links_up,
)
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


def parse(blob: bytes) -> Metrics:
    """The values in a table.

    Args:
        blob: The whole content of the file.

    Raises:
        UnknownTableError: There is no layout for its version.
        InvalidValueError: It is not such a table, or is incomplete.
    """
    if len(blob) < ctypes.sizeof(Header):
        raise InvalidValueError(f"gpu_metrics: {len(blob)} bytes")
    header = Header.from_buffer_copy(blob)
    version = (int(header.format_revision), int(header.content_revision))
    name = f"gpu_metrics {version[0]}.{version[1]}"
    layout = LAYOUTS.get(version)
    if layout is None:
        raise UnknownTableError(f"{name}: this version is not supported")
    size = ctypes.sizeof(layout)
    if header.structure_size != size or len(blob) < size:
        sizes = f"{len(blob)} bytes with {header.structure_size} in the header, expected {size}"
        raise InvalidValueError(f"{name}: {sizes}")
    return _READERS[version](_Table(layout.from_buffer_copy(blob)))


class _Table:
    """Reads a structure; fields that are not filled are None.

    Args:
        structure: A structure of any layout.
    """

    def __init__(self, structure: LittleEndianStructure) -> None:
        self._structure = structure

    def number(self, name: str) -> int | None:
        """A field."""
        value: int = getattr(self._structure, name)
        return None if value == _ones(getattr(type(self._structure), name).size) else value

    def numbers(self, name: str) -> list[int | None]:
        """An array field."""
        array: ctypes.Array[ctypes.c_uint64] = getattr(self._structure, name)
        unfilled = _ones(ctypes.sizeof(array) // len(array))
        return [None if value == unfilled else value for value in map(int, array)]

    def converted(self, name: str, convert: Callable[[float], float]) -> float | None:
        """A field in another unit."""
        value = self.number(name)
        return None if value is None else convert(value)

    def all_converted(self, name: str, convert: Callable[[float], float]) -> list[float | None]:
        """An array field in another unit."""
        return [None if value is None else convert(value) for value in self.numbers(name)]

    def parts(self, name: str) -> "list[_Table]":
        """An array of structures."""
        return [_Table(part) for part in getattr(self._structure, name)]


def _ones(size: int) -> int:
    return (1 << 8 * size) - 1


def _joules(count: float) -> float:
    return count * _JOULES_PER_COUNT


def _card(table: _Table, *, energy: bool, stacks: bool, independent: bool) -> Metrics:
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
    table: _Table,
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


def _xgmi(table: _Table, links_up: Sequence[bool | None]) -> XgmiLinks:
    """The XGMI links; the bandwidth is the number of lanes times the gigabits per second of each lane."""
    lanes, gigabits = table.number("xgmi_link_width"), table.number("xgmi_link_speed")
    return XgmiLinks(
        received_bytes=table.all_converted("xgmi_read_data_acc", bytes_from_kibibytes),
        sent_bytes=table.all_converted("xgmi_write_data_acc", bytes_from_kibibytes),
        up=links_up,
        link_bytes_per_second=None if lanes is None or gigabits is None else lanes * bytes_from_gigabits(gigabits),
    )


def _with_vcn(table: _Table) -> Metrics:
    return _socket(table, vcn_ratios=table.all_converted("vcn_activity", ratio_from_percent))


def _with_jpeg(table: _Table) -> Metrics:
    return _socket(
        table,
        vcn_ratios=table.all_converted("vcn_activity", ratio_from_percent),
        jpeg_ratios=table.all_converted("jpeg_activity", ratio_from_percent),
    )


def _with_partitions(table: _Table, links_up: Sequence[bool | None] = ()) -> Metrics:
    partitions = _partitions(table)
    return _socket(
        table,
        vcn_ratios=[ratio for partition in partitions for ratio in partition.vcn_ratios],
        jpeg_ratios=[ratio for partition in partitions for ratio in partition.jpeg_ratios],
        residencies=_residencies(table),
        links_up=links_up,
        partitions=partitions,
    )


def _with_link_status(table: _Table) -> Metrics:
    return _with_partitions(table, links_up(table.numbers("xgmi_link_status")))


def _partitions(table: _Table) -> list[PartitionMetrics]:
    """The partitions, as many as the table states; none if it states more than it has space for."""
    parts = table.parts("xcp_stats")
    count = table.number("num_partition")
    if count is None or count > len(parts):
        return []
    return [
        PartitionMetrics(
            gfx_ratios=part.all_converted("gfx_busy_inst", ratio_from_percent),
            vcn_ratios=part.all_converted("vcn_busy", ratio_from_percent),
            jpeg_ratios=part.all_converted("jpeg_busy", ratio_from_percent),
        )
        for part in parts[:count]
    ]


def _residencies(table: _Table) -> Residencies | None:
    cycles = table.number("accumulation_counter")
    seconds = table.converted("system_clock_counter", seconds_from_nanoseconds)
    if cycles is None or seconds is None:
        return None
    by_cause = {cause: table.number(f"{cause}_residency_acc") for cause in _CAUSES}
    return Residencies(cycles, {cause: count for cause, count in by_cause.items() if count is not None}, seconds)


def _apu(table: _Table) -> Metrics:
    return Metrics(throttle_bits=table.number("indep_throttle_status"))


def _apu_in_hundredths(table: _Table) -> Metrics:
    """Version 2.4."""
    return Metrics(
        power_watts=table.converted("average_socket_power", watts_from_milliwatts),
        gfx_ratio=table.converted("average_gfx_activity", ratio_from_centipercent),
        vcn_ratios=[table.converted("average_mm_activity", ratio_from_centipercent)],
        edge_celsius=table.converted("temperature_gfx", celsius_from_centicelsius),
        throttle_bits=table.number("indep_throttle_status"),
    )


def _apu_filtered(table: _Table) -> Metrics:
    """Version 3.0; the unit of its temperatures is not stated."""
    return Metrics(
        power_watts=table.converted("average_socket_power", watts_from_milliwatts),
        gfx_ratio=table.converted("average_gfx_activity", ratio_from_percent),
        vcn_ratios=[table.converted("average_vcn_activity", ratio_from_percent)],
    )


def _nothing(_: _Table) -> Metrics:
    return Metrics()


_READERS: Mapping[tuple[int, int], Callable[[_Table], Metrics]] = {
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
