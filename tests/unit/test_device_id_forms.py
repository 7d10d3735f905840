"""Ids of device plugins whose devices no collector reads yet, against devices with names as a collector would give."""

import pytest

from collectors.contract import Alias, Device, Partition
from exporter.attribution.device_ids import (
    AliasTable,
    pci_address_in,
    without_numbered_share,
    without_template,
)

NEURON = ("aws.amazon.com/neuron", "aws.amazon.com/neurondevice")
NEURON_CORE = "aws.amazon.com/neuroncore"
CORES_PER_DEVICE = 2


def device(uuid: str, *aliases: Alias) -> Device:
    return Device(uuid, uuid, "vendor", "model", frozenset({Alias(uuid), *aliases}))


def neuron(index: int) -> Device:
    cores = range(index * CORES_PER_DEVICE, (index + 1) * CORES_PER_DEVICE)
    names = [Alias(str(index), resource) for resource in NEURON] + [Alias(str(core), NEURON_CORE) for core in cores]
    return device(f"neuron-{index}", *names)


# What the number of a slice or a share could be mistaken for is there too: card3, device 100 and device 3.
TABLE = AliasTable(
    [
        *(device(f"intel-{n}", Alias(f"card{n}", "gpu.intel.com/"), Alias(f"0000:0{n}:00.0")) for n in range(4)),
        *(device(f"npu-{n}", Alias(f"accel{n}", "npu.intel.com/")) for n in range(2)),
        *map(neuron, range(3)),
        *(device(f"gaudi-{n}", Alias(f"AK2100523{n}", "habana.ai/")) for n in range(2)),
        *(device(f"tpu-{n}", Alias(str(n), "google.com/tpu"), Alias(f"accel{n}", "google.com/tpu")) for n in range(2)),
        *(device(f"ascend-{n}", Alias(f"Ascend910-{n}", "huawei.com/")) for n in (3, 5, 100)),
        *(device(f"inference-{n}", Alias(f"Ascend310P-{n}", "huawei.com/")) for n in (2, 3)),
    ],
    [Partition("slice", "ascend-3", "4c", frozenset({Alias("Ascend910-4c-101-3", "huawei.com/")}))],
)


@pytest.mark.parametrize(
    ("resource", "device_id", "uuid"),
    [
        ("gpu.intel.com/i915", "card1-0", "intel-1"),
        ("gpu.intel.com/xe", "card0-3", "intel-0"),
        ("gpu.intel.com/i915", "card9-0", None),
        ("gpu.intel.com/i915", "card1-x", None),
        ("gpu.intel.com/i915", "card1-", None),
        ("gpu.intel.com/monitoring", "all", None),
        ("gpu.intel.com/i915_monitoring", "card1-0", None),
        ("npu.intel.com/accel", "accel1-7", "npu-1"),
        ("example.com/gpu", "card1-0", None),
        ("aws.amazon.com/neuron", "2", "neuron-2"),
        ("aws.amazon.com/neurondevice", "2", "neuron-2"),
        ("aws.amazon.com/neuroncore", "2", "neuron-1"),
        ("aws.amazon.com/neuroncore", "5", "neuron-2"),
        ("aws.amazon.com/neuroncore", "6", None),
        ("habana.ai/gaudi", "AK21005231", "gaudi-1"),
        ("habana.ai/gaudi", "AK2100523", None),
        ("google.com/tpu", "1", "tpu-1"),
        ("google.com/tpu", "accel1", "tpu-1"),
        ("huawei.com/Ascend910", "Ascend910-5", "ascend-5"),
        ("huawei.com/Ascend910", "Ascend910-4", None),
        ("huawei.com/Ascend910-2c", "Ascend910-2c-100-5", "ascend-5"),
        ("huawei.com/Ascend910-2c", "Ascend910-2c-100-4", None),
        ("huawei.com/Ascend310P", "Ascend310P-2-3", "inference-2"),
        ("huawei.com/Ascend310P", "Ascend310P-4-3", None),
        ("huawei.com/Ascend310P-2c.1cpu", "Ascend310P-2c.1cpu-100-3", "inference-3"),
        ("huawei.com/npu-core", "npu-core-3", None),
    ],
)
def test_an_id_resolves_to_the_device_it_names(resource: str, device_id: str, uuid: str | None) -> None:
    assert TABLE.resolve(resource, device_id) == (None if uuid is None else (uuid, ""))


def test_the_name_of_a_slice_that_is_listed_is_not_that_of_its_device() -> None:
    assert TABLE.resolve("huawei.com/Ascend910-4c", "Ascend910-4c-101-3") == ("ascend-3", "slice")


def test_the_ids_of_one_device_in_mirrored_resources_mean_that_device() -> None:
    ids = [(resource, "1") for resource in NEURON] + [(NEURON_CORE, core) for core in ("2", "3")]
    assert {TABLE.resolve(*each) for each in ids} == {("neuron-1", "")}


def test_each_form_does_not_change_other_forms() -> None:
    for device_id in (
        "card0",
        "GPU-1-0",
        "gpu-0-128",
        "amdgpu_xcp_3",
        "0000:19:00.0",
        "npu-core-3",
        "Ascend910-2c-100-5",
    ):
        assert without_numbered_share(device_id) == device_id
    for device_id in ("Ascend910-5", "Ascend310P-2-3", "Ascend910-2c-5", "x-2c-100-5", "gpu-0-mig-1c3g-9-0"):
        assert without_template(device_id) == device_id


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("0000-03-00-0-0x56c0", "0000:03:00.0"),
        ("0001-AF-1f-7-0X0bda", "0001:af:1f.7"),
        ("10000-e1-00-0-0x1020", "10000:e1:00.0"),
        ("0000-03-00-0", ""),
        ("0000-03-00-8-0x56c0", ""),
        ("0000-03-00-0-56c0", ""),
        ("0000-03-00-0-0x56c0-1", ""),
        ("gpu-0-mig-1g10gb-19-0", ""),
        ("", ""),
    ],
)
def test_a_name_that_consists_of_a_pci_address_and_a_device_id_gives_the_address(name: str, address: str) -> None:
    assert pci_address_in(name) == address
