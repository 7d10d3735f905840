"""Every gauge that the collector for NVIDIA reads from hardware, on cards of the loaded NVML double."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from collectors import catalog
from collectors.contract import Reading
from tests.doubles.hardware_gauges import POLL_SECONDS, HardwareGauge, others_of
from tests.doubles.nvidia_collector import CollectorBench
from tests.doubles.nvml import (
    MEMORY_TEMPERATURE_FIELD,
    RECOVERY_ACTION_FIELD,
    Device,
    ValueType,
    h100,
    h100_mig,
)

_Write: TypeAlias = Callable[[Device, int], None]
_Table: TypeAlias = dict[HardwareGauge, _Write]

OLD = "old"  # of the time before activity counters and the remapping of rows
_GIB = 2**30
_MARK_32, _MARK_64 = 2**32 - 1, 2**64 - 1
_PERCENT = (101, _MARK_32)
_CELSIUS = (255, 65_535)
_MEGAHERTZ = (2**31, _MARK_32)
_MILLIWATTS = (4_000_000_000, _MARK_32)
_BYTES = (_MARK_64 - 4095, _MARK_64)
_PERCENT_OF_TIME = (40, 0.4, _PERCENT)


def _member(name: str) -> _Write:
    return lambda card, raw: setattr(card, name, raw)


def _field(number: int, scope: int = 0) -> _Write:
    return lambda card, raw: card.set_field(number, raw, ValueType.UNSIGNED_INT, scope=scope)


def _gpm(number: int) -> _Write:
    return lambda card, raw: card.set_gpm({number: raw})


def _mig_member(name: str) -> _Write:
    return lambda card, raw: setattr(card.mig[0], name, raw)


def _mig_gpm(number: int) -> _Write:
    return lambda card, raw: card.mig[0].set_gpm({number: raw})


_POWER: _Table = {
    HardwareGauge(catalog.POWER, (), 300_000, 300, (2_100_001, *_MILLIWATTS)): _member("power_milliwatts"),
    HardwareGauge(catalog.POWER_LIMIT, (), 650_000, 650, _MILLIWATTS): _member("power_enforced_limit_milliwatts"),
    HardwareGauge(catalog.POWER_DEFAULT_LIMIT, (), 690_000, 690, _MILLIWATTS): _member(
        "power_default_limit_milliwatts"
    ),
    HardwareGauge(catalog.POWER_MIN_LIMIT, (), 210_000, 210, _MILLIWATTS): _member("power_min_limit_milliwatts"),
    HardwareGauge(catalog.POWER_MAX_LIMIT, (), 710_000, 710, _MILLIWATTS): _member("power_max_limit_milliwatts"),
    # The driver documents that a fan may exceed 100 %.
    HardwareGauge(catalog.FAN_SPEED, ("0",), 130, 1.3, (201, 65_535, _MARK_32)): _member("fan_speed_percent"),
    HardwareGauge(
        catalog.THROTTLE_ACTIVE, ("power",), 4, 1, (_MARK_64,), together=others_of(catalog.THROTTLE_ACTIVE, "power")
    ): _member("clocks_event_reasons"),
}
_HEAT_AND_CLOCKS: _Table = {
    HardwareGauge(catalog.TEMPERATURE, ("core",), 70, 70, _CELSIUS): _member("temperature_celsius"),
    HardwareGauge(catalog.TEMPERATURE, ("memory",), 60, 60, _CELSIUS): _field(MEMORY_TEMPERATURE_FIELD),
    **{
        HardwareGauge(catalog.TEMPERATURE_LIMIT, labels, 93, 93, _CELSIUS): _member(f"threshold_{name}_celsius")
        for labels, name in (
            (("core", "shutdown"), "shutdown"),
            (("core", "slowdown"), "slowdown"),
            (("memory", "maximum"), "memory"),
            (("core", "maximum"), "gpu"),
        )
    },
    HardwareGauge(catalog.TEMPERATURE_MARGIN, ("core", "slowdown"), -5, -5, (*_CELSIUS, -(2**31))): _member(
        "temperature_margin_celsius"
    ),
    **{
        HardwareGauge(row, (domain,), 1_500, 1.5e9, _MEGAHERTZ): _member(f"{prefix}clock_{name}_megahertz")
        for row, prefix in ((catalog.CLOCK, ""), (catalog.MAX_CLOCK, "max_"))
        for domain, name in (("core", "graphics"), ("sm", "sm"), ("memory", "memory"), ("video", "video"))
    },
}
_LOAD: _Table = {
    HardwareGauge(catalog.UTILIZATION, (), *_PERCENT_OF_TIME): _member("utilization_gpu_percent"),
    HardwareGauge(catalog.MEMORY_BUSY, (), *_PERCENT_OF_TIME, OLD): _member("utilization_memory_percent"),
    **{
        HardwareGauge(catalog.ENGINE_UTILIZATION, (engine,), *_PERCENT_OF_TIME): _member(f"utilization_{name}_percent")
        for engine, name in (("encoder", "encoder"), ("decoder", "decoder"), ("jpeg", "jpeg"), ("optical_flow", "ofa"))
    },
    **{
        HardwareGauge(catalog.PIPE_ACTIVITY, (pipe,), *_PERCENT_OF_TIME): _gpm(number)
        for pipe, number in (("sm", 2), ("integer", 4), ("tensor", 5), ("fp64", 11), ("fp32", 12), ("fp16", 13))
    },
    HardwareGauge(catalog.SM_OCCUPANCY, (), *_PERCENT_OF_TIME): _gpm(3),
    HardwareGauge(catalog.MEMORY_BANDWIDTH, (), *_PERCENT_OF_TIME): _gpm(10),
    HardwareGauge(catalog.MEMORY_USAGE, (), 9 * _GIB, 9 * _GIB, (81 * _GIB, *_BYTES)): _member("memory_used_bytes"),
    HardwareGauge(catalog.MEMORY_LIMIT, (), 80 * _GIB, 80 * _GIB, _BYTES): _member("memory_total_bytes"),
    HardwareGauge(catalog.MEMORY_RESERVED, (), _GIB, _GIB, (81 * _GIB, *_BYTES)): _member("memory_reserved_bytes"),
}
_LINKS: _Table = {
    HardwareGauge(catalog.PCIE_GENERATION, (), 4, 4, (17, _MARK_32)): _member("pcie_link_generation"),
    HardwareGauge(catalog.PCIE_MAX_GENERATION, (), 5, 5, (17, _MARK_32)): _member("pcie_link_max_generation"),
    HardwareGauge(catalog.PCIE_WIDTH, (), 8, 8, (33, _MARK_32)): _member("pcie_link_width"),
    HardwareGauge(catalog.PCIE_MAX_WIDTH, (), 16, 16, (33, _MARK_32)): _member("pcie_link_max_width"),
    **{
        HardwareGauge(catalog.PCIE_THROUGHPUT, (direction,), 7, 7000, (600_000_000, _MARK_32)): _member(
            f"pcie_{direction}_kilobytes_per_second"
        )
        for direction in ("receive", "transmit")
    },
    HardwareGauge(
        catalog.INTERCONNECT_LINKS,
        ("nvlink", "up"),
        18,
        18,
        (37, _MARK_32),
        together=(
            *others_of(catalog.INTERCONNECT_LINKS, "nvlink", "up"),
            (catalog.INTERCONNECT_BANDWIDTH_LIMIT, ("nvlink",)),
        ),
    ): _field(91),
    HardwareGauge(catalog.INTERCONNECT_BANDWIDTH_LIMIT, ("nvlink",), 50_000, 501_554e6, (10_000_000, _MARK_32)): _field(
        164, scope=3
    ),
    HardwareGauge(
        catalog.FABRIC_STATUS,
        ("nvlink", "in_progress"),
        2,
        1,
        (4, 255),
        together=others_of(catalog.FABRIC_STATUS, "nvlink", "in_progress"),
    ): _member("fabric_state"),
}
_REPAIRS = (
    *((catalog.MEMORY_REMAPPED_ROWS, (kind,)) for kind in ("corrected", "uncorrected")),
    (catalog.MEMORY_REPAIR_PENDING, ()),
    (catalog.MEMORY_REPAIR_FAILED, ()),
)
_STATE: _Table = {
    HardwareGauge(
        catalog.MODE_STATE,
        ("exclusive",),
        3,
        1,
        (4, _MARK_32),
    ): _member("compute_mode"),
    HardwareGauge(catalog.MEMORY_REMAPPED_ROWS, ("corrected",), 2, 2, (_MARK_32,)): _member("remapped_rows_corrected"),
    HardwareGauge(catalog.MEMORY_REMAPPED_ROWS, ("uncorrected",), 2, 2, (_MARK_32,)): _member(
        "remapped_rows_uncorrected"
    ),
    HardwareGauge(catalog.MEMORY_REPAIR_PENDING, (), 0, 0, (2, _MARK_32), together=_REPAIRS): _member(
        "remapping_pending"
    ),
    HardwareGauge(catalog.MEMORY_REPAIR_FAILED, (), 0, 0, (2, _MARK_32), together=_REPAIRS): _member(
        "remapping_failed"
    ),
    HardwareGauge(catalog.MEMORY_REPAIR_PENDING, (), 0, 0, (2, _MARK_32), OLD): _member("retirement_pending"),
    HardwareGauge(
        catalog.RECOVERY_ACTION,
        ("drain",),
        3,
        1,
        (2**31, _MARK_32),
        together=others_of(catalog.RECOVERY_ACTION, "drain"),
    ): _field(RECOVERY_ACTION_FIELD),
}
_OF_PARTITIONS: _Table = {
    **{
        HardwareGauge(row, labels, *_PERCENT_OF_TIME, of_partition=True): _mig_gpm(number)
        for row, labels, number in (
            (catalog.UTILIZATION, (), 1),
            (catalog.PIPE_ACTIVITY, ("tensor",), 5),
            (catalog.SM_OCCUPANCY, (), 3),
            (catalog.MEMORY_BANDWIDTH, (), 10),
        )
    },
    **{
        HardwareGauge(row, (), good, good, _BYTES, of_partition=True): _mig_member(f"memory_{name}_bytes")
        for row, name, good in (
            (catalog.MEMORY_USAGE, "used", _GIB),
            (catalog.MEMORY_LIMIT, "total", 80 * _GIB),
            (catalog.MEMORY_RESERVED, "reserved", _GIB),
        )
    },
}
NVIDIA: Mapping[HardwareGauge, _Write] = {
    **_POWER,
    **_HEAT_AND_CLOCKS,
    **_LOAD,
    **_LINKS,
    **_STATE,
    **_OF_PARTITIONS,
}
# The gauges that no single raw value decides, with the reason.
NVIDIA_EXCEPTED = {
    catalog.STATUS_STATE: "the collector's own conclusion from other rows",
    catalog.ERROR_LAST_TIMESTAMP: "the exporter's own clock at an event",
    catalog.PARTITIONS: "the number of partitions that are listed",
    catalog.PROCESSES: "the number of processes that are listed",
    catalog.HOST_MEMORY_USAGE: "the sum over the processes that are listed",
    catalog.MEMORY_RETIRED_PAGES: "the number of pages that are listed",
    catalog.COMPUTE_RATIO: "a fraction of whole slices, read once for each partition",
}


def nvidia_gauge(opened: CollectorBench, gauge: HardwareGauge) -> tuple[Callable[[int], None], Callable[[], Reading]]:
    """The card of a gauge as new, in a new session: how to write its raw value, and how to read the card.

    Args:
        opened: Its collector.
        gauge: One of `NVIDIA`.
    """
    card = opened.card
    opened.collector.close()
    card.copy_from(h100(0))
    card.fans, card.fan_speed_percent = 1, 40
    card.threshold_shutdown_celsius, card.threshold_slowdown_celsius = 92, 89
    card.threshold_memory_celsius, card.threshold_gpu_celsius = 95, 87
    if gauge.card == OLD:
        card.gpm_supported, card.retirement_pending = 0, 0
        card.remapped_rows_corrected = None
    if gauge.of_partition:
        card.partition([h100_mig(0, 0, "7g.80gb")])
    opened.read()  # the first of two samples, and what is unsupported

    def read() -> Reading:
        opened.pass_time(POLL_SECONDS)
        return opened.read()

    return (lambda raw: NVIDIA[gauge](card, raw)), read
