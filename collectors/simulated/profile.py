"""Profiles: the properties of a simulated device, and the families that it supports."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from collectors.metric import Metric


class Sensor(NamedTuple):
    """A temperature sensor: how much warmer than the core it is, without and under full load, in kelvin."""

    name: str
    idle_offset: float
    full_offset: float


class TemperatureLimit(NamedTuple):
    """A limit of one sensor, in degrees Celsius."""

    sensor: str
    limit: str
    celsius: float


class Clock(NamedTuple):
    """A clock domain, with its idle and its maximum clock in hertz."""

    domain: str
    idle_hertz: float
    max_hertz: float


class EngineLoad(NamedTuple):
    """An engine or pipe, and how active it is under full load, 0 to 1."""

    name: str
    full_ratio: float


class Fabric(NamedTuple):
    """The links between accelerators.

    Attributes:
        name: The `fabric` label.
        links: Number of links, all of them up.
        bytes_per_second: Bandwidth of all links in one direction.
        errors: The kinds of error that are counted.
        registers: True where the device registers with its fabric.
        counts_down: True where links that are down are counted too.
    """

    name: str
    links: int
    bytes_per_second: float
    errors: tuple[str, ...]
    registers: bool
    counts_down: bool = True


class ErrorCode(NamedTuple):
    """A critical event that the driver can report: the labels of its counter, and its effect.

    Attributes:
        source: The `source` label.
        code: The `code` label.
        error_class: The `class` label.
        from_start: True if its counter exists before its first event.
        fatal: True if the device must be reset after it.
    """

    source: str
    code: str
    error_class: str
    from_start: bool = True
    fatal: bool = False

    @property
    def labels(self) -> tuple[str, str, str]:
        """The values of the labels, in the order of the family."""
        return self.source, self.code, self.error_class


class Scheme(Enum):
    """What the device plugin uses as ids of its devices; the DRA driver's names depend on it too."""

    UUID = auto()
    MINOR = auto()  # the uuid, and also the device node: nvidia0, nvidia0/gi1
    # The PCI address, amdgpu_xcp_N for partitions. Uuids have 16 digits; those of partitions also profile and number.
    ADDRESS = auto()


class Naming(NamedTuple):
    """The names of these devices in Kubernetes.

    Attributes:
        uuid_prefix: The start of a device's uuid.
        partition_uuid_prefix: The start of a partition's uuid.
        resource: The resource of whole devices.
        partition_resource: The resource of partitions; `{profile}` is replaced by the partition's profile.
        scheme: The kind of ids.
    """

    uuid_prefix: str
    partition_uuid_prefix: str
    resource: str
    partition_resource: str
    scheme: Scheme


@dataclass(frozen=True, slots=True)
class Profile:
    """An accelerator model.

    Attributes:
        name: Its name in scenarios.
        vendor: The `vendor` label.
        model: The `model` label.
        device_class: The `class` label of its info.
        architecture: The `architecture` label of its info.
        driver_version: The `driver_version` label of its info.
        firmware_version: The `firmware_version` label of its info.
        memory_bytes: Total memory.
        reserved_bytes: Memory reserved by driver and firmware.
        idle_watts: Power without load.
        limit_watts: Power under full load, also the default and highest limit.
        full_celsius: Temperature of the core under lasting full load.
        sensors: Temperature sensors, the core sensor first.
        limits: Limits of temperatures.
        clocks: Clocks of all domains.
        fans: Number of fans on the card.
        engines: Fixed-function engines.
        pipes: Execution pipes.
        throttle_reasons: The reasons for throttling that it reports.
        pcie_generation: Generation of its PCIe link.
        pcie_width: Lanes of its PCIe link.
        fabric: Links between accelerators; None if it has no such links.
        error_codes: Critical events it counts.
        modes: Modes it reports, and whether they are on; partitioning depends on the scenario, and a partitioned device
            does not report the mode exclusive.
        naming: Its names in Kubernetes.
        whole: The families of a device without partitions.
        partitioned: The families of a partitioned device.
        partition: The families of its partitions; none if it cannot be partitioned.
        counts_deferred: True if it counts deferred memory errors.
        memory_banks: Banks of the memory with spare rows of their own; 0 if it has none.
        power_shared: True if the power that it reports is that of a package with another device.
    """

    name: str
    vendor: str
    model: str
    device_class: str
    architecture: str
    driver_version: str
    firmware_version: str
    memory_bytes: int
    reserved_bytes: int
    idle_watts: float
    limit_watts: float
    full_celsius: float
    sensors: tuple[Sensor, ...]
    limits: tuple[TemperatureLimit, ...]
    clocks: tuple[Clock, ...]
    fans: int
    engines: tuple[EngineLoad, ...]
    pipes: tuple[EngineLoad, ...]
    throttle_reasons: tuple[str, ...]
    pcie_generation: int
    pcie_width: int
    fabric: Fabric | None
    error_codes: tuple[ErrorCode, ...]
    modes: tuple[tuple[str, bool], ...]
    naming: Naming
    whole: frozenset[Metric]
    partitioned: frozenset[Metric]
    partition: frozenset[Metric]
    counts_deferred: bool = False
    memory_banks: int = 0
    power_shared: bool = False
