"""The bodies that scrapes get: each made once for a snapshot, when it is first asked for, and shared by all scrapes."""

import math
import threading
import zlib
from collections.abc import Callable, Sequence

from exporter import series, text_format
from exporter.families import HOLDER_LABELS
from exporter.series import Identities, OwnSample, Series
from exporter.snapshot import Snapshot
from exporter.text_format import Format

_GZIP_LEVEL = 1  # level 5 takes twice the time to save a tenth of the bytes
_GZIP_FORMAT = zlib.MAX_WBITS | 16


def compress(body: bytes) -> bytes:
    """Compress a body with gzip, as one member, because curl reads no second one.

    The same body always gives the same bytes.
    """
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORMAT)
    return compressor.compress(body) + compressor.flush()


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
        self._lines = _Lines(holder_labels)
        self._bodies: dict[tuple[Format, bool], bytes] = {}

    def get(self, wanted: Format, *, gzipped: bool) -> bytes:
        """Return the exposition of the latest snapshot in a format, compressed or not."""
        with self._lock:
            snapshot = self._latest()
            if snapshot is not self._snapshot:
                self._lines.update(snapshot, self._own(snapshot))
                self._snapshot = snapshot
                self._bodies.clear()
            body = self._body(wanted)
            return self._compressed(wanted, body) if gzipped else body

    def _body(self, wanted: Format) -> bytes:
        found = self._bodies.get((wanted, False))
        if found is None:
            found = self._bodies[wanted, False] = self._lines.text(wanted)
        return found

    def _compressed(self, wanted: Format, body: bytes) -> bytes:
        found = self._bodies.get((wanted, True))
        if found is None:
            found = self._bodies[wanted, True] = compress(body)
        return found


class _Lines:
    """The text of all series. What has not changed since the last snapshot is kept."""

    def __init__(self, holder_labels: Sequence[str]) -> None:
        self._holder_labels = holder_labels
        self._identities: Identities | None = None
        self._series: list[Series] = []
        self._positions: list[int] = []
        self._values: list[float] = []
        self._numbers: list[bytes] = []
        self._starts: dict[tuple[object, ...], bytes] = {}
        self._pieces: dict[Format, list[bytes]] = {}

    def update(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Use the values of another snapshot."""
        identities = series.identities(snapshot, own)
        if identities != self._identities:
            self._arrange(snapshot, own)
            self._identities = identities
        every = series.values(snapshot, own)
        values = [every[position] for position in self._positions]
        numbers = self._numbers
        for place, (value, before) in enumerate(zip(values, self._values, strict=True)):
            if value != before or not value:  # 0 equals -0, whose text is another
                numbers[place] = b"%b\n" % text_format.number(value).encode()
        self._values = values

    def text(self, wanted: Format) -> bytes:
        """The whole exposition."""
        pieces = self._pieces.get(wanted)
        if pieces is None:
            pieces = self._pieces[wanted] = self._without_numbers(wanted)
        pieces[1::2] = self._numbers
        return b"".join(pieces)

    def _arrange(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Determine the series and their order anew. The text of a series that was there before is kept."""
        self._identities = None  # until all of it is done
        found = series.ordered(snapshot, own, self._holder_labels)
        self._positions = [position for position, _ in found]
        self._series = [each for _, each in found]
        self._values = [math.nan] * len(found)
        self._numbers = [b""] * len(found)
        known = self._starts
        keys = [(each.row.stem, each.subject, *each.labels.items()) for each in self._series]
        self._starts = {
            key: known.get(key) or text_format.line_start(each).encode()
            for key, each in zip(keys, self._series, strict=True)
        }
        self._pieces.clear()

    def _without_numbers(self, wanted: Format) -> list[bytes]:
        """The text before each number, and a place for the number behind it; then the end."""
        pieces: list[bytes] = []
        family = None
        for each, start in zip(self._series, self._starts.values(), strict=True):
            first = each.family != family
            family = each.family
            pieces += (text_format.heading(each, wanted).encode() + start if first else start, b"")
        return [*pieces, wanted.end.encode()]
