"""Finds every breach of the contract in one reading, each as a sentence."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator

from collectors import catalog
from collectors.catalog.bounds import bounds_of
from collectors.contract import CollectorSpec, Device, Partition, Process, Reading, Sample
from collectors.metric import Cadence, Kind, Metric, Subject, Unit

# 0 or 1 for each value of the last label.
_FLAGS = frozenset(
    {
        catalog.STATUS_STATE,
        catalog.RECOVERY_ACTION,
        catalog.FABRIC_STATUS,
        catalog.MODE_STATE,
        catalog.THROTTLE_ACTIVE,
        catalog.MEMORY_REPAIR_PENDING,
        catalog.MEMORY_REPAIR_FAILED,
    }
)
# These have a sample for every value of the last label, and exactly one is 1.
_STATES = frozenset({catalog.STATUS_STATE, catalog.RECOVERY_ACTION, catalog.FABRIC_STATUS})


def breaches(spec: CollectorSpec, reading: Reading, due: frozenset[Cadence]) -> Iterator[str]:
    """The breaches of a reading.

    Args:
        spec: The collector that returned it.
        reading: What it returned.
        due: The requested cadences.
    """
    yield from _wrong_ids(reading)
    lost = {device.uuid for device in reading.devices if device.lost}
    for sample in reading.samples:
        where = f"{sample.metric.stem} of {sample.partition_uuid or sample.device_uuid}"
        yield from (f"{where}: {wrong}" for wrong in _wrong_row(spec, sample, due))
        yield from (f"{where}: {wrong}" for wrong in _wrong_labels(sample))
        yield from (f"{where}: {wrong}" for wrong in _wrong_value(sample))
        if sample.device_uuid in lost and not sample.metric.persistent:
            yield f"{where}: a reading of a lost device"
        if sample.device_uuid in reading.stuck and (not sample.metric.persistent or sample.metric in _STATES):
            yield f"{where}: a reading of a stuck device"
    yield from _wrong_together(reading)
    if catalog.INFO.cadence in due:
        yield from _without_info(reading, lost | reading.stuck)
    yield from _strangers(reading)
    for uuid in reading.stuck - {device.uuid for device in reading.devices}:
        yield f"stuck device {uuid!r} is not listed"
    for process in reading.processes:
        yield from _wrong_process(process)
    yield from _wrong_conditions(reading)


def _wrong_ids(reading: Reading) -> Iterator[str]:
    subjects: list[Device | Partition] = [*reading.devices, *reading.partitions]
    for uuid in _repeated(subject.uuid for subject in subjects):
        yield f"uuid {uuid!r} is not unique"
    for name in _repeated(device.device for device in reading.devices):
        yield f"device {name!r} is not unique"
    for alias in _repeated((a.id.lower(), a.scope) for subject in subjects for a in subject.aliases):
        yield f"alias {alias} belongs to more than one device or partition"
    for device in reading.devices:
        for field, text in (("uuid", device.uuid), ("device", device.device), ("model", device.model)):
            if not text.strip():
                yield f"{field} of device {device.uuid!r} is empty"
        if not device.vendor.isalnum() or device.vendor != device.vendor.lower():
            yield f"vendor {device.vendor!r} is not one word in lower case"


def _repeated(values: Iterable[object]) -> list[object]:
    return [value for value, times in Counter(values).items() if times > 1]


def _wrong_row(spec: CollectorSpec, sample: Sample, due: frozenset[Cadence]) -> Iterator[str]:
    promised = spec.partition_metrics if sample.partition_uuid else spec.metrics
    subject = Subject.PARTITION if sample.partition_uuid else Subject.DEVICE
    if sample.metric not in promised:
        yield "not a row of the collector's specification"
    if sample.metric not in catalog.ROWS or subject not in sample.metric.subjects:
        yield f"not a row of the catalogue for {subject.name.lower()}s"
    if sample.metric.cadence not in due:
        yield f"{sample.metric.cadence} was not due"


def _wrong_labels(sample: Sample) -> Iterator[str]:
    names = [label.name for label in sample.metric.labels]
    if len(sample.labels) != len(names):
        yield f"labels {sample.labels}, expected {names}"
        return
    info = sample.metric.kind is Kind.INFO
    for label, value in zip(sample.metric.labels, sample.labels, strict=True):
        if not value and not info and not label.optional:
            yield f"label {label.name} is empty"
        if value and label.values and value not in label.values:
            yield f"label {label.name} is {value!r}, expected one of {label.values}"


def _wrong_value(sample: Sample) -> Iterator[str]:
    low, high = bounds_of(sample.metric)
    if sample.metric.kind is Kind.INFO and sample.value != 1:
        yield f"{sample.value}, expected 1"
    elif sample.metric in _FLAGS and sample.value not in (0, 1):
        yield f"{sample.value}, expected 0 or 1"
    elif not math.isfinite(sample.value) or not low <= sample.value <= high:
        yield f"{sample.value} is not between {low:g} and {high:g}"
    elif sample.metric.unit is Unit.NONE and sample.value != int(sample.value):
        yield f"{sample.value} is not a whole number"


def _wrong_together(reading: Reading) -> Iterator[str]:
    """Breaches that only several samples show: repetitions and states."""
    keys = [(s.metric, s.device_uuid, s.partition_uuid, s.labels) for s in reading.samples]
    for metric, device, partition, own in (key for key, times in Counter(keys).items() if times > 1):
        yield f"{metric.stem} of {partition or device} occurs twice with labels {own}"
    states: defaultdict[tuple[Metric, str, tuple[str, ...]], dict[str, float]] = defaultdict(dict)
    for sample in reading.samples:
        if sample.metric in _STATES and sample.labels:
            states[sample.metric, sample.device_uuid, sample.labels[:-1]][sample.labels[-1]] = sample.value
    for (metric, device, _), values in states.items():
        if set(values) != set(metric.labels[-1].values) or sum(values.values()) != 1:
            yield f"{metric.stem} of {device}: {values}, expected every state and exactly one of them 1"


def _without_info(reading: Reading, lost: Collection[str]) -> Iterator[str]:
    """Available devices and partitions without an info sample: joins and lists need it."""
    given = {(s.device_uuid, s.partition_uuid) for s in reading.samples if s.metric == catalog.INFO}
    expected = [(device.uuid, "") for device in reading.devices]
    expected += [(part.device_uuid, part.uuid) for part in reading.partitions]
    for device, partition in expected:
        if device not in lost and (device, partition) not in given:
            yield f"info of {partition or device} is missing: every device and partition needs one, even without labels"


def _strangers(reading: Reading) -> Iterator[str]:
    """References to subjects that the reading does not list, and rows reported as missing although they are present."""
    known = {(device.uuid, "") for device in reading.devices}
    known |= {(part.device_uuid, part.uuid) for part in reading.partitions}
    for part in reading.partitions:
        if (part.device_uuid, "") not in known:
            yield f"partition {part.uuid} belongs to a device that is not listed"
    given = set()
    for sample in reading.samples:
        given.add((sample.metric, sample.device_uuid, sample.partition_uuid))
    for process in reading.processes:
        given.add((catalog.PROCESSES, process.device_uuid, process.partition_uuid))
    for metric, device, partition in given:
        if (device, partition) not in known:
            yield f"{metric.stem}: device {device!r} with partition {partition!r} is not listed"
    for gap in reading.unsupported:
        if (gap.metric, gap.device_uuid, gap.partition_uuid) in given:
            yield f"{gap.metric.stem} of {gap.partition_uuid or gap.device_uuid} is present but reported as unsupported"


def _wrong_process(process: Process) -> Iterator[str]:
    if process.pid <= 0:
        yield f"pid {process.pid} is not positive"
    if process.utilization_ratio is not None and not 0 <= process.utilization_ratio <= 1:
        yield f"process {process.pid} has a utilization of {process.utilization_ratio}"
    if (
        process.memory_usage_bytes is not None
        and not 0 <= process.memory_usage_bytes <= bounds_of(catalog.PROCESS_MEMORY_USAGE)[1]
    ):
        yield f"process {process.pid} has {process.memory_usage_bytes} bytes"


def _wrong_conditions(reading: Reading) -> Iterator[str]:
    """Reasons of a state that is another, and texts that say nothing."""
    states = {s.device_uuid: s.labels[0] for s in reading.samples if s.metric is catalog.STATUS_STATE and s.value}
    listed = {device.uuid for device in reading.devices}
    for uuid, why in reading.conditions.items():
        if uuid not in listed:
            yield f"conditions of device {uuid!r}, which is not listed"
        if not why or why[0].state != states.get(uuid, why[0].state):
            yield f"the first condition of {uuid} is not one of its state {states.get(uuid)}"
        for condition in why:
            if not condition.text.strip() or not condition.do.strip():
                yield f"a condition of {uuid} says not what is wrong, or not what to do"
    for event in reading.events:
        if not event.text.strip() or not event.do.strip() or event.occurrences < 1:
            yield f"event {event.code} of {event.device_uuid} says not what it means, or what to do, or never happened"
