"""Log lines about devices: critical events, losses, changes of the state, and a reminder each hour while it lasts."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from collectors.condition import Condition, CriticalEvent
from collectors.contract import Device
from exporter.advice import FOR_HANGING
from exporter.device_names import index_of, some_pods
from exporter.durations import spell_duration
from exporter.severity import OF_HANGING, OF_STATES, Severity
from exporter.snapshot import Snapshot

_log = logging.getLogger(__name__)

_LEVELS: Mapping[Severity, int] = {
    Severity.ERROR: logging.ERROR,
    Severity.WARNING: logging.WARNING,
    Severity.NOTE: logging.INFO,
    Severity.OK: logging.INFO,
}
_REMINDER_SECONDS = 3600.0
# After the start, lines wait so long for the first answer about allocations: they name the pods.
_FIRST_ANSWER_SECONDS = 5.0
_LOST, _STUCK, _OK = "lost", "stuck", "ok"
_HANGS = Condition(
    _STUCK,
    "A driver call about the device has not returned; its readings expire, other devices continue",
    FOR_HANGING,
)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What is wrong with a device.

    Attributes:
        name: `lost`, `stuck` or its state.
        conditions: Why.
        since: Monotonic seconds.
    """

    name: str
    conditions: tuple[Condition, ...]
    since: float

    @property
    def severity(self) -> Severity:
        if self.name == _STUCK:
            return OF_HANGING
        return Severity.ERROR if self.name == _LOST else OF_STATES[self.name]


class DeviceLog:
    """Writes one line for each event and each change, with the names of the device and of its pods.

    Used by one thread.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._names_pods_from = clock() + _FIRST_ANSWER_SECONDS
        self._events: list[CriticalEvent] = []
        self._troubles: dict[str, _Trouble] = {}
        self._written: dict[str, float] = {}  # when the last line about a trouble was written, by device

    def add(self, events: Iterable[CriticalEvent]) -> None:
        """Add events; their lines are written with the next snapshot."""
        self._events += events

    def follow(self, snapshot: Snapshot, states: Mapping[str, str]) -> None:
        """Write the lines that are due.

        Args:
            snapshot: The newest one.
            states: The states of the devices that are known now, by uuid.
        """
        if not snapshot.attribution and self._clock() < self._names_pods_from:
            return
        events, self._events = self._events, []
        for event in events:
            _write_event(event, snapshot)
        stuck = {uuid for health in snapshot.collectors for uuid in health.stuck}
        for uuid, device in snapshot.devices.items():
            name = _LOST if device.lost else _STUCK if uuid in stuck else states.get(uuid)
            if name is not None and (name != _OK or uuid in self._troubles):
                self._change(device, name, snapshot)
        for uuid in self._troubles.keys() - snapshot.devices.keys():
            del self._troubles[uuid], self._written[uuid]

    def _change(self, device: Device, name: str, snapshot: Snapshot) -> None:
        """Write what has changed of a device that is not ok, or was not."""
        now, before = self._clock(), self._troubles.get(device.uuid)
        if before is not None and before.name != name:
            self._write_end(device, before, name, snapshot)
            before = None
        if name == _OK:
            self._troubles.pop(device.uuid, None)
            self._written.pop(device.uuid, None)
            return
        conditions = (_HANGS,) if name == _STUCK else snapshot.conditions.get(device.uuid, ())
        known = before or _Trouble(name, (), now)
        trouble = self._troubles[device.uuid] = replace(known, conditions=conditions)
        if before is None or set(conditions) - set(before.conditions):
            self._write_trouble("", device, trouble, snapshot)
        elif now - self._written[device.uuid] >= _REMINDER_SECONDS:
            self._write_trouble("still ", device, trouble, snapshot)

    def _write_end(self, device: Device, before: _Trouble, name: str, snapshot: Snapshot) -> None:
        """Write that a device is back or ok; nothing where another trouble, which has its own line, follows."""
        fields = {"lasted": spell_duration(round(self._clock() - before.since)), "before": before.name, "now": name}
        if before.name == _LOST:
            _write(logging.INFO, "device back", device, snapshot, fields)
        elif before.name == _STUCK and name != _LOST:
            _write(logging.INFO, "device recovered", device, snapshot, fields)
        elif name == _OK:
            _write(logging.INFO, "device ok", device, snapshot, fields)

    def _write_trouble(self, still: str, device: Device, trouble: _Trouble, snapshot: Snapshot) -> None:
        self._written[device.uuid] = self._clock()
        fields = {
            "reason": "; ".join(dict.fromkeys(each.text for each in trouble.conditions)),
            "do": trouble.conditions[0].do if trouble.conditions else "",
        }
        detail = next(
            (health.losses[device.uuid] for health in snapshot.collectors if device.uuid in health.losses), ""
        )
        if detail and trouble.name == _LOST:
            fields["detail"] = detail
        if still:
            fields["lasted"] = spell_duration(round(self._clock() - trouble.since))
        text = f"device {still}{trouble.name.replace('_', ' ')}"
        _write(_LEVELS[trouble.severity], text, device, snapshot, fields)


def _write_event(event: CriticalEvent, snapshot: Snapshot) -> None:
    severity = OF_STATES[event.state] if event.state else Severity.WARNING
    fields = {
        "source": event.source,
        "code": event.code,
        "class": event.error_class,
        "events": event.occurrences,
        "reason": event.text,
        "do": event.do,
    }
    device = snapshot.devices.get(event.device_uuid) or Device(event.device_uuid, "unknown", "", "")
    _write(_LEVELS[severity], "critical event", device, snapshot, fields)


def _write(level: int, text: str, device: Device, snapshot: Snapshot, fields: Mapping[str, object]) -> None:
    """Write a line with the names of a device and of the pods that it or a part of it is allocated to."""
    named = {
        "device": device.device,
        "index": index_of(device.uuid, snapshot.samples),
        "uuid": device.uuid,
        "pods": _pods(device.uuid, snapshot),
    }
    known = {key: value for key, value in {**named, **fields}.items() if value != ""}
    _log.log(level, text, extra={"fields": known})


def _pods(uuid: str, snapshot: Snapshot) -> str:
    """The pods, by namespace and name."""
    if snapshot.allocations is None:
        return "unknown"
    held = (each.container for each in snapshot.allocations if each.subject.device_uuid == uuid)
    return some_pods({f"{container.namespace}/{container.pod}" for container in held}) or "none"
