"""What an exporter that serves on the node says: plain records. No I/O."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class RunningExporter:
    """The exporter that serves on this node's address.

    Attributes:
        address: Where it listens.
        answer_age_seconds: Time since the last answer of its kubelet; None if there was none.
        running_seconds: Time since its start; None if unknown.
        simulated: Whether it plays a scenario.
        held: What it shows as allocated, sorted.
    """

    address: str
    answer_age_seconds: float | None
    running_seconds: float | None
    simulated: bool
    held: tuple[HeldDevice, ...]
