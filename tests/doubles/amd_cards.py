"""AMD cards as the kernel shows them: which files each kind has, and what a loaded one says in them.

Names and units of the files are from the kernel's documentation of amdgpu. Which of them a card has and what it says in
them is assumed: no public capture of an Instinct card has all of its files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 1024 * 1024
GIB = 1024 * MIB
DISPLAY, VGA, PROCESSING = 0x038000, 0x030000, 0x120000
_RAS_OF_MI200 = ("umc", "sdma", "gfx", "mmhub", "athub", "pcie_bif", "hdp", "xgmi_wafl", "df")
_RAS_OF_MI300 = ("umc", "sdma", "gfx", "mmhub", "xgmi_wafl")


@dataclass(frozen=True)
class AmdCard:
    """One kind of card.

    Attributes:
        name: `product_name`; empty where the card has no inventory chip.
        device: PCI device id.
        pci_class: PCI class code.
        gfx_target_version: As KFD writes it.
        simd_count: Of the whole GPU.
        vram_bytes: Size of its memory.
        files: Further text files of the PCI function.
        hwmon: Text files of its sensors.
        ras: Blocks whose errors are counted.
        modes: Compute partition modes with their counts; empty where it can't be cut.
        unique: Whether it has a unique id and a serial number.
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
)
# One of the two dies of a package; each is a PCI device. Power is told by the first die only.
MI250X = AmdCard(
    "AMD Instinct MI250X",
    0x7408,
    DISPLAY,
    90010,
    440,
    64 * GIB,
    {**MI210.files, "gpu_busy_percent": "64"},
    {**MI210.hwmon, **_power(412_000_000, 560_000_000)},
    _RAS_OF_MI200,
)
MI250X_SECOND_DIE = AmdCard(
    "AMD Instinct MI250X",
    0x7408,
    DISPLAY,
    90010,
    440,
    64 * GIB,
    {**MI210.files, "gpu_busy_percent": "63"},
    {**MI210.hwmon, **_power(0, 0)},
    _RAS_OF_MI200,
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
    },
    {
        **_power(611_000_000, 750_000_000, "power1_input"),
        **_temperature(2, "junction", 61_000, 100_000, 110_000),
        **_temperature(3, "mem", 47_000, 105_000, 115_000),
        **_clocks(2_100_000_000, 1_300_000_000),
    },
    _RAS_OF_MI300,
    {"SPX": 1, "DPX": 2, "QPX": 4, "CPX": 8},
)
MI355X = AmdCard(
    "AMD Instinct MI355X",
    0x75A3,
    PROCESSING,
    90500,
    1024,
    288 * GIB,
    {**MI300X.files, "pp_dpm_sclk": "0: 500Mhz\n1: 2400Mhz *"},
    {**MI300X.hwmon, **_power(1_120_000_000, 1_400_000_000, "power1_input")},
    _RAS_OF_MI300,
    {"SPX": 1, "DPX": 2, "CPX": 8},
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
)
# A Phoenix laptop's graphics: no unique id, memory that is the host's, no limits.
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
)
