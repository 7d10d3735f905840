"""Writes a snapshot with `prometheus_client`: for the command's output, and for comparison with what scrapes get."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Self

from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from collectors.metric import Kind
from exporter import series
from exporter.series import EVERYTHING, AnySeries, OwnSample, Shown
from exporter.snapshot import Snapshot
from exporter.text_format import Format, is_plain_counter


def render(
    snapshot: Snapshot,
    own: Iterable[OwnSample],
    text_format: Format,
    shown: Shown = EVERYTHING,
) -> bytes:
    """The exposition of a snapshot and of the exporter's own samples.

    Args:
        snapshot: The snapshot.
        own: The samples of the exporter itself.
        text_format: The format.
        shown: What is exported.
    """
    every = list(own)
    arranged = series.arrange(snapshot, every, shown)
    found = zip(arranged.series, arranged.values(series.values(snapshot, every)), strict=True)
    families = [list(points) for _, points in groupby(found, key=lambda point: point[0].family)]
    written = _WRITERS[text_format](_SnapshotRegistry(tuple(map(_family, families))))
    if text_format is Format.TEXT:
        for (first, _), *_ in families:
            if is_plain_counter(first):
                written = written.replace(b"\n# TYPE %s untyped\n" % first.name.encode(), _plain_counter_type(first))
    return written


def _plain_counter_type(each: AnySeries) -> bytes:
    """The line that the library cannot write: it adds `_total` to the name of every counter."""
    return f"\n# TYPE {each.name} counter\n".encode()


class _SnapshotRegistry:
    """The part of a registry's interface that the writers use."""

    def __init__(self, collected: tuple[Family, ...]) -> None:
        self._collected = collected

    def collect(self) -> Iterable[Family]:
        return self._collected


# The OpenMetrics writer of the library has no type annotations. It checks every name character by character, except
# where UTF-8 names are allowed; for our ASCII names the result is the same.
_WRITERS: dict[Format, Callable[[_SnapshotRegistry], bytes]] = {
    Format.TEXT: generate_latest,
    Format.OPENMETRICS: partial(generate_openmetrics, escaping=ALLOWUTF8),
}


def _family(points: Sequence[tuple[AnySeries, float]]) -> Family:
    first, _ = points[0]
    name = first.name
    stem = name.removesuffix("_total").removesuffix("_info") if first.row.kind is not Kind.GAUGE else name
    family = Family(
        stem, first.row.help, "unknown" if is_plain_counter(first) else first.row.kind.value, first.row.unit.value
    )
    for each, value in points:
        labels: dict[str, str] = {
            _PlacedName(place, label): text for place, (label, text) in enumerate(each.written_labels)
        }
        family.add_sample(name, labels, value)
    return family


class _PlacedName(str):
    """The name of a label, less than those behind it: the library sorts labels, and views have their own order."""

    __slots__ = ("_place",)
    _place: int

    def __new__(cls, place: int, name: str) -> Self:
        placed = super().__new__(cls, name)
        placed._place = place
        return placed

    def __lt__(self, other: str) -> bool:
        return isinstance(other, _PlacedName) and self._place < other._place
