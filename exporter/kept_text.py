"""The text of all series. What has not changed since the snapshot before is kept: labels, numbers, compressed text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, groupby

from exporter import series, text_format
from exporter.gzip_member import GzipMember
from exporter.kept_values import KeptValues
from exporter.series import OwnSample, Series, Shown
from exporter.snapshot import Snapshot
from exporter.text_format import Format


@dataclass(frozen=True, slots=True)
class _Family:
    """One family, whose series follow each other.

    Attributes:
        first: Its first series.
        starts: Each line up to its number, with the end of the line before.
        positions: The positions of the numbers.
    """

    first: Series
    starts: list[str]
    positions: list[int]

    def written(self, numbers: Sequence[str], wanted: Format) -> bytes:
        """Its lines."""
        pieces = [""] * (2 * len(self.starts))
        pieces[::2] = self.starts
        pieces[1::2] = map(numbers.__getitem__, self.positions)
        pieces[0] = text_format.heading(self.first, wanted) + self.starts[0][1:]
        pieces.append("\n")
        return "".join(pieces).encode()


class _Written:
    """The exposition in one format, family by family.

    Args:
        wanted: The format.
        families: The families.

    Attributes:
        stale: The families with another number than their text.
    """

    def __init__(self, wanted: Format, families: Sequence[_Family]) -> None:
        self.stale = set(range(len(families)))
        self._wanted = wanted
        self._families = families
        self._texts = [b""] * len(families) + [wanted.end.encode()]
        self._member = GzipMember(len(self._texts))

    def texts(self, numbers: Sequence[str]) -> list[bytes]:
        """The text of each family, then the end. Only what has another number is made anew."""
        for place in self.stale:
            self._texts[place] = self._families[place].written(numbers, self._wanted)
        self._member.changed |= self.stale
        self.stale.clear()
        return self._texts

    def gzipped(self, numbers: Sequence[str]) -> bytes:
        """The same as one gzip member."""
        return self._member.of(self.texts(numbers))


class KeptText:
    """The expositions of one snapshot after the other. A call that fails does not affect later ones.

    Args:
        shown: What is exported.
    """

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._values = KeptValues()
        self._is_complete = False
        self._numbers: list[str] = []
        self._starts: dict[tuple[object, ...], str] = {}
        self._families: list[_Family] = []
        self._family_of: list[tuple[int, ...]] = []
        self._written: dict[Format, _Written] = {}

    def update(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Use the values of another snapshot."""
        was_complete, self._is_complete = self._is_complete, False  # if this fails, the next call begins anew
        changed = self._values.update(snapshot, own) if was_complete else None
        if changed is None:
            self._arrange(snapshot, own)
            changed = list(range(len(self._numbers)))
        self._write_numbers(list(compress(changed, map(self._family_of.__getitem__, changed))))
        self._is_complete = True

    def body(self, wanted: Format) -> bytes:
        """The whole exposition."""
        return b"".join(self._in(wanted).texts(self._numbers))

    def gzipped(self, wanted: Format) -> bytes:
        """The same as one gzip member."""
        return self._in(wanted).gzipped(self._numbers)

    def _in(self, wanted: Format) -> _Written:
        if wanted not in self._written:
            self._written[wanted] = _Written(wanted, self._families)
        return self._written[wanted]

    def _write_numbers(self, changed: Sequence[int]) -> None:
        """Write the values at these positions."""
        every, numbers = self._values.every, self._numbers
        bits = list(map(self._values.bits.__getitem__, changed))
        # A container's value is often that of its device.
        different = dict(zip(bits, map(every.__getitem__, changed), strict=True))
        texts = dict(zip(different, text_format.numbers(list(different.values())), strict=True))
        for position, text in zip(changed, map(texts.__getitem__, bits), strict=True):
            numbers[position] = text
        stale = set(chain.from_iterable(map(self._family_of.__getitem__, changed)))
        for written in self._written.values():
            written.stale |= stale

    def _arrange(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Determine the series and their order anew. The text of a series that was there before is kept."""
        self._written.clear()
        self._values.replace(snapshot, own)
        known, self._starts = self._starts, {}
        self._families = list(self._found(series.ordered(snapshot, own, self._shown), known))
        self._numbers = [""] * len(self._values.every)
        family_of: list[tuple[int, ...]] = [()] * len(self._numbers)
        for place, family in enumerate(self._families):
            for position in family.positions:
                family_of[position] = (place,)
        self._family_of = family_of

    def _found(self, ordered: Sequence[tuple[int, Series]], known: dict[tuple[object, ...], str]) -> Iterator[_Family]:
        for _, members in groupby(ordered, key=lambda numbered: numbered[1].family):
            positions, found = zip(*members, strict=True)
            keys = [(each.row.stem, each.subject, *each.labels.items()) for each in found]
            starts = [
                known.get(key) or f"\n{text_format.line_start(each)}" for key, each in zip(keys, found, strict=True)
            ]
            self._starts.update(zip(keys, starts, strict=True))
            yield _Family(found[0], starts, list(positions))
