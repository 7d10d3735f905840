"""What a simulated device is, and which families can be read of it."""

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
    """A clock domain and its two ends, in hertz."""

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
        links: How many, all of them up.
        bytes_per_second: Of all of them, one direction.
        errors: The kinds of error that are counted.
        registers: True where the device registers with its fabric.
    """

    name: str
    links: int
    bytes_per_second: float
    errors: tuple[str, ...]
    registers: bool


class ErrorCode(NamedTuple):
    """A critical event the driver can report; the labels of its counter."""

    source: str
    code: str
    error_class: str


class Scheme(Enum):
    """By what the device plugin calls its devices; the DRA driver's names follow."""

    UUID = auto()
    MINOR = auto()  # by uuid too, and by the device node: nvidia0, nvidia0/gi1
    ADDRESS = (
        auto()
    )  # by PCI address, slices by amdgpu_xcp_N; uuids have 16 digits, those of slices go on with profile and number


class Naming(NamedTuple):
    """How Kubernetes calls these devices.

    Attributes:
        uuid_prefix: The start of a device's uuid.
        partition_uuid_prefix: The start of a partition's.
        resource: The resource of whole devices.
        partition_resource: That of partitions; `{profile}` stands for the partition's profile.
        scheme: By what they are called.
    """

    uuid_prefix: str
    partition_uuid_prefix: str
    resource: str
    partition_resource: str
    scheme: Scheme


@dataclass(frozen=True, slots=True)
class Profile:
    """A model of accelerator.

    Attributes:
        name: By which scenarios ask for it.
        vendor: The `vendor` label.
        model: The `model` label.
        device_class: The `class` label of its info.
        architecture: The same.
        driver_version: The same.
        firmware_version: The same.
        memory_bytes: In all.
        reserved_bytes: Kept by driver and firmware.
        idle_watts: Without load.
        limit_watts: Under full load, also the default and highest limit.
        full_celsius: The core under lasting full load.
        sensors: The core sensor first.
        limits: Of temperatures.
        clocks: Of all domains.
        fans: How many fans are on the card.
        engines: Fixed-function engines.
        pipes: Execution pipes.
        throttle_reasons: The ones it tells.
        pcie_generation: Of its link.
        pcie_width: Lanes.
        fabric: Links between accelerators; None without.
        error_codes: Critical events it counts.
        modes: Modes it tells and whether they are on; partitioning follows the scenario.
        naming: Its names in Kubernetes.
        whole: The families of a device that is not cut.
        cut: The families of a device that is cut into partitions.
        partition: The families of its partitions.
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
    cut: frozenset[Metric]
    partition: frozenset[Metric]
