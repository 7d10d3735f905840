"""AMD's accelerator models, as the AMD collector reports them; see `profiles`."""

from dataclasses import replace

from collectors import catalog
from collectors.simulated import families
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

_GIB = 1 << 30
_MEGAHERTZ = 1e6

_RELIABILITY = families.EVENTS | {catalog.MEMORY_RETIRED_PAGES, catalog.MEMORY_REPAIR_PENDING}
_XGMI = frozenset({catalog.INTERCONNECT_BYTES, catalog.INTERCONNECT_LINKS, catalog.INTERCONNECT_BANDWIDTH_LIMIT})
_EVERY = (
    families.STATE
    | {catalog.UTILIZATION, catalog.MEMORY_USAGE, catalog.MEMORY_LIMIT, catalog.HOST_MEMORY_USAGE}
    | families.POWER
    | {catalog.TEMPERATURE, catalog.TEMPERATURE_LIMIT}
    | {catalog.CLOCK, catalog.MAX_CLOCK, catalog.THROTTLE_ACTIVE}
    | families.PCIE
)
# The firmware reports the time in throttling, engines and links; a partitioned device has the same families.
_INSTINCT_300 = (
    _EVERY | _RELIABILITY | _XGMI | {catalog.MEMORY_BANDWIDTH, catalog.THROTTLE_SECONDS, catalog.ENGINE_UTILIZATION}
)
_INSTINCT_200 = _EVERY | _RELIABILITY | {catalog.MEMORY_CONTROLLER_ACTIVITY, catalog.INTERCONNECT_LINKS}
# No error counts; an energy counter that stays at 0, so that the power is integrated.
_RADEON = (_EVERY | {catalog.MEMORY_CONTROLLER_ACTIVITY, catalog.FAN_SPEED, catalog.ENGINE_UTILIZATION}) - {
    catalog.ENERGY,
    catalog.MODE_STATE,
}
_PARTITION = families.SLICE | {catalog.UTILIZATION}

_BLOCKS = ("umc", "sdma", "gfx", "mmhub", "xgmi_wafl")
_MORE_BLOCKS = (*_BLOCKS, "athub", "pcie_bif", "hdp", "df")
_NAMING = Naming("GPU-", "GPU-", "amd.com/gpu", "amd.com/gpu", Scheme.ADDRESS)
_STACKS = tuple(Sensor(f"hbm{stack}", 3.0 + stack, 4.0 + stack) for stack in range(4))


def _ras(blocks: tuple[str, ...]) -> tuple[ErrorCode, ...]:
    return tuple(ErrorCode("ras", block, "hardware") for block in blocks)


MI300X = Profile(
    name="mi300x",
    vendor="amd",
    model="AMD Instinct MI300X OAM",
    device_class="gpu",
    architecture="gfx942",
    driver_version="6.12.12",
    firmware_version="022.040.003.043.000001",
    memory_bytes=192 * _GIB,
    reserved_bytes=0,
    idle_watts=130.0,
    limit_watts=750.0,
    full_celsius=72.0,
    sensors=(Sensor("hotspot", 0.0, 0.0), Sensor("memory", -4.0, -9.0)),
    limits=(
        TemperatureLimit("hotspot", "slowdown", 100.0),
        TemperatureLimit("hotspot", "shutdown", 110.0),
        TemperatureLimit("memory", "slowdown", 105.0),
        TemperatureLimit("memory", "shutdown", 115.0),
    ),
    clocks=(
        Clock("core", 132 * _MEGAHERTZ, 2100 * _MEGAHERTZ),
        Clock("memory", 900 * _MEGAHERTZ, 1300 * _MEGAHERTZ),
        Clock("soc", 29 * _MEGAHERTZ, 1143 * _MEGAHERTZ),
        Clock("fabric", 1200 * _MEGAHERTZ, 2000 * _MEGAHERTZ),
    ),
    fans=0,
    engines=(EngineLoad("video", 0.04), EngineLoad("jpeg", 0.02)),
    pipes=(),
    throttle_reasons=("power", "thermal", "external"),
    pcie_generation=5,
    pcie_width=16,
    fabric=Fabric("xgmi", 7, 448e9, (), registers=False),
    error_codes=_ras(_BLOCKS),
    modes=(("ecc", True),),
    naming=_NAMING,
    whole=_INSTINCT_300,
    partitioned=_INSTINCT_300,
    partition=_PARTITION,
    counts_deferred=True,
)
MI355X = replace(
    MI300X,
    name="mi355x",
    model="AMD Instinct MI355X",
    architecture="gfx950",
    memory_bytes=288 * _GIB,
    idle_watts=210.0,
    limit_watts=1400.0,
    full_celsius=78.0,
    clocks=(
        Clock("core", 132 * _MEGAHERTZ, 2400 * _MEGAHERTZ),
        Clock("memory", 900 * _MEGAHERTZ, 2000 * _MEGAHERTZ),
        Clock("soc", 29 * _MEGAHERTZ, 1143 * _MEGAHERTZ),
        Clock("fabric", 1200 * _MEGAHERTZ, 2200 * _MEGAHERTZ),
    ),
    fabric=Fabric("xgmi", 7, 537.6e9, (), registers=False),
)
MI210 = replace(
    MI300X,
    name="mi210",
    model="AMD Instinct MI210",
    architecture="gfx90a",
    firmware_version="113-D673XX-XXX",
    memory_bytes=64 * _GIB,
    idle_watts=40.0,
    limit_watts=300.0,
    full_celsius=66.0,
    sensors=(Sensor("core", 0.0, 0.0), Sensor("hotspot", 3.0, 11.0), Sensor("memory", 2.0, 4.0), *_STACKS),
    limits=(
        TemperatureLimit("core", "slowdown", 100.0),
        TemperatureLimit("core", "shutdown", 105.0),
        TemperatureLimit("hotspot", "slowdown", 110.0),
        TemperatureLimit("hotspot", "shutdown", 115.0),
        TemperatureLimit("memory", "slowdown", 94.0),
        TemperatureLimit("memory", "shutdown", 99.0),
    ),
    clocks=(
        Clock("core", 500 * _MEGAHERTZ, 1700 * _MEGAHERTZ),
        Clock("memory", 400 * _MEGAHERTZ, 1600 * _MEGAHERTZ),
        Clock("soc", 1090 * _MEGAHERTZ, 1090 * _MEGAHERTZ),
        Clock("fabric", 400 * _MEGAHERTZ, 1400 * _MEGAHERTZ),
    ),
    engines=(),
    throttle_reasons=("power", "thermal", "reliability", "external"),
    pcie_generation=4,
    fabric=Fabric("xgmi", 3, 150e9, (), registers=False, counts_down=False),
    error_codes=_ras(_MORE_BLOCKS),
    whole=_INSTINCT_200,
    partitioned=frozenset(),
    partition=frozenset(),
    counts_deferred=False,
)
# A package is two devices; the first reports power, limit and energy of both.
MI250X = replace(
    MI210,
    name="mi250x",
    model="AMD Instinct MI250X",
    idle_watts=90.0,
    limit_watts=560.0,
    fabric=Fabric("xgmi", 8, 400e9, (), registers=False, counts_down=False),
    power_shared=True,
)
MI250X_SECOND_DIE = replace(
    MI250X,
    name="mi250x_second_die",
    whole=_INSTINCT_200 - families.POWER,
)
RX7900XTX = replace(
    MI210,
    name="rx7900xtx",
    model="AMD Radeon RX 7900 XTX",
    architecture="gfx1100",
    firmware_version="113-31XFSHBS1-L02",
    memory_bytes=24 * _GIB,
    idle_watts=15.0,
    limit_watts=327.0,
    full_celsius=62.0,
    sensors=(Sensor("core", 0.0, 0.0), Sensor("hotspot", 4.0, 19.0), Sensor("memory", 6.0, 22.0)),
    limits=(
        TemperatureLimit("core", "slowdown", 100.0),
        TemperatureLimit("core", "shutdown", 105.0),
        TemperatureLimit("hotspot", "slowdown", 110.0),
        TemperatureLimit("hotspot", "shutdown", 115.0),
        TemperatureLimit("memory", "slowdown", 108.0),
        TemperatureLimit("memory", "shutdown", 113.0),
    ),
    clocks=(
        Clock("core", 500 * _MEGAHERTZ, 3220 * _MEGAHERTZ),
        Clock("memory", 96 * _MEGAHERTZ, 1249 * _MEGAHERTZ),
        Clock("soc", 500 * _MEGAHERTZ, 1200 * _MEGAHERTZ),
        Clock("fabric", 500 * _MEGAHERTZ, 1800 * _MEGAHERTZ),
        Clock("video", 500 * _MEGAHERTZ, 2200 * _MEGAHERTZ),
        Clock("display", 417 * _MEGAHERTZ, 1334 * _MEGAHERTZ),
    ),
    fans=1,
    engines=(EngineLoad("video", 0.07),),
    throttle_reasons=("power", "reliability", "external"),
    fabric=None,
    error_codes=(),
    modes=(),
    whole=_RADEON,
)
PROFILES = (MI300X, MI355X, MI210, MI250X, MI250X_SECOND_DIE, RX7900XTX)
