"""Which device or partition a claim allocates: each driver's names and device nodes, and what is not resolved.

One node has the devices of all drivers. Their aliases are given here as collectors give them; most of these vendors
have no collector. Names and nodes are those of the drivers' sources and documentation in 2026.
"""

import pytest

from collectors.contract import SubjectKey
from exporter.attribution.claim_resolution import ClaimMatch, Finder, Lookups, UnresolvedReason, Way
from exporter.attribution.inventory import Inventory
from exporter.attribution.slice_pools import SliceAttributes
from tests.doubles.claims import OTHER_UID, UID, CdiTable, Objects, claimed, device, partition

NVIDIA, AMD, TPU, NEURON = "gpu.nvidia.com", "gpu.amd.com", "tpu.google.com", "neuron.aws.com"
CAPS = "/dev/nvidia-caps/nvidia-cap"
OLD_MIG, MIG = "gpu-0-mig-20-5-2", "gpu-0-mig-1g24gb-me-20-5"

INVENTORIES = (
    Inventory(
        (
            device("nv-whole", "gpu-3", "/dev/nvidia3", "/dev/dri/card4", "0000:3b:00.0", driver=NVIDIA),
            device("nv-cut", "gpu-0", "/dev/nvidia0", "0000:1b:00.0", driver=NVIDIA),
            device("nv-vm", "0000:5b:00.0", "/dev/vfio/12"),
            device("nv-hidden", "gpu-5", "/dev/nvidia5", driver=NVIDIA, partitions_known=False),
        ),
        (
            partition("nv-cut", "mig-named", f"{CAPS}12", f"{CAPS}13", MIG, OLD_MIG, driver=NVIDIA),
            partition("nv-cut", "mig", f"{CAPS}21", f"{CAPS}22"),
        ),
        ("nvidia.com/",),
        (NVIDIA,),
    ),
    Inventory(
        (
            device("amd-whole", "gpu-1-128", "/dev/dri/renderD128", "/dev/dri/card1", "0000:6b:00.0", driver=AMD),
            device("amd-cut", "0000:7b:00.0"),
            device("amd-vm", "0000:8b:00.0", "/dev/vfio/40"),
        ),
        (
            partition("amd-cut", "xcp-0", "gpu-2-129", "/dev/dri/renderD129", driver=AMD),
            partition("amd-cut", "xcp-1", "gpu-3-130", "/dev/dri/renderD130", driver=AMD),
        ),
        ("amd.com/",),
        (AMD,),
    ),
    Inventory((device("intel", "0000:03:00.0", "/dev/dri/renderD131"),), ()),
    Inventory((device("gaudi", "0000:19:00.0", "/dev/accel/accel0"),), ()),
    Inventory(
        (device("tpu", "accel2", "/dev/accel2", driver=TPU), device("tpu-vfio", "7", "/dev/vfio/7", driver=TPU)), ()
    ),
    Inventory((device("neuron", "neurondevice4", "/dev/neuron4", driver=NEURON),), ()),
    Inventory((device("invented", "/dev/quantum/1"),), ()),
)
COMMON = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/kfd", "/dev/vfio/vfio")

# By name of the row: driver, its name of the device, the device nodes of its CDI device, what it is, how it is found.
# Sources of names and nodes: NVIDIA: cmd/gpu-kubelet-plugin/{deviceinfo,mig,cdi}.go of
# kubernetes-sigs/dra-driver-nvidia-gpu; AMD: cmd/gpu-kubeletplugin/deviceinfo.go and docs/driver-attributes.md of
# ROCm/k8s-gpu-dra-driver; Intel: pkg/helpers/device.go of intel/intel-resource-drivers-for-kubernetes; TPU and Neuron:
# the vendors' documentation.
ROWS: dict[str, tuple[str, str, tuple[str, ...], SubjectKey, Way]] = {
    "NVIDIA GPU": (NVIDIA, "gpu-3", ("/dev/nvidia3",), SubjectKey("nv-whole"), Way.NAME),
    "NVIDIA GPU that hides its partitions": (NVIDIA, "gpu-5", (), SubjectKey("nv-hidden"), Way.NAME),
    "NVIDIA MIG": (NVIDIA, MIG, (f"{CAPS}12",), SubjectKey("nv-cut", "mig-named"), Way.NAME),
    "NVIDIA MIG, driver before 25.8": (NVIDIA, OLD_MIG, (f"{CAPS}12",), SubjectKey("nv-cut", "mig-named"), Way.NAME),
    "NVIDIA MIG, without privilege, and DynamicMIG": (
        NVIDIA,
        "gpu-0-mig-1g24gb-20-3",
        ("/dev/nvidia0", f"{CAPS}21", f"{CAPS}22"),
        SubjectKey("nv-cut", "mig"),
        Way.CDI,
    ),
    "NVIDIA MIG with the driver in a container": (
        NVIDIA,
        "gpu-0-mig-1g24gb-20-3",
        ("/run/nvidia/driver/dev/nvidia0", f"/run/nvidia/driver{CAPS}22"),
        SubjectKey("nv-cut", "mig"),
        Way.CDI,
    ),
    "NVIDIA vfio": (NVIDIA, "gpu-vfio-2", ("/dev/vfio/12",), SubjectKey("nv-vm"), Way.CDI),
    "AMD GPU": (AMD, "gpu-1-128", (), SubjectKey("amd-whole"), Way.NAME),
    "AMD static partition": (AMD, "gpu-3-130", ("/dev/dri/renderD130",), SubjectKey("amd-cut", "xcp-1"), Way.NAME),
    "AMD AutoPartition": (
        AMD,
        "gpu-1-cpx-nps4",
        ("/dev/dri/renderD130",),
        SubjectKey("amd-cut", "xcp-1"),
        Way.CDI,
    ),
    "AMD vfio": (AMD, "gpu-vfio-0", ("/dev/vfio/40",), SubjectKey("amd-vm"), Way.CDI),
    "Intel GPU": ("gpu.intel.com", "0000-03-00-0-0x56c0", (), SubjectKey("intel"), Way.NAME),
    "Gaudi": ("gaudi.intel.com", "0000-19-00-0-0x1020", (), SubjectKey("gaudi"), Way.NAME),
    "TPU": (TPU, "accel2", (), SubjectKey("tpu"), Way.NAME),
    "TPU by vfio": (TPU, "7", (), SubjectKey("tpu-vfio"), Way.NAME),
    "Neuron": (NEURON, "neurondevice4", (), SubjectKey("neuron"), Way.NAME),
    "a driver that no one knows": (
        "qpu.invented.example",
        "core-1",
        ("/dev/quantum/ctl", "/dev/quantum/1"),
        SubjectKey("invented"),
        Way.CDI,
    ),
}


def search(
    name: str, driver: str, *nodes: str, key: str = "", shares: int = 1, objects: Objects | None = None
) -> ClaimMatch:
    """Search for a device whose CDI device has these nodes, besides those that all have."""
    cdi = CdiTable({key or f"{UID}-{name}": (*nodes, *COMMON)} if nodes else {})
    return Finder(INVENTORIES, Lookups(cdi, objects)).find(claimed(name, driver), shares)


@pytest.mark.parametrize(("driver", "name", "nodes", "subject", "way"), ROWS.values(), ids=ROWS)
def test_finds_the_device_of_each_driver(
    driver: str, name: str, nodes: tuple[str, ...], subject: SubjectKey, way: Way
) -> None:
    found = search(name, driver, *nodes)
    assert (found.subject, found.way, found.reason, found.devices) == (subject, way, "", frozenset())


ALL_NVIDIA = frozenset({"nv-whole", "nv-cut", "nv-vm", "nv-hidden"})
ALL_AMD = frozenset({"amd-whole", "amd-cut", "amd-vm"})


@pytest.mark.parametrize(
    ("driver", "name", "nodes", "reason", "devices"),
    [
        pytest.param(NVIDIA, "gpu-9", (), "not_found", ALL_NVIDIA, id="a number that is not known"),
        pytest.param(NVIDIA, "gpu-0-mig-2g48gb-9-0", (), "not_found", {"nv-cut"}, id="a partition of a known device"),
        pytest.param(NVIDIA, "gpu-31-mig-2g48gb-9-0", (), "not_found", ALL_NVIDIA, id="not the device with number 3"),
        pytest.param("npu.intel.com", "0000-7b-00-0-0x1", (), "not_found", (), id="the address of a partitioned one"),
        pytest.param(AMD, "gpu-1-cpx-nps4", (), "not_found", ALL_AMD, id="gpu-1-128 is not its beginning"),
        pytest.param("gpu.other.example", "gpu-3", (), "not_found", (), id="a name in the scope of another driver"),
        pytest.param("gpu.nvidia.com.example", "gpu-3", (), "not_found", (), id="a longer name of a driver"),
        pytest.param(
            NVIDIA,
            "gpu-0-mig-2g48gb-9-0",
            ("/dev/nvidia0", f"{CAPS}99"),
            UnresolvedReason.PARTITION_NOT_LISTED,
            {"nv-cut"},
            id="a new partition",
        ),
        pytest.param(
            NVIDIA,
            "gpu-3-mig-2g48gb-9-0",
            ("/dev/nvidia3", f"{CAPS}99"),
            UnresolvedReason.PARTITION_NOT_LISTED,
            {"nv-whole"},
            id="the first partition of a device",
        ),
        pytest.param(NVIDIA, MIG, (), "not_found", {"nv-cut"}, id="a partition by name, without the claim's file"),
        pytest.param(
            NVIDIA,
            "gpu-5-mig-2g48gb-9-0",
            ("/dev/nvidia5", f"{CAPS}99"),
            UnresolvedReason.PARTITION_NOT_LISTED,
            {"nv-hidden"},
            id="a partition that cannot be seen",
        ),
        pytest.param(
            NVIDIA,
            "gpus",
            ("/dev/nvidia0", "/dev/nvidia3"),
            UnresolvedReason.SEVERAL_DEVICES,
            {"nv-cut", "nv-whole"},
            id="two devices",
        ),
        pytest.param(
            NVIDIA,
            "gpus",
            ("/dev/nvidia3", f"{CAPS}21"),
            UnresolvedReason.SEVERAL_DEVICES,
            {"nv-cut", "nv-whole"},
            id="a partition beside another device",
        ),
        pytest.param(
            AMD,
            "gpu-1-cpx-nps4",
            ("/dev/dri/renderD129", "/dev/dri/renderD130"),
            UnresolvedReason.SEVERAL_DEVICES,
            {"amd-cut"},
            id="two partitions",
        ),
        pytest.param(
            "net.example", "eth-1", ("/dev/net/tun",), UnresolvedReason.UNKNOWN_NODES, (), id="no accelerator"
        ),
    ],
)
def test_guesses_nothing(driver: str, name: str, nodes: tuple[str, ...], reason: str, devices: set[str]) -> None:
    found = search(name, driver, *nodes)
    assert (found.subject, found.reason, found.devices) == (None, reason, frozenset(devices))


def test_a_cdi_device_with_more_in_its_name_is_not_that_of_the_device() -> None:
    """The kubelet lists the CDI devices of other devices of the claim too."""
    for key in (f"{UID}-gpu-vfio-21", f"{UID}-x-gpu-vfio-2", f"{OTHER_UID}-gpu-vfio-2", f"{UID}-before"):
        assert search("gpu-vfio-2", NVIDIA, "/dev/vfio/12", key=key).subject is None


def test_a_name_of_very_many_words_names_the_device_in_its_first_words() -> None:
    found = search("gpu-0" + "-x" * 1_000_000, NVIDIA)
    assert (found.subject, found.devices) == (None, frozenset({"nv-cut"}))


def test_two_shares_of_one_claim_are_not_told_apart_by_their_nodes() -> None:
    found = search("gpu-1-cpx-nps4", AMD, "/dev/dri/renderD130", shares=2)
    assert (found.subject, found.reason, found.devices) == (
        None,
        UnresolvedReason.SEVERAL_SHARES,
        frozenset({"amd-cut"}),
    )
    assert search("gpu-1-128", AMD, shares=2).subject == SubjectKey("amd-whole")


@pytest.mark.parametrize(
    ("attributes", "subject", "devices"),
    [
        (SliceAttributes(uuid="mig", pci_bus_id="0000:1b:00.0"), SubjectKey("nv-cut", "mig"), ()),
        (SliceAttributes(uuid="nv-whole"), SubjectKey("nv-whole"), ()),
        (SliceAttributes(pci_bus_id="0000:3b:00.0"), SubjectKey("nv-whole"), ()),
        (SliceAttributes(pci_bus_id="0000:3B:00.0"), SubjectKey("nv-whole"), ()),
        (SliceAttributes(uuid="unknown", pci_bus_id="0000:1b:00.0"), None, {"nv-cut"}),
        (SliceAttributes(uuid="unknown"), None, ALL_NVIDIA),
    ],
    ids=["uuid of a partition", "uuid", "PCI address", "in capitals", "PCI address of a partition", "nothing known"],
)
def test_finds_by_the_attributes_in_a_slice(
    attributes: SliceAttributes, subject: SubjectKey | None, devices: set[str]
) -> None:
    found = search("dev-x", NVIDIA, objects=Objects({"dev-x": attributes}))
    assert (found.subject, found.devices) == (subject, frozenset(devices))
    assert found.way is (Way.SLICE if subject else None)


def test_an_address_in_a_slice_does_not_mean_the_device_whose_name_begins_that_of_a_partition() -> None:
    objects = Objects({"gpu-3-mig-2g48gb-9-0": SliceAttributes(pci_bus_id="0000:3b:00.0")})
    found = search("gpu-3-mig-2g48gb-9-0", NVIDIA, objects=objects)
    assert (found.subject, found.devices) == (None, frozenset({"nv-whole"}))


def test_the_name_comes_before_the_nodes_and_these_before_the_slice() -> None:
    objects = Objects({name: SliceAttributes(uuid="nv-vm") for name in ("gpu-3", "gpu-x")})
    assert search("gpu-3", NVIDIA, "/dev/nvidia0", objects=objects).subject == SubjectKey("nv-whole")
    assert search("gpu-x", NVIDIA, "/dev/nvidia3", objects=objects).subject == SubjectKey("nv-whole")
    assert search("gpu-x", NVIDIA, objects=objects).subject == SubjectKey("nv-vm")


def test_without_cdi_files_and_slices_only_names_are_known() -> None:
    finder = Finder(INVENTORIES, Lookups())
    assert finder.find(claimed("gpu-3", NVIDIA)).subject == SubjectKey("nv-whole")
    assert finder.find(claimed(MIG, NVIDIA)).subject == SubjectKey("nv-cut", "mig-named")
    assert finder.find(claimed("gpu-vfio-2", NVIDIA)).reason == UnresolvedReason.UNKNOWN_NAME


def test_a_name_that_two_devices_have_means_neither() -> None:
    twice = Inventory((device("a", "gpu-0", driver=NVIDIA), device("b", "gpu-0", driver=NVIDIA)), ())
    found = Finder([twice], Lookups()).find(claimed("gpu-0", NVIDIA))
    assert (found.subject, found.devices) == (None, frozenset({"a", "b"}))
