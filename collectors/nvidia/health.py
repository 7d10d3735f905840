"""Health of all devices over all sessions, from their events and readings."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from collectors import catalog
from collectors.condition import Condition, CriticalEvent
from collectors.contract import Fault, Sample, Unsupported
from collectors.metric import Metric
from collectors.nvidia.listener import UNAVAILABLE_EVENT, XID_EVENT, Event, Listening
from collectors.nvidia.status import StatusTable
from collectors.nvidia.xid import (
    DRIVER_SOURCE,
    FROM_START,
    GPU_UNAVAILABLE,
    XID_SOURCE,
    error_class,
    meaning,
    state_after,
)

_EVENT_ROWS = (catalog.ERRORS, catalog.ERROR_LAST_TIMESTAMP)
HEALTH_ROWS: frozenset[Metric] = frozenset({catalog.STATUS_STATE, *_EVENT_ROWS})

# Per device. Further codes are counted together.
_MAX_CODES = 64
_OTHER = "other"
# Of all devices, between two readings.
_MAX_NEW_EVENTS = 1_024


@dataclass(slots=True)
class _ErrorCount:
    events: int = 0
    last: float | None = None


class ErrorCounts:
    """Counts of critical events since the start of the exporter, over all sessions.

    They remain while the exporter does not listen and when the device is lost: they give the reason.
    """

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, str], _ErrorCount]] = {}
        self._samples: dict[str, list[Sample]] = {}  # until a count changes

    def __contains__(self, uuid: str) -> bool:
        """Whether a device has counts."""
        return uuid in self._counts

    def start(self, listening: Listening) -> None:
        """Start the counts at 0 whose first event must not be missed."""
        self._samples.clear()
        for uuid, types in listening.types.items():
            counts = self._counts.setdefault(uuid, {})
            if types & XID_EVENT:
                for code in FROM_START:
                    counts.setdefault((XID_SOURCE, code), _ErrorCount())
            if types & UNAVAILABLE_EVENT:
                counts.setdefault((DRIVER_SOURCE, GPU_UNAVAILABLE), _ErrorCount())

    def count(self, event: Event) -> None:
        """Count an event."""
        self._samples.pop(event.uuid, None)
        counts = self._counts.setdefault(event.uuid, {})
        key = (event.source, event.code)
        if key not in counts and len(counts) >= _MAX_CODES:
            key = (event.source, _OTHER)
        count = counts.setdefault(key, _ErrorCount())
        count.events += 1
        count.last = event.at

    def samples(self, uuid: str) -> list[Sample]:
        """`errors_total` and, after the first event, `error_last_timestamp_seconds` of one device."""
        found = self._samples.get(uuid)
        if found is None:
            found = self._samples[uuid] = self._new_samples(uuid)
        return found

    def _new_samples(self, uuid: str) -> list[Sample]:
        samples = []
        for (source, code), count in self._counts.get(uuid, {}).items():
            labels = (source, code, error_class(source, code))
            samples.append(Sample(catalog.ERRORS, uuid, float(count.events), labels=labels))
            if count.last is not None:
                samples.append(Sample(catalog.ERROR_LAST_TIMESTAMP, uuid, count.last, labels=labels))
        return samples


class Health:
    """Status and counts of events of all devices. There is one object for each collector.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts = ErrorCounts()
        self._late = False
        self._status = StatusTable(clock)
        self._new_events: dict[tuple[str, str, str], int] = {}

    def new_session(self) -> None:
        """Start a new session: the status is determined again, the counts remain."""
        self._status = StatusTable(self._clock)

    def apply_reports(self, reports: Iterable[Event | Listening | Fault], *, late: bool = False) -> list[Fault]:
        """Apply the reports of the listener, before the devices are read. Returns its failures.

        Args:
            reports: Since the last call.
            late: Whether the listener hangs, so that events are missed: a count that does not rise would be wrong.
        """
        self._late = late
        faults = []
        for report in reports:
            if isinstance(report, Event):
                self._counts.count(report)
                self._remember(report)
                self._status.apply_event(report.uuid, report.source, report.code)
            elif isinstance(report, Listening):
                self._counts.start(report)
            else:
                faults.append(report)
        return faults

    def drain_events(self) -> tuple[CriticalEvent, ...]:
        """The events since the last call, once for each device and code."""
        taken, self._new_events = self._new_events, {}
        return tuple(_described(*which, count) for which, count in taken.items())

    def conditions(self, uuid: str) -> tuple[Condition, ...]:
        """Why a device is not ok, after its `update` or `mark_lost`; nothing if it is."""
        return self._status.conditions(uuid)

    def update(
        self,
        uuid: str,
        samples: Sequence[Sample],
        unsupported: Collection[Metric] = frozenset(),
        *,
        unknown_action: bool = False,
    ) -> list[Sample]:
        """Update a device from the samples of one poll. Returns its status and events.

        Args:
            uuid: The device.
            samples: Of any cadence.
            unsupported: The rows that it does not support now.
            unknown_action: Whether the driver requires a recovery action that is not in the list.
        """
        self._status.update(uuid, samples, unsupported, unknown_action=unknown_action)
        return [*self._status.samples(uuid), *self.event_samples(uuid)]

    def mark_lost(self, uuid: str) -> list[Sample]:
        """Mark a device that does not answer. Returns its status and events."""
        self._status.mark_lost(uuid)
        return [*self._status.samples(uuid), *self.event_samples(uuid)]

    def event_samples(self, uuid: str) -> list[Sample]:
        """The events of a device, also for a poll without readings of it; no counts while the listener hangs."""
        samples = self._counts.samples(uuid)
        return [sample for sample in samples if sample.metric is not catalog.ERRORS] if self._late else samples

    def _remember(self, event: Event) -> None:
        """Remember a new event. Of very many codes, those that come last are only counted."""
        which = (event.uuid, event.source, event.code)
        if which in self._new_events or len(self._new_events) < _MAX_NEW_EVENTS:
            self._new_events[which] = self._new_events.get(which, 0) + 1

    def unsupported(self, reasons: Mapping[str, str]) -> Iterator[Unsupported]:
        """The unsupported rows of devices whose events are unavailable.

        Args:
            reasons: The reason, by uuid.
        """
        for uuid, detail in reasons.items():
            if uuid not in self._counts:
                yield from (Unsupported(row, uuid, detail) for row in _EVENT_ROWS)


def _described(uuid: str, source: str, code: str, count: int) -> CriticalEvent:
    text, do = meaning(source, code)
    return CriticalEvent(uuid, source, code, error_class(source, code), text, do, state_after(source, code), count)
