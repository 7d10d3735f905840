"""Counts of critical events: ours, from the exporter's start on, over any number of sessions."""

from dataclasses import dataclass

from collectors import catalog
from collectors.contract import Sample
from collectors.nvidia.listener import UNAVAILABLE_EVENT, XID_EVENT, Event, Listening
from collectors.nvidia.xid import DRIVER_SOURCE, FROM_START, GPU_UNAVAILABLE, XID_SOURCE, error_class

# Of one device. Codes that come after the last place is taken are counted together.
_MOST_CODES = 64
_OTHER = "other"


@dataclass(slots=True)
class _Count:
    events: int = 0
    last: float | None = None


class ErrorCounts:
    """The counts of all devices. They stay while nobody listens and when the device is lost: they are the evidence."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, str], _Count]] = {}

    def __contains__(self, uuid: str) -> bool:
        """Whether there is anything to tell of a device."""
        return uuid in self._counts

    def start(self, listening: Listening) -> None:
        """Count from 0 what must not be missed when it happens first."""
        for uuid, types in listening.types.items():
            counts = self._counts.setdefault(uuid, {})
            if types & XID_EVENT:
                for code in FROM_START:
                    counts.setdefault((XID_SOURCE, code), _Count())
            if types & UNAVAILABLE_EVENT:
                counts.setdefault((DRIVER_SOURCE, GPU_UNAVAILABLE), _Count())

    def take(self, event: Event) -> None:
        """Count an event."""
        counts = self._counts.setdefault(event.uuid, {})
        key = (event.source, event.code)
        if key not in counts and len(counts) >= _MOST_CODES:
            key = (event.source, _OTHER)
        count = counts.setdefault(key, _Count())
        count.events += 1
        count.last = event.at

    def samples(self, uuid: str) -> list[Sample]:
        """`errors_total` and, for what has happened, `error_last_timestamp_seconds` of one device."""
        samples = []
        for (source, code), count in self._counts.get(uuid, {}).items():
            labels = (source, code, error_class(source, code))
            samples.append(Sample(catalog.ERRORS, uuid, count.events, labels=labels))
            if count.last is not None:
                samples.append(Sample(catalog.ERROR_LAST_TIMESTAMP, uuid, count.last, labels=labels))
        return samples
