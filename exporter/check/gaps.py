"""Readings that cannot be had, device by device; devices that lack the same for the same reasons are told together."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from collectors.contract import Unsupported
from collectors.metric import Subject
from exporter.check.facts import Facts


class Gap(NamedTuple):
    """A family that is absent, and why."""

    family: str
    why: str


class Group(NamedTuple):
    """Devices or partitions that lack the same.

    Attributes:
        of: Who they are, for people: a device by its address, partitions by profile, device and number.
        gaps: What they lack, by family.
    """

    of: tuple[str, ...]
    gaps: tuple[Gap, ...]


def family_of(gap: Unsupported) -> str:
    """The name of the family that is absent."""
    return gap.metric.name(Subject.PARTITION if gap.partition_uuid else Subject.DEVICE)


def groups(facts: Facts) -> list[Group]:
    """Every device and partition that lacks something, in the order of the collectors' devices."""
    lacking: dict[tuple[str, str], set[Gap]] = defaultdict(set)
    for gap in facts.unsupported:
        lacking[gap.device_uuid, gap.partition_uuid].add(Gap(family_of(gap), gap.detail))
    alike: dict[tuple[Gap, ...], list[tuple[str, str]]] = defaultdict(list)
    for subject, gaps in lacking.items():
        alike[tuple(sorted(gaps))].append(subject)
    return [Group(_names(subjects, facts), gaps) for gaps, subjects in alike.items()]


def _names(subjects: Sequence[tuple[str, str]], facts: Facts) -> tuple[str, ...]:
    addresses = {device.uuid: device.device for device in facts.devices}
    profiles = {part.uuid: part.profile for part in facts.partitions}
    counts = Counter(
        f"{profiles.get(part, part)} of {addresses.get(device, device)}" if part else addresses.get(device, device)
        for device, part in subjects
    )
    return tuple(name if count == 1 else f"{count} times {name}" for name, count in counts.items())
