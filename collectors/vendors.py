"""Facts about accelerator vendors that do not need a collector: names of PCI ids, and variables that hide devices."""

from dataclasses import dataclass

from collectors.pci import PciFunction

_VGA = 0x0300
_COMPUTE_CARD = 0x0302
_OTHER_DISPLAY = 0x0380
_PROCESSING_ACCELERATORS = 0x12


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that controls which devices a container runtime shows to a container.

    Attributes:
        name: The name of the variable.
        shows_all: The value that shows everything.
        shows: What may be hidden from the container without this value.
        hidden_ids: The beginnings of the ids of what may be hidden, in upper case.
        hides_devices: Whether it can hide whole devices, not only parts of them.
    """

    name: str
    shows_all: str
    shows: str
    hidden_ids: tuple[str, ...] = ()
    hides_devices: bool = False


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor of accelerators.

    Attributes:
        name: One word in lower case, as in `Device.vendor`.
        title: The name for people.
        pci_id: PCI vendor id.
        graphics: True if its display controllers are accelerators, not only the graphics of a server's console.
        variables: The variables that can hide its devices from a container.
        privileged_only: What only a privileged container can read of its devices, for people; empty where nothing.
        host_processes_only: Likewise, what needs the host's process namespace.
    """

    name: str
    title: str
    pci_id: int
    graphics: bool = False
    variables: tuple[Variable, ...] = ()
    privileged_only: str = ""
    host_processes_only: str = ""


# Source of the ids: the registry of the PCI special interest group, as in `pci.ids`.
VENDORS: tuple[Vendor, ...] = (
    Vendor(
        "amd",
        "AMD",
        0x1002,
        graphics=True,
        # KFD's files need the device cgroup of the GPU's render node: in Kubernetes, a privileged container.
        privileged_only="AMD partitions and ROCm process data",
        # From `/proc/<pid>/fdinfo` of every process.
        host_processes_only="number of AMD processes that draw or decode video, "
        "which also needs SYS_PTRACE and DAC_READ_SEARCH",
    ),
    Vendor("cambricon", "Cambricon", 0xCABC),
    Vendor("furiosa", "FuriosaAI", 0x1ED2),
    Vendor("google", "Google", 0x1AE0),
    Vendor("habana", "Habana Labs", 0x1DA3),
    Vendor("huawei", "Huawei", 0x19E5),
    Vendor("intel", "Intel", 0x8086, graphics=True),
    Vendor("moorethreads", "Moore Threads", 0x1ED5, graphics=True),
    Vendor(
        "nvidia",
        "NVIDIA",
        0x10DE,
        graphics=True,
        variables=(
            Variable("NVIDIA_VISIBLE_DEVICES", "all", "devices of the node", ("GPU-", "MIG-"), hides_devices=True),
            Variable("NVIDIA_MIG_MONITOR_DEVICES", "all", "MIG instances of its devices", ("MIG-",)),
        ),
    ),
    Vendor("qualcomm", "Qualcomm", 0x17CB),
    Vendor("rebellions", "Rebellions", 0x1EFF),
    Vendor("tenstorrent", "Tenstorrent", 0x1E52),
)

# DRA drivers whose devices are no accelerators, though a driver of accelerators may come with them: channels between
# nodes, cryptographic offload, network interfaces (github.com/google/dranet).
DRIVERS_WITHOUT_ACCELERATORS = frozenset({"compute-domain.nvidia.com", "qat.intel.com", "dra.net"})

# DRA drivers whose attribute `uuid` does not identify a device: this one makes it from the node's name (version 0.2.0),
# so that all chips of a node have the same.
DRIVERS_WITH_UUIDS_OF_NODES = frozenset({"tpu.google.com"})
# Values of the attribute `type` of the DRA drivers of NVIDIA and AMD.
# A partition, whose `resource.kubernetes.io/pciBusID` is that of its device.
TYPES_OF_PARTITIONS = frozenset({"mig", "amdgpu-partition"})
# A device for virtual machines, whose `uuid` is made from its PCI address: other nodes have the same.
TYPES_WITH_MADE_UP_UUIDS = frozenset({"vfio"})


def vendor_of(pci_id: int) -> Vendor | None:
    """The vendor with a PCI vendor id; None for a vendor that is not in the list."""
    return next((vendor for vendor in VENDORS if vendor.pci_id == pci_id), None)


def is_accelerator(function: PciFunction) -> bool:
    """True for compute cards and processing accelerators of any vendor, and display controllers that can compute."""
    subclass = function.pci_class >> 8
    if subclass == _COMPUTE_CARD or subclass >> 8 == _PROCESSING_ACCELERATORS:
        return True
    vendor = vendor_of(function.vendor)
    return subclass in (_VGA, _OTHER_DISPLAY) and vendor is not None and vendor.graphics
