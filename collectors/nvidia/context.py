"""What all sessions of a collector share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from collectors.contract import CollectOptions, SubjectKey
from collectors.device_calls import DeviceCalls
from collectors.nvidia.health import Health
from collectors.sysfs import Root


@dataclass(frozen=True, slots=True)
class SessionContext:
    """The objects that all readers of a collector share.

    Attributes:
        health: The health of all devices, over all sessions. Used by the collector's thread only.
        options: The optional readings to make.
        calls: Makes the calls about single devices. A call that is out keeps its device from being read in a later
            session too.
        clock: Monotonic seconds. Used by all threads.
        wall_clock: Unix time. Used by all threads.
        procfs: The root of a `/proc`.
        throttle_seconds: The time in throttling of each device, over all sessions, by uuid and reason. Each belongs to
            the call of its device.
        answered: By device, the names of the queries that have ever answered, over all sessions. Each belongs to the
            call of its device.
    """

    health: Health
    options: CollectOptions
    calls: DeviceCalls
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    procfs: Root
    throttle_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    answered: dict[str, Mapping[SubjectKey, frozenset[str]]] = field(default_factory=dict)
