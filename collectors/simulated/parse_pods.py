"""Reads the pods of a scenario: what is allocated to them, and when."""

import re
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from collectors.simulated import fields
from collectors.simulated.document import Items, Node, Scalar
from collectors.simulated.error import ScenarioError, shown
from collectors.simulated.fields import ScenarioSection
from collectors.simulated.load import Constant, Load
from collectors.simulated.parse_claims import CLAIM_KEYS, MOST_SHARES, check_dynamic, claim_of
from collectors.simulated.parse_devices import RESOURCE
from collectors.simulated.parse_load import LONGEST_SECONDS, WORK_KEYS, work_of
from collectors.simulated.scenario import ContainerPlan, DevicePlan, PodPlan, Slot, Work

MOST_PODS = 2_000

_MOST_CONTAINERS = 16
_POD_KEYS = ("namespace", "name", "from", "until", "spread", "containers")
_CONTAINER_KEYS = ("name", "devices", "partitions", "resource", "replica", *CLAIM_KEYS, *WORK_KEYS)
_NAME = fields.matching(r"(?=.{1,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a name of lower-case letters, digits, dashes")
_POD_NAME = fields.matching(
    r"(?=.{1,240}\Z)[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "a name of lower-case letters, digits, dashes and dots"
)
_SLOT = re.compile(r"([0-9]{1,3})/([0-9]{1,3}|\*)", re.ASCII)
_BUSY_CONTAINER = Work(Load(Constant(0.5)), memory_ratio=0.5, processes=1)


class Frame(NamedTuple):
    """The parts of a scenario that its pods refer to.

    Attributes:
        devices: The scenario's devices.
        repeat: The scenario's period; None if it does not repeat.
        folder: The folder of the traces.
    """

    devices: tuple[DevicePlan, ...]
    repeat: int | None
    folder: Path


def pods_of(node: Node, frame: Frame) -> tuple[PodPlan, ...]:
    """The pods of a list, in order.

    Raises:
        ScenarioError: A pod is invalid.
    """
    groups = fields.items(lambda item: _pods(item, frame), "pods", 0, MOST_PODS)(node)
    pods = tuple(pod for group in groups for pod in group)
    if len(pods) > MOST_PODS:
        raise fields.refused(node, f"at most {MOST_PODS} pods in total, not {len(pods)}")
    _check_names(node, pods)
    check_dynamic(node, pods, frame.devices)
    return pods


def until_of(section: ScenarioSection, since: int, until: int | None, key: str, repeat: int | None) -> int | None:
    """Check that something begins before it ends, and that both times are within the scenario's period.

    Args:
        section: The section of the keys.
        since: When it begins.
        until: When it ends; None for never.
        key: The key to name in an error.
        repeat: The scenario's period; None if it does not repeat.
    """
    if until is not None and until <= since:
        raise section.error(key, f"ends at {until}, expected a time after {since}")
    if repeat is not None and (until or since + 1) > repeat:
        raise section.error(key, f"ends at {until or since + 1}, expected at most repeat, which is {repeat}")
    return until


def _pods(node: Node, frame: Frame) -> tuple[PodPlan, ...]:
    section = ScenarioSection(node, _POD_KEYS, "a pod")
    since = section.get("from", fields.whole(0, LONGEST_SECONDS), 0)
    until = section.get("until", fields.whole(1, LONGEST_SECONDS), None)
    until_of(section, since, until, "until" if until is not None else "from", frame.repeat)
    namespace, name = section.need("namespace", _NAME), section.need("name", _POD_NAME)
    containers = section.need(
        "containers", fields.items(lambda item: _container(item, frame), "containers", 1, _MOST_CONTAINERS)
    )
    if len({container.name for container in containers}) < len(containers):
        raise section.error("containers", "two containers have the same name")
    if not section.get("spread", fields.flag, default=False):
        return (PodPlan(namespace, name, since, until, containers),)
    if len(containers) > 1:
        raise section.error("spread", f"found {len(containers)} containers, expected one in a pod with spread")
    (container,) = containers
    return tuple(
        PodPlan(namespace, f"{name}-{number}", since, until, (_narrowed(container, slot, number),))
        for number, slot in enumerate(container.slots)
    )


def _narrowed(container: ContainerPlan, slot: Slot, number: int) -> ContainerPlan:
    """The container of one of the pods, which has a claim of its own."""
    return replace(container, slots=(slot,), claim=f"{container.claim}-{number}" if container.claim else "")


def _container(node: Node, frame: Frame) -> ContainerPlan:
    section = ScenarioSection(node, _CONTAINER_KEYS, "a container")
    devices = section.get("devices", lambda item: _devices(item, frame.devices), ())
    partitions = section.get("partitions", lambda item: _partitions(item, frame.devices), ())
    slots = tuple(sorted({*devices, *partitions}))
    if not slots:
        raise ScenarioError(f"{section.place}: nothing is allocated, expected devices or partitions")
    replica = section.get("replica", fields.whole(0, MOST_SHARES), None)
    claim, share = claim_of(section)
    return ContainerPlan(
        name=section.need("name", _NAME),
        slots=slots,
        resource=section.get("resource", RESOURCE, ""),
        replica=replica,
        work=work_of(section, frame.folder, _BUSY_CONTAINER),
        claim=claim,
        share=share,
    )


def _devices(node: Node, plans: tuple[DevicePlan, ...]) -> tuple[Slot, ...]:
    """Slots of whole devices: a list of indices, or all of them."""
    if isinstance(node, Scalar) and node.text == "all":
        return tuple(Slot(index) for index, plan in enumerate(plans) if not plan.partitions)
    if not isinstance(node, Items):
        raise fields.refused(node, "a list of indices, or all")
    index = fields.whole(0, len(plans) - 1)
    slots = tuple(Slot(index(item)) for item in node.nodes)
    for slot, item in zip(slots, node.nodes, strict=True):
        if plans[slot.device].partitions:
            raise ScenarioError(f"{item.place}: device {slot.device} is partitioned, expected its partitions instead")
    return slots


def _partitions(node: Node, plans: tuple[DevicePlan, ...]) -> tuple[Slot, ...]:
    """Slots of partitions: a list of `DEVICE/PARTITION` or `DEVICE/*`, or all of them."""
    if isinstance(node, Scalar) and node.text == "all":
        return tuple(slot for device in range(len(plans)) for slot in _every(device, plans))
    if not isinstance(node, Items):
        raise fields.refused(node, 'a list such as ["0/1", "2/*"], or all')
    return tuple(slot for item in node.nodes for slot in _some(item, plans))


def _some(node: Node, plans: tuple[DevicePlan, ...]) -> tuple[Slot, ...]:
    found = _SLOT.fullmatch(node.text) if isinstance(node, Scalar) else None
    if found is None:
        raise fields.refused(node, "DEVICE/PARTITION or DEVICE/*")
    device = int(found[1])
    every = _every(device, plans) if device < len(plans) else ()
    selected = every if found[2] == "*" else tuple(slot for slot in every if slot.partition == int(found[2]))
    if not selected:
        raise ScenarioError(f"{node.place}: no partition {shown(found[0])} in this scenario; numbers start at 0")
    return selected


def _every(device: int, plans: tuple[DevicePlan, ...]) -> tuple[Slot, ...]:
    return tuple(Slot(device, partition) for partition in range(len(plans[device].partitions)))


def _check_names(node: Node, pods: tuple[PodPlan, ...]) -> None:
    """Refuse two pods with one name at the same time, which cannot exist in a cluster."""
    named: defaultdict[tuple[str, str], list[PodPlan]] = defaultdict(list)
    for pod in pods:
        named[pod.namespace, pod.name].append(pod)
    for (namespace, name), same in named.items():
        for before, after in pairwise(sorted(same, key=lambda pod: pod.since)):
            if before.until is None or after.since < before.until:
                raise ScenarioError(f"{node.place}: two pods {namespace}/{name} at second {after.since}, expected one")
