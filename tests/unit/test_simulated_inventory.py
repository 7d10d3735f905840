import pytest

from collectors.contract import Device, Partition
from collectors.simulated import inventory, load_scenario, shipped_scenarios
from exporter.attribution.device_ids import AliasTable
from tests.doubles.simulated_node import scenario


def parts(name: str, identity: str) -> tuple[list[Device], list[Partition]]:
    devices = inventory(load_scenario(name), identity)
    return [one.device for one in devices], [part.partition for one in devices for part in one.partitions]


def uuids(name: str, identity: str) -> list[str]:
    devices, partitions = parts(name, identity)
    return [one.uuid for one in devices] + [one.uuid for one in partitions]


@pytest.mark.parametrize("name", shipped_scenarios())
def test_uuids_are_unique_within_and_between_nodes_and_do_not_change(name: str) -> None:
    one, other = uuids(name, "node-1"), uuids(name, "node-2")
    assert len(set(one + other)) == len(one) + len(other)
    assert one == uuids(name, "node-1")


@pytest.mark.parametrize("name", shipped_scenarios())
def test_every_plugin_id_resolves_to_its_device_or_partition(name: str) -> None:
    table = AliasTable(*parts(name, "node-1"))
    for one in inventory(load_scenario(name), "node-1"):
        resource = one.profile.naming.resource
        if not one.partitions:
            assert table.resolve(resource, one.plugin_id) == (one.device.uuid, "")
            assert table.resolve(resource, f"{one.plugin_id}::2") == (one.device.uuid, "")
        for part in one.partitions:
            assert table.resolve(part.plan.resource, part.plugin_id) == (one.device.uuid, part.partition.uuid)


def test_devices_have_the_ids_of_their_vendors_plugins() -> None:
    whole, cut, mig, other = inventory(
        scenario(
            "devices:\n- profile: mi300x\n- profile: mi300x\n  partitions:\n"
            "  - {profile: cpx_nps1, count: 3, memory: 24GiB, compute: 1/8}\n- profile: h100\n  partitions:\n"
            "  - {profile: 1g.10gb+me, count: 2, memory: 9GiB, compute: 1/7}\n- {profile: l40s, vendor: acme}\n"
        ),
        "node-1",
    )
    assert whole.plugin_id == whole.device.device == "0000:04:00.0"
    assert [part.plugin_id for part in cut.partitions] == ["0000:07:00.0", "amdgpu_xcp_0", "amdgpu_xcp_1"]
    assert [part.plugin_id for part in mig.partitions] == [part.partition.uuid for part in mig.partitions]
    assert [part.plan.resource for part in mig.partitions] == ["nvidia.com/mig-1g.10gb.me"] * 2
    assert mig.device.uuid.startswith("GPU-")
    assert mig.partitions[0].partition.uuid.startswith("MIG-")
    assert other.device.uuid.startswith("acme-")
    table = AliasTable(
        [one.device for one in (whole, cut, mig, other)],
        [part.partition for one in (cut, mig) for part in one.partitions],
    )
    assert table.resolve("gpu.amd.com", "gpu-0-128") == (whole.device.uuid, "")
    assert table.resolve("gpu.amd.com", "gpu-2-130") == (cut.device.uuid, cut.partitions[1].partition.uuid)
    assert table.resolve("gpu.nvidia.com", "gpu-2") == (mig.device.uuid, "")
    assert table.resolve("nvidia.com/gpu", "nvidia2/gi2") == (mig.device.uuid, mig.partitions[1].partition.uuid)
