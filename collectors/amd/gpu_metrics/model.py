"""The values used from the binary table `gpu_metrics`, for all versions: one read replaces many files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from collectors.contract import UnsupportedError


@dataclass(frozen=True, slots=True)
class PartitionMetrics:
    """One partition's part of the table; None for fields that are not filled.

    Attributes:
        gfx_ratios: Utilization of each of its compute dies, 0 to 1.
        vcn_ratios: Utilization of each of its video engines, 0 to 1.
        jpeg_ratios: Utilization of each of its JPEG engines, 0 to 1.
    """

    gfx_ratios: Sequence[float | None] = ()
    vcn_ratios: Sequence[float | None] = ()
    jpeg_ratios: Sequence[float | None] = ()


@dataclass(frozen=True, slots=True)
class Residencies:
    """In how many of the firmware's cycles clocks were reduced; all counts start at the same moment.

    Attributes:
        cycles: Number of cycles.
        by_cause: Number of cycles with reduced clocks, by cause; the causes are those of `throttle_time.CAUSES`.
        seconds: When the driver read them, in seconds of its own clock.
    """

    cycles: int
    by_cause: Mapping[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class XgmiLinks:
    """The links to other GPUs, by their numbers; None for a link that does not exist or is not reported.

    Attributes:
        received_bytes: Received by each link.
        sent_bytes: Sent by each link.
        up: Whether each link is active; None also if the driver does not know it. Empty if it reports no link's state.
        link_bytes_per_second: Bandwidth of one link in one direction.
    """

    received_bytes: Sequence[float | None] = ()
    sent_bytes: Sequence[float | None] = ()
    up: Sequence[bool | None] = ()
    link_bytes_per_second: float | None = None


_LINK_STATES = {0: False, 1: True}


def links_up(statuses: Sequence[int | None]) -> Sequence[bool | None]:
    """Whether each link is active, as in `XgmiLinks.up`.

    Source: enum amdgpu_xgmi_link_status in the kernel's `kgd_pp_interface.h`: 0 inactive, 1 active, 2 not available.
    amdgpu_get_xgmi_link_status in `amdgpu_xgmi.c` returns 2 for every link of a virtual function.

    Args:
        statuses: The status of each link; None for a field that is not filled.
    """
    if all(status is None for status in statuses):
        return ()
    return [None if status is None else _LINK_STATES.get(status) for status in statuses]


@dataclass(frozen=True, slots=True)
class Metrics:
    """A table in base units; None, or empty, for fields that are not filled.

    Attributes:
        power_watts: Power of the socket.
        energy_joules: Energy since the driver was loaded.
        gfx_ratio: Utilization of all compute dies together, 0 to 1.
        umc_ratio: Utilization of the memory controllers, 0 to 1.
        vcn_ratios: Utilization of each video engine, 0 to 1.
        jpeg_ratios: Utilization of each JPEG engine, 0 to 1.
        edge_celsius: Temperature at the edge of the die.
        hotspot_celsius: Temperature at its hottest point.
        memory_celsius: Temperature of the memory.
        hbm_celsius: Temperature of each memory stack.
        throttle_bits: Why clocks are reduced now, in the kernel's bits, which are the same for every card.
        unknown_throttle_bits: The bits that say nothing on this GPU; None if all are known.
        residencies: For how long clocks were reduced.
        pcie_replays: Number of packets that were sent again.
        xgmi: Links to other GPUs.
        partitions: The existing partitions, by their numbers; empty in versions without partitions.
        compute_dies: Number of compute dies of the whole GPU; None in versions that do not list them.
    """

    power_watts: float | None = None
    energy_joules: float | None = None
    gfx_ratio: float | None = None
    umc_ratio: float | None = None
    vcn_ratios: Sequence[float | None] = ()
    jpeg_ratios: Sequence[float | None] = ()
    edge_celsius: float | None = None
    hotspot_celsius: float | None = None
    memory_celsius: float | None = None
    hbm_celsius: Sequence[float | None] = ()
    throttle_bits: int | None = None
    unknown_throttle_bits: int | None = None
    residencies: Residencies | None = None
    pcie_replays: int | None = None
    xgmi: XgmiLinks = field(default_factory=XgmiLinks)
    partitions: Sequence[PartitionMetrics] = ()
    compute_dies: int | None = None


class UnknownTableError(UnsupportedError):
    """The layout of the table is not supported."""


# Raises UnknownTableError for an unsupported layout, InvalidValueError for bytes that are not such a table.
Parse: TypeAlias = Callable[[bytes], Metrics]
