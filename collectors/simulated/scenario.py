"""What a scenario says, as records. No I/O: `parse` makes them of YAML.

The simulated hardware moves once a second, so every time here is a whole number of seconds since the start.
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
        load: How much of its time it is busy.
        memory_ratio: How much of its memory is taken under full load; nine tenths of that when idle.
        processes: How many processes that is.
    """

    load: Load = IDLE
    memory_ratio: float = 0.0
    processes: int = 0


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """A hardware slice of a device.

    Attributes:
        profile: The vendor's name of its shape.
        memory_bytes: Its own memory.
        compute_ratio: Its fraction of the device's compute units.
        resource: The Kubernetes resource under which it is handed out.
        work: What runs on it besides the pods' work.
        position: Which of the partitions of its group it is, for the stagger of loads.
    """

    profile: str
    memory_bytes: int
    compute_ratio: float
    resource: str
    work: Work
    position: int


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """A device. Its index is its place in the scenario.

    Attributes:
        profile: What it is and what can be read of it.
        work: What runs on it besides the pods' work.
        position: Which of the devices of its group it is, for the stagger of loads.
        partitions: Its slices; none for a whole device.
    """

    profile: Profile
    work: Work
    position: int
    partitions: tuple[PartitionPlan, ...] = ()


class Slot(NamedTuple):
    """A device, or a partition of it, by index; `partition` is None for the whole device."""

    device: int
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """A container and what it holds.

    Attributes:
        name: Its name.
        slots: What it holds, sorted, each once.
        resource: The Kubernetes resource; empty for the one under which each thing it holds is handed out.
        replica: Which share of a device that a plugin shares out; None for a device of its own.
        work: What it does on each of them.
    """

    name: str
    slots: tuple[Slot, ...]
    resource: str
    replica: int | None
    work: Work


@dataclass(frozen=True, slots=True)
class PodPlan:
    """A pod that comes and goes.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        since: When it gets its devices.
        until: When it lets go of them; None for never.
        containers: Its containers.
    """

    namespace: str
    name: str
    since: int
    until: int | None
    containers: tuple[ContainerPlan, ...]

    def runs_at(self, second: int) -> bool:
        """True while it holds its devices.

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
        trouble: What happens.
        since: When it begins, or happens.
        until: When it ends; the second after `since` for what happens at once.
        devices: The indices it befalls; empty for troubles of the whole library.
        delay_seconds: How much longer each call takes (slow).
        corrected_per_second: Corrected memory errors (memory_errors).
        uncorrected_per_second: Uncorrected ones (memory_errors).
        reason: Why clocks are held down (throttle).
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
        description: What it shows, for people.
        seed: Where the noise starts from.
        repeat: Seconds after which loads, pods and incidents start over; None for never.
        noise_ratio: The largest part by which a load is lowered at random, each second anew.
        devices: By index.
        pods: In the order of the file.
        incidents: In the order of the file.
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
        """The plan of what stands in a slot."""
        device = self.devices[slot.device]
        return device if slot.partition is None else device.partitions[slot.partition]

    def slots(self) -> tuple[Slot, ...]:
        """Every device, each followed by its partitions."""
        return tuple(
            slot
            for index, device in enumerate(self.devices)
            for slot in (Slot(index), *(Slot(index, part) for part in range(len(device.partitions))))
        )
