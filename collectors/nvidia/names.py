"""The names of NVIDIA's devices in Kubernetes and on the PCI bus, and the file name of their library."""

RESOURCE_PREFIX = "nvidia.com/"
DRA_DRIVER = "gpu.nvidia.com"
PCI_VENDOR = 0x10DE
LIBRARY = "libnvidia-ml.so.1"
