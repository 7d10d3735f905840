"""The view `otel`: the hardware conventions of OpenTelemetry, in the form that their metrics have in Prometheus.

Source of names, instruments, units and attributes: open-telemetry/semantic-conventions, release `RELEASE`, the pages
`gpu`, `common`, `temperature` and `fan` of `docs/hardware`. Their stability there is "development".

A device or partition is a component. Its temperatures and fans are attributed to it by `hw_sensor_location`, with its
own `hw_id`: a sensor has no identity of its own. A partition has its device as `hw_parent`, so a sum over devices
selects `hw_parent=""`. The conventions know no accelerators other than GPUs (issue 2415 of the same repository), so
`hw_type` is `gpu` for all. `uuid` and `pci_bus_id` are no attributes of the conventions: they are the labels by which
other programs know a device, and those of the native families.

The conventions have no metrics of what a container uses. Gauges of the load have the attributes of the Kubernetes
container that holds the device or partition alone; the identity of other series does not change with pods.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from collectors import catalog
from collectors.contract import Device, SubjectKey
from collectors.metric import Kind, Metric, MetricSet, Subject, Unit
from collectors.vendors import VENDORS
from exporter.series import ForeignFamily
from exporter.views import ViewOptions
from exporter.views.arrangement import TableView
from exporter.views.facts import SnapshotFacts
from exporter.views.table import AS_IS, Entity, OwnLabel, Quotient, Row, Term

RELEASE = "1.44.0"
READ = frozenset[MetricSet]()

_DEVICE = (Subject.DEVICE,)
_EITHER = (Subject.DEVICE, Subject.PARTITION)
# The attributes of the namespace, pod and container in the conventions for Kubernetes.
HOLDER_LABELS = ("k8s_namespace_name", "k8s_pod_name", "k8s_container_name")
_NOTHING: Mapping[str, Any] = {}
_GPU: Mapping[str, str] = {"hw_type": "gpu"}
_SENSOR: Mapping[str, OwnLabel] = {"hw_sensor_location": OwnLabel("sensor")}
_LIMIT_TYPES = {"slowdown": "high.degraded", "shutdown": "high.critical", "maximum": "max"}
_TITLES = {vendor.name: vendor.title for vendor in VENDORS}
_UNITS = {"1": Unit.RATIO, "By": Unit.BYTES, "J": Unit.JOULES, "W": Unit.WATTS, "Cel": Unit.CELSIUS}


class Convention(NamedTuple):
    """A metric of the conventions.

    Attributes:
        name: Its name there.
        instrument: Counter, UpDownCounter or Gauge.
        unit: The unit in UCUM, as it is given there.
        help: One or two sentences for people.
    """

    name: str
    instrument: str
    unit: str
    help: str

    @property
    def family(self) -> ForeignFamily:
        """The metric in Prometheus, as Prometheus and the Collector of OpenTelemetry name it.

        Dots become underscores, a unit of UCUM becomes a word at the end, a gauge of the unit 1 ends with `ratio`, and
        a counter with `total`. Source: the package otlptranslator of Prometheus.
        """
        counter, gauge = self.instrument == "Counter", self.instrument == "Gauge"
        unit = _UNITS.get(self.unit, Unit.NONE) if self.unit != "1" or gauge else Unit.NONE
        stem = self.name.replace(".", "_").removesuffix(f"_{unit}" if unit else "")
        parts = (stem, unit.value, "total" if counter else "")
        name = "_".join(part for part in parts if part)
        return ForeignFamily(name, Kind.COUNTER if counter else Kind.GAUGE, self.help, unit)


_UTILIZATION = Convention(
    "hw.gpu.utilization", "Gauge", "1", "Fraction of the last sampling period that the device spent on a kind of task."
)
_MEMORY_UTILIZATION = Convention("hw.gpu.memory.utilization", "Gauge", "1", "Fraction of the device memory in use.")
_MEMORY_USAGE = Convention("hw.gpu.memory.usage", "UpDownCounter", "By", "Device memory in use.")
_MEMORY_LIMIT = Convention("hw.gpu.memory.limit", "UpDownCounter", "By", "Size of the device memory.")
_IO = Convention("hw.gpu.io", "Counter", "By", "Bytes that the device received and transmitted over PCIe.")
_ERRORS = Convention("hw.errors", "Counter", "{error}", "Memory errors of the device since its driver was loaded.")
_STATUS = Convention(
    "hw.status", "UpDownCounter", "1", "1 for the current state of the component, 0 for the other states."
)
_ENERGY = Convention("hw.energy", "Counter", "J", "Energy used by the device.")
_POWER = Convention("hw.power", "Gauge", "W", "Power drawn by the device.")
_TEMPERATURE = Convention("hw.temperature", "Gauge", "Cel", "Temperature of a part of the device.")
_TEMPERATURE_LIMIT = Convention(
    "hw.temperature.limit", "Gauge", "Cel", "Temperature at which the device protects a part of itself."
)
_FAN_SPEED = Convention("hw.fan.speed_ratio", "Gauge", "1", "Speed of a fan as a fraction of its maximum.")

# In the order of the exposition.
CONVENTIONS = (
    _STATUS,
    _UTILIZATION,
    _MEMORY_UTILIZATION,
    _MEMORY_USAGE,
    _MEMORY_LIMIT,
    _IO,
    _ERRORS,
    _ENERGY,
    _POWER,
    _TEMPERATURE,
    _TEMPERATURE_LIMIT,
    _FAN_SPEED,
)


def _load(convention: Convention, *terms: Term, task: str = "", note: str = "") -> Row:
    """A gauge of the load: of devices and partitions, with the labels of the container. Two terms are a quotient."""
    fixed = {**_GPU, "hw_gpu_task": task} if task else _GPU
    value = AS_IS if len(terms) == 1 else Quotient()
    return Row(convention.family, _EITHER, terms, value, fixed, of_holder=True, note=note)


def _of_device(
    convention: Convention,
    metric: Metric,
    *,
    fixed: Mapping[str, str] = _GPU,
    own: Mapping[str, OwnLabel] = _NOTHING,
    note: str = "",
) -> Row:
    return Row(convention.family, _DEVICE, (Term(metric),), fixed=fixed, labels=own, note=note)


ROWS: tuple[Row, ...] = (
    _of_device(_STATUS, catalog.STATUS_STATE, own={"hw_state": OwnLabel("state")}),
    _load(_UTILIZATION, Term(catalog.UTILIZATION), task="general"),
    *(
        _load(
            _UTILIZATION,
            Term(catalog.ENGINE_UTILIZATION, {"engine": task}),
            task=task,
            note="The conventions have no word for the other engines.",
        )
        for task in ("encoder", "decoder")
    ),
    _load(_MEMORY_UTILIZATION, Term(catalog.MEMORY_USAGE), Term(catalog.MEMORY_LIMIT), note="Usage divided by limit."),
    _load(_MEMORY_USAGE, Term(catalog.MEMORY_USAGE)),
    _load(_MEMORY_LIMIT, Term(catalog.MEMORY_LIMIT)),
    _of_device(
        _IO,
        catalog.PCIE_BYTES,
        own={"network_io_direction": OwnLabel("direction")},
        note="PCIe only: links between accelerators are not included.",
    ),
    _of_device(
        _ERRORS,
        catalog.MEMORY_ERRORS,
        own={"error_type": OwnLabel("kind")},
        note="`deferred` is a value of ours. Codes such as XIDs are not included: they can report the same error.",
    ),
    _of_device(_ENERGY, catalog.ENERGY),
    _of_device(_POWER, catalog.POWER),
    _of_device(_TEMPERATURE, catalog.TEMPERATURE, fixed=_NOTHING, own=_SENSOR),
    _of_device(
        _TEMPERATURE_LIMIT,
        catalog.TEMPERATURE_LIMIT,
        fixed=_NOTHING,
        own={**_SENSOR, "hw_limit_type": OwnLabel("limit", _LIMIT_TYPES)},
    ),
    _of_device(_FAN_SPEED, catalog.FAN_SPEED, fixed={"hw_type": "fan"}, own={"hw_sensor_location": OwnLabel("fan")}),
)


def view(options: ViewOptions) -> TableView:  # noqa: ARG001 - it needs none
    """The view."""
    return TableView(ROWS, _entities)


def _entities(facts: SnapshotFacts) -> Iterator[Entity]:
    """Each device, followed by its partitions."""
    for device, partitions in facts.devices():
        known = facts.properties(device.subject)
        labels = {"hw_id": device.uuid, "hw_name": device.device, **_described(device, known)}
        yield _entity(Subject.DEVICE, device.subject, device, labels, facts)
        for part in partitions:
            name = f"{device.device} {part.profile}".strip()
            own = {"hw_id": part.uuid, "hw_name": name, "hw_parent": device.uuid, **_described(device, known)}
            yield _entity(Subject.PARTITION, part.subject, device, own, facts)


def _described(device: Device, known: Mapping[str, str]) -> dict[str, str]:
    """The labels that a device and its partitions have in common."""
    return {
        "hw_vendor": _TITLES.get(device.vendor, device.vendor),
        "hw_model": device.model,
        "hw_serial_number": known.get("serial", ""),
        "hw_driver_version": known.get("driver_version", ""),
        "hw_firmware_version": known.get("firmware_version", ""),
        "uuid": device.uuid,
        "pci_bus_id": known.get("pci_bus_id", ""),
    }


def _entity(
    subject: Subject, key: SubjectKey, device: Device, labels: Mapping[str, str], facts: SnapshotFacts
) -> Entity:
    holders = facts.holders(key)
    holder = dict(zip(HOLDER_LABELS, holders[0], strict=True)) if len(holders) == 1 else {}
    return Entity(subject, key, device.vendor, labels, holder)
