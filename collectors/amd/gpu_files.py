"""One GPU in one poll: what several questions need is read once, and what it said stays the same for all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from collectors import query
from collectors.amd.files import read_bytes
from collectors.amd.gpu_metrics.model import Metrics, Parse, UnknownTableError
from collectors.amd.gpu_paths import Layout
from collectors.amd.partitions import Cut
from collectors.amd.throttle_time import HeldTime
from collectors.contract import CollectorError
from collectors.sysfs import Root

T = TypeVar("T")

# Twice the largest that is known, so that a new version can be told by its name.
_LONGEST_TABLE_BYTES = 8192


class Visit:
    """A poll's view of a GPU.

    Args:
        layout: Where its files are.
        cut: How it is cut.
        parse: Understands `gpu_metrics`.
        held_time: What is kept of the GPU's throttling from poll to poll.
    """

    def __init__(self, layout: Layout, cut: Cut, parse: Parse, held_time: HeldTime) -> None:
        self.layout = layout
        self.cut = cut
        self.held_time = held_time
        self._parse = parse
        self._told: dict[Callable[[Path], Any], Any] = {}

    def metrics(self) -> Metrics:
        """Its table `gpu_metrics`.

        Raises:
            UnsupportedError: It has none.
            UnknownTableError: It has one of an unknown version.
            UnavailableError: It can't be read.
            InvalidValueError: It is no such table.
        """
        return self.once(self._read_metrics)

    def once(self, read: Callable[[Path], T]) -> T:
        """What a function reads of the GPU's folder; it is called once in a poll, also if it fails.

        Raises:
            CollectorError: What the function raised.
        """
        if read not in self._told:
            try:
                self._told[read] = read(self.layout.folder)
            except CollectorError as error:
                self._told[read] = error
        told = self._told[read]
        if isinstance(told, CollectorError):
            raise told.with_traceback(None)  # or it would grow with every raise
        return cast("T", told)

    def told(self, read: Callable[[Path], T]) -> T | None:
        """What the function has read in this poll; None if it was not asked for, or failed."""
        told = self._told.get(read)
        return None if isinstance(told, CollectorError) else cast("T | None", told)

    def unknown_table(self) -> UnknownTableError | None:
        """That its table was asked for in this poll and is of an unknown version."""
        told = self._told.get(self._read_metrics)
        return told if isinstance(told, UnknownTableError) else None

    def _read_metrics(self, folder: Path) -> Metrics:
        return self._parse(read_bytes(folder / "gpu_metrics", _LONGEST_TABLE_BYTES))


# Classes, not aliases: called by an alias, a frozen class with slots can't be made in Python 3.11.
class Query(query.Query[Root, Visit]):
    """One question by files of its own."""

    __slots__ = ()


class Batch(query.Batch[Root, Visit]):
    """Questions that one file answers together."""

    __slots__ = ()


Questions: TypeAlias = query.Questions[Root, Visit]
