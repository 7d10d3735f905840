"""Which slices count, and which attributes identify a device: one row for each driver's form."""

import pytest

from exporter.attribution.slice_pools import PoolSlice, SliceAttributes, identified_devices, parse_slice
from tests.doubles.kubernetes_objects import NODE, Json, as_v1beta1, device, resource_slice

GPU = device("gpu-0", type="gpu", uuid="GPU-0", pci_bus_id="0000:19:00.0")


def parsed(*items: Json) -> list[PoolSlice]:
    found = [parse_slice(each, NODE) for each in items]
    assert None not in found
    return [each for each in found if each is not None]


def attributes_of(driver: str, *devices: Json) -> dict[str, SliceAttributes]:
    """What is known of each device of one pool, by name."""
    slices = parsed(resource_slice("a", *devices, driver=driver))
    return {name: known for (_, _, name), known in identified_devices(slices).items()}


# The attributes are those that each driver publishes: the table of drivers in the sources' own documentation.
@pytest.mark.parametrize(
    ("driver", "published", "known"),
    [
        pytest.param(
            "gpu.nvidia.com",
            device("gpu-0", type="gpu", uuid="GPU-0", pci_bus_id="0000:19:00.0"),
            SliceAttributes("0000:19:00.0", "GPU-0", "gpu"),
            id="NVIDIA GPU",
        ),
        pytest.param(
            "gpu.nvidia.com",
            device("gpu-0-mig-1g24gb-me-20-5", type="mig", uuid="MIG-1", parentUUID="GPU-0", pci_bus_id="0000:19:00.0"),
            SliceAttributes("", "MIG-1", "mig"),
            id="NVIDIA MIG device: its PCI address is the GPU's",
        ),
        pytest.param(
            "gpu.nvidia.com",
            device("gpu-0-mig-1g24gb-19-0", type="mig", pci_bus_id="0000:19:00.0"),
            SliceAttributes("", "", "mig"),
            id="NVIDIA dynamic MIG device: no uuid before it is made",
        ),
        pytest.param(
            "gpu.nvidia.com",
            device("gpu-vfio-0", type="vfio", uuid="made-of-the-address", pci_bus_id="0000:19:00.0"),
            SliceAttributes("0000:19:00.0", "", "vfio"),
            id="NVIDIA GPU for virtual machines: other nodes have the same uuid",
        ),
        pytest.param(
            "gpu.amd.com",
            device("gpu-1-129", type="amdgpu", pci_bus_id="0000:05:00.0"),
            SliceAttributes("0000:05:00.0", "", "amdgpu"),
            id="AMD GPU",
        ),
        pytest.param(
            "gpu.amd.com",
            device("gpu-2-130", type="amdgpu-partition", pci_bus_id="0000:05:00.0"),
            SliceAttributes("", "", "amdgpu-partition"),
            id="AMD partition: its PCI address is the GPU's",
        ),
        pytest.param(
            "gpu.amd.com",
            device("gpu-0-cpx-nps4", several_at_once=True, type="amdgpu", pci_bus_id="0000:05:00.0"),
            SliceAttributes("", "", "amdgpu"),
            id="AMD GPU that is partitioned as needed: its shares are partitions",
        ),
        pytest.param(
            "gpu.intel.com",
            device("0000-03-00-0-0x56c0", type="gpu", pci_bus_id="0000:03:00.0"),
            SliceAttributes("0000:03:00.0", "", "gpu"),
            id="Intel GPU",
        ),
        pytest.param(
            "tpu.google.com",
            device("accel0", uuid="made-of-the-node"),
            SliceAttributes("", "", ""),
            id="TPU: all chips of a node have the same uuid, also if there is one",
        ),
        pytest.param(
            "invented.example.com",
            device("x", {"invented.example.com/uuid": "U", "invented.example.com/type": "card"}),
            SliceAttributes("", "U", "card"),
            id="a name with the driver's domain",
        ),
        pytest.param(
            "invented.example.com",
            device("x", {"other.example.com/uuid": "U"}),
            SliceAttributes(),
            id="a name with another domain",
        ),
    ],
)
def test_attributes_that_identify_a_device(driver: str, published: Json, known: SliceAttributes) -> None:
    assert attributes_of(driver, published) == {published["name"]: known}


def test_what_two_devices_have_identifies_neither() -> None:
    twice = [
        device("a", type="card", uuid="U", pci_bus_id="0000:01:00.0"),
        device("b", type="card", uuid="U", pci_bus_id="0000:01:00.0"),
        device("c", type="card", uuid="V", pci_bus_id="0000:02:00.0"),
    ]
    assert attributes_of("invented.example.com", *twice) == {
        "a": SliceAttributes("", "", "card"),
        "b": SliceAttributes("", "", "card"),
        "c": SliceAttributes("0000:02:00.0", "V", "card"),
    }


def test_a_gpu_and_the_same_gpu_for_virtual_machines_have_one_address() -> None:
    known = attributes_of("gpu.nvidia.com", GPU, device("gpu-vfio-0", type="vfio", pci_bus_id="0000:19:00.0"))
    assert {each.pci_bus_id for each in known.values()} == {"0000:19:00.0"}


def test_uniqueness_is_over_all_pools_of_a_driver_and_not_over_drivers() -> None:
    items = [
        resource_slice("a", device("x", uuid="U"), pool="one"),
        resource_slice("b", device("x", uuid="U"), pool="two"),
        resource_slice("c", device("x", uuid="U"), driver="other.example.com"),
    ]
    known = {key: each.uuid for key, each in identified_devices(parsed(*items)).items()}
    assert known == {
        ("gpu.nvidia.com", "one", "x"): "",
        ("gpu.nvidia.com", "two", "x"): "",
        ("other.example.com", NODE, "x"): "U",
    }


def test_the_attributes_of_v1beta1_are_in_another_field() -> None:
    item = resource_slice("a", GPU)
    assert parse_slice(as_v1beta1(item), NODE) == parse_slice(item, NODE)


@pytest.mark.parametrize(
    ("slices", "names"),
    [
        pytest.param([("a", 1, 1)], {"a"}, id="complete"),
        pytest.param([("a", 1, 2), ("b", 1, 2)], {"a", "b"}, id="complete, of two slices"),
        pytest.param([("a", 1, 2)], set(), id="one of two slices is missing"),
        pytest.param([("a", 1, 1), ("b", 2, 1)], {"b"}, id="the older generation is ignored"),
        pytest.param([("b", 2, 1), ("a", 1, 1)], {"b"}, id="in any order"),
        pytest.param([("a", 1, 1), ("b", 2, 2)], set(), id="the newer generation is not complete"),
        pytest.param([("a", 1, 1), ("b", 1, 1)], set(), id="more slices than announced"),
        pytest.param([("a", 1, 2), ("a", 1, 2)], set(), id="two devices of one name"),
    ],
)
def test_only_the_newest_generation_of_a_pool_counts_and_only_if_complete(
    slices: list[tuple[str, int, int]], names: set[str]
) -> None:
    items = [
        resource_slice(str(number), device(name), generation=generation, count=count)
        for number, (name, generation, count) in enumerate(slices)
    ]
    assert {name for _, _, name in identified_devices(parsed(*items))} == names


def test_a_pool_that_is_not_complete_hides_no_other() -> None:
    items = [resource_slice("a", device("x"), pool="one"), resource_slice("b", device("y"), pool="two", count=2)]
    assert list(identified_devices(parsed(*items))) == [("gpu.nvidia.com", "one", "x")]


def without(item: Json, *path: str) -> Json:
    """The slice without one field."""
    *steps, last = path
    copied = parent = dict(item)
    for step in steps:
        parent[step] = dict(parent[step])
        parent = parent[step]
    del parent[last]
    return copied


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"spec": []},
        resource_slice("a", node="worker-2"),
        without(resource_slice("a"), "spec", "nodeName"),
        without(resource_slice("a"), "spec", "driver"),
        without(resource_slice("a"), "spec", "pool"),
        without(resource_slice("a"), "spec", "pool", "generation"),
        {"spec": {**resource_slice("a")["spec"], "pool": {"name": "p", "generation": True, "resourceSliceCount": "1"}}},
    ],
)
def test_a_slice_that_is_not_complete_or_of_another_node_is_ignored(item: Json) -> None:
    assert parse_slice(item, NODE) is None


@pytest.mark.parametrize(
    "attributes",
    [None, [], {"uuid": None}, {"uuid": "U"}, {"uuid": {"string": 1}}, {"uuid": {"strings": ["U"]}}],
)
def test_an_attribute_of_another_type_is_as_if_it_were_absent(attributes: object) -> None:
    assert attributes_of("gpu.nvidia.com", {"name": "x", "attributes": attributes}) == {"x": SliceAttributes()}
