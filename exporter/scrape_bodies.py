"""The bodies that scrapes get: each made once for a snapshot, when it is first asked for, and shared by all scrapes."""

import threading
from collections.abc import Callable
from weakref import ref

from exporter.kept_text import KeptText
from exporter.series import EVERYTHING, OwnSample, Shown
from exporter.snapshot import Snapshot
from exporter.text_format import Format


class ScrapeBodies:
    """The expositions of the latest snapshot. Safe to use from any thread.

    The exporter's own samples are those of the time at which the snapshot was first scraped, so that all scrapes of one
    snapshot are the same.

    Args:
        latest: Returns the latest snapshot.
        own: Returns the samples of the exporter itself.
        shown: What is exported.
    """

    def __init__(
        self,
        latest: Callable[[], Snapshot],
        own: Callable[[Snapshot], list[OwnSample]],
        shown: Shown = EVERYTHING,
    ) -> None:
        self._latest = latest
        self._own = own
        self._lock = threading.Lock()
        # Weak, so that it is freed as soon as there is another, and not by a scrape.
        self._made_of: ref[Snapshot] | None = None
        self._text = KeptText(shown)
        self._bodies: dict[tuple[Format, bool], bytes] = {}

    def get(self, wanted: Format, *, gzipped: bool) -> bytes:
        """Return the exposition of the latest snapshot in a format, compressed or not."""
        with self._lock:
            snapshot = self._latest()
            if self._made_of is None or self._made_of() is not snapshot:
                self._text.update(snapshot, self._own(snapshot))
                self._made_of = ref(snapshot)
                self._bodies.clear()
            return self._body(wanted, gzipped=gzipped)

    def _body(self, wanted: Format, *, gzipped: bool) -> bytes:
        found = self._bodies.get((wanted, gzipped))
        if found is None:
            found = self._text.gzipped(wanted) if gzipped else self._text.body(wanted)
            self._bodies[wanted, gzipped] = found
        return found
