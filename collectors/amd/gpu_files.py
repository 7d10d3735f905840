"""The files of one GPU in one poll: a file that several queries need is read once, so they all use the same values."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from collectors import query
from collectors.amd.gpu_metrics import made_up
from collectors.amd.gpu_metrics.model import Metrics, Parse, PartitionMetrics
from collectors.amd.gpu_metrics.parse import parse_partition
from collectors.amd.gpu_paths import GpuPaths
from collectors.amd.kept_files import KeptFiles
from collectors.amd.partitions import PartitionLayout
from collectors.amd.tables import Tables
from collectors.amd.throttle_time import ThrottleTime
from collectors.contract import CollectorError
from collectors.sysfs import Root

T = TypeVar("T")

# Twice the size of the largest known table, so that the version of a larger new table can still be reported.
_MAX_TABLE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class GpuState:
    """What lasts of one GPU from poll to poll, in one session of its driver.

    Attributes:
        throttle_time: Its time in throttling, also in earlier sessions.
        tables: What is known of its tables.
        kept: Its files that are read often.
    """

    throttle_time: ThrottleTime = field(default_factory=ThrottleTime)
    tables: Tables = field(default_factory=Tables)
    kept: KeptFiles = field(default_factory=KeptFiles)


class GpuFiles:
    """The files of one GPU, each read at most once in one poll.

    Args:
        paths: Where its files are.
        layout: Its partition layout.
        parse: Parses `gpu_metrics`.
        state: What lasts from poll to poll.
        architecture: Such as `gfx942`; empty if unknown.
    """

    def __init__(
        self,
        paths: GpuPaths,
        layout: PartitionLayout,
        parse: Parse,
        state: GpuState,
        architecture: str = "",
    ) -> None:
        self.paths = paths
        self.layout = layout
        self.throttle_time = state.throttle_time
        self.architecture = architecture
        self.kept = state.kept
        self._parse = parse
        self._tables = state.tables
        self._narrow_energy = False
        self._results: dict[Callable[[Path], Any], Any] = {}

    def metrics(self) -> Metrics:
        """Its table `gpu_metrics`, without what is made up on this GPU.

        Raises:
            UnsupportedError: It has no such table.
            UnknownTableError: The layout of the table is not supported.
            UnavailableError: It can't be read.
            NoDataError: It is not such a table.
        """
        return self.read_once(self._read_metrics)

    def partition_metrics(self, folder: Path) -> PartitionMetrics:
        """The table `xcp_metrics` of one of its partitions.

        Source: the kernel's `drivers/gpu/drm/amd/amdgpu/amdgpu_xcp.c` (xcp_metrics_show,
        amdgpu_xcp_sysfs_entries_init).

        Args:
            folder: The folder of the partition's device.

        Raises:
            What `metrics` raises, for this table.
        """
        inner, name = folder / "xcp", "xcp_metrics"
        return self._tables.read(inner / name, lambda: parse_partition(self.kept.read_bytes(inner, name)))

    def partition_count(self) -> int:
        """The number of partitions that it is divided into, also those that do not exist for want of DRM nodes."""
        existing = max((info.node.partition + 1 for info in self.layout.partitions), default=0)
        if self.layout.count is not None:
            return max(self.layout.count, existing)
        try:
            metrics = self.metrics()
        except CollectorError:
            return existing
        return max(len(metrics.partitions) or metrics.compute_dies or 0, existing)

    def has_narrow_energy(self) -> bool:
        """Whether the energy counter of its table is too narrow. Raises what `metrics` raises."""
        self.metrics()
        return self._narrow_energy

    def read_once(self, read: Callable[[Path], T]) -> T:
        """The result of a function that reads the GPU's folder; it is called once in a poll, even if it fails.

        Raises:
            CollectorError: What the function raised.
        """
        if read not in self._results:
            try:
                self._results[read] = read(self.paths.folder)
            except CollectorError as error:
                self._results[read] = error
        result = self._results[read]
        if isinstance(result, CollectorError):
            raise result.with_traceback(None)  # otherwise the traceback grows with every raise
        return cast("T", result)

    def cached(self, read: Callable[[Path], T]) -> T | None:
        """The result of a function called in this poll; None if it was not called, or failed."""
        result = self._results.get(read)
        return None if isinstance(result, CollectorError) else cast("T | None", result)

    def _read_metrics(self, folder: Path) -> Metrics:
        return self._tables.read(folder / "gpu_metrics", lambda: self._believed(folder))

    def has_all_links(self, direction: str, now: frozenset[int]) -> bool:
        """See `Tables.has_all_links`."""
        return self._tables.has_all_links(direction, now)

    def _believed(self, folder: Path) -> Metrics:
        table = self.kept.read_bytes(folder, "gpu_metrics", _MAX_TABLE_BYTES)
        metrics = self._parse(table)
        if not made_up.may_be_made_up(table):
            return metrics
        architecture = made_up.known_architecture(self.architecture, folder)
        self._narrow_energy = made_up.has_narrow_energy(architecture)
        return made_up.without_made_up(metrics, architecture)


# Classes, not aliases: a frozen class with slots cannot be created by an alias in Python 3.11.
class Query(query.Query[Root, GpuFiles]):
    """One query of a GPU's files."""

    __slots__ = ()


class Batch(query.Batch[Root, GpuFiles]):
    """Queries that one file answers together."""

    __slots__ = ()


Queries: TypeAlias = query.Queries[Root, GpuFiles]
