"""What is taken of the binary table `gpu_metrics`, whatever its version: one read gives what many files would."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from collectors.contract import UnsupportedError


@dataclass(frozen=True, slots=True)
class PartitionMetrics:
    """One partition's part of the table; None for what it does not tell.

    Attributes:
        gfx_ratios: How busy each of its compute dies is, 0 to 1.
        vcn_ratios: The same of its video engines.
        jpeg_ratios: The same of its JPEG engines.
    """

    gfx_ratios: Sequence[float | None] = ()
    vcn_ratios: Sequence[float | None] = ()
    jpeg_ratios: Sequence[float | None] = ()


@dataclass(frozen=True, slots=True)
class Residencies:
    """For how many of the firmware's cycles clocks were held down, all counted since the same moment.

    Attributes:
        cycles: How many there were.
        by_cause: For how many of them, by cause; the causes are those of `throttle_time.CAUSES`.
        seconds: When the driver read them, by its own clock.
    """

    cycles: int
    by_cause: Mapping[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class XgmiLinks:
    """The links to other GPUs, by their numbers; None for a link that does not exist or does not tell.

    Attributes:
        received_bytes: By each link.
        sent_bytes: The same.
        up: Whether each is active; empty in versions that do not tell.
        link_bytes_per_second: Of one link in one direction.
    """

    received_bytes: Sequence[float | None] = ()
    sent_bytes: Sequence[float | None] = ()
    up: Sequence[bool | None] = ()
    link_bytes_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """A table in base units; None, or empty, for what it does not tell.

    Attributes:
        power_watts: Of the socket.
        energy_joules: Since the driver was loaded.
        gfx_ratio: How busy the compute dies are together, 0 to 1.
        umc_ratio: How busy the memory controllers are, 0 to 1.
        vcn_ratios: How busy each video engine is, 0 to 1.
        jpeg_ratios: How busy each JPEG engine is, 0 to 1.
        edge_celsius: At the edge of the die.
        hotspot_celsius: At its hottest point.
        memory_celsius: Of the memory.
        hbm_celsius: Of each memory stack.
        throttle_bits: What holds the clocks down now, by the kernel's numbers, which are the same for every card.
        residencies: For how long something did.
        pcie_replays: Packets sent again.
        xgmi: Links to other GPUs.
        partitions: The partitions that exist, by their numbers; empty in versions that have none.
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
    residencies: Residencies | None = None
    pcie_replays: int | None = None
    xgmi: XgmiLinks = field(default_factory=XgmiLinks)
    partitions: Sequence[PartitionMetrics] = ()


class UnknownTableError(UnsupportedError):
    """The table is of a version that is not known here."""


# Raises UnknownTableError for a version that is not known, InvalidValueError for what is no such table.
Parse: TypeAlias = Callable[[bytes], Metrics]
