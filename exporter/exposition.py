"""Snapshot to bytes: every family once, in the catalogue's order, in the format the client asks for.

The only module that writes Prometheus text; it never touches hardware or the kubelet.
"""

import gzip
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    """One value about the exporter itself; labels in the row's order."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


class Format(Enum):
    """The text formats a scrape may ask for, with their content types."""

    TEXT = CONTENT_TYPE_PLAIN_0_0_4
    OPENMETRICS = CONTENT_TYPE_LATEST


def negotiate(accept: str) -> Format:
    """The format for an `Accept` header: OpenMetrics 1.0 where it is wanted at least as much as plain text."""
    weights = {Format.TEXT: 0.0, Format.OPENMETRICS: 0.0}
    for entry in accept.split(","):
        media, *parameters = (part.strip().lower() for part in entry.split(";"))
        given = dict(parameter.partition("=")[::2] for parameter in parameters)
        weight = _weight(given.get("q", "1"))
        if media == "application/openmetrics-text" and given.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            weights[Format.OPENMETRICS] = max(weights[Format.OPENMETRICS], weight)
        elif media in ("text/plain", "text/*", "*/*"):
            weights[Format.TEXT] = max(weights[Format.TEXT], weight)
    wanted = weights[Format.OPENMETRICS]
    return Format.OPENMETRICS if 0 < wanted >= weights[Format.TEXT] else Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """True when an `Accept-Encoding` header allows gzip."""
    allowed: dict[str, bool] = {}
    for entry in accept_encoding.split(","):
        coding, *parameters = (part.strip().lower() for part in entry.split(";"))
        allowed[coding] = all(_weight(p.partition("=")[2]) > 0 for p in parameters if p.startswith("q="))
    return allowed.get("gzip", allowed.get("*", False))


def compress(body: bytes) -> bytes:
    """Gzip a body; the same body always gives the same bytes."""
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


def render(snapshot: Snapshot, own: Iterable[OwnSample], wanted: Format) -> bytes:
    """The exposition of a snapshot and of the exporter's own samples."""
    registry = _Once(tuple(_families(snapshot, own)))
    return _WRITERS[wanted](registry)


class _Once:
    """Looks like a registry to the renderer."""

    def __init__(self, collected: tuple[Family, ...]) -> None:
        self._collected = collected

    def collect(self) -> Iterable[Family]:
        return self._collected


# The library's OpenMetrics writer has no annotations. It checks a name character by character unless told that any
# name will do; ours, all of them plain, come out the same either way.
_WRITERS: dict[Format, Callable[[_Once], bytes]] = {
    Format.TEXT: generate_latest,
    Format.OPENMETRICS: partial(generate_openmetrics, escaping=ALLOWUTF8),
}


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _families(snapshot: Snapshot, own: Iterable[OwnSample]) -> Iterator[Family]:
    """Every family that has samples, each once, in the order of the rows."""
    points: defaultdict[tuple[Metric, Subject], list[tuple[_Labels, float]]] = defaultdict(list)
    naming = _Naming(snapshot.devices, {key: p.profile for key, p in snapshot.partitions.items()})
    for sample in snapshot.samples:
        subject = Subject.PARTITION if sample.partition_uuid else Subject.DEVICE
        labels = naming.of(SubjectKey(sample.device_uuid, sample.partition_uuid))
        points[sample.metric, subject].append((_with_own(labels, sample.metric, sample.labels), sample.value))
    for sample in snapshot.process_samples:
        labels = naming.of(SubjectKey(sample.device_uuid, sample.partition_uuid))
        points[sample.metric, Subject.PROCESS].append((_with_own(labels, sample.metric, sample.labels), sample.value))
    for held in snapshot.holder_samples:
        labels = naming.of(held.subject) | naming.holder(held.container)
        points[held.metric, held.metric.subjects[0]].append((_with_own(labels, held.metric, held.labels), held.value))
    for mine in own:
        points[mine.metric, mine.metric.subjects[0]].append((_with_own({}, mine.metric, mine.labels), mine.value))
    for row in ROWS:
        for subject in row.subjects:
            if (row, subject) in points:
                yield _family(row, subject, points[row, subject])


def _family(row: Metric, subject: Subject, points: list[tuple[_Labels, float]]) -> Family:
    name = row.name(subject)
    stem = name.removesuffix("_total").removesuffix("_info") if row.kind is not Kind.GAUGE else name
    family = Family(stem, row.help, row.kind.value, row.unit.value)
    for labels, value in sorted(points, key=lambda point: tuple(point[0].values())):
        family.add_sample(name, labels, value)
    return family


def _with_own(subject_labels: _Labels, row: Metric, values: tuple[str, ...]) -> _Labels:
    """The subject's labels and the row's; an empty one is left out, as Prometheus takes both for the same."""
    if not values:
        return subject_labels
    own = {label.name: _clean(value) for label, value in zip(row.labels, values, strict=True) if value}
    return subject_labels | own


def _clean(text: str) -> str:
    """Text that can be encoded: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


class _Naming:
    """Label sets of subjects and holders, each made once per exposition."""

    def __init__(self, devices: Mapping[str, Device], profiles: Mapping[str, str]) -> None:
        self._devices = devices
        self._profiles = profiles
        self._known: dict[SubjectKey, _Labels] = {}
        self._holders: dict[Container, _Labels] = {}

    def of(self, subject: SubjectKey) -> _Labels:
        if subject not in self._known:
            device = self._devices[subject.device_uuid]
            labels = {"uuid": device.uuid, "device": device.device, "vendor": device.vendor, "model": device.model}
            if subject.partition_uuid:
                labels["partition_uuid"] = subject.partition_uuid
                labels["profile"] = self._profiles[subject.partition_uuid]
            self._known[subject] = {name: _clean(value) for name, value in labels.items() if value}
        return self._known[subject]

    def holder(self, container: Container) -> _Labels:
        if container not in self._holders:
            values = zip(families.HOLDER_LABELS, container, strict=True)
            self._holders[container] = {name: _clean(value) for name, value in values}
        return self._holders[container]
