"""Writes a snapshot with `prometheus_client`: for the command's output, and for comparison with what scrapes get."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby

from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import ALLOWUTF8
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from collectors.metric import Kind
from exporter import families, series
from exporter.series import OwnSample, Series
from exporter.snapshot import Snapshot
from exporter.text_format import Format


def render(
    snapshot: Snapshot,
    own: Iterable[OwnSample],
    text_format: Format,
    holder_labels: Sequence[str] = families.HOLDER_LABELS,
) -> bytes:
    """The exposition of a snapshot and of the exporter's own samples.

    Args:
        snapshot: The snapshot.
        own: The samples of the exporter itself.
        text_format: The format.
        holder_labels: The names of the labels in `families.HOLDER_LABELS`, in this order.
    """
    every = list(own)
    values = series.values(snapshot, every)
    found = ((each, values[position]) for position, each in series.ordered(snapshot, every, holder_labels))
    collected = tuple(_family(list(points)) for _, points in groupby(found, key=lambda point: point[0].family))
    return _WRITERS[text_format](_SnapshotRegistry(collected))


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


def _family(points: Sequence[tuple[Series, float]]) -> Family:
    row, subject, _ = points[0][0]
    name = row.name(subject)
    stem = name.removesuffix("_total").removesuffix("_info") if row.kind is not Kind.GAUGE else name
    family = Family(stem, row.help, row.kind.value, row.unit.value)
    for each, value in points:
        family.add_sample(name, dict(each.labels), value)
    return family
