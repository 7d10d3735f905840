"""The same for partitions: for each catalogue row, the function that returns its series."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from collectors import catalog
from collectors.metric import Metric
from collectors.simulated.activity import SlotActivity
from collectors.simulated.device_rows import ACTIVITY_ROWS, LOAD_ROWS, Values, alone, info, memory_used
from collectors.simulated.inventory import SimulatedPartition
from collectors.simulated.names import gpu_instance
from collectors.simulated.profile import Profile, Scheme

_RESERVED_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One partition at one time, as the rows read it.

    Attributes:
        profile: The profile of its device.
        partition: The partition.
        activity: What happens on it.
    """

    profile: Profile
    partition: SimulatedPartition
    activity: SlotActivity


def _info(view: PartitionView) -> Values:
    part = view.partition.slot.partition or 0
    match view.profile.naming.scheme:
        case Scheme.MINOR:
            return info(gpu_instance_id=str(gpu_instance(part)), compute_instance_id="0")
        case Scheme.ADDRESS:
            return info(index=str(part), pci_bus_id=view.partition.address)
        case Scheme.UUID:
            return info(index=str(part), class_=view.profile.device_class)


def _of_load(values: Callable[[Profile, float], Values]) -> Callable[[PartitionView], Values]:
    return lambda view: values(view.profile, view.activity.load)


_Rows: TypeAlias = Mapping[Metric, Callable[[PartitionView], Values]]

# What every partition has.
SLICE_ROWS: _Rows = {
    catalog.INFO: _info,
    catalog.MEMORY_USAGE: lambda view: alone(memory_used(view.partition.plan.memory_bytes, view.activity.memory_ratio)),
    catalog.MEMORY_LIMIT: lambda view: alone(view.partition.plan.memory_bytes),
    catalog.COMPUTE_RATIO: lambda view: alone(view.partition.plan.compute_ratio),
    catalog.PROCESSES: lambda view: alone(len(view.activity.processes)),
}

ROWS: _Rows = {
    **SLICE_ROWS,
    # In no group: a profile names it.
    catalog.MEMORY_RESERVED: lambda _: alone(_RESERVED_BYTES),
    **{metric: _of_load(values) for metric, values in {**LOAD_ROWS, **ACTIVITY_ROWS}.items()},
}
