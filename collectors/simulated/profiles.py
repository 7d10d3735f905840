"""The accelerator models for scenarios.

Every value here is assumed: plausible for such a card, near its data sheet if there is one, but not measured. Families,
labels, codes and states are those that the real collector supplies for such a card: `tests/golden/test_profiles.py`
compares them.
"""

from dataclasses import replace

from collectors import catalog
from collectors.simulated import amd_profiles, families
from collectors.simulated.profile import (
    Clock,
    EngineLoad,
    ErrorCode,
    Fabric,
    Naming,
    Profile,
    Scheme,
    Sensor,
    TemperatureLimit,
)

_MIB = 1 << 20
_GIB = 1 << 30
_MEGAHERTZ = 1e6

# In MIG mode NVML reports power, temperature, clocks and errors, but no utilization, links and row remapping.
_NVIDIA_PARTITIONED = (
    families.STATE
    | families.MEMORY
    | families.POWER
    | families.HEAT
    | families.CLOCKS
    | families.PCIE
    | families.EVENTS
    | families.NVIDIA
)
_NVIDIA = _NVIDIA_PARTITIONED | families.LOAD | families.ROWS
# What GPM supplies for whole devices and for slices, in MIG mode too.
_GPM = families.ACTIVITY | {catalog.UTILIZATION}
# Ada and later report the margin instead of limits. The bytes over PCIe have 64-bit counters.
_NEWER = families.MARGIN | {catalog.PCIE_BYTES}
_NVIDIA_SLICE = families.SLICE | {catalog.MEMORY_RESERVED}
# As the NVIDIA collector classifies them; a test compares them. Other codes get a counter with their first event.
_XIDS = (
    *(
        ErrorCode("xid", code, "hardware", fatal=True)
        for code in ("62", "64", "79", "95", "119", "120", "140", "143", "158")
    ),
    *(ErrorCode("xid", code, "hardware") for code in ("48", "74", "94")),
    ErrorCode("driver", "gpu_unavailable", "hardware", fatal=True),
    ErrorCode("xid", "63", "hardware", from_start=False),
    *(ErrorCode("xid", code, "application", from_start=False) for code in ("13", "31", "43", "45")),
)
_NVIDIA_NAMING = Naming("GPU-", "MIG-", "nvidia.com/gpu", "nvidia.com/mig-{profile}", Scheme.MINOR)
_REASONS = ("power", "thermal", "hardware", "external")
# By the generation: as sums over the links, or of each link.
_NVLINK_3_ERRORS = ("crc_flit", "crc_data", "replay", "recovery")
_NVLINK_4_ERRORS = ("replay", "recovery", "crc")

H100 = Profile(
    name="h100",
    vendor="nvidia",
    model="NVIDIA H100 80GB HBM3",
    device_class="gpu",
    architecture="hopper",
    driver_version="580.95.05",
    firmware_version="96.00.99.00.01",
    memory_bytes=80 * _GIB,
    reserved_bytes=600 * _MIB,
    idle_watts=70.0,
    limit_watts=700.0,
    full_celsius=68.0,
    sensors=(Sensor("core", 0.0, 0.0), Sensor("memory", 8.0, 14.0)),
    limits=(TemperatureLimit("core", "slowdown", 87.0),),  # shown as the margin
    clocks=(
        Clock("core", 345 * _MEGAHERTZ, 1980 * _MEGAHERTZ),
        Clock("sm", 345 * _MEGAHERTZ, 1980 * _MEGAHERTZ),
        Clock("memory", 1593 * _MEGAHERTZ, 2619 * _MEGAHERTZ),
        Clock("video", 765 * _MEGAHERTZ, 1545 * _MEGAHERTZ),
    ),
    fans=0,
    engines=(
        EngineLoad("encoder", 0.0),
        EngineLoad("decoder", 0.08),
        EngineLoad("jpeg", 0.03),
        EngineLoad("optical_flow", 0.0),
    ),
    pipes=(
        EngineLoad("sm", 0.86),
        EngineLoad("tensor", 0.52),
        EngineLoad("fp64", 0.01),
        EngineLoad("fp32", 0.14),
        EngineLoad("fp16", 0.06),
        EngineLoad("integer", 0.11),
    ),
    throttle_reasons=_REASONS,
    pcie_generation=5,
    pcie_width=16,
    fabric=Fabric("nvlink", 18, 450e9, _NVLINK_4_ERRORS, registers=True),
    error_codes=_XIDS,
    modes=(("ecc", True), ("persistence", True), ("exclusive", False), ("confidential", False)),
    naming=_NVIDIA_NAMING,
    whole=_NVIDIA | _NEWER | families.ACTIVITY | families.LINKS | families.FABRIC,
    partitioned=_NVIDIA_PARTITIONED | _NEWER | _GPM | families.FABRIC,
    partition=_NVIDIA_SLICE | _GPM,
    memory_banks=2560,
)
# Partitions of this card have only memory and processes: utilization exists from the next generation on.
A100 = replace(
    H100,
    name="a100",
    model="NVIDIA A100-SXM4-80GB",
    architecture="ampere",
    driver_version="570.124.06",
    firmware_version="92.00.45.00.03",
    idle_watts=55.0,
    limit_watts=400.0,
    full_celsius=64.0,
    limits=(
        TemperatureLimit("core", "slowdown", 89.0),
        TemperatureLimit("core", "shutdown", 92.0),
        TemperatureLimit("core", "maximum", 85.0),
        TemperatureLimit("memory", "maximum", 95.0),
    ),
    clocks=(
        Clock("core", 210 * _MEGAHERTZ, 1410 * _MEGAHERTZ),
        Clock("sm", 210 * _MEGAHERTZ, 1410 * _MEGAHERTZ),
        Clock("memory", 1593 * _MEGAHERTZ, 1593 * _MEGAHERTZ),
        Clock("video", 585 * _MEGAHERTZ, 1290 * _MEGAHERTZ),
    ),
    pipes=(),
    pcie_generation=4,
    fabric=Fabric("nvlink", 12, 300e9, _NVLINK_3_ERRORS, registers=False),
    whole=_NVIDIA | families.LIMITS | families.LINKS | {catalog.MEMORY_BUSY},
    partitioned=_NVIDIA_PARTITIONED | families.LIMITS,
    partition=_NVIDIA_SLICE,
    memory_banks=640,
)
L40S = replace(
    H100,
    name="l40s",
    model="NVIDIA L40S",
    architecture="ada",
    firmware_version="95.02.66.00.02",
    memory_bytes=48 * _GIB,
    reserved_bytes=450 * _MIB,
    idle_watts=35.0,
    limit_watts=350.0,
    full_celsius=66.0,
    sensors=(Sensor("core", 0.0, 0.0),),
    limits=(TemperatureLimit("core", "slowdown", 88.0),),
    clocks=(
        Clock("core", 210 * _MEGAHERTZ, 2520 * _MEGAHERTZ),
        Clock("sm", 210 * _MEGAHERTZ, 2520 * _MEGAHERTZ),
        Clock("memory", 405 * _MEGAHERTZ, 9001 * _MEGAHERTZ),
        Clock("video", 1185 * _MEGAHERTZ, 1965 * _MEGAHERTZ),
    ),
    engines=(
        EngineLoad("encoder", 0.22),
        EngineLoad("decoder", 0.31),
        EngineLoad("jpeg", 0.05),
        EngineLoad("optical_flow", 0.0),
    ),
    pipes=(),
    pcie_generation=4,
    fabric=None,
    whole=_NVIDIA | _NEWER | {catalog.MEMORY_BUSY},
    partitioned=frozenset(),
    partition=frozenset(),
    memory_banks=192,
)
RTX6000ADA = replace(
    L40S,
    name="rtx6000ada",
    model="NVIDIA RTX 6000 Ada Generation",
    firmware_version="95.02.1c.00.05",
    idle_watts=20.0,
    limit_watts=300.0,
    full_celsius=74.0,
    fans=1,
    whole=_NVIDIA | _NEWER | {catalog.MEMORY_BUSY, catalog.FAN_SPEED},
)
# Any other card: it has few families, and its energy is integrated from its power.
NPU = Profile(
    name="npu",
    vendor="generic",
    model="Generic NPU 32GB",
    device_class="npu",
    architecture="",
    driver_version="1.0.0",
    firmware_version="",
    memory_bytes=32 * _GIB,
    reserved_bytes=0,
    idle_watts=15.0,
    limit_watts=150.0,
    full_celsius=70.0,
    sensors=(Sensor("board", 0.0, 0.0),),
    limits=(),
    clocks=(Clock("core", 200 * _MEGAHERTZ, 1600 * _MEGAHERTZ),),
    fans=0,
    engines=(),
    pipes=(),
    throttle_reasons=(),
    pcie_generation=4,
    pcie_width=8,
    fabric=None,
    error_codes=(),
    modes=(),
    naming=Naming("npu-", "npu-", "example.com/npu", "example.com/npu-{profile}", Scheme.UUID),
    whole=frozenset(
        {
            catalog.INFO,
            catalog.STATUS_STATE,
            catalog.PARTITIONS,
            catalog.UTILIZATION,
            catalog.MEMORY_USAGE,
            catalog.MEMORY_LIMIT,
            catalog.PROCESSES,
            catalog.POWER,
            catalog.TEMPERATURE,
            catalog.CLOCK,
            catalog.MAX_CLOCK,
        }
    ),
    partitioned=frozenset({catalog.INFO, catalog.STATUS_STATE, catalog.PARTITIONS, catalog.POWER, catalog.TEMPERATURE}),
    partition=families.SLICE | {catalog.UTILIZATION},
)
# All profiles; scenarios use their names.
PROFILES = (H100, A100, L40S, RTX6000ADA, *amd_profiles.PROFILES, NPU)
