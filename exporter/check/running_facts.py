"""What an exporter that serves on the node says: plain records. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class HeldDevice(NamedTuple):
    """A device or partition that a container holds, as an exporter shows it.

    Attributes:
        device: The address of the device.
        uuid: The uuid of the partition, else of the device.
        holder: Namespace, pod and container.
        resource: The Kubernetes resource that it requested.
    """

    device: str
    uuid: str
    holder: str
    resource: str


class PastEvent(NamedTuple):
    """The last critical event of one code that an exporter has counted.

    Attributes:
        uuid: The device.
        source: As in the label `source`.
        code: As in the label `code`.
        age_seconds: Time since then.
    """

    uuid: str
    source: str
    code: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class RunningExporter:
    """The exporter that serves on this node's address.

    Attributes:
        address: Where it listens.
        answer_age_seconds: Time since the last answer of its kubelet; None if there was none.
        running_seconds: Time since its start; None if unknown.
        simulated: Whether it plays a scenario.
        held: What it shows as allocated, sorted.
        states: The state of each device, by uuid.
        devices: Its devices: uuid and index, by address. Of a device that does not answer, those it had before.
        events: The critical events of the class hardware, the newest first.
    """

    address: str
    answer_age_seconds: float | None
    running_seconds: float | None
    simulated: bool
    held: tuple[HeldDevice, ...]
    states: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    events: tuple[PastEvent, ...] = ()
