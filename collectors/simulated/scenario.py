"""The records of a scenario. No I/O: `parse` creates them from YAML.

The simulated hardware changes once a second, so every time here is a whole number of seconds since the start.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from collectors.simulated.load import Constant, Load
from collectors.simulated.profile import Profile

IDLE = Load(Constant(0.0))


@dataclass(frozen=True, slots=True)
class Work:
    """What runs on a device or partition.

    Attributes:
        load: Fraction of time in which it is busy.
        memory_ratio: Fraction of its memory that is used under full load; nine tenths of that when idle.
        processes: Number of processes.
    """

    load: Load = IDLE
    memory_ratio: float = 0.0
    processes: int = 0


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """A partition of a device.

    Attributes:
        profile: The vendor's name of its profile.
        memory_bytes: Its own memory.
        compute_ratio: Its fraction of the device's compute units.
        resource: The Kubernetes resource under which it is allocated.
        work: What runs on it besides the pods' work.
        position: Its position in its group, for the stagger of loads.
        dynamic: True if it exists only while it is allocated.
    """

    profile: str
    memory_bytes: int
    compute_ratio: float
    resource: str
    work: Work
    position: int
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """A device. Its index is its position in the scenario.

    Attributes:
        profile: Its properties and families.
        work: What runs on it besides the pods' work.
        position: Its position in its group, for the stagger of loads.
        partitions: Its partitions; empty for a whole device.
        passthrough: True if it is reserved for virtual machines, so that nothing on the node reads it.
    """

    profile: Profile
    work: Work
    position: int
    partitions: tuple[PartitionPlan, ...] = ()
    passthrough: bool = False


class Slot(NamedTuple):
    """A device, or a partition of it, by index; `partition` is None for the whole device."""

    device: int
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """A container and what is allocated to it.

    Attributes:
        name: Its name.
        slots: What is allocated to it, sorted and unique.
        resource: The Kubernetes resource; empty for the resource of each device or partition.
        replica: The number of its share if a device plugin shares the device; None for an exclusive device.
        work: What it does on each of them.
        claim: The resource claim that it holds them through; empty for a device plugin.
        share: The number of its share if its claim has only a share of the device; None for an exclusive device.
    """

    name: str
    slots: tuple[Slot, ...]
    resource: str
    replica: int | None
    work: Work
    claim: str = ""
    share: int | None = None


@dataclass(frozen=True, slots=True)
class PodPlan:
    """A pod with a start and an end.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        since: When its devices are allocated.
        until: When they are freed; None for never.
        containers: Its containers.
    """

    namespace: str
    name: str
    since: int
    until: int | None
    containers: tuple[ContainerPlan, ...]

    def runs_at(self, second: int) -> bool:
        """True while its devices are allocated.

        Args:
            second: Within the cycle of the scenario.
        """
        return self.since <= second and (self.until is None or second < self.until)


class Trouble(StrEnum):
    """The kinds of fault a scenario can inject."""

    HANG = "hang"
    RAISE = "raise"
    SLOW = "slow"
    DEVICE_LOST = "device_lost"
    GARBAGE = "garbage"
    DRIVER_RELOAD = "driver_reload"
    MEMORY_ERRORS = "memory_errors"
    THROTTLE = "throttle"
    CRITICAL_ERROR = "critical_error"


@dataclass(frozen=True, slots=True)
class Incident:
    """One fault at a given time.

    Attributes:
        trouble: The kind of fault.
        since: When it begins, or happens.
        until: When it ends; the second after `since` if it has no duration.
        devices: The indices of the affected devices; empty for faults of the whole library.
        delay_seconds: How much longer each call takes (slow).
        corrected_per_second: Corrected memory errors (memory_errors).
        uncorrected_per_second: Uncorrected memory errors (memory_errors).
        reason: Why clocks are reduced (throttle).
        code: The driver's code of the event (critical_error).
    """

    trouble: Trouble
    since: int
    until: int
    devices: tuple[int, ...] = ()
    delay_seconds: float = 0.0
    corrected_per_second: float = 0.0
    uncorrected_per_second: float = 0.0
    reason: str = ""
    code: str = ""

    def acts_at(self, second: int) -> bool:
        """True while it lasts.

        Args:
            second: Within the cycle of the scenario.
        """
        return self.since <= second < self.until


@dataclass(frozen=True, slots=True)
class Scenario:
    """A node without hardware, over time.

    Attributes:
        description: What the scenario shows.
        seed: The seed of the noise.
        repeat: Seconds after which loads, pods and incidents start again; None for never.
        noise_ratio: The largest fraction by which a load is reduced at random in each second.
        devices: The devices by index.
        pods: The pods in the order of the file.
        incidents: The faults in the order of the file.
    """

    description: str
    seed: int
    repeat: int | None
    noise_ratio: float
    devices: tuple[DevicePlan, ...]
    pods: tuple[PodPlan, ...] = ()
    incidents: tuple[Incident, ...] = ()

    def in_cycle(self, second: int) -> int:
        """A second since the start, as a second of the cycle that is repeated."""
        return second if self.repeat is None else second % self.repeat

    def plan_of(self, slot: Slot) -> DevicePlan | PartitionPlan:
        """The plan of the device or partition in a slot."""
        device = self.devices[slot.device]
        return device if slot.partition is None else device.partitions[slot.partition]

    def slots(self) -> tuple[Slot, ...]:
        """Every device, each followed by its partitions."""
        return tuple(
            slot
            for index, device in enumerate(self.devices)
            for slot in (Slot(index), *(Slot(index, part) for part in range(len(device.partitions))))
        )
