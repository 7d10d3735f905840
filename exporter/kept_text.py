"""The text of all series. What has not changed since the snapshot before is kept: labels, numbers, compressed text."""

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, compress
from operator import ne

from exporter import series, text_format
from exporter.gzip_member import SegmentCompressor, member
from exporter.series import Arrangement, Identities, OwnSample, Shown
from exporter.snapshot import Snapshot
from exporter.text_format import Format

_NO_BITS = -1  # of no number: the next one is written
# Shorter segments compress worse, and longer ones more often have a number that has changed.
_SEGMENT_CHARACTERS = 16 * 1024


class _Written:
    """The exposition in one format, in segments: whole families each. The last segment is the end.

    Args:
        pieces: The text before each number, and the number behind it.
        segment_of: The segment of each number.
        end: The text behind the last number.

    Attributes:
        pieces: The same.
        stale: The segments with another number than their text.
    """

    def __init__(self, pieces: list[str], segment_of: Sequence[int], end: str) -> None:
        self.pieces = pieces
        self.stale = set(segment_of)
        sizes = Counter(segment_of)  # in their order
        self._bounds = list(accumulate((2 * size for size in sizes.values()), initial=0))
        self._texts = [b""] * len(sizes) + [end.encode()]
        self._packed: list[bytes | None] = [None] * len(self._texts)

    def body(self) -> bytes:
        """All text. Only segments with another number are made anew."""
        for number in self.stale:
            first, after = self._bounds[number : number + 2]
            self._texts[number] = "".join(self.pieces[first:after]).encode()
            self._packed[number] = None
        self.stale.clear()
        return b"".join(self._texts)

    def gzipped(self, body: bytes, compressor: SegmentCompressor) -> bytes:
        """The same as one gzip member."""
        packed = [
            compressor.compress(text) if known is None else known
            for known, text in zip(self._packed, self._texts, strict=True)
        ]
        self._packed[:] = packed
        return member(packed, body)


class KeptText:
    """The expositions of one snapshot after the other. A call that fails does not affect later ones.

    Args:
        shown: What is exported.
    """

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._identities: Identities | None = None
        self._arrangement = Arrangement([], [], [])
        self._bits: list[int] = []
        self._numbers: list[str] = []
        self._starts: dict[tuple[object, ...], str] = {}
        self._segment_of: list[int] = []
        self._written: dict[Format, _Written] = {}
        self._compressor = SegmentCompressor()

    def update(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Use the values of another snapshot."""
        identities = series.identities(snapshot, own)
        if identities != self._identities:
            self._arrange(snapshot, own)
            self._identities = identities
        values = array("d", self._arrangement.values(snapshot, own))
        # Their bits are compared, because 0 equals -0, whose text is another, and NaN does not equal itself.
        bits = memoryview(values).cast("B").cast("Q").tolist()
        changed = list(compress(range(len(bits)), map(ne, bits, self._bits)))
        different = {bits[place]: values[place] for place in changed}  # a container's value is often that of its device
        texts = dict(zip(different, text_format.numbers(list(different.values())), strict=True))
        for place in changed:
            self._numbers[place] = texts[bits[place]]
        stale = set(map(self._segment_of.__getitem__, changed))
        for written in self._written.values():
            written.stale |= stale
        self._bits = bits

    def body(self, wanted: Format) -> bytes:
        """The whole exposition."""
        written = self._written.get(wanted)
        if written is None:
            written = self._written[wanted] = self._without_numbers(wanted)
        written.pieces[1::2] = self._numbers
        return written.body()

    def gzipped(self, wanted: Format, body: bytes) -> bytes:
        """Compress what `body` has just returned for the same format, as one gzip member."""
        return self._written[wanted].gzipped(body, self._compressor)

    def _arrange(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Determine the series and their order anew. The text of a series that was there before is kept."""
        self._identities = None  # until all of it is done
        self._written.clear()
        self._arrangement = series.arrange(snapshot, own, self._shown)
        found = self._arrangement.series
        self._bits = [_NO_BITS] * len(found)
        self._numbers = [""] * len(found)
        known = self._starts
        keys = [(each.name, *each.labels.items()) for each in found]
        self._starts = {
            key: known.get(key) or f"\n{text_format.line_start(each)}" for key, each in zip(keys, found, strict=True)
        }
        self._segment_of = self._divided()

    def _divided(self) -> list[int]:
        """The segment of each series: families as a whole, until there are enough characters."""
        segments: list[int] = []
        segment = characters = 0
        family = None
        for each, start in zip(self._arrangement.series, self._starts.values(), strict=True):
            if each.family != family and characters >= _SEGMENT_CHARACTERS:
                segment += 1
                characters = 0
            family = each.family
            characters += len(start)
            segments.append(segment)
        return segments

    def _without_numbers(self, wanted: Format) -> _Written:
        """Everything but the numbers. The end of a line is in front of the next one."""
        pieces: list[str] = []
        family = None
        line_end = ""
        for each, start in zip(self._arrangement.series, self._starts.values(), strict=True):
            first = each.family != family
            family = each.family
            pieces += (f"{line_end}{text_format.heading(each, wanted)}{start[1:]}" if first else start, "")
            line_end = "\n"
        return _Written(pieces, self._segment_of, line_end + wanted.end)
