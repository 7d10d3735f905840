"""The devices and partitions of a scenario on one node: their identities, and their names in allocations."""

import uuid
from dataclasses import dataclass, replace
from typing import NamedTuple

from collectors.contract import Alias, Device, Partition
from collectors.simulated.names import Names, device_names, gpu_instance, group_of, partition_names, passthrough_names
from collectors.simulated.profile import Naming, Profile, Scheme
from collectors.simulated.scenario import DevicePlan, PartitionPlan, Scenario, Slot

_FIRST_BUS = 0x04
_BUS_STEP = 3
_UNIQUE_ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class SimulatedPartition:
    """A partition that exists.

    Attributes:
        slot: Its device's index, and its own index on that device.
        plan: The partition in the scenario.
        partition: Its identity.
        address: The PCI address of its device.
        plugin_id: Its id in the device plugin.
        names: Its names in claims, and its device files.
    """

    slot: Slot
    plan: PartitionPlan
    partition: Partition
    address: str
    plugin_id: str
    names: Names


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """A device that exists.

    Attributes:
        index: Its index in the scenario.
        plan: The device in the scenario.
        device: Its identity, while it answers.
        partitions: Its partitions, by index.
        plugin_id: Its id in the device plugin.
        names: Its names in claims, and its device files.
    """

    index: int
    plan: DevicePlan
    device: Device
    partitions: tuple[SimulatedPartition, ...]
    plugin_id: str
    names: Names

    @property
    def profile(self) -> Profile:
        """The device's profile."""
        return self.plan.profile


class _Drm(NamedTuple):
    """The kernel's number of a card, and the number of a partition among all partitions of the node."""

    card: int
    partition: int


def inventory(scenario: Scenario, identity: str) -> tuple[SimulatedDevice, ...]:
    """The scenario's devices on one node, by index.

    Args:
        scenario: The scenario.
        identity: The node's name, unique in the cluster; the uuids are derived from it and the index.
    """
    devices: list[SimulatedDevice] = []
    cards = 0
    sliced = 0
    for index, plan in enumerate(scenario.devices):
        devices.append(_device(index, plan, identity, _Drm(cards, sliced)))
        cards += max(1, len(plan.partitions))
        sliced += max(0, len(plan.partitions) - 1)
    return tuple(devices)


def _made(*parts: object) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, "/".join(("simulated", *map(str, parts))))


def _device_uuid(naming: Naming, identity: str, index: int) -> str:
    made = _made(identity, index)
    own = made.hex[:_UNIQUE_ID_DIGITS] if naming.scheme is Scheme.ADDRESS else str(made)
    return f"{naming.uuid_prefix}{own}"


def in_period(device: SimulatedDevice, part: SimulatedPartition, period: str) -> SimulatedPartition:
    """The partition that exists for a time: each has a uuid of its own, as MIG devices have.

    Args:
        device: Its device.
        part: What all partitions in this place have in common.
        period: The time, see `ActivitySchedule.period`; empty for a partition that always exists.
    """
    naming, always = device.profile.naming, part.partition
    if not period or naming.scheme is Scheme.ADDRESS:
        return part
    own_uuid = f"{naming.partition_uuid_prefix}{_made(always.uuid, period)}"
    aliases = always.aliases - {Alias(always.uuid)} | {Alias(own_uuid)}
    return replace(part, partition=replace(always, uuid=own_uuid, aliases=aliases), plugin_id=own_uuid)


def _partition_uuid(naming: Naming, device_uuid: str, profile: str, part: int) -> str:
    if naming.scheme is Scheme.ADDRESS:
        return f"{device_uuid}-{profile}-{part}"
    return f"{naming.partition_uuid_prefix}{_made(device_uuid, part)}"


def _device(index: int, plan: DevicePlan, identity: str, drm: _Drm) -> SimulatedDevice:
    naming = plan.profile.naming
    own_uuid = _device_uuid(naming, identity, index)
    address = f"0000:{_FIRST_BUS + _BUS_STEP * index:02x}:00.0"
    names = passthrough_names(naming, index) if plan.passthrough else device_names(naming, index, drm.card)
    aliases = {Alias(own_uuid)}
    if naming.scheme is Scheme.MINOR and not plan.passthrough:
        aliases.add(Alias(f"nvidia{index}", "nvidia.com/"))
    if plan.passthrough:
        aliases |= {Alias(address), Alias(group_of(index), f"{naming.resource.partition('/')[0]}/")}
    if naming.scheme is Scheme.ADDRESS and not plan.partitions:
        aliases.add(Alias(address))
    if naming.scheme is not Scheme.ADDRESS or not plan.partitions:  # its names are those of its first partition
        aliases |= names.aliases
    partitions = tuple(
        _partition(Slot(index, part), plan, own_uuid, address, _Drm(drm.card + part, drm.partition + part - 1))
        for part in range(len(plan.partitions))
    )
    return SimulatedDevice(
        index=index,
        plan=plan,
        device=Device(
            own_uuid,
            address,
            plan.profile.vendor,
            plan.profile.model,
            frozenset(aliases),
            power_shared=plan.profile.power_shared,
        ),
        partitions=partitions,
        plugin_id=group_of(index) if plan.passthrough else _plugin_id(naming, own_uuid, address),
        names=names,
    )


def _plugin_id(naming: Naming, own_uuid: str, address: str) -> str:
    return address if naming.scheme is Scheme.ADDRESS else own_uuid


def _partition(slot: Slot, plan: DevicePlan, device_uuid: str, address: str, drm: _Drm) -> SimulatedPartition:
    """One partition. The id of the first in AMD's plugin is the card's address; the others have numbers of the node."""
    part = slot.partition or 0
    naming = plan.profile.naming
    own_uuid = _partition_uuid(naming, device_uuid, plan.partitions[part].profile, part)
    plugin_id = own_uuid
    names = partition_names(naming, slot.device, part, plan.partitions[part].profile, drm.card)
    aliases = {Alias(own_uuid), *names.aliases}
    if naming.scheme is Scheme.MINOR:
        aliases |= {Alias(f"nvidia{slot.device}/gi{gpu_instance(part)}", "nvidia.com/")}
    if naming.scheme is Scheme.ADDRESS:
        plugin_id = f"amdgpu_xcp_{drm.partition}" if part else address
        aliases.add(Alias(plugin_id))  # unique on a node, for any resource name
    shape = plan.partitions[part]
    partition = Partition(own_uuid, device_uuid, shape.profile, frozenset(aliases))
    return SimulatedPartition(slot, shape, partition, address, plugin_id, names)
