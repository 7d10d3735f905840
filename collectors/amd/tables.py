"""Tables that are not understood: they are counted once for each GPU and session of its driver, not in each poll."""

from collections.abc import Callable
from typing import TypeVar

from collectors.amd.gpu_metrics.model import UnknownTableError
from collectors.contract import CollectorError
from collectors.query import InvalidValueError, NoDataError

T = TypeVar("T")


class Tables:
    """What is known of the tables of one GPU in one session of its driver, in which their layouts never change."""

    def __init__(self) -> None:
        self._understood: set[str] = set()
        self._not_understood: set[str] = set()
        self._new: list[CollectorError] = []
        self._links: dict[str, frozenset[int]] = {}

    def read(self, name: str, read: Callable[[], T]) -> T:
        """Read a table.

        Args:
            name: The name of its file.
            read: Reads and parses it.

        Raises:
            UnknownTableError: Its layout is not supported.
            NoDataError: Its content is not such a table, or not of the layout that was understood before; it is read
                again in the next poll.
        """
        try:
            table = read()
        except (UnknownTableError, InvalidValueError) as error:
            if name not in self._not_understood:
                self._not_understood.add(name)
                self._new.append(error)
            if isinstance(error, UnknownTableError) and name not in self._understood:
                raise
            raise NoDataError(str(error)) from None
        self._understood.add(name)
        return table

    def has_all_links(self, direction: str, now: frozenset[int]) -> bool:
        """Whether every link that has ever counted bytes in a direction counts them now; else their sum would fall."""
        self._links[direction] = self._links.get(direction, frozenset()) | now
        return self._links[direction] == now

    def newly_not_understood(self) -> list[CollectorError]:
        """Why tables were not understood, of those that were not reported before."""
        new, self._new = self._new, []
        return new
