"""Reads the devices of a scenario and their partitions."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from collectors import catalog
from collectors.simulated import fields, profiles
from collectors.simulated.document import Node
from collectors.simulated.fields import Reader, ScenarioSection
from collectors.simulated.parse_load import WORK_KEYS, work_of
from collectors.simulated.profile import Profile, Scheme
from collectors.simulated.scenario import DevicePlan, PartitionPlan, Work

MOST_DEVICES = 64
MOST_PARTITIONS = 64

RESOURCE = fields.matching(
    r"(?=.{3,200}\Z)[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?",
    "a resource such as nvidia.com/gpu",
)

_PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in profiles.PROFILES}
_CLASSES = next(label.values for label in catalog.INFO.labels if label.name == "class")
_WATTS = fields.number(1, 10_000)
_VENDOR = fields.matching(r"[a-z][a-z0-9]{0,30}", "one word in lower case")
_DEVICE_KEYS = (
    "profile",
    "count",
    "vendor",
    "model",
    "architecture",
    "driver_version",
    "class",
    "memory",
    "idle_watts",
    "limit_watts",
    "resource",
    *WORK_KEYS,
    "partitions",
    "passthrough",
)
_PARTITION_KEYS = ("profile", "count", "memory", "compute", "resource", "dynamic", *WORK_KEYS)


def reader(folder: Path) -> Reader[tuple[DevicePlan, ...]]:
    """A reader of the devices from a list of groups, in order.

    Args:
        folder: The folder of the traces.
    """

    def read(node: Node) -> tuple[DevicePlan, ...]:
        groups = fields.items(lambda item: _group(item, folder), "groups of devices", 1, MOST_DEVICES)(node)
        devices = tuple(device for group in groups for device in group)
        if len(devices) > MOST_DEVICES:
            raise fields.refused(node, f"at most {MOST_DEVICES} devices in total, not {len(devices)}")
        return devices

    return read


def _group(node: Node, folder: Path) -> tuple[DevicePlan, ...]:
    section = ScenarioSection(node, _DEVICE_KEYS, "a group of equal devices")
    profile = _profile(section)
    work = work_of(section, folder, Work())
    groups = section.get(
        "partitions",
        fields.items(lambda item: _partitions(item, folder, profile), "groups of partitions", 1, MOST_PARTITIONS),
        (),
    )
    if "partitions" in section and not profile.partition:
        raise section.error("partitions", f"a card of the profile {profile.name} cannot be partitioned")
    partitions = tuple(partition for group in groups for partition, _ in group)
    passthrough = section.get("passthrough", fields.flag, default=False)
    if passthrough and partitions:
        raise section.error("passthrough", "a partitioned device cannot be passed to a virtual machine")
    for key in WORK_KEYS:
        if partitions and key in section:
            raise section.error(key, f"a partitioned device has no work of its own, expected {key} on its partitions")
        if passthrough and key in section:
            raise section.error(key, "nothing is measured on a device that is passed to a virtual machine")
    _check_partitions(section, profile, partitions, sum(compute for group in groups for _, compute in group))
    count = section.get("count", fields.whole(1, MOST_DEVICES), 1)
    return tuple(DevicePlan(profile, work, position, partitions, passthrough) for position in range(count))


def _profile(section: ScenarioSection) -> Profile:
    base = _PROFILES[section.need("profile", fields.one_of("profile", _PROFILES))]
    profile = replace(
        base,
        vendor=section.get("vendor", _VENDOR, base.vendor),
        model=section.get("model", fields.text, base.model),
        device_class=section.get("class", fields.one_of("class", _CLASSES), base.device_class),
        architecture=section.get("architecture", fields.text, base.architecture),
        driver_version=section.get("driver_version", fields.text, base.driver_version),
        memory_bytes=section.get("memory", fields.memory, base.memory_bytes),
        idle_watts=section.get("idle_watts", _WATTS, base.idle_watts),
        limit_watts=section.get("limit_watts", _WATTS, base.limit_watts),
        naming=base.naming._replace(resource=section.get("resource", RESOURCE, base.naming.resource)),
    )
    if "vendor" in section:
        prefix = f"{profile.vendor}-"
        naming = profile.naming._replace(uuid_prefix=prefix, partition_uuid_prefix=prefix, scheme=Scheme.UUID)
        profile = replace(profile, naming=naming)
    if profile.idle_watts >= profile.limit_watts:
        key = "idle_watts" if "idle_watts" in section else "limit_watts"
        watts = f"idle power {profile.idle_watts:g} W, expected less than the limit, which is {profile.limit_watts:g} W"
        raise section.error(key, watts)
    if profile.reserved_bytes >= profile.memory_bytes:
        raise section.error("memory", f"expected more than the reserved {profile.reserved_bytes >> 20} MiB")
    return profile


def _partitions(node: Node, folder: Path, profile: Profile) -> tuple[tuple[PartitionPlan, Fraction], ...]:
    section = ScenarioSection(node, _PARTITION_KEYS, "a group of equal partitions")
    name = section.need("profile", fields.matching(r"[a-z0-9][a-z0-9._+-]{0,40}", "a name such as 1g.10gb"))
    compute = section.need("compute", fields.fraction)
    resource = profile.naming.partition_resource.format(profile=name.replace("+", "."))
    size = section.need("memory", fields.memory)
    resource = section.get("resource", RESOURCE, resource)
    work = work_of(section, folder, Work())
    dynamic = section.get("dynamic", fields.flag, default=False)
    for key in WORK_KEYS:
        if dynamic and key in section:
            raise section.error(
                key, f"a dynamic partition exists only while it is allocated, expected {key} on its pods"
            )
    count = section.get("count", fields.whole(1, MOST_PARTITIONS), 1)
    return tuple(
        (PartitionPlan(name, size, float(compute), resource, work, position, dynamic), compute)
        for position in range(count)
    )


def _check_partitions(
    section: ScenarioSection, profile: Profile, partitions: tuple[PartitionPlan, ...], compute: Fraction | int
) -> None:
    if len(partitions) > MOST_PARTITIONS:
        raise section.error("partitions", f"found {len(partitions)}, expected at most {MOST_PARTITIONS}")
    if compute > 1:
        raise section.error("partitions", f"compute adds up to {compute}, expected at most 1")
    size = sum(partition.memory_bytes for partition in partitions)
    if size > profile.memory_bytes:
        raise section.error(
            "partitions", f"memory adds up to {size >> 20} MiB, expected at most {profile.memory_bytes >> 20} MiB"
        )
