"""One GPU in one poll: what several questions need is read once, and what it said stays the same for all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from collectors.amd.files import read_bytes
from collectors.amd.layout import Layout
from collectors.amd.metrics import Metrics, Parse
from collectors.contract import CollectorError

T = TypeVar("T")


class Visit:
    """A poll's view of a GPU.

    Args:
        layout: Where its files are.
        parse: Understands `gpu_metrics`.
    """

    def __init__(self, layout: Layout, parse: Parse) -> None:
        self.layout = layout
        self._parse = parse
        self._told: dict[Callable[[Path], Any], Any] = {}

    def metrics(self) -> Metrics:
        """Its table `gpu_metrics`.

        Raises:
            UnsupportedError: It has none, or one of an unknown version.
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

    def _read_metrics(self, folder: Path) -> Metrics:
        return self._parse(read_bytes(folder / "gpu_metrics"))
