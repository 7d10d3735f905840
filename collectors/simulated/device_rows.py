"""From the simulated hardware to values: for each catalogue row of devices, the function that returns its series."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from collectors import catalog, labels
from collectors.metric import Label, Metric
from collectors.simulated.machine import Machine
from collectors.simulated.profile import Profile, Scheme
from collectors.simulated.scenario import DevicePlan

Values = Iterable[tuple[tuple[str, ...], float]]

_EXCLUSIVE = "exclusive"
IDLE_LOAD = 0.01
_LEAST_POWER_LIMIT_RATIO = 0.3
_BANDWIDTH_RATIO = 0.62  # under full load
_MEMORY_BUSY_RATIO = 0.88  # same
_OCCUPANCY_RATIO = 0.47  # same
_HOST_BYTES = 96 << 20  # pinned by a driver without work
_ERRORS_PER_ROW = 400  # corrected errors until a row is retired
_SPARE_ROWS = 512
# A card with more bad pages than one in 100 MiB, or than its driver has reserved memory for, is worn out.
_BYTES_PER_BAD_PAGE = 100 << 20
_RESERVED_PAGES = 128
_COOL_CELSIUS, _HOT_CELSIUS, _LEAST_FAN_RATIO = 35.0, 85.0, 0.3


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device at one time, as the rows read it.

    Attributes:
        machine: Its hardware.
        unix: Converts a second of the scenario to Unix time.
    """

    machine: Machine
    unix: Callable[[float], float]

    @property
    def profile(self) -> Profile:
        """The device's profile."""
        return self.machine.device.profile

    @property
    def plan(self) -> DevicePlan:
        """The device in the scenario."""
        return self.machine.device.plan

    @property
    def load(self) -> float:
        """Fraction of the current second in which it was busy."""
        return self.machine.now.whole.load

    def total(self, metric: Metric, *own: str) -> float:
        """One counter of the hardware."""
        return dict(self.machine.totals(metric))[own]


def one_of(label: Label, *active: str) -> Values:
    """Each value of a closed list, 1 for the active ones."""
    return (((value,), float(value in active)) for value in label.values)


def memory_used(usable_bytes: int, memory_ratio: float) -> int:
    """Bytes in use, on the 2 MiB grid of drivers."""
    return int(usable_bytes * memory_ratio) >> 21 << 21


def alone(value: float) -> Values:
    """The only series of a family without own labels."""
    return (((), value),)


def info(**known: str) -> Values:
    """The info family of a simulated device or partition; labels that are not given are empty."""
    named = {**known, "simulated": "true"}
    return ((tuple(named.get(label.name, named.get(f"{label.name}_", "")) for label in catalog.INFO.labels), 1.0),)


def _info(view: DeviceView) -> Values:
    device, profile = view.machine.device, view.profile
    by_address = profile.naming.scheme is Scheme.ADDRESS
    if device.plan.passthrough:  # what the kernel knows without a driver
        return info(pci_bus_id=device.device.device, numa_node=str(device.index % 2), class_=profile.device_class)
    return info(
        index="" if by_address else str(device.index),
        pci_bus_id=device.device.device,
        serial=f"simulated-{device.index}",  # not to be confused with a real card
        driver_version=profile.driver_version,
        firmware_version=profile.firmware_version,
        architecture=profile.architecture,
        numa_node=str(device.index % 2),
        class_=profile.device_class,
    )


def _status(view: DeviceView) -> Values:
    """By the rules of the real collectors: neither corrected errors nor throttling change the state."""
    if view.machine.now.lost or view.machine.must_be_reset:
        return one_of(labels.STATUS, "failed")
    if _worn_out(view):
        return one_of(labels.STATUS, "predicted_failure")
    return one_of(labels.STATUS, "degraded" if view.machine.failing_blocks or rows_waiting(view) else "ok")


def _worn_out(view: DeviceView) -> bool:
    """True if a repair of its memory has failed, or if it has too many bad pages."""
    if catalog.MEMORY_RETIRED_PAGES in view.profile.whole:
        return replaced_rows(view)[1] >= bad_page_threshold(view)
    return catalog.MEMORY_REPAIR_FAILED in view.profile.whole and repair_has_failed(view)


def bad_page_threshold(view: DeviceView) -> int:
    """The number of bad pages from which on a card is worn out, where its pages are retired."""
    return min(_RESERVED_PAGES, view.profile.memory_bytes // _BYTES_PER_BAD_PAGE)


def recovery_action(view: DeviceView) -> str:
    """The action that the driver requires."""
    if view.machine.must_be_reset:
        return "reset"
    return "drain_and_reset" if rows_waiting(view) else "none"


def _recovery(view: DeviceView) -> Values:
    return one_of(labels.RECOVERY, recovery_action(view))


def _mode(view: DeviceView) -> Iterator[tuple[tuple[str], float]]:
    if view.profile.partition:
        yield ("partitioning",), float(bool(view.plan.partitions))
    for mode, on in view.profile.modes:
        if mode != _EXCLUSIVE or not view.plan.partitions:
            yield (mode,), float(on)


def _memory_usage(view: DeviceView) -> Values:
    usable = view.profile.memory_bytes - view.profile.reserved_bytes
    return alone(memory_used(usable, view.machine.now.whole.memory_ratio))


def _processes(view: DeviceView) -> Values:
    now = view.machine.now
    return alone(sum(len(activity.processes) for activity in (now.whole, *now.partitions)))


def _celsius(view: DeviceView) -> Iterator[tuple[str, float]]:
    used = view.machine.now.watts / view.profile.limit_watts
    for sensor in view.profile.sensors:
        offset = sensor.idle_offset + (sensor.full_offset - sensor.idle_offset) * used
        yield sensor.name, float(round(view.machine.core_celsius + offset))


def _temperature(view: DeviceView) -> Values:
    return (((sensor,), celsius) for sensor, celsius in _celsius(view))


def _temperature_limit(view: DeviceView) -> Values:
    return (((limit.sensor, limit.limit), limit.celsius) for limit in view.profile.limits)


def _temperature_margin(view: DeviceView) -> Values:
    now = dict(_celsius(view))
    return (
        ((limit.sensor, limit.limit), limit.celsius - now[limit.sensor])
        for limit in view.profile.limits
        if limit.limit == "slowdown"
    )


def _clock(view: DeviceView) -> Values:
    slowed = 0.6 if view.machine.now.throttled & {"thermal", "reliability", "external", "hardware"} else 1.0
    for clock in view.profile.clocks:
        if view.load < IDLE_LOAD:
            yield (clock.domain,), clock.idle_hertz
        elif clock.domain == "memory":
            yield (clock.domain,), clock.max_hertz
        else:
            # Clocks fall a little as power nears its limit.
            hertz = clock.max_hertz * (1 - 0.12 * view.load**2) * slowed
            yield (clock.domain,), max(clock.idle_hertz, hertz // 15e6 * 15e6)


def _fan_speed(view: DeviceView) -> Values:
    _, celsius = next(_celsius(view))
    ratio = (celsius - _COOL_CELSIUS) / (_HOT_CELSIUS - _COOL_CELSIUS)
    return (((str(fan),), min(1.0, max(_LEAST_FAN_RATIO, round(ratio, 2)))) for fan in range(view.profile.fans))


def _throttle_active(view: DeviceView) -> Values:
    throttled = view.machine.now.throttled
    return (((reason,), float(reason in throttled)) for reason in view.profile.throttle_reasons)


def _links(view: DeviceView) -> Values:
    fabric = view.profile.fabric
    if fabric is None:
        return ()
    down = (((fabric.name, "down"), 0),) if fabric.counts_down else ()
    return (((fabric.name, "up"), fabric.links), *down)


def _bandwidth_limit(view: DeviceView) -> Values:
    fabric = view.profile.fabric
    return () if fabric is None else (((fabric.name,), fabric.bytes_per_second),)


def _fabric_status(view: DeviceView) -> Values:
    fabric = view.profile.fabric
    if fabric is None or not fabric.registers:
        return ()
    return (((fabric.name, *state), value) for state, value in one_of(labels.FABRIC_STATE, "completed"))


def replaced_rows(view: DeviceView) -> tuple[int, int]:
    """Rows or pages retired because of corrected and of uncorrected errors."""
    corrected = _whole(view.total(catalog.MEMORY_LIFETIME_ERRORS, "corrected")) // _ERRORS_PER_ROW
    return corrected, _whole(view.total(catalog.MEMORY_LIFETIME_ERRORS, "uncorrected"))


def rows_waiting(view: DeviceView) -> bool:
    """True while a row with an uncorrected error since the driver's start is not replaced yet."""
    return _whole(view.total(catalog.MEMORY_ERRORS, "uncorrected")) >= 1


def repair_has_failed(view: DeviceView) -> bool:
    """True once a bad row could not be replaced, because no spare row was left."""
    return sum(replaced_rows(view)) > _SPARE_ROWS


def _rows(view: DeviceView) -> Values:
    corrected, uncorrected = replaced_rows(view)
    return ((("corrected",), corrected), (("uncorrected",), uncorrected))


def _retired_pages(view: DeviceView) -> Values:
    """Pages are retired because of uncorrected errors only."""
    return ((("uncorrected",), replaced_rows(view)[1]),)


def _whole(total: float) -> int:
    """The whole number of a total, tolerant of rounding errors: ten tenths are 1."""
    return int(total + 1e-6)


def _whole_counts(metric: Metric) -> Callable[[DeviceView], Values]:
    """A counter of events or bytes: whole numbers."""
    return lambda view: ((own, _whole(total)) for own, total in view.machine.totals(metric))


def _exact(metric: Metric) -> Callable[[DeviceView], Values]:
    """A counter of joules or seconds."""
    return lambda view: view.machine.totals(metric)


def _of_load(values: Callable[[Profile, float], Values]) -> Callable[[DeviceView], Values]:
    return lambda view: values(view.profile, view.load)


_Rows: TypeAlias = Mapping[Metric, Callable[[DeviceView], Values]]
_LoadRows: TypeAlias = Mapping[Metric, Callable[[Profile, float], Values]]

# Groups of families: a profile with a group has each of its families, see `families`.
STATE_ROWS: _Rows = {
    catalog.INFO: _info,
    catalog.STATUS_STATE: _status,
    catalog.MODE_STATE: _mode,
    catalog.PARTITIONS: lambda view: alone(sum(1 for _ in view.machine.partitions)),
    catalog.PROCESSES: _processes,
}
# Utilization of a device or partition, computed from its profile and load.
LOAD_ROWS: _LoadRows = {
    catalog.UTILIZATION: lambda _, load: alone(load),
    catalog.ENGINE_UTILIZATION: lambda profile, load: [((e.name,), e.full_ratio * load) for e in profile.engines],
}
ACTIVITY_ROWS: _LoadRows = {
    catalog.PIPE_ACTIVITY: lambda profile, load: [((pipe.name,), pipe.full_ratio * load) for pipe in profile.pipes],
    catalog.SM_OCCUPANCY: lambda _, load: alone(load * _OCCUPANCY_RATIO),
    catalog.MEMORY_BANDWIDTH: lambda _, load: alone(load * _BANDWIDTH_RATIO),
}
MEMORY_ROWS: _Rows = {
    catalog.MEMORY_USAGE: _memory_usage,
    catalog.MEMORY_LIMIT: lambda view: alone(view.profile.memory_bytes),
    catalog.MEMORY_RESERVED: lambda view: alone(view.profile.reserved_bytes),
}
POWER_ROWS: _Rows = {
    catalog.POWER: lambda view: alone(view.machine.now.watts),
    catalog.ENERGY: _exact(catalog.ENERGY),
    catalog.POWER_LIMIT: lambda view: alone(view.profile.limit_watts),
    catalog.POWER_DEFAULT_LIMIT: lambda view: alone(view.profile.limit_watts),
    catalog.POWER_MIN_LIMIT: lambda view: alone(view.profile.limit_watts * _LEAST_POWER_LIMIT_RATIO),
    catalog.POWER_MAX_LIMIT: lambda view: alone(view.profile.limit_watts),
}
HEAT_ROWS: _Rows = {
    catalog.TEMPERATURE: _temperature,
}
CLOCK_ROWS: _Rows = {
    catalog.CLOCK: _clock,
    catalog.MAX_CLOCK: lambda view: [((clock.domain,), clock.max_hertz) for clock in view.profile.clocks],
    catalog.THROTTLE_ACTIVE: _throttle_active,
}
PCIE_ROWS: _Rows = {
    catalog.PCIE_GENERATION: lambda view: alone(view.profile.pcie_generation if view.load >= IDLE_LOAD else 1),
    catalog.PCIE_MAX_GENERATION: lambda view: alone(view.profile.pcie_generation),
    catalog.PCIE_WIDTH: lambda view: alone(view.profile.pcie_width),
    catalog.PCIE_MAX_WIDTH: lambda view: alone(view.profile.pcie_width),
    catalog.PCIE_REPLAYS: _whole_counts(catalog.PCIE_REPLAYS),
}
LINK_ROWS: _Rows = {
    catalog.INTERCONNECT_BYTES: _whole_counts(catalog.INTERCONNECT_BYTES),
    catalog.INTERCONNECT_LINKS: _links,
    catalog.INTERCONNECT_ERRORS: _whole_counts(catalog.INTERCONNECT_ERRORS),
    catalog.INTERCONNECT_BANDWIDTH_LIMIT: _bandwidth_limit,
}
EVENT_ROWS: _Rows = {
    catalog.MEMORY_ERRORS: _whole_counts(catalog.MEMORY_ERRORS),
    catalog.ERRORS: lambda view: view.machine.events.items(),
    catalog.ERROR_LAST_TIMESTAMP: lambda view: [(c, view.unix(at)) for c, at in view.machine.last_events.items()],
}
REPAIR_ROWS: _Rows = {
    catalog.MEMORY_REPAIR_PENDING: lambda view: alone(rows_waiting(view)),
    catalog.MEMORY_REPAIR_FAILED: lambda view: alone(repair_has_failed(view)),
}
# What all NVIDIA cards have, also when they are partitioned, and no card of another vendor.
NVIDIA_ROWS: _Rows = {
    catalog.RECOVERY_ACTION: _recovery,
    catalog.MEMORY_LIFETIME_ERRORS: _whole_counts(catalog.MEMORY_LIFETIME_ERRORS),
}

ROWS: _Rows = {
    **STATE_ROWS,
    **{metric: _of_load(values) for metric, values in {**LOAD_ROWS, **ACTIVITY_ROWS}.items()},
    **MEMORY_ROWS,
    **POWER_ROWS,
    **HEAT_ROWS,
    **CLOCK_ROWS,
    **PCIE_ROWS,
    **LINK_ROWS,
    **EVENT_ROWS,
    **REPAIR_ROWS,
    **NVIDIA_ROWS,
    # In no group: a profile names each that it has.
    catalog.MEMORY_BUSY: lambda view: alone(view.load * _MEMORY_BUSY_RATIO),
    catalog.MEMORY_CONTROLLER_ACTIVITY: lambda view: alone(view.load * _BANDWIDTH_RATIO),
    catalog.TEMPERATURE_LIMIT: _temperature_limit,
    catalog.TEMPERATURE_MARGIN: _temperature_margin,
    catalog.THROTTLE_SECONDS: _exact(catalog.THROTTLE_SECONDS),
    catalog.PCIE_BYTES: _whole_counts(catalog.PCIE_BYTES),
    catalog.HOST_MEMORY_USAGE: lambda _: alone(_HOST_BYTES),
    catalog.FAN_SPEED: _fan_speed,
    catalog.FABRIC_STATUS: _fabric_status,
    catalog.MEMORY_RETIRED_PAGES: _retired_pages,
    catalog.MEMORY_REMAPPED_ROWS: _rows,
}
