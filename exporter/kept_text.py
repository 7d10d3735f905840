"""The text of all series. What has not changed since the snapshot before is kept: labels, numbers, compressed text."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from struct import Struct

from exporter import series, text_format
from exporter.gzip_member import GzipMember
from exporter.kept_values import KeptValues
from exporter.series import AnySeries, OwnSample, Shown
from exporter.snapshot import Snapshot
from exporter.text_format import Format

_VALUE_BYTES = 8


class _Family:
    """One family, whose series follow each other.

    Args:
        first: Its first series.
        starts: Each line up to its number, with the end of the line before.

    Attributes:
        size: Number of its series.
    """

    def __init__(self, first: AnySeries, starts: Sequence[str]) -> None:
        self.size = len(starts)
        self._first = first
        self._start = starts[0].removeprefix("\n")
        self._pieces = [*chain.from_iterable((start, "") for start in starts), "\n"]

    def beginning(self, wanted: Format) -> str:
        """Its lines before the first series, and this series up to its number."""
        return text_format.heading(self._first, wanted) + self._start

    def set_numbers(self, texts: Sequence[str]) -> None:
        """Use other texts for the numbers of its series."""
        self._pieces[1::2] = texts

    def written(self, beginning: str) -> bytes:
        """Its lines, with this beginning."""
        self._pieces[0] = beginning
        return "".join(self._pieces).encode()


class _Written:
    """The exposition in one format, family by family.

    Args:
        wanted: The format.
        families: The families.

    Attributes:
        stale: The numbers of the families with other values than in their text.
    """

    def __init__(self, wanted: Format, families: Sequence[_Family]) -> None:
        self.stale = set(range(len(families)))
        self._families = families
        self._beginnings = [family.beginning(wanted) for family in families]
        self._texts = [b""] * len(families) + [wanted.end.encode()]
        self._member = GzipMember(len(self._texts))

    def texts(self) -> list[bytes]:
        """The text of each family, then the end. Only what has other numbers is made anew."""
        for place in self.stale:
            self._texts[place] = self._families[place].written(self._beginnings[place])
        self._member.changed |= self.stale
        self.stale.clear()
        return self._texts

    def gzipped(self) -> bytes:
        """The same as one gzip member."""
        return self._member.of(self.texts())


class KeptText:
    """The expositions of one snapshot after the other. A call that fails does not affect later ones.

    Args:
        shown: What is exported.
    """

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._values = KeptValues()
        self._is_complete = False
        self._starts: dict[tuple[str, ...], str] = {}
        self._families: list[_Family] = []
        self._layout = Struct("")
        self._raw: Sequence[bytes] = ()
        self._written: dict[Format, _Written] = {}

    def update(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Use the values of another snapshot."""
        was_complete, self._is_complete = self._is_complete, False  # if this fails, the next call begins anew
        if not (was_complete and self._values.update(snapshot, own)):
            self._arrange(snapshot, own)
        # Their bytes are compared, because 0 equals -0, whose text is another, and NaN does not equal itself.
        before, self._raw = self._raw, self._layout.unpack(self._values.now)
        changed = [number for number, (old, new) in enumerate(zip(before, self._raw, strict=True)) if old != new]
        self._write_numbers(changed)
        for written in self._written.values():
            written.stale.update(changed)
        self._is_complete = True

    def body(self, wanted: Format) -> bytes:
        """The whole exposition."""
        return b"".join(self._in(wanted).texts())

    def gzipped(self, wanted: Format) -> bytes:
        """The same as one gzip member."""
        return self._in(wanted).gzipped()

    def _in(self, wanted: Format) -> _Written:
        if wanted not in self._written:
            self._written[wanted] = _Written(wanted, self._families)
        return self._written[wanted]

    def _arrange(self, snapshot: Snapshot, own: Sequence[OwnSample]) -> None:
        """Determine the series and their order anew. The text of a series that was there before is kept."""
        self._written.clear()
        arranged = series.arrange(snapshot, own, self._shown)
        self._values.replace(snapshot, own, arranged)
        known, self._starts = self._starts, {}
        self._families = list(self._divided(arranged.series, known))
        self._layout = Struct("".join(f"{_VALUE_BYTES * family.size}s" for family in self._families))
        self._raw = [b""] * len(self._families)  # no family has the same

    def _divided(self, found: Iterable[AnySeries], known: dict[tuple[str, ...], str]) -> Iterator[_Family]:
        for _, members in groupby(found, key=lambda each: each.family):
            family = list(members)
            keys = [(each.name, *chain.from_iterable(each.labels.items())) for each in family]
            starts = [
                known.get(key) or f"\n{text_format.line_start(each)}" for key, each in zip(keys, family, strict=True)
            ]
            self._starts.update(zip(keys, starts, strict=True))
            yield _Family(family[0], starts)

    def _write_numbers(self, changed: Iterable[int]) -> None:
        """Write the numbers of families; equal ones once, because a container's value is often that of its device."""
        raw = {number: memoryview(self._raw[number]) for number in changed}
        different: dict[int, float] = {}
        for values in raw.values():
            different.update(zip(values.cast("Q"), values.cast("d"), strict=True))
        texts = dict(zip(different, text_format.numbers(list(different.values())), strict=True))
        for number, values in raw.items():
            self._families[number].set_numbers(list(map(texts.__getitem__, values.cast("Q"))))
