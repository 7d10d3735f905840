"""What is taken of the binary table `gpu_metrics`, whatever its version: one read gives what many files would."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias


class PartitionMetrics(Protocol):
    """One partition's part of the table."""

    @property
    def gfx_ratios(self) -> Sequence[float | None]:
        """How busy each of its compute dies is, 0 to 1; None where the table does not tell."""
        ...


class Metrics(Protocol):
    """A table in base units; None, or an empty sequence, for what it does not tell."""

    @property
    def power_watts(self) -> float | None:
        """Power of the socket."""
        ...

    @property
    def energy_joules(self) -> float | None:
        """Energy since the driver was loaded."""
        ...

    @property
    def gfx_ratio(self) -> float | None:
        """How busy the compute dies are together, 0 to 1."""
        ...

    @property
    def umc_ratio(self) -> float | None:
        """How busy the memory controllers are, 0 to 1."""
        ...

    @property
    def vcn_ratios(self) -> Sequence[float | None]:
        """How busy each video engine is, 0 to 1."""
        ...

    @property
    def jpeg_ratios(self) -> Sequence[float | None]:
        """How busy each JPEG engine is, 0 to 1."""
        ...

    @property
    def edge_celsius(self) -> float | None:
        """Temperature at the edge of the die."""
        ...

    @property
    def hotspot_celsius(self) -> float | None:
        """Temperature at its hottest point."""
        ...

    @property
    def memory_celsius(self) -> float | None:
        """Temperature of the memory."""
        ...

    @property
    def hbm_celsius(self) -> Sequence[float | None]:
        """Temperature of each memory stack."""
        ...

    @property
    def partitions(self) -> Sequence[PartitionMetrics]:
        """The partitions that exist, by their numbers; empty in versions that have none."""
        ...


# Raises UnsupportedError for a version that is not known, InvalidValueError for what is no such table.
Parse: TypeAlias = Callable[[bytes], Metrics]
