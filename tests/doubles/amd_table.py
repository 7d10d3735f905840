"""A `gpu_metrics` that needs no bytes: what a parser would have made of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.contract import CollectorError


@dataclass
class PartitionTable:
    """See `PartitionMetrics`."""

    gfx_ratios: Sequence[float | None] = ()


@dataclass
class Table:
    """See `Metrics`; tells nothing until it is told to. It is also the parser, and counts how often it is asked.

    Attributes:
        error: Raised instead of an answer.
        asked: How often it was parsed.
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
    partitions: Sequence[PartitionTable] = ()
    error: Callable[[], CollectorError] | None = None
    asked: int = 0

    def parse(self, _: bytes) -> "Table":
        """Whatever the bytes are."""
        self.asked += 1
        if self.error is not None:
            raise self.error()
        return self
