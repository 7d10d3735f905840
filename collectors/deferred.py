"""Loads the code of a vendor when its hardware is first seen: a node has one vendor, or none.

The code of NVIDIA and of AMD takes 1 to 4 MiB each, and a fifth of the time to start.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, overload

from collectors.contract import Collector, Reading
from collectors.metric import Cadence, Metric
from collectors.releasing import ClosesLate, ReleasesDevices


class DeferredRows(Sequence[Metric]):
    """Catalogue rows that are known only to code that is not loaded yet. Reading one loads it.

    Args:
        load: Returns the rows.
    """

    def __init__(self, load: Callable[[], Sequence[Metric]]) -> None:
        self._load = load

    @overload
    def __getitem__(self, index: int) -> Metric: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Metric]: ...

    def __getitem__(self, index: int | slice) -> Metric | Sequence[Metric]:
        """The row at a place, or the rows of a slice."""
        return self._load()[index]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._load())


class ReleasingCollector(Collector, ReleasesDevices, ClosesLate, Protocol):
    """A collector that can release single devices, and says whether it is closed."""


class DeferredCollector:
    """A collector that is created once the node has hardware for it. Until then, the vendor is absent.

    Args:
        verify_presence: Raises an AbsentError while the collector that is created would do so.
        create: Loads the code and creates the collector.
    """

    def __init__(self, verify_presence: Callable[[], None], create: Callable[[], ReleasingCollector]) -> None:
        self._verify_presence = verify_presence
        self._create = create
        self._collector: ReleasingCollector | None = None
        self._released: frozenset[str] = frozenset()

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due. See `Collector.read`."""
        if self._collector is None:
            self._verify_presence()
            collector = self._create()
            collector.release_devices(self._released)
            self._collector = collector
        return self._collector.read(due)

    def release_devices(self, addresses: frozenset[str]) -> None:
        """Close these devices, also those that are not there yet. See `ReleasesDevices`."""
        if self._collector is not None:
            self._collector.release_devices(addresses)
        self._released = addresses

    @property
    def closed(self) -> bool:
        """See `ClosesLate`."""
        return self._collector is None or self._collector.closed

    def close(self) -> None:
        """Close what is open. See `Collector.close`."""
        if self._collector is not None:
            self._collector.close()
