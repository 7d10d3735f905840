"""AMD cards as the kernel shows them: the files of each kind, and their contents under load.

Names and units of the files are from the kernel's documentation of amdgpu. Which files a card has, and their contents,
are assumed: no public capture of an Instinct card has all of its files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.doubles.amd_metrics import Fields, Value, Version

MIB = 1024 * 1024
GIB = 1024 * MIB
DISPLAY, VGA, PROCESSING = 0x038000, 0x030000, 0x120000
_RAS_OF_MI200 = ("umc", "sdma", "gfx", "mmhub", "athub", "pcie_bif", "hdp", "xgmi_wafl", "df")
_RAS_OF_MI300 = ("umc", "sdma", "gfx", "mmhub", "xgmi_wafl")


@dataclass(frozen=True)
class AmdCard:
    """A kind of card.

    Attributes:
        name: `product_name`; empty if the card has no inventory chip.
        device: PCI device id.
        pci_class: PCI class code.
        gfx_target_version: As KFD writes it.
        simd_count: Number of SIMD units of the whole GPU.
        vram_bytes: Size of its memory.
        files: Further text files of the PCI function.
        hwmon: Text files of its sensors.
        ras: Blocks whose errors are counted.
        modes: Compute partition modes with their counts; empty if it can't be partitioned.
        unique: Whether it has a unique id and a serial number.
        table: The version of its `gpu_metrics`.
        table_fields: The fields that the driver fills.
        simd_per_cu: Number of SIMD units of a compute unit.
        dies: Utilization of each compute die in percent, in versions with partitions.
    """

    name: str
    device: int
    pci_class: int
    gfx_target_version: int
    simd_count: int
    vram_bytes: int
    files: Mapping[str, str] = field(default_factory=dict)
    hwmon: Mapping[str, str] = field(default_factory=dict)
    ras: tuple[str, ...] = ()
    modes: Mapping[str, int] = field(default_factory=dict)
    unique: bool = True
    table: Version = (1, 3)
    table_fields: Fields = field(default_factory=dict)
    dies: tuple[int, ...] = ()
    simd_per_cu: int = 4


def _power(average: int, cap: int, name: str = "power1_average") -> dict[str, str]:
    """Microwatts."""
    return {
        name: str(average),
        "power1_cap": str(cap),
        "power1_cap_default": str(cap),
        "power1_cap_min": "0",
        "power1_cap_max": str(cap),
    }


def _temperature(number: int, label: str, now: int, crit: int, emergency: int) -> dict[str, str]:
    """Thousandths of a degree Celsius."""
    stem = f"temp{number}"
    return {
        f"{stem}_label": label,
        f"{stem}_input": str(now),
        f"{stem}_crit": str(crit),
        f"{stem}_emergency": str(emergency),
    }


def _clocks(core: int, memory: int) -> dict[str, str]:
    """Hertz."""
    return {"freq1_label": "sclk", "freq1_input": str(core), "freq2_label": "mclk", "freq2_input": str(memory)}


def _link(speed: str, width: int = 16) -> dict[str, str]:
    """A PCIe link that runs as fast as it can."""
    return {
        "current_link_speed": f"{speed} GT/s PCIe",
        "current_link_width": str(width),
        "max_link_speed": f"{speed} GT/s PCIe",
        "max_link_width": str(width),
    }


def _heat_and_load(edge: int, hotspot: int, memory: int, gfx: int, umc: int) -> dict[str, Value]:
    """Degrees Celsius and percent."""
    return {"edge": edge, "hotspot": hotspot, "memory": memory, "gfx": gfx, "umc": umc}


_ECC = {"ras/features": "feature mask: 0x3f"}
_VOLTAGE = {"in0_label": "vddgfx", "in0_input": "862"}

MI210 = AmdCard(
    "AMD Instinct MI210",
    0x740F,
    DISPLAY,
    90010,
    416,
    64 * GIB,
    {
        "gpu_busy_percent": "37",
        "mem_busy_percent": "12",
        "pcie_replay_count": "3",
        "pp_dpm_sclk": "0: 500Mhz\n1: 1700Mhz *",
        "pp_dpm_mclk": "0: 400Mhz\n1: 1600Mhz *",
        "pp_dpm_socclk": "0: 1090Mhz *",
        "pp_dpm_fclk": "0: 400Mhz\n1: 1400Mhz *",
        **_link("16.0"),
        **_ECC,
        "xgmi_num_links": "00 01 01 01",
    },
    {
        **_VOLTAGE,
        **_power(96_000_000, 300_000_000),
        **_temperature(1, "edge", 41_000, 100_000, 105_000),
        **_temperature(2, "junction", 48_000, 110_000, 115_000),
        **_temperature(3, "mem", 52_000, 94_000, 99_000),
        **_clocks(1_700_000_000, 1_600_000_000),
    },
    _RAS_OF_MI200,
    table_fields={
        **_heat_and_load(41, 48, 52, 37, 12),
        "power": 96,
        "energy": 6_553_600_000,  # 100,000 J
        "clock": 3_600_000_000_000,
        "hbm": (50, 51, 52, 53),
        "mm": 0,  # made up by older drivers
        "throttle_bits": 1,  # package power
    },
)
# One of the two dies of a package; each is a PCI device. Only the first die reports power.
MI250X = replace(
    MI210,
    name="AMD Instinct MI250X",
    device=0x7408,
    simd_count=440,
    files={**MI210.files, "gpu_busy_percent": "64"},
    hwmon={**MI210.hwmon, **_power(412_000_000, 560_000_000)},
    table_fields={**MI210.table_fields, "gfx": 64, "power": 412, "energy": 13_107_200_000},  # 200,000 J
)
MI250X_SECOND_DIE = replace(
    MI250X,
    files={**MI210.files, "gpu_busy_percent": "63"},
    hwmon={**MI210.hwmon, **_power(0, 0), "power1_cap_max": "560000000"},
    table_fields={**MI210.table_fields, "gfx": 63, "power": 0, "energy": 0},
)
MI300X = AmdCard(
    "AMD Instinct MI300X OAM",
    0x74A1,
    PROCESSING,
    90402,
    1216,
    192 * GIB,
    {
        "gpu_busy_percent": "88",
        "mem_busy_percent": "31",
        "pp_dpm_sclk": "0: 500Mhz\n1: 2100Mhz *",
        "pp_dpm_mclk": "0: 900Mhz\n1: 1300Mhz *",
        "pp_dpm_socclk": "0: 1143Mhz *",
        "pp_dpm_fclk": "0: 1200Mhz\n1: 2000Mhz *",
        **_link("32.0"),
        **_ECC,
    },
    {
        **_power(611_000_000, 750_000_000, "power1_input"),
        **_temperature(2, "junction", 61_000, 100_000, 110_000),
        **_temperature(3, "mem", 47_000, 105_000, 115_000),
        **_clocks(2_100_000_000, 1_300_000_000),
    },
    _RAS_OF_MI300,
    {"SPX": 1, "DPX": 2, "QPX": 4, "CPX": 8},
    table=(1, 7),
    table_fields={
        "hotspot": 61,
        "memory": 47,
        "power": 611,
        "gfx": 88,
        "umc": 31,
        "energy": 65_536_000_000,  # 1,000,000 J
        "clock": 3_600_000_000_000,
        "cycles": 3_600_000,
        "prochot": 0,
        "ppt": 36_000,
        "socket_thm": 0,
        "vr_thm": 0,
        "hbm_thm": 1_800,
        "pcie_width": 16,
        "pcie_speed": 320,
        "xgmi_width": 16,
        "xgmi_speed": 32,
        "replays": 4,
        "xgmi_read": tuple(1_000_000 + link for link in range(7)),
        "xgmi_written": tuple(2_000_000 + link for link in range(7)),
        "xgmi_status": (1, 1, 1, 1, 1, 1, 0),
    },
    dies=(81, 83, 85, 87, 89, 91, 93, 95),
)
# With a newer driver, whose table describes itself.
MI300X_DESCRIBED = replace(MI300X, table=(1, 9))
MI355X = replace(
    MI300X,
    name="AMD Instinct MI355X",
    device=0x75A3,
    gfx_target_version=90500,
    simd_count=1024,
    vram_bytes=288 * GIB,
    files={**MI300X.files, "pp_dpm_sclk": "0: 500Mhz\n1: 2400Mhz *"},
    hwmon={**MI300X.hwmon, **_power(1_120_000_000, 1_400_000_000, "power1_input")},
    modes={"SPX": 1, "DPX": 2, "CPX": 8},
    table=(1, 8),
    table_fields={**MI300X.table_fields, "power": 1120},
)
RX_7900_XTX = AmdCard(
    "",
    0x744C,
    VGA,
    110000,
    192,
    24 * GIB,
    {
        "gpu_busy_percent": "81",
        "mem_busy_percent": "64",
        "vcn_busy_percent": "7",
        "pcie_replay_count": "0",
        "pp_dpm_sclk": "0: 500Mhz\n1: 2304Mhz *\n2: 3220Mhz",
        "pp_dpm_mclk": "0: 96Mhz\n1: 456Mhz\n2: 772Mhz\n3: 1249Mhz *",
        "pp_dpm_socclk": "0: 500Mhz\n1: 1200Mhz *",
        "pp_dpm_fclk": "0: 500Mhz\n1: 1800Mhz *",
        "pp_dpm_vclk": "0: 500Mhz *\n1: 2200Mhz",
        "pp_dpm_dcefclk": "0: 417Mhz *\n1: 1334Mhz",
        **_link("16.0"),
    },
    {
        **_VOLTAGE,
        **_power(287_500_000, 327_000_000),
        **_temperature(1, "edge", 55_000, 100_000, 105_000),
        **_temperature(2, "junction", 72_000, 110_000, 115_000),
        **_temperature(3, "mem", 78_000, 108_000, 113_000),
        **_clocks(2_304_000_000, 1_249_000_000),
        "fan1_input": "1650",
        "fan1_min": "0",
        "fan1_max": "3300",
        "pwm1": "127",
    },
    # The energy counter of this generation stays at 0.
    simd_per_cu=2,
    table_fields={
        **_heat_and_load(55, 72, 78, 81, 64),
        "mm": 7,
        "power": 287,
        "energy": 0,
        "clock": 3_600_000_000_000,
        "throttle_bits": 1 << 36,  # always set on this generation
    },
)
# The graphics of a Phoenix laptop: no unique id, memory of the host, no limits.
APU = AmdCard(
    "",
    0x15BF,
    VGA,
    110003,
    24,
    512 * MIB,
    {"gpu_busy_percent": "5", "pp_dpm_sclk": "0: 800Mhz *\n1: 2700Mhz", "pp_dpm_mclk": "0: 1000Mhz *\n1: 2800Mhz"},
    {
        **_VOLTAGE,
        "power1_average": "4037000",
        "power1_input": "4000000",
        "temp1_label": "edge",
        "temp1_input": "39000",
        "freq1_label": "sclk",
        "freq1_input": "800000000",
    },
    unique=False,
    simd_per_cu=2,
    table=(2, 1),
    table_fields={"gfx": 5, "gfx_temperature": 39, "power": 4},
)
