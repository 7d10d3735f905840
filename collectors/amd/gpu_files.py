"""The files of one GPU in one poll: what several queries need is read once and is the same for all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from collectors import query
from collectors.amd.files import read_bytes
from collectors.amd.gpu_metrics.model import Metrics, Parse, UnknownTableError
from collectors.amd.gpu_paths import GpuPaths
from collectors.amd.partitions import PartitionLayout
from collectors.amd.throttle_time import ThrottleTime
from collectors.contract import CollectorError
from collectors.sysfs import Root

T = TypeVar("T")

# Twice the largest that is known, so that a new version can be told by its name.
_MAX_TABLE_BYTES = 8192


class GpuFiles:
    """The files of one GPU, each read at most once in one poll.

    Args:
        paths: Where its files are.
        layout: Its partition layout.
        parse: Understands `gpu_metrics`.
        throttle_time: What is kept of its throttling from poll to poll.
    """

    def __init__(self, paths: GpuPaths, layout: PartitionLayout, parse: Parse, throttle_time: ThrottleTime) -> None:
        self.paths = paths
        self.layout = layout
        self.throttle_time = throttle_time
        self._parse = parse
        self._results: dict[Callable[[Path], Any], Any] = {}

    def metrics(self) -> Metrics:
        """Its table `gpu_metrics`.

        Raises:
            UnsupportedError: It has none.
            UnknownTableError: It has one of an unknown version.
            UnavailableError: It can't be read.
            InvalidValueError: It is no such table.
        """
        return self.read_once(self._read_metrics)

    def read_once(self, read: Callable[[Path], T]) -> T:
        """What a function reads of the GPU's folder; it is called once in a poll, also if it fails.

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
            raise result.with_traceback(None)  # or it would grow with every raise
        return cast("T", result)

    def cached(self, read: Callable[[Path], T]) -> T | None:
        """What the function has read in this poll; None if it was not asked for, or failed."""
        result = self._results.get(read)
        return None if isinstance(result, CollectorError) else cast("T | None", result)

    def unknown_table(self) -> UnknownTableError | None:
        """That its table was asked for in this poll and is of an unknown version."""
        result = self._results.get(self._read_metrics)
        return result if isinstance(result, UnknownTableError) else None

    def _read_metrics(self, folder: Path) -> Metrics:
        return self._parse(read_bytes(folder / "gpu_metrics", _MAX_TABLE_BYTES))


# Classes, not aliases: called by an alias, a frozen class with slots can't be made in Python 3.11.
class Query(query.Query[Root, GpuFiles]):
    """One query with files of its own."""

    __slots__ = ()


class Batch(query.Batch[Root, GpuFiles]):
    """Queries that one file answers together."""

    __slots__ = ()


Queries: TypeAlias = query.Queries[Root, GpuFiles]
