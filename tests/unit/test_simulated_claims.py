"""Scenarios with resource claims, partitions that claims create, and devices of virtual machines."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from collectors import catalog
from collectors.contract import Alias, Device, Partition, Reading
from collectors.simulated import Scenario, ScenarioError, inventory, load_scenario, simulated_spec
from exporter.attribution.holding import ClaimDevice
from exporter.attribution.simulated import allocations_at
from tests.doubles.simulated_node import SimulatedNode, scenario, values

HEAD = """
repeat: 100
devices:
- profile: h100
  partitions: [{profile: 1g.10gb, count: 2, memory: 9GiB, compute: 1/7, dynamic: true}]
- {profile: mi300x}
- {profile: l40s, passthrough: true}
pods:
"""


def pod(name: str, container: str, times: str = "") -> str:
    return f"- {{namespace: a, name: {name}{times}, containers: [{{name: c, {container}}}]}}\n"


def claimed(played: Scenario, seconds: float) -> list[tuple[str, str, str, str]]:
    """(pod, container, claim, device) of each device of a claim."""
    state = allocations_at(played, inventory(played, "node-1"), seconds)
    return sorted((each.pod, each.container, each.claim_name, each.device) for each in state.claim_devices)


def subjects(devices: Iterable[Device], partitions: Iterable[Partition]) -> list[Device | Partition]:
    return [*devices, *partitions]


def uuids(reading: Reading) -> list[str]:
    return [part.uuid for part in reading.partitions]


def test_a_claim_lists_all_its_devices_for_every_container_that_names_it() -> None:
    pair = "{name: left, partitions: ['0/0'], claim: pair}, {name: right, devices: [1], claim: pair}"
    played = scenario(
        f"{HEAD}- {{namespace: a, name: two, containers: [{pair}]}}\n"
        f"{pod('late', 'devices: [1], claim: pair', ', from: 50, until: 60')}"
        f"- {{namespace: b, name: other, containers: [{{name: c, devices: [1], claim: pair}}]}}\n"
    )
    mig, whole = "gpu-0-mig-1g10gb-19-0", "gpu-2-130"
    two = [("two", name, "pair", device) for name in ("left", "right") for device in (mig, whole)]
    assert claimed(played, 0) == sorted([*two, ("other", "c", "pair", whole)])
    assert claimed(played, 55) == sorted(
        [*two, ("late", "c", "pair", mig), ("late", "c", "pair", whole), ("other", "c", "pair", whole)]
    )


def test_shares_of_one_device_differ_and_stay() -> None:
    played = scenario(
        HEAD + pod("one", "devices: [1], claim: x, share: 0") + pod("two", "devices: [1], claim: y, share: 1")
    )

    def shares(seconds: float) -> list[str]:
        state = allocations_at(played, inventory(played, "node-1"), seconds)
        return [each.share for each in state.claim_devices]

    first, second = shares(0)
    assert first != second
    assert shares(70) == [first, second]


def test_each_pod_of_a_spread_has_a_claim_of_its_own() -> None:
    played = scenario(
        f"{HEAD}- {{namespace: a, name: n, spread: true, containers: [{{name: c, partitions: ['0/*'], claim: g}}]}}\n"
    )
    assert [(pod, claim) for pod, _, claim, _ in claimed(played, 0)] == [("n-0", "g-0"), ("n-1", "g-1")]


def test_a_dynamic_partition_exists_while_a_claim_holds_it_and_has_another_uuid_each_time() -> None:
    node = SimulatedNode(
        scenario(
            HEAD
            + pod("one", "partitions: ['0/1'], claim: x, load: 0.5", ", from: 10, until: 20")
            + pod("two", "partitions: ['0/1'], claim: y, load: 0.5", ", from: 20, until: 40")
        )
    )
    before = node.read(5)
    assert before.partitions == ()
    found = [uuids(node.read(seconds)) for seconds in (10, 19.9, 20, 39, 40, 110)]
    assert [len(each) for each in found] == [1, 1, 1, 1, 0, 1]
    first, same, second, still, _, again = ("".join(each) for each in found)
    assert (first, second) == (same, still)
    assert len({first, second, again}) == 3


def test_a_pod_that_never_ends_keeps_its_dynamic_partition_when_the_scenario_repeats() -> None:
    node = SimulatedNode(scenario(HEAD + pod("one", "partitions: ['0/0'], claim: x")))
    seen = [uuids(node.read(seconds)) for seconds in (0, 99, 101, 350)]
    assert all(one == other and one for one, other in pairwise(seen))


def test_readings_of_partitions_are_those_that_exist() -> None:
    node = SimulatedNode(
        scenario(HEAD + pod("one", "partitions: ['0/1'], claim: x, load: 0.5", ", from: 10, until: 20"))
    )
    for seconds, count in ((5, 0), (15, 1), (25, 0)):
        reading = node.read(seconds)
        measured = {sample.partition_uuid for sample in reading.samples if sample.partition_uuid}
        gaps = {gap.partition_uuid for gap in reading.unsupported if gap.partition_uuid}
        [partitions] = values(reading, catalog.PARTITIONS)
        assert (measured, partitions) == (set(uuids(reading)), count)
        assert gaps <= measured


def test_a_device_of_virtual_machines_has_names_and_no_readings() -> None:
    played = scenario(HEAD + pod("vm", "devices: [2], resource: nvidia.com/AD102GL_L40S"))
    reading = SimulatedNode(played).read(10)
    device = reading.devices[2]
    assert {sample.metric for sample in reading.samples if sample.device_uuid == device.uuid} == {catalog.INFO}
    assert not device.lost
    assert not [gap for gap in reading.unsupported if gap.device_uuid == device.uuid]
    assert {Alias("/dev/vfio/42"), Alias("42", "nvidia.com/"), Alias(device.device)} <= device.aliases
    [held] = allocations_at(played, inventory(played, "node-1"), 0).holdings or ()
    assert held.device_id == "42"


def test_every_claimed_device_is_a_name_of_one_device_or_partition() -> None:
    played = load_scenario("claims")
    node = SimulatedNode(played)
    devices = inventory(played, "node-1")
    drivers = simulated_spec(played, node.clock).dra_drivers
    for seconds in range(0, 600, 60):
        reading = node.read(seconds)
        names = [alias for each in subjects(reading.devices, reading.partitions) for alias in each.aliases]
        for each in allocations_at(played, devices, seconds).claim_devices:
            assert isinstance(each, ClaimDevice)
            assert each.driver in drivers
            assert names.count(Alias(each.device, each.driver)) == 1


def test_device_files_are_those_of_the_vendors_and_each_is_unique() -> None:
    devices = inventory(
        scenario(
            "devices:\n- profile: h100\n  partitions: [{profile: 1g.10gb+me, count: 2, memory: 9GiB, compute: 1/7}]\n"
            "- profile: mi300x\n  partitions: [{profile: cpx_nps1, count: 2, memory: 9GiB, compute: 1/8}]\n"
            "- {profile: npu, resource: example.com/gpu}\n"
        ),
        "node-1",
    )
    mig, cpx, other = devices
    assert [part.names.nodes for part in mig.partitions] == [
        ("/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia-caps/nvidia-cap13"),
        ("/dev/nvidia-caps/nvidia-cap21", "/dev/nvidia-caps/nvidia-cap22"),
    ]
    assert mig.partitions[1].names.device == "gpu-0-mig-1g10gb-me-19-1"
    assert [part.names.nodes[1] for part in cpx.partitions] == ["/dev/dri/renderD130", "/dev/dri/renderD131"]
    assert (other.names.driver, other.names.device) == ("gpu.example.com", "gpu-2")
    aliases = [
        alias
        for each in devices
        for subject in subjects([each.device], [part.partition for part in each.partitions])
        for alias in subject.aliases
    ]
    assert len(aliases) == len(set(aliases))


@pytest.mark.parametrize(
    ("pods", "problem"),
    [
        (pod("b", "devices: [1], share: 1"), "share: given without claim; a device plugin has replica"),
        (pod("b", "devices: [1], claim: x, replica: 1"), "replica: given together with claim"),
        (pod("b", "devices: [1], claim: x, resource: amd.com/gpu"), "resource: given together with claim"),
        (pod("b", "devices: [1], claim: X"), 'claim: found "X", expected a name'),
        (pod("b", "partitions: ['0/0']"), "a/b: partition 0/0 is dynamic, expected a claim"),
        (
            pod("b", "partitions: ['0/0'], claim: x", ", until: 20")
            + pod("d", "partitions: ['0/0'], claim: y", ", from: 19"),
            "claims x and y have partition 0/0 at the same time, expected one of them",
        ),
    ],
)
def test_claims_that_cannot_be_are_refused(pods: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(HEAD + pods, Path())
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("{profile: l40s, passthrough: true, load: 0.5}", "load: nothing is measured on a device"),
        (
            "{profile: h100, passthrough: true, partitions: [{profile: a, memory: 9GiB, compute: 1/7}]}",
            "passthrough: a partitioned device cannot be passed to a virtual machine",
        ),
        (
            "{profile: h100, partitions: [{profile: a, memory: 9GiB, compute: 1/7, dynamic: true, load: 1}]}",
            "load: a dynamic partition exists only while it is allocated",
        ),
    ],
)
def test_devices_that_cannot_be_are_refused(device: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(f"devices:\n- {device}\n")
    assert problem in str(caught.value)
