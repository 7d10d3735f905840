"""Health of all devices over all sessions: what their events and readings come to."""

from collections.abc import Iterable, Iterator, Mapping

from collectors import catalog
from collectors.contract import Fault, Sample, Unsupported
from collectors.metric import Metric
from collectors.nvidia.error_counts import ErrorCounts
from collectors.nvidia.listener import Event, Listening
from collectors.nvidia.status import StatusTable

_EVENT_ROWS = (catalog.ERRORS, catalog.ERROR_LAST_TIMESTAMP)
ROWS: frozenset[Metric] = frozenset({catalog.STATUS_STATE, *_EVENT_ROWS})


class Health:
    """Lives as long as the collector."""

    def __init__(self) -> None:
        self._counts = ErrorCounts()
        self._status = StatusTable()

    def new_session(self) -> None:
        """The library was opened anew: what was wrong is read again, what happened stays counted."""
        self._status = StatusTable()

    def take(self, reports: Iterable[Event | Listening | Fault]) -> list[Fault]:
        """Take over what was heard, before the devices are read. Returns what failed."""
        faults = []
        for report in reports:
            if isinstance(report, Event):
                self._counts.take(report)
                self._status.event(report.uuid, report.source, report.code)
            elif isinstance(report, Listening):
                self._counts.start(report)
            else:
                faults.append(report)
        return faults

    def answering(self, uuid: str, samples: Iterable[Sample]) -> list[Sample]:
        """Status and events of a device, after a poll in which it gave these samples."""
        self._status.note(uuid, samples)
        return [*self._status.samples(uuid), *self._counts.samples(uuid)]

    def lost(self, uuid: str) -> list[Sample]:
        """Status and events of a device that does not answer."""
        self._status.lose(uuid)
        return [*self._status.samples(uuid), *self._counts.samples(uuid)]

    def silent(self, uuid: str) -> list[Sample]:
        """Events of a device of which nothing else is known in this poll."""
        return self._counts.samples(uuid)

    def unsupported(self, refused: Mapping[str, str]) -> Iterator[Unsupported]:
        """The rows that devices can't give whose events can't be had.

        Args:
            refused: Why, by uuid.
        """
        for uuid, detail in refused.items():
            if uuid not in self._counts:
                yield from (Unsupported(row, uuid, detail) for row in _EVENT_ROWS)
