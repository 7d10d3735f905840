"""What drivers write into versions 1.0 to 1.3 of `gpu_metrics` for values that a GPU does not have.

Energy: there is space for 64 bits, but the firmware counts 32 on most cards: the counter wraps every 218 s at 300 W.
Only gfx90a has 64 bits in a known unit: gfx942 had them before version 1.4, in units that differ by kernel. Some
drivers fill in 2^32-1 for "not available", which is a possible value of 64 bits.

Video engines: the MI200 cannot report their utilization, and its driver wrote 0; so did the first one of the MI300,
also for the reasons for throttling.

Hotspot: the firmware of RDNA 3 and 4 reports a few percent of throttling by the hotspot's temperature at all times,
also at idle, and the driver sets the bit for more than 0. Public recordings of a W7900 and of an R9700 show it.

Source: the kernel's `aldebaran_ppt.c` (aldebaran_get_gpu_metrics; its commit 819bf6662b93 no longer writes the 0),
`arcturus_ppt.c`, `sienna_cichlid_ppt.c`, `smu_v13_0_6_ppt.c`, and `smu_v13_0_0_ppt.c`, `smu_v13_0_7_ppt.c` and
`smu_v14_0_2_ppt.c` (smu_v13_0_7_get_throttler_status) in `drivers/gpu/drm/amd/pm/swsmu`.
"""

from dataclasses import replace
from pathlib import Path

from collectors.amd.files import read_text
from collectors.amd.gpu_metrics.model import Metrics
from collectors.contract import CollectorError

_VERSIONS = frozenset({(1, 0), (1, 1), (1, 2), (1, 3)})
_REVISIONS = slice(2, 4)  # of the format and of its content, in the header
_MI200 = "gfx90a"
_MI300 = "gfx94"
_WITH_HOTSPOT_BIT_SET = ("gfx11", "gfx12")
# SMU_THROTTLER_TEMP_HOTSPOT_BIT in the kernel's `amdgpu_smu.h`.
_HOTSPOT = 1 << 36
# For a container that may not read the nodes of the compute driver: the PCI device ids of gfx90a. Source:
# CHIP_ALDEBARAN in the kernel's `drivers/gpu/drm/amd/amdgpu/amdgpu_drv.c`.
_MI200_DEVICES = frozenset({"0x7408", "0x740c", "0x740f", "0x7410"})


def may_be_made_up(table: bytes) -> bool:
    """Whether a table is of a version of which the GPU must be known, to know which values are readings."""
    return tuple(table[_REVISIONS]) in _VERSIONS


def known_architecture(architecture: str, folder: Path) -> str:
    """The architecture of a GPU; empty if unknown.

    Args:
        architecture: That of its node, such as `gfx942`; empty if unknown.
        folder: The folder of its PCI function.
    """
    if architecture:
        return architecture
    try:
        return _MI200 if read_text(folder / "device").lower() in _MI200_DEVICES else ""
    except CollectorError:
        return ""


def has_narrow_energy(architecture: str) -> bool:
    """Whether the energy counter of these versions cannot be used: 32 bits, or an ambiguous unit."""
    return architecture != _MI200


def without_made_up(metrics: Metrics, architecture: str) -> Metrics:
    """The values of these versions that are readings. If the architecture is unknown, all doubtful ones are left out.

    Args:
        metrics: All values.
        architecture: That of the GPU; empty if unknown.
    """
    if has_narrow_energy(architecture):
        metrics = replace(metrics, energy_joules=None)
    if architecture.startswith((_MI200, _MI300)):
        metrics = replace(metrics, vcn_ratios=())
    if architecture.startswith(_MI300):
        metrics = replace(metrics, throttle_bits=None)
    if not architecture or architecture.startswith(_WITH_HOTSPOT_BIT_SET):
        metrics = replace(metrics, unknown_throttle_bits=_HOTSPOT)
    return metrics
