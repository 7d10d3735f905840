"""Renders a snapshot: every family once, in the catalogue's order, in the format that the client accepts.

The only module that writes Prometheus text; it never touches hardware or the kubelet.
"""

import gzip
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics.exposition import ALLOWUTF8, CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from collectors import catalog
from collectors.contract import Device, SubjectKey
from collectors.metric import Kind, Metric, Subject
from exporter import families
from exporter.snapshot import Container, Snapshot

ROWS = (*catalog.ROWS, *families.ROWS)

_GZIP_LEVEL = 5
_Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class OwnSample:
    """One value about the exporter itself; labels in the order of its metric."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


class Format(Enum):
    """The text formats that a client can accept, with their content types."""

    TEXT = CONTENT_TYPE_PLAIN_0_0_4
    OPENMETRICS = CONTENT_TYPE_LATEST


def negotiate(accept: str) -> Format:
    """The format for an `Accept` header: OpenMetrics 1.0 where its weight is at least that of plain text."""
    weights = {Format.TEXT: 0.0, Format.OPENMETRICS: 0.0}
    for entry in accept.split(","):
        media, *parameters = (part.strip().lower() for part in entry.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        weight = _weight(values.get("q", "1"))
        if media == "application/openmetrics-text" and values.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            weights[Format.OPENMETRICS] = max(weights[Format.OPENMETRICS], weight)
        elif media in ("text/plain", "text/*", "*/*"):
            weights[Format.TEXT] = max(weights[Format.TEXT], weight)
    openmetrics = weights[Format.OPENMETRICS]
    return Format.OPENMETRICS if 0 < openmetrics >= weights[Format.TEXT] else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """True when an `Accept-Encoding` header allows gzip."""
    allowed: dict[str, bool] = {}
    for entry in accept_encoding.split(","):
        coding, *parameters = (part.strip().lower() for part in entry.split(";"))
        allowed[coding] = all(_weight(p.partition("=")[2]) > 0 for p in parameters if p.startswith("q="))
    return allowed.get("gzip", allowed.get("*", False))


def compress(body: bytes) -> bytes:
    """Compress a body with gzip; the same body always gives the same bytes."""
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


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
    registry = _SnapshotRegistry(tuple(_families(snapshot, own, holder_labels)))
    return _WRITERS[text_format](registry)


class _SnapshotRegistry:
    """The part of a registry's interface that the renderer uses."""

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


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _families(snapshot: Snapshot, own: Iterable[OwnSample], holder_labels: Sequence[str]) -> Iterator[Family]:
    """Every family that has samples, each once, in the order of the rows."""
    points: defaultdict[tuple[Metric, Subject], list[tuple[_Labels, float]]] = defaultdict(list)
    profiles = {key: partition.profile for key, partition in snapshot.partitions.items()}
    label_sets = _LabelSets(snapshot.devices, profiles, holder_labels)
    for sample in snapshot.samples:
        subject = Subject.PARTITION if sample.partition_uuid else Subject.DEVICE
        labels = label_sets.of_subject(sample.subject)
        points[sample.metric, subject].append((_with_own(labels, sample.metric, sample.labels), sample.value))
    for sample in snapshot.process_samples:
        labels = label_sets.of_subject(sample.subject)
        points[sample.metric, Subject.PROCESS].append((_with_own(labels, sample.metric, sample.labels), sample.value))
    for of_holder in snapshot.holder_samples:
        labels = label_sets.of_subject(of_holder.subject) | label_sets.of_holder(of_holder.container)
        all_labels = _with_own(labels, of_holder.metric, of_holder.labels)
        points[of_holder.metric, of_holder.metric.subjects[0]].append((all_labels, of_holder.value))
    for of_exporter in own:
        all_labels = _with_own({}, of_exporter.metric, of_exporter.labels)
        points[of_exporter.metric, of_exporter.metric.subjects[0]].append((all_labels, of_exporter.value))
    for row in ROWS:
        for subject in row.subjects:
            if (row, subject) in points:
                yield _family(row, subject, points[row, subject])


def _family(row: Metric, subject: Subject, points: list[tuple[_Labels, float]]) -> Family:
    name = row.name(subject)
    stem = name.removesuffix("_total").removesuffix("_info") if row.kind is not Kind.GAUGE else name
    family = Family(stem, row.help, row.kind.value, row.unit.value)
    before: _Labels | None = None
    for labels, value in sorted(points, key=lambda point: tuple(point[0].values())):
        if labels != before:  # one series twice would make the whole exposition invalid
            family.add_sample(name, labels, value)
        before = labels
    return family


def _with_own(subject_labels: _Labels, row: Metric, values: tuple[str, ...]) -> _Labels:
    """The labels of the subject and of the metric. An empty one is omitted: Prometheus treats both the same way."""
    if not values:
        return subject_labels
    own = {label.name: _clean(value) for label, value in zip(row.labels, values, strict=True) if value}
    return subject_labels | own


def _clean(text: str) -> str:
    """Text that UTF-8 can encode: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


class _LabelSets:
    """Label sets of subjects and holders, each made once per exposition."""

    def __init__(
        self, devices: Mapping[str, Device], profiles: Mapping[str, str], holder_labels: Sequence[str]
    ) -> None:
        self._holder_labels = holder_labels
        self._devices = devices
        self._profiles = profiles
        self._subjects: dict[SubjectKey, _Labels] = {}
        self._holders: dict[Container, _Labels] = {}

    def of_subject(self, subject: SubjectKey) -> _Labels:
        if subject not in self._subjects:
            device = self._devices[subject.device_uuid]
            labels = {"uuid": device.uuid, "device": device.device, "vendor": device.vendor, "model": device.model}
            if subject.partition_uuid:
                labels["partition_uuid"] = subject.partition_uuid
                labels["profile"] = self._profiles[subject.partition_uuid]
            self._subjects[subject] = {name: _clean(value) for name, value in labels.items() if value}
        return self._subjects[subject]

    def of_holder(self, container: Container) -> _Labels:
        if container not in self._holders:
            values = zip(self._holder_labels, container, strict=True)
            self._holders[container] = {name: _clean(value) for name, value in values}
        return self._holders[container]
