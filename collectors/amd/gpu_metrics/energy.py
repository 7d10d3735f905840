"""Which energy counters of `gpu_metrics` are too narrow to be used.

Versions 1.1 to 1.3 have space for 64 bits, but the firmware counts 32 on most cards: the counter wraps every 218 s at
300 W. Only gfx90a has 64 bits in a known unit: gfx942 had them before version 1.4, in units that differ by kernel. Some
drivers fill in 2^32-1 for "not available", which is a possible value of 64 bits. Source: the kernel's
`aldebaran_ppt.c` (`EnergyAcc64bitHigh` and `EnergyAcc64bitLow`), and `arcturus_ppt.c`, `sienna_cichlid_ppt.c`,
`smu_v13_0_0_ppt.c`, `smu_v14_0_2_ppt.c` (`EnergyAccumulator`) in `drivers/gpu/drm/amd/pm/swsmu`.
"""

from pathlib import Path

from collectors.amd.files import read_text
from collectors.contract import CollectorError

_VERSIONS = frozenset({(1, 1), (1, 2), (1, 3)})
_REVISIONS = slice(2, 4)  # of the format and of its content, in the header
_WIDE = "gfx90a"
# For a container that may not read the nodes of the compute driver: the PCI device ids of gfx90a. Source:
# CHIP_ALDEBARAN in the kernel's `drivers/gpu/drm/amd/amdgpu/amdgpu_drv.c`.
_WIDE_DEVICES = frozenset({"0x7408", "0x740c", "0x740f", "0x7410"})


def is_narrow(table: bytes, architecture: str, folder: Path) -> bool:
    """Whether the energy counter of a table cannot be used: 32 bits, or an ambiguous unit.

    Args:
        table: The content of `gpu_metrics`.
        architecture: That of the GPU, such as `gfx942`; empty if unknown.
        folder: The folder of its PCI function.
    """
    if tuple(table[_REVISIONS]) not in _VERSIONS:
        return False
    if architecture:
        return architecture != _WIDE
    try:
        return read_text(folder / "device").lower() not in _WIDE_DEVICES
    except CollectorError:
        return True
