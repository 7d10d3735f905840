"""Tables that are not understood: each damage is counted once until the table is understood, not in each poll."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from collectors.amd.gpu_metrics.model import UnknownTableError
from collectors.contract import CollectorError
from collectors.query import InvalidValueError, NoDataError

T = TypeVar("T")

# Of one table until it is understood. A table of random bytes must not be counted in each poll.
_MOST_DAMAGES = 8


class Tables:
    """What is known of the tables of one GPU in one session of its driver, in which their layouts never change."""

    def __init__(self) -> None:
        self._understood: set[str] = set()
        self._damages: dict[Path, set[str]] = {}
        self._new: list[CollectorError] = []
        self._links: dict[str, frozenset[int]] = {}

    def read(self, path: Path, read: Callable[[], T]) -> T:
        """Read a table.

        Args:
            path: Its file. All files of a name have the same layout.
            read: Reads and parses it.

        Raises:
            UnknownTableError: Its layout is not supported.
            NoDataError: Its content is not such a table, or not of the layout that was understood before; it is read
                again in the next poll.
        """
        try:
            table = read()
        except (UnknownTableError, InvalidValueError) as error:
            self._record_damage(path, error)
            if isinstance(error, UnknownTableError) and path.name not in self._understood:
                raise
            raise NoDataError(str(error)) from None
        self._understood.add(path.name)
        self._damages.pop(path, None)
        return table

    def _record_damage(self, path: Path, error: CollectorError) -> None:
        known = self._damages.setdefault(path, set())
        if str(error) not in known and len(known) < _MOST_DAMAGES:
            known.add(str(error))
            self._new.append(error)

    def has_all_links(self, direction: str, now: frozenset[int]) -> bool:
        """Whether every link that has ever counted bytes in a direction counts them now; else their sum would fall."""
        self._links[direction] = self._links.get(direction, frozenset()) | now
        return self._links[direction] == now

    def newly_not_understood(self) -> list[CollectorError]:
        """Why tables are not understood, without what was reported before; the same of several tables once."""
        new, self._new = {str(error): error for error in self._new}, []
        return list(new.values())
