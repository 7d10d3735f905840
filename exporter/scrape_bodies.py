"""The bodies that scrapes get: each made once for a snapshot, when it is first asked for, and shared by all scrapes."""

import threading
from collections.abc import Callable, Sequence

from exporter.families import HOLDER_LABELS
from exporter.kept_text import KeptText
from exporter.series import OwnSample
from exporter.snapshot import Snapshot
from exporter.text_format import Format


class ScrapeBodies:
    """The expositions of the latest snapshot. Safe to use from any thread.

    The exporter's own samples are those of the time at which the snapshot was first scraped, so that all scrapes of one
    snapshot are the same.

    Args:
        latest: Returns the latest snapshot.
        own: Returns the samples of the exporter itself.
        holder_labels: The names of the labels of a container.
    """

    def __init__(
        self,
        latest: Callable[[], Snapshot],
        own: Callable[[Snapshot], list[OwnSample]],
        holder_labels: Sequence[str] = HOLDER_LABELS,
    ) -> None:
        self._latest = latest
        self._own = own
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._text = KeptText(holder_labels)
        self._bodies: dict[tuple[Format, bool], bytes] = {}

    def get(self, wanted: Format, *, gzipped: bool) -> bytes:
        """Return the exposition of the latest snapshot in a format, compressed or not."""
        with self._lock:
            snapshot = self._latest()
            if snapshot is not self._snapshot:
                self._text.update(snapshot, self._own(snapshot))
                self._snapshot = snapshot
                self._bodies.clear()
            body = self._body(wanted)
            return self._compressed(wanted, body) if gzipped else body

    def _body(self, wanted: Format) -> bytes:
        found = self._bodies.get((wanted, False))
        if found is None:
            found = self._bodies[wanted, False] = self._text.body(wanted)
        return found

    def _compressed(self, wanted: Format, body: bytes) -> bytes:
        found = self._bodies.get((wanted, True))
        if found is None:
            found = self._bodies[wanted, True] = self._text.gzipped(wanted, body)
        return found
