"""Reads the files that the kernel driver `acme` keeps for each card in `/sys/class/acme/acmeN/`."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from collectors import catalog, labels
from collectors.contract import (
    AbsentError,
    Alias,
    Device,
    Fault,
    Node,
    Reading,
    Reason,
    Sample,
    UnavailableError,
    Unsupported,
)
from collectors.identity import made_uuid
from collectors.metric import Cadence, Metric, Unit
from collectors.units import bytes_from_kibibytes, joules_from_millijoules, ratio_from_percent, watts_from_milliwatts

RESOURCE_PREFIX = "acme.example/"
_VENDOR = "acme"
_FOLDER = ("class", "acme")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One file of a card.

    Attributes:
        file: Its name; the content is one number.
        metric: The row that it feeds.
        convert: From the driver's unit to the row's.
        labels: Values of the row's own labels.
    """

    file: str
    metric: Metric
    convert: Callable[[float], float] = float
    labels: tuple[str, ...] = ()


ATTRIBUTES = (
    Attribute("busy_percent", catalog.UTILIZATION, ratio_from_percent),
    Attribute("memory_used_kib", catalog.MEMORY_USAGE, bytes_from_kibibytes),
    Attribute("memory_total_kib", catalog.MEMORY_LIMIT, bytes_from_kibibytes),
    Attribute("power_milliwatts", catalog.POWER, watts_from_milliwatts),
    Attribute("energy_millijoules", catalog.ENERGY, joules_from_millijoules),
    Attribute("temperature_celsius", catalog.TEMPERATURE, labels=("board",)),
)
METRICS = (catalog.INFO, catalog.STATUS_STATE, *(attribute.metric for attribute in ATTRIBUTES))


class AcmeCollector:
    """Reads every Acme card of a machine.

    Args:
        node: The machine.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[str, Device] = {}

    def read(self, due: frozenset[Cadence]) -> Reading:
        """Read the rows whose cadence is due, on every card. See `Collector.read`."""
        names = self._node.sysfs.names(*_FOLDER)
        if not names and self._known:
            text = "/sys/class/acme lists no card any more: load the kernel module acme"
            raise UnavailableError(text, Reason.DRIVER_NOT_LOADED)
        if not names:
            raise AbsentError("/sys/class/acme lists no card")
        devices = [self._device(name) for name in names]
        found: list[Sample | Fault | Unsupported] = []
        for device in devices:
            found += self._identity_and_state(device)
            if not device.lost:
                found += self._readings(device, due)
        return Reading(
            devices=tuple(devices),
            samples=tuple(one for one in found if isinstance(one, Sample) and one.metric.cadence in due),
            faults=tuple(one for one in found if isinstance(one, Fault)),
            unsupported=tuple(one for one in found if isinstance(one, Unsupported)),
        )

    def close(self) -> None:
        """Nothing is held open between two reads."""

    def _text(self, name: str, file: str) -> str | None:
        return self._node.sysfs.text(*_FOLDER, name, file)

    def _device(self, name: str) -> Device:
        """A card as it is known, or as it is seen for the first time."""
        if name not in self._known:
            serial = self._text(name, "serial")
            uuid = f"{_VENDOR}-{serial}"
            if serial is None or uuid in {device.uuid for device in self._known.values()}:
                uuid = made_uuid(_VENDOR, self._node.identity, name)
            aliases = frozenset({Alias(uuid), Alias(name, RESOURCE_PREFIX)})
            self._known[name] = Device(uuid, name, _VENDOR, self._text(name, "model") or "Acme", aliases)
        return replace(self._known[name], lost=self._text(name, "state") != "ok")

    def _identity_and_state(self, device: Device) -> Iterator[Sample | Fault]:
        known = {"serial": self._text(device.device, "serial") or "", "class": "npu"}
        yield Sample(
            catalog.INFO, device.uuid, 1, labels=tuple(known.get(label.name, "") for label in catalog.INFO.labels)
        )
        now = "failed" if device.lost else "ok"
        for state in labels.STATUS.values:
            yield Sample(catalog.STATUS_STATE, device.uuid, float(state == now), labels=(state,))
        if device.lost:
            yield Fault(Reason.DEVICE_LOST, device.device, "the driver no longer says that its state is ok")

    def _readings(self, device: Device, due: frozenset[Cadence]) -> Iterator[Sample | Fault | Unsupported]:
        for attribute in ATTRIBUTES:
            text = self._text(device.device, attribute.file)
            if text is None:
                yield Unsupported(attribute.metric, device.uuid, f"no file {attribute.file}")
            elif attribute.metric.cadence in due:
                value = _value(attribute, text)
                if value is None:
                    yield Fault(Reason.INVALID_VALUE, f"{device.device}/{attribute.file}", text)
                else:
                    yield Sample(attribute.metric, device.uuid, value, labels=attribute.labels)


def _value(attribute: Attribute, text: str) -> float | None:
    """The value of a file in the row's unit; None where it cannot be true."""
    try:
        value = attribute.convert(float(text))
    except ValueError:
        return None
    if not math.isfinite(value) or (value < 0 and attribute.metric.unit is not Unit.CELSIUS):
        return None
    return None if attribute.metric.unit is Unit.RATIO and value > 1 else value
