"""The part of a collector's reading that meets the contract: types, labels, subjects, and each series once.

A record that does not meet it would make the whole exposition invalid, or every later snapshot fail. So it is left out
and counted, and the rest of the reading is used. A record may also be an object of any other type, such as None.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from collectors import catalog
from collectors.condition import Condition, CriticalEvent
from collectors.contract import (
    Alias,
    Device,
    Fault,
    Partition,
    Process,
    Reading,
    Reason,
    Sample,
    SubjectKey,
    Unsupported,
    subjects_of,
)
from collectors.metric import Kind, Label, Metric, Origin, Subject
from collectors.plausibility import ImplausibleError, require_number
from collectors.wording import shortened
from exporter.series_order import SeriesOrder
from exporter.severity import OF_STATES

_MOST_ORDERS = 8
_STATES_WITH_REASON = frozenset(OF_STATES) - {"ok"}
_LONGEST_TEXT = 500
SampleKey = tuple[Metric, str, str, tuple[str, ...]]
_ROWS = {row: row for row in catalog.ROWS}
_R = TypeVar("_R")


class Conformity:
    """Checks the readings of one collector. Used by one thread.

    Most readings have the same devices and the same series as one before, so these are checked once.
    """

    def __init__(self) -> None:
        self._given: tuple[object, object] | None = None  # the last devices and partitions, if nothing was left out
        self._listed: frozenset[SubjectKey] = frozenset()
        self._uuids: frozenset[str] = frozenset()
        self._unsupported_given: object = None
        self._series: dict[int, SeriesOrder] = {}  # by number of series

    def conforming(self, reading: Reading, faults: list[Fault]) -> Reading:
        """A reading without the records that do not meet the contract.

        Args:
            reading: What the collector returned. If one of its sequences is none, any exception may be raised.
            faults: Receives one fault for each record that is left out.
        """
        if self._given == (reading.devices, reading.partitions):
            devices, partitions = reading.devices, reading.partitions
        else:
            devices, partitions = self._list(reading, faults)
        return replace(
            reading,
            devices=devices,
            partitions=partitions,
            samples=self._conforming_samples(reading, faults),
            processes=tuple(_processes(_of(Process, reading.processes, faults), faults)),
            faults=tuple(_faults(_of(Fault, reading.faults, faults), faults)),
            unsupported=self._conforming_gaps(reading, faults),
            sessions=_sessions(reading.sessions),
            stuck=frozenset(uuid for uuid in reading.stuck if uuid in self._uuids),
            conditions=self._conforming_conditions(reading, faults),
            events=tuple(_events(_of(CriticalEvent, reading.events, faults), faults)),
        )

    def order_of(self, samples: tuple[Sample, ...]) -> SeriesOrder:
        """The order of the series in conforming samples: the same object as for an earlier reading in this order."""
        known = self._series.get(len(samples))
        if known is not None and known.samples is samples:
            return known
        if len(self._series) > _MOST_ORDERS:
            self._series.clear()
        order = self._series[len(samples)] = SeriesOrder(samples)
        return order

    def _list(self, reading: Reading, faults: list[Fault]) -> tuple[tuple[Device, ...], tuple[Partition, ...]]:
        left_out = len(faults)
        devices = tuple(_devices(_of(Device, reading.devices, faults), faults))
        self._uuids = frozenset(device.uuid for device in devices)
        partitions = tuple(_partitions(_of(Partition, reading.partitions, faults), self._uuids, faults))
        self._listed = subjects_of(devices, partitions)
        same = len(faults) == left_out and (devices, partitions) == (reading.devices, reading.partitions)
        self._given = (devices, partitions) if same else None
        self._series.clear()
        return devices, partitions

    def _conforming_samples(self, reading: Reading, faults: list[Fault]) -> tuple[Sample, ...]:
        given = reading.samples
        known = self._series.get(len(given)) if isinstance(given, tuple) else None
        if known is not None and known.has_same(given):
            known.samples = given
            return given
        return tuple(_samples(_of(Sample, given, faults), self._listed, faults))

    def _conforming_conditions(self, reading: Reading, faults: list[Fault]) -> Mapping[str, tuple[Condition, ...]]:
        return {
            uuid: tuple(_conditions(_of(Condition, given, faults), faults))
            for uuid, given in reading.conditions.items()
            if uuid in self._uuids
        }

    def _conforming_gaps(self, reading: Reading, faults: list[Fault]) -> tuple[Unsupported, ...]:
        given = reading.unsupported
        if given is self._unsupported_given:
            return given
        left_out = len(faults)
        gaps = tuple(_unsupported(_of(Unsupported, given, faults), faults))
        # Later readings often have the very same object. What is left out is counted each time.
        self._unsupported_given = given if len(faults) == left_out and gaps == given else None
        return gaps


def _of(record: type[_R], given: Iterable[object], faults: list[Fault]) -> Iterator[_R]:
    """The records of this type."""
    for each in given:
        if isinstance(each, record):
            yield each
        else:
            where = f"{record.__name__.casefold()} record"
            faults.append(_bug(where, f"a {type(each).__name__}, expected {record.__name__}"))


def _bug(where: str, detail: str) -> Fault:
    return Fault(Reason.INVALID_VALUE, where, f"a bug of the collector: {detail}")


def sample_key(sample: Sample) -> SampleKey:
    """What identifies the series of a sample."""
    return (sample.metric, sample.device_uuid, sample.partition_uuid, sample.labels)


def refused(sample: Sample, detail: str) -> Fault:
    """The fault of a sample that is not exported."""
    return Fault(Reason.INVALID_VALUE, f"{sample.metric.stem} of {sample.subject.where}", detail)


def typed(sample: Sample, faults: list[Fault]) -> Sample | None:
    """A sample with values that are floats; None if a field has another type than in the contract."""
    try:
        return _with_floats(sample)
    except ImplausibleError as error:
        name = sample.metric.stem if isinstance(sample.metric, Metric) else f"metric {type(sample.metric).__name__}"
        faults.append(_bug(f"{name} of {sample.device_uuid}", str(error)))
        return None


def _with_floats(sample: Sample) -> Sample:
    row = _ROWS.get(sample.metric) if isinstance(sample.metric, Metric) else None
    if row is None:
        raise ImplausibleError("a metric that is no row of the catalogue")
    if not isinstance(sample.labels, tuple) or not _are_texts(
        sample.device_uuid, sample.partition_uuid, *sample.labels
    ):
        raise ImplausibleError("a uuid or label that is not a str")
    value, width = require_number(sample.value), require_number(sample.width)
    if not 0 <= width < math.inf:
        raise ImplausibleError(f"the width is {width:g}")
    if type(sample.value) is type(sample.width) is float and sample.metric is row:
        return sample
    return replace(sample, metric=row, value=value, width=width)


def _are_texts(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_aliases(aliases: object) -> bool:
    return isinstance(aliases, frozenset) and all(
        isinstance(alias, Alias) and _are_texts(alias.id, alias.scope) for alias in aliases
    )


def _not_listed(what: str, record: Device | Partition) -> Fault:
    return _bug(f"{what} {record.uuid}", "a field of another type, or a uuid that another has")


def _devices(devices: Iterable[Device], faults: list[Fault]) -> Iterator[Device]:
    for device in devices:
        texts = _are_texts(device.uuid, device.device, device.vendor, device.model)
        flags = (device.lost, device.power_shared, device.partitions_known)
        if texts and device.uuid and all(isinstance(flag, bool) for flag in flags) and _are_aliases(device.aliases):
            yield device
        else:
            faults.append(_not_listed("device", device))


def _partitions(partitions: Iterable[Partition], devices: frozenset[str], faults: list[Fault]) -> Iterator[Partition]:
    uuids = set(devices)
    for partition in partitions:
        texts = _are_texts(partition.uuid, partition.device_uuid, partition.profile)
        if not (texts and partition.uuid and _are_aliases(partition.aliases)) or partition.uuid in uuids:
            faults.append(_not_listed("partition", partition))
        elif partition.device_uuid not in devices:
            faults.append(_bug(f"partition {partition.uuid}", f"its device {partition.device_uuid} is not listed"))
        else:
            uuids.add(partition.uuid)
            yield partition


def _samples(samples: Iterable[Sample], listed: frozenset[SubjectKey], faults: list[Fault]) -> Iterator[Sample]:
    seen: set[SampleKey] = set()
    for given in samples:
        sample = typed(given, faults)
        if sample is None:
            continue
        key = sample_key(sample)
        if not _meets_row(sample) or key in seen or sample.subject not in listed:
            faults.append(refused(sample, f"a bug of the collector: {sample.value} with labels {sample.labels}"))
        else:
            seen.add(key)
            yield sample


def _meets_row(sample: Sample) -> bool:
    """Whether a collector may supply the row for such a subject, with these labels and this value."""
    row = sample.metric
    subject = Subject.PARTITION if sample.partition_uuid else Subject.DEVICE
    if row.origin is not Origin.COLLECTOR or subject not in row.subjects or len(sample.labels) != len(row.labels):
        return False
    if not all(_may_be(label, text, row) for label, text in zip(row.labels, sample.labels, strict=True)):
        return False
    return row.kind is not Kind.INFO or sample.value == 1


def _may_be(label: Label, text: str, row: Metric) -> bool:
    """Whether a label of a row may have this value: only an optional one or one of an info may be empty."""
    if not text:
        return label.optional or row.kind is Kind.INFO
    return not label.values or text in label.values


def _processes(processes: Iterable[Process], faults: list[Fault]) -> Iterator[Process]:
    for process in processes:
        if type(process.pid) is int and _are_texts(process.device_uuid, process.partition_uuid):
            yield process
        else:
            faults.append(_bug(f"process of {process.device_uuid}", "a pid or uuid of another type"))


def _faults(given: Iterable[Fault], faults: list[Fault]) -> Iterator[Fault]:
    for fault in given:
        if isinstance(fault.reason, Reason) and _are_texts(fault.where, fault.detail):
            yield fault
        else:
            faults.append(_bug("fault record", "a reason or text of another type"))


def _unsupported(given: Iterable[Unsupported], faults: list[Fault]) -> Iterator[Unsupported]:
    for gap in given:
        row = _ROWS.get(gap.metric) if isinstance(gap.metric, Metric) else None
        if row is not None and _are_texts(gap.device_uuid, gap.partition_uuid, gap.detail):
            yield gap if gap.metric is row else replace(gap, metric=row)
        else:
            faults.append(_bug("unsupported record", "a metric, uuid or text of another type"))


def _sessions(sessions: Mapping[str, Hashable]) -> Mapping[str, Hashable]:
    """Without values that do not equal themselves, such as NaN: every reading would be another session."""
    return {uuid: session for uuid, session in sessions.items() if session == session}  # noqa: PLR0124 - finds NaN


def _conditions(given: Iterable[Condition], faults: list[Fault]) -> Iterator[Condition]:
    for each in given:
        if each.state in _STATES_WITH_REASON and _are_texts(each.text, each.do):
            yield Condition(each.state, shortened(each.text, _LONGEST_TEXT), shortened(each.do, _LONGEST_TEXT))
        else:
            faults.append(_bug("condition record", "a state that is not in the list, or a text of another type"))


def _events(given: Iterable[CriticalEvent], faults: list[Fault]) -> Iterator[CriticalEvent]:
    for each in given:
        known = each.state in {"", *_STATES_WITH_REASON} and type(each.occurrences) is int
        if known and _are_texts(*each[:-1]):
            yield each
        else:
            faults.append(_bug("event record", "a state that is not in the list, or a field of another type"))
