"""Devices that VFIO can pass to a virtual machine: no driver of this machine reads them, only sysfs knows them.

Source: the kernel's `Documentation/driver-api/vfio.rst`.
"""

from collections.abc import Iterable

from collectors.contract import Alias
from collectors.pci import PciFunction, spellings
from collectors.sysfs import Root

_DEVICES = ("bus", "pci", "devices")


def passed_through(functions: Iterable[PciFunction]) -> tuple[PciFunction, ...]:
    """The functions bound to vfio-pci or a vendor's variant of it, in their order.

    Virtual functions are parts of a device, so they are not included.
    """
    return tuple(each for each in functions if each.driver is not None and "vfio" in each.driver and not each.virtual)


def aliases(sysfs: Root, address: str, resource_prefix: str) -> frozenset[Alias]:
    """The names under which such a device can be allocated.

    They are its PCI address; the files of its IOMMU group and of itself, which are in the specifications that describe
    a claim's devices; and the number of the group, which is the id of the device plugins of KubeVirt (`PCIDevicePlugin`
    in its `pkg/virt-handler/device-manager/pci_device.go`), NVIDIA (`pkg/device_plugin/device_plugin.go` of
    https://github.com/NVIDIA/kubevirt-gpu-device-plugin) and AMD (`internal/pkg/amdgpu/amdgpu_pf.go` of
    https://github.com/ROCm/k8s-device-plugin). A group is passed as a whole, and its number is unique on a machine.

    Args:
        sysfs: The root of the host's `/sys`.
        address: The PCI address as the kernel writes it.
        resource_prefix: The prefix of the resources whose ids can be the number of a group.
    """
    names = {Alias(name) for name in spellings(address)}
    group = sysfs.link_name(*_DEVICES, address, "iommu_group") or ""
    if group.isdecimal():
        names |= {Alias(f"/dev/vfio/{group}"), Alias(group, resource_prefix)}
    names |= {Alias(f"/dev/vfio/devices/{name}") for name in sysfs.names(*_DEVICES, address, "vfio-dev")}
    return frozenset(names)
