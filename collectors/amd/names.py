"""The names of AMD's devices in Kubernetes and on the PCI bus, and of their driver."""

RESOURCE_PREFIX = "amd.com/"
DRA_DRIVER = "gpu.amd.com"
PCI_VENDOR = 0x1002
DRIVER = "amdgpu"
PCI_DRIVER = ("bus", "pci", "drivers", DRIVER)
