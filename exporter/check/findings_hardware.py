"""Findings about collectors, devices and the PCI bus. No I/O."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from collectors import catalog
from collectors.contract import Device, Fault, Reading, Reason
from collectors.wording import counted
from exporter.advice import FOR_HANGING, FOR_PAST_EVENT, OF_REASONS
from exporter.check.facts import CallOutcome, CollectorFacts, NodeFacts, PciFacts, PciState, VariableFacts
from exporter.check.finding import Finding, FindingCode
from exporter.check.running_facts import RunningExporter
from exporter.device_names import index_of, some_pods
from exporter.durations import spell_duration
from exporter.severity import OF_HANGING, Severity, of_state, rank
from exporter.snapshot import RECENT_SECONDS
from exporter.throttling import throttled

_PARTITIONING = ("partitioning",)
_MOST_EVENTS = 4
_OK = "ok"
_SEE_LOG = "see the page and the log of the exporter, and dmesg on the node"
_OF_ONE_READING = frozenset({Reason.PERMISSION_DENIED, Reason.UNAVAILABLE, Reason.INVALID_VALUE})


class _Known(NamedTuple):
    """What is known of devices besides their reading.

    Attributes:
        holders: The pods that have each device or a part of it, by its uuid; not the devices whose holders are unknown.
        running: What the running exporter says.
    """

    holders: Mapping[str, Collection[str]]
    running: RunningExporter | None

    def named(self, device: Device) -> tuple[str, str]:
        """The uuid and the index of a device in the running exporter, which may have read them before it was lost.

        Returns:
            Its own uuid and no index, if it is not known there.
        """
        return self.at(device.device) or (device.uuid, "")

    def at(self, address: str) -> tuple[str, str] | None:
        """The uuid and the index of the device at an address by the running exporter; None if it knows none there."""
        return self.running.devices.get(address) if self.running else None

    def pods(self, device: Device) -> Collection[str] | None:
        """The pods that hold a device, here or by the running exporter; None if that is unknown."""
        return self.pods_at(device.device) or self.holders.get(device.uuid)

    def pods_at(self, address: str) -> Collection[str]:
        """The pods that hold the device at an address by the running exporter; none if it does not know."""
        held = self.running.held if self.running else ()
        return {each.holder.rpartition("/")[0] for each in held if each.device == address}

    def state(self, device: Device) -> str:
        """The state by the running exporter."""
        return self.running.states.get(self.named(device)[0], _OK) if self.running else _OK

    def events(self, uuid: str, within_seconds: float = math.inf) -> str:
        """The last critical events of a device that the running exporter has counted; empty without any."""
        known = self.running.events if self.running else ()
        events = [each for each in known if each.uuid == uuid and each.age_seconds <= within_seconds]
        named = [f"{each.source} {each.code} ({spell_duration(round(each.age_seconds))} ago)" for each in events]
        return f"the running exporter has counted {', '.join(named[:_MOST_EVENTS])}" if named else ""

    def and_events(self, device: Device) -> str:
        """The same as the end of a text."""
        events = self.events(self.named(device)[0])
        return f"; {events}" if events else ""


def hardware_findings(facts: NodeFacts) -> Iterator[Finding]:
    """Return the findings about collectors, devices and the PCI bus."""
    no_hardware = not facts.pci and all(c.state is CallOutcome.ABSENT for c in facts.collectors)
    known = _Known(_holders(facts), facts.running)
    for collector in facts.collectors:
        # An absent vendor is reported only if every vendor is absent.
        if no_hardware or collector.state is not CallOutcome.ABSENT:
            yield from _collector(collector, known)
    yield from _bus(facts, known)
    yield from _hidden_partitions(facts)
    if no_hardware and not facts.devices:
        text = "no accelerator on this node: the exporter exports only its own health"
        yield Finding(Severity.NOTE, FindingCode.NO_ACCELERATOR, "node", text)


def _collector(collector: CollectorFacts, known: _Known) -> Iterator[Finding]:
    subject = f"collector {collector.name}"
    if collector.reading is not None:
        yield from _reading(subject, collector, collector.reading, known)
    elif collector.state is CallOutcome.ABSENT:
        text = collector.text or "no device of its vendor on this node"
        yield Finding(Severity.NOTE, FindingCode.COLLECTOR_ABSENT, subject, text)
    elif collector.state is CallOutcome.LATE:
        text = (
            f"a call to the hardware has not returned within {collector.seconds:g} s: until it returns, the exporter "
            "has no readings of its devices"
        )
        do = f"{FOR_HANGING}; to distinguish a slow driver from one that hangs, run check with a longer --poll.deadline"
        yield Finding(Severity.ERROR, FindingCode.COLLECTOR_LATE, subject, text, do)
    else:
        reason = collector.reason or Reason.BROKEN
        text = f"{reason.value}: {collector.text}"
        yield Finding(Severity.ERROR, FindingCode.COLLECTOR_FAILED, subject, text, OF_REASONS[reason])


def _reading(subject: str, collector: CollectorFacts, reading: Reading, known: _Known) -> Iterator[Finding]:
    lost = [device for device in reading.devices if device.lost]
    stuck = [device for device in reading.devices if device.uuid in reading.stuck]
    answering = [device for device in reading.devices if not device.lost and device not in stuck]
    if answering or not (lost or stuck):
        text = f"{counted(len(answering), 'device')} and {counted(len(reading.partitions), 'partition')}"
        text += f" read in {collector.seconds:.2f} s"
        yield Finding(Severity.OK, FindingCode.COLLECTOR_OK, subject, text)
    reasons = {fault.where: fault for fault in reading.faults if fault.reason is Reason.DEVICE_LOST}
    for device in lost:
        yield _lost(device, reasons.get(device.device), reading, known)
    yield from (_stuck(device, reading, known) for device in stuck)
    for device in answering:
        yield from _not_ok(device, reading, known)
    addresses = {device.device for device in lost}
    subjects = _subjects(reading)
    faults = _located(reading.faults, subjects, len(lost))
    for fault in faults:
        if fault.where not in addresses and fault.reason is not Reason.DRIVER_NOT_LOADED:
            yield _fault(fault, subjects)


def _subjects(reading: Reading) -> dict[str, str]:
    """Return the subject of faults by the names that collectors use in `Fault.where`."""
    subjects = {name: f"device {each.device}" for each in reading.devices for name in (each.uuid, each.device)}
    return subjects | {part.uuid: f"partition {part.uuid}" for part in reading.partitions}


def _located(faults: Sequence[Fault], subjects: Collection[str], lost: int) -> Sequence[Fault]:
    """The faults without those about a lost device that name no device: each lost device has its own finding.

    Args:
        faults: All faults of a reading.
        subjects: The names of devices and partitions.
        lost: The number of lost devices that are known by name.
    """
    nameless = [each for each in faults if each.reason is Reason.DEVICE_LOST and each.where not in subjects]
    return [each for each in faults if each not in nameless] if len(nameless) <= lost else faults


def _holders(facts: NodeFacts) -> dict[str, set[str]]:
    """The pods that have each device or a part of it, by its uuid; not the devices whose holders are unknown."""
    held: dict[str, set[str]] = {}
    for row in facts.kubelet.allocations.device_holders if facts.kubelet.allocations else ():
        if row.holders is not None:
            names = (f"{each.container.namespace}/{each.container.pod}" for each in row.holders)
            held.setdefault(row.device.uuid, set()).update(names)
    return held


def _named(device: Device, reading: Reading, known: _Known) -> str:
    """A device for people: model, index, uuid and the pods that have it."""
    (uuid, there), pods = known.named(device), known.pods(device)
    index = index_of(device.uuid, reading.samples) or there
    held = "" if pods is None else f", held by {some_pods(pods) or 'no pod'}"
    return f"{device.model}, {f'index {index}, ' if index else ''}{uuid}{held}"


def _lost(device: Device, fault: Fault | None, reading: Reading, known: _Known) -> Finding:
    text = f"{_named(device, reading, known)}: it does not answer, its status is failed, and it has no readings"
    conditions = reading.conditions.get(device.uuid, ())
    why = "".join(f"; {condition.text}" for condition in conditions)
    detail = f" ({fault.detail})" if fault is not None else ""
    do = conditions[0].do if conditions else OF_REASONS[Reason.DEVICE_LOST]
    events = known.and_events(device)
    text += f"{why}{detail}{events}"
    if events:
        do = f"{do}. The status page has the next step after these errors"
    return Finding(of_state("failed"), FindingCode.DEVICE_LOST, f"device {device.device}", text, do)


def _stuck(device: Device, reading: Reading, known: _Known) -> Finding:
    text = (
        f"{_named(device, reading, known)}: it is stuck: a call about it has not returned, and it has no readings "
        "until it returns"
    )
    return Finding(OF_HANGING, FindingCode.DEVICE_NOT_READ, f"device {device.device}", text, OF_REASONS[Reason.LATE])


def _not_ok(device: Device, reading: Reading, known: _Known) -> Iterator[Finding]:
    """Report the state of a device that answers, and whether its clocks are reduced."""
    subject = f"device {device.device}"
    samples = (each for each in reading.samples if each.metric is catalog.STATUS_STATE and each.value)
    own = next((each.labels[0] for each in samples if each.device_uuid == device.uuid), _OK)
    # What this process reads for the first time says nothing of events that the running exporter has seen.
    state = min(own, known.state(device), key=lambda each: rank(of_state(each)))
    if of_state(state) is not Severity.OK:
        conditions = reading.conditions.get(device.uuid, ())
        why = "; ".join(each.text for each in conditions) or "no reason is known here"
        by = "" if state == own else f" by the running exporter at {known.running.address}" if known.running else ""
        text = f"{_named(device, reading, known)}: {state.replace('_', ' ')}{by}: {why}{known.and_events(device)}"
        do = conditions[0].do if conditions else _SEE_LOG
        yield Finding(of_state(state), FindingCode.DEVICE_NOT_OK, subject, text, do)
    elif events := known.events(known.named(device)[0], RECENT_SECONDS):
        text = f"{_named(device, reading, known)}: {events}"
        yield Finding(Severity.WARNING, FindingCode.DEVICE_EVENT, subject, text, FOR_PAST_EVENT)
    for uuid, condition in throttled(reading.samples):
        if uuid == device.uuid:
            text = f"{_named(device, reading, known)}: {condition.text}"
            yield Finding(Severity.WARNING, FindingCode.DEVICE_THROTTLED, subject, text, condition.do)


def _fault(fault: Fault, subjects: Mapping[str, str]) -> Finding:
    """Return a warning if one reading of a known device failed, else an error: the device is not read."""
    single = fault.where in subjects and fault.reason in _OF_ONE_READING
    severity = Severity.WARNING if single else Severity.ERROR
    code = FindingCode.READING_FAILED if single else FindingCode.DEVICE_NOT_READ
    subject = subjects.get(fault.where, fault.where)
    return Finding(severity, code, subject, f"{fault.reason.value}: {fault.detail}", OF_REASONS[fault.reason])


def _bus(facts: NodeFacts, known: _Known) -> Iterator[Finding]:
    """Report the devices on the bus that nothing reads: a device without its driver also causes a fault."""
    readings = {collector.name: collector.reading for collector in facts.collectors if collector.reading is not None}
    undriven = {
        fault.where: fault.detail
        for reading in readings.values()
        for fault in reading.faults
        if fault.reason is Reason.DRIVER_NOT_LOADED
    }
    for function in facts.pci:
        subject = f"device {function.address}"
        name = f"{function.vendor} {function.ids}"
        if function.state is PciState.NO_COLLECTOR:
            text = f"{name} is on the PCI bus, and no installed collector reads it"
            do = f"install a collector for {function.vendor}, if this device should be read"
            yield Finding(Severity.WARNING, FindingCode.NO_COLLECTOR, subject, text, do)
        elif function.address in undriven:
            text, do = f"is {undriven[function.address]}", "see lsmod and dmesg on the node"
            yield _not_read(function, text, do, known)
        elif function.state is PciState.NOT_READ and function.collector in readings:
            yield _not_listed(function, known)


def _not_listed(function: PciFacts, known: _Known) -> Finding:
    if function.driver is None:
        text = f"is on the PCI bus and no driver is bound to it: the collector {function.collector} cannot read it"
        return _not_read(function, text, "see dmesg on the node", known)
    text = (
        f"is on the PCI bus, bound to the driver {function.driver}, and the collector {function.collector} does not "
        "list it"
    )
    do = "check that the container gets every device, and that the driver is the vendor's"
    return _not_read(function, text, do, known)


def _not_read(function: PciFacts, text: str, do: str, known: _Known) -> Finding:
    """A device that nothing reads here. Where the running exporter has read it before, it is lost."""
    subject, name = f"device {function.address}", f"{function.vendor} {function.ids}"
    uuid, index = known.at(function.address) or ("", "")
    if known.running is None or of_state(known.running.states.get(uuid, _OK)) is not Severity.ERROR:
        return Finding(Severity.WARNING, FindingCode.DEVICE_NOT_READ, subject, f"{name} {text}", do)
    held = some_pods(known.pods_at(function.address)) or "no pod"
    events = known.events(uuid)
    text = (
        f"{name}, {f'index {index}, ' if index else ''}{uuid}, held by {held}: failed by the running exporter at "
        f"{known.running.address}; it {text}{f'; {events}' if events else ''}"
    )
    do += "; drain the node, then bind the device to its driver again or reboot"
    return Finding(Severity.ERROR, FindingCode.DEVICE_LOST, subject, text, do)


def _hidden_partitions(facts: NodeFacts) -> Iterator[Finding]:
    """Report devices in partitioning mode without partitions: they have none, or the container cannot see them."""
    partitioned = {part.device_uuid for part in facts.partitions}
    for collector in facts.collectors:
        samples = collector.reading.samples if collector.reading else ()
        on = {
            s.device_uuid for s in samples if s.metric is catalog.MODE_STATE and s.labels == _PARTITIONING and s.value
        }
        for device in collector.reading.devices if collector.reading else ():
            hiding = [v for v in facts.environment.variables if v.vendor == device.vendor and v.value != v.shows_all]
            if device.uuid in on - partitioned and not device.lost and facts.environment.in_kubernetes and hiding:
                yield Finding(
                    Severity.WARNING,
                    FindingCode.PARTITIONS_HIDDEN,
                    f"device {device.device}",
                    "it is in partitioning mode and shows no partitions: it has none, or the container cannot see them",
                    f"if it has some, set {_settings(hiding)}; this can need the capability SYS_ADMIN",
                )


def _settings(variables: list[VariableFacts]) -> str:
    return ", ".join(f"{variable.name}={variable.shows_all}" for variable in variables)
